# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training one member of a recipe by Lightning: checkpoints, resume, logs."""

from __future__ import annotations

import csv
import dataclasses
import logging
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

from . import teacher_cache
from .datasets import registry as generators
from .datasets.dataset_file import DataSetFile
from .errors import UserError
from .files import replacing
from .lightning_module import ClassifierModule
from .recipe import AugmentSection, Recipe, TrainSection
from .teacher_cache import Needed, TeacherCache
from .training_data import MEMORY_LIMIT, FrameData, Frames, Part, describe

LAST_CHECKPOINT = "last.ckpt"
BEST_CHECKPOINT = "best.ckpt"
FINISHED = "finished"
"""Name of the file that says that a folder's training is over."""
METRICS = "metrics.csv"
"""As Lightning's ``CSVLogger`` calls it."""


@dataclass(frozen=True)
class Job:
    """One training: ``member`` of ``recipe`` with ``seed``, on which frames.

    ``teacher`` is the trained teacher's network, if the member has one; where nothing is augmented,
    what it shows is kept in the folder ``teacher_cache``. ``command`` is how the run was asked for.
    """

    recipe: Recipe
    member: str
    seed: int
    training: Part
    validation: Part
    command: str
    teacher: nn.Module | None = None
    teacher_cache: Path | None = None
    memory_limit: int = MEMORY_LIMIT


def gpu() -> str | None:
    """PyTorch's name of the device that Lightning's accelerator "gpu" is here; None if none is."""
    if CUDAAccelerator.is_available():
        return "cuda"
    return "mps" if MPSAccelerator.is_available() else None


def device_of(train: TrainSection) -> str:
    """PyTorch's name of the device that ``train`` trains on."""
    return "cpu" if train.accelerator == "cpu" else gpu() or "cpu"


def fit(job: Job, folder: Path, callbacks: Sequence[Callback] = ()) -> Path:
    """Train ``job`` in ``folder``; returns the checkpoint with the weights to use.

    If ``folder`` holds a checkpoint the run goes on from the end of its last whole epoch, and the
    result is that of an uninterrupted run. Losses and accuracies go to ``metrics.csv`` and to
    TensorBoard's event files. On several devices frames are dealt out batch by batch.
    """
    train = job.recipe.train_of(job.member)
    if (folder / FINISHED).is_file():
        return result_of(train, folder)
    torch.set_num_threads(train.threads)
    lightning.seed_everything(job.seed, verbose=False)
    data = FrameData(job.training, job.validation, train.batch_size, job.seed, job.memory_limit)
    return fit_module(_module(job, train, data.training), data, train, folder, callbacks)


def result_of(train: TrainSection, folder: Path) -> Path:
    """The checkpoint in ``folder`` with the weights to use."""
    return folder / (BEST_CHECKPOINT if train.keep == "best" else LAST_CHECKPOINT)


def fit_module(
    module: ClassifierModule,
    data: FrameData,
    train: TrainSection,
    folder: Path,
    callbacks: Sequence[Callback] = (),
) -> Path:
    """Train ``module`` on ``data`` as ``fit`` does, in ``folder``, and go on there after a kill."""
    if (folder / FINISHED).is_file():
        return result_of(train, folder)
    _quiet()
    # Deterministic algorithms would fill all new memory first, for up to a tenth of the time;
    # nothing here reads what it did not write.
    torch.utils.deterministic.fill_uninitialized_memory = False
    last = folder / LAST_CHECKPOINT
    for left in folder.glob(".*.part"):
        left.unlink()
    log = CSVLogger(folder, name="", version="", flush_logs_every_n_steps=1)
    if last.is_file():
        # Lightning begins the file anew: it is gone once there is an experiment.
        rows = _rows_before(folder / METRICS, last)
        log.experiment.metrics += rows
        log.save()
    trainer = lightning.Trainer(
        accelerator=train.accelerator,
        devices=train.devices,
        # Spawned processes run this training; "ddp" would run the whole command line again.
        strategy="auto" if train.devices == 1 else "ddp_spawn",
        use_distributed_sampler=False,
        precision=train.precision,
        max_epochs=train.epochs,
        callbacks=[*_callbacks(train, folder), _RemembersBest(), *callbacks],
        logger=[
            log,
            TensorBoardLogger(folder, name="", version="", default_hp_metric=False),
        ],
        plugins=[_WholeCheckpoints()],
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        deterministic=train.accelerator == "cpu",
    )
    trainer.fit(
        module,
        datamodule=data,
        ckpt_path=last if last.is_file() else None,
        weights_only=False,
    )
    if trainer.interrupted:
        raise KeyboardInterrupt
    (folder / FINISHED).touch()
    return result_of(train, folder)


def _rows_before(metrics: Path, checkpoint: Path) -> list[dict[str, Any]]:
    """What ``metrics.csv`` holds of the epochs that are behind a checkpoint."""
    if not metrics.is_file():
        return []
    try:
        behind = torch.load(checkpoint, weights_only=False, map_location="cpu", mmap=True)["epoch"]
    except Exception as error:  # torch's loading errors are of many kinds
        raise UserError(
            f"{checkpoint}: is damaged; remove it, and this training begins anew"
        ) from error
    with metrics.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {name: text for name, text in row.items() if text}
        for row in rows
        if int(row["epoch"]) <= behind
    ]


def _module(job: Job, train: TrainSection, training: Frames) -> ClassifierModule:
    recipe, member = job.recipe, job.recipe.members[job.member]
    with DataSetFile(job.training.path) as data:
        info, frame_length = data.info, data.frame_length
    classes = job.training.class_names()
    module = ClassifierModule(
        network=member.network,
        network_options=member.options,
        classes=list(classes),
        frame_length=frame_length,
        loss=[dataclasses.asdict(term) for term in member.loss],
        train=dataclasses.asdict(train),
        seed=job.seed,
        augment=dataclasses.asdict(recipe.augment),
        describes={
            "dataset": describe(info),
            "samples_per_symbol": list(info.samples_per_symbol),
            "oversampling": _oversampling(recipe),
            "recipe": recipe.name,
            "member": job.member,
            "teacher": member.teacher,
            "budget": recipe.budget,
            "command": job.command,
        },
        teacher=job.teacher,
        teacher_sees=member.teacher_sees,
    )
    unchanging = recipe.augment == AugmentSection() or member.teacher_sees == "original"
    # On a GPU the teacher is quicker than filling the files without one.
    if job.teacher and job.teacher_cache and unchanging and train.accelerator == "cpu":
        needed = Needed.by(module.terms, module.teacher_example)
        if teacher_cache.size(job.teacher, training, needed) <= teacher_cache.DISK_LIMIT:
            module.remember(TeacherCache(job.teacher_cache, job.teacher, training, needed))
    return module


def _oversampling(recipe: Recipe) -> tuple[float, float] | None:
    if not recipe.data.generator:
        return None
    return generators.create(recipe.data.generator).oversampling


def _callbacks(train: TrainSection, folder: Path) -> list[Callback]:
    mode = "min" if train.monitor == "val_loss" else "max"
    callbacks: list[Callback] = []
    if train.ema_decay > 0:
        # The averaging must see the end of an epoch before its checkpoint is written.
        callbacks.append(EMAWeightAveraging(decay=train.ema_decay))
    if train.early_stopping:
        callbacks.append(EarlyStopping(train.monitor, patience=train.early_stopping, mode=mode))
        callbacks.append(_StaysStopped())
    if train.keep == "best":
        # Before the last checkpoint, which keeps this one's memory of the best value.
        callbacks.append(
            ModelCheckpoint(
                dirpath=folder,
                filename=Path(BEST_CHECKPOINT).stem,
                monitor=train.monitor,
                mode=mode,
                save_weights_only=True,
                enable_version_counter=False,
                save_on_train_epoch_end=True,
            )
        )
    callbacks.append(
        ModelCheckpoint(
            dirpath=folder,
            filename=Path(LAST_CHECKPOINT).stem,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
    )
    return callbacks


class _StaysStopped(Callback):
    """Ends a run at once that was stopped early and killed before that was noted: Lightning would
    train one more epoch."""

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        for stopping in trainer.early_stopping_callbacks:
            if stopping.wait_count >= stopping.patience:
                trainer.should_stop = True


class _RemembersBest(Callback):
    """Lets a run go on that was moved to another folder: Lightning would forget its best value."""

    def on_load_checkpoint(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        for saving in trainer.checkpoint_callbacks:
            state = checkpoint["callbacks"][saving.state_key]
            folder = state["dirpath"] = saving.dirpath
            for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
                state[name] = state[name] and str(Path(folder, Path(state[name]).name))
            state["best_k_models"] = {
                str(Path(folder, Path(path).name)): value
                for path, value in state["best_k_models"].items()
            }


class _WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the final place: Lightning's own takes the system's folder for temporary files
    and, if that is on another disk, a kill can leave half a checkpoint."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        with replacing(path) as temporary:
            torch.save(checkpoint, temporary)


def _quiet() -> None:
    """Silence Lightning's advice on loading, which does not fit data that lie in memory already,
    and a warning about its own use of torch."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
