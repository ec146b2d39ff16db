# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training again what was made smaller, for the rest of the network to make up for it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from ..lightning_module import ClassifierModule
from ..recipe import AugmentSection, LossTerm, TrainSection
from ..training import LAST_CHECKPOINT, fit_module
from ..training_data import FrameData, Part
from .keep_zeros import KeepZeros
from .recipe import RetrainSection


@dataclass(frozen=True)
class Retrained:
    """Accuracy on the validation frames by epoch; ``best_epoch`` counts from 1. The network has the
    weights of that epoch."""

    accuracy: list[float]
    best_epoch: int


def retrain(
    module: ClassifierModule,
    training: Part,
    validation: Part,
    section: RetrainSection,
    seed: int,
    folder: Path,
) -> Retrained:
    """Train the network of ``module`` in place, but for its layer ``hidden``, on ``training``.

    A dense ``hidden`` keeps its zeros (Net-Trim's fine-tuning, Aghasi et al.), any other is frozen
    with its bias (the edge paper's retraining after product quantization: 20 epochs on 10 % of the
    data; all else is our choice). Checkpoints and logs go to ``folder``; what is there after a kill
    is gone on from, with the result of a training that was not stopped.
    """
    settings = TrainSection(
        epochs=section.epochs,
        batch_size=section.batch_size,
        learning_rate=section.learning_rate,
        monitor="val_accuracy",
    )
    network, about = module.network, module.hparams
    again = ClassifierModule(
        network=about.network,
        network_options=about.network_options,
        classes=about.classes,
        frame_length=about.frame_length,
        loss=[dataclasses.asdict(LossTerm("cross_entropy"))],
        train=dataclasses.asdict(settings),
        seed=seed,
        augment=dataclasses.asdict(AugmentSection()),
        describes=about.describes,
    )
    again.network = network.train()
    callbacks: list[Callback] = [_Accuracies()]
    if type(network.hidden) is nn.Linear:
        callbacks.append(_ZerosKept(network.hidden.weight))
    else:
        network.hidden.requires_grad_(False)
    folder.mkdir(parents=True, exist_ok=True)
    lightning.seed_everything(seed, verbose=False)
    data = FrameData(training, validation, settings.batch_size, seed)
    best = fit_module(again, data, settings, folder, callbacks)
    again.load_state_dict(torch.load(best, weights_only=False)["state_dict"])
    network.eval()
    last = torch.load(folder / LAST_CHECKPOINT, weights_only=False)
    accuracy = last["callbacks"][_Accuracies.__qualname__]["accuracy"]
    return Retrained(accuracy, 1 + accuracy.index(max(accuracy)))


class _Accuracies(Callback):
    """Notes the accuracy on the validation frames after each epoch, in the checkpoints, too."""

    def __init__(self) -> None:
        self._accuracy: list[float] = []

    def on_validation_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        self._accuracy.append(float(trainer.callback_metrics["val_accuracy"]))

    def state_dict(self) -> dict[str, Any]:
        return {"accuracy": list(self._accuracy)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._accuracy = list(state["accuracy"])


class _ZerosKept(Callback):
    """Holds the zeros that ``weight`` has now while it is trained."""

    def __init__(self, weight: nn.Parameter) -> None:
        self._keep = KeepZeros([weight])

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        for optimizer in trainer.optimizers:
            self._keep.attach(optimizer)

    def on_fit_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._keep.remove()
