# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training one network by Lightning: data in batches, checkpoints, resume, logs."""

from __future__ import annotations

import dataclasses
import logging
import sys
import warnings
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from .datasets.dataset_file import DataSetFile, rms_normalised, training_split
from .lightning_module import ClassifierModule
from .recipe import Recipe

LAST_CHECKPOINT = "last.ckpt"
_BLOCK = 65536


class FrameBatches(Dataset):
    """Frames in memory, given out a whole batch at a time.

    An item is asked for by an index array and is (``(m, 2, L)`` float32 of RMS 1, ``(m)`` int64).
    """

    def __init__(self, frames: np.ndarray, labels: np.ndarray) -> None:
        self._frames = torch.from_numpy(frames)
        self._labels = torch.from_numpy(labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        return self._frames[index], self._labels[index]


class EpochSampler(Sampler):
    """Index arrays of ``batch_size``, shuffled anew each epoch by (seed, epoch) alone.

    Lightning tells it the epoch, so a resumed run sees the batches it would have seen. With
    ``seed`` None the order is that of the data and the last batch may be short.
    """

    def __init__(self, count: int, batch_size: int, seed: int | None) -> None:
        self._count, self._batch_size, self._seed = count, batch_size, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        if self._seed is None:
            return -(-self._count // self._batch_size)
        return max(1, self._count // self._batch_size)

    def __iter__(self):
        if self._seed is None:
            order = torch.arange(self._count)
        else:
            shuffled = np.random.default_rng([self._seed, self._epoch]).permutation(self._count)
            order = torch.from_numpy(shuffled)
        for batch in range(len(self)):
            yield order[batch * self._batch_size : (batch + 1) * self._batch_size]


def load_split(path: Path, validation_share: float, seed: int) -> tuple[FrameBatches, FrameBatches]:
    """Training and validation frames of a data set file, split by pass."""
    with DataSetFile(path) as data:
        kept, held = training_split(data, validation_share, seed)
        frames = np.empty(data.x.shape, np.float32)
        for start in range(0, len(data), _BLOCK):
            frames[start : start + _BLOCK] = rms_normalised(data.x[start : start + _BLOCK])
        labels = data.y[:]
    return FrameBatches(frames[kept], labels[kept]), FrameBatches(frames[held], labels[held])


def fit(
    recipe: Recipe, train_file: Path, folder: Path, command: str, callbacks: list[Callback] = ()
) -> Path:
    """Train after ``recipe`` on ``train_file``; returns the last checkpoint, in ``folder``.

    If ``folder`` holds a checkpoint the run goes on from the end of its last whole epoch, and the
    result is that of an uninterrupted run. Losses and accuracies go to ``metrics.csv``.
    """
    torch.set_num_threads(recipe.train.threads)
    lightning.seed_everything(recipe.train.seed, verbose=False)
    _quiet()
    training, validation = load_split(train_file, recipe.data.validation_share, recipe.train.seed)
    with DataSetFile(train_file) as data:
        info, frame_length = data.info, data.frame_length
    module = ClassifierModule(
        network=recipe.network.name,
        network_options=recipe.network.options,
        classes=list(info.classes),
        frame_length=frame_length,
        train=dataclasses.asdict(recipe.train),
        augment=dataclasses.asdict(recipe.augment),
        describes={
            "dataset": f"{info.generator} seed {info.seed} speech {info.speech}",
            "samples_per_symbol": list(info.samples_per_symbol),
            "recipe": recipe.name,
            "budget": recipe.budget,
            "command": command,
        },
    )
    last = folder / LAST_CHECKPOINT
    keep = ModelCheckpoint(
        dirpath=folder,
        filename=Path(LAST_CHECKPOINT).stem,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    averaging = []
    if recipe.train.ema_decay > 0:
        averaging = [EMAWeightAveraging(decay=recipe.train.ema_decay)]
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=recipe.train.epochs,
        # The averaging must see the end of an epoch before its checkpoint is written.
        callbacks=[*averaging, keep, *callbacks],
        logger=CSVLogger(folder, name="", version="", flush_logs_every_n_steps=1000),
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        deterministic=True,
    )
    size = recipe.train.batch_size
    trainer.fit(
        module,
        DataLoader(
            training,
            sampler=EpochSampler(len(training), size, recipe.train.seed),
            batch_size=None,
        ),
        DataLoader(validation, sampler=EpochSampler(len(validation), 1024, None), batch_size=None),
        ckpt_path=last if last.is_file() else None,
    )
    if trainer.interrupted:
        raise KeyboardInterrupt
    return last


def _quiet() -> None:
    """Silence Lightning's advice on loading, which does not fit data that lie in memory already,
    and a warning about its own use of torch."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
