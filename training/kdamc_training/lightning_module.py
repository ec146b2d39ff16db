# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one training module: a registered network, its loss, augmentation and schedule."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from . import networks as networks
from .networks import registry


def augment(
    iq: Tensor,
    generator: torch.Generator,
    *,
    rotation: bool,
    conjugation: bool,
    carrier_offset: float,
) -> Tensor:
    """Turn, mirror and shift frames ``(n, 2, L)`` in frequency; RMS is kept.

    Per frame: a phase from [0, 2 pi), conjugation with probability 1/2, an offset from
    ``±carrier_offset`` cycles a sample. A modulation keeps its name under all three.
    """
    n, _, length = iq.shape
    i, q = iq[:, 0], iq[:, 1]
    if conjugation:
        q = q * (1 - 2 * torch.randint(0, 2, (n, 1), generator=generator).to(q.dtype))
    if not rotation and carrier_offset == 0.0:
        return torch.stack([i, q], dim=1)
    phase = torch.zeros(n, 1)
    if rotation:
        phase = 2 * math.pi * torch.rand(n, 1, generator=generator)
    if carrier_offset > 0.0:
        offset = carrier_offset * (2 * torch.rand(n, 1, generator=generator) - 1)
        phase = phase + 2 * math.pi * offset * torch.arange(length)
    cosine, sine = torch.cos(phase), torch.sin(phase)
    return torch.stack([i * cosine - q * sine, i * sine + q * cosine], dim=1)


class ClassifierModule(lightning.LightningModule):
    """Trains the network ``network`` on batches of (frames ``(n, 2, L)``, class index ``(n)``).

    Everything needed to build it again stands in its hyperparameters, so a checkpoint is enough.
    ``describes`` (data set, recipe, samples a symbol, command) is carried for the export.
    """

    def __init__(
        self,
        *,
        network: str,
        network_options: dict[str, Any],
        classes: list[str],
        frame_length: int,
        train: dict[str, Any],
        augment: dict[str, Any],
        describes: dict[str, Any],
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = registry.create(
            network, classes=len(classes), frame_length=frame_length, **network_options
        )
        self.accuracy = MulticlassAccuracy(len(classes), average="micro")

    def forward(self, iq: Tensor) -> Tensor:
        return self.network(iq)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        iq, label = batch
        # Seeded by the step, so that a resumed run draws what an uninterrupted one would have.
        generator = torch.Generator().manual_seed(
            self.hparams.train["seed"] * 1_000_003 + self.global_step
        )
        logits = self(augment(iq, generator, **self.hparams.augment))
        loss = torch.nn.functional.cross_entropy(logits, label)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        iq, label = batch
        logits = self(iq)
        self.accuracy(logits, label)
        self.log("val_loss", torch.nn.functional.cross_entropy(logits, label), prog_bar=True)
        self.log("val_accuracy", self.accuracy, prog_bar=True)

    def configure_optimizers(self) -> dict[str, Any]:
        settings = self.hparams.train
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=settings["learning_rate"], weight_decay=settings["weight_decay"]
        )
        total = int(self.trainer.estimated_stepping_batches)
        warmup = max(1, round(total * settings["warmup_epochs"] / settings["epochs"]))

        def factor(step: int) -> float:
            rising = (step + 1) / warmup
            falling = 0.5 * (1 + math.cos(math.pi * min(step / total, 1.0)))
            return min(rising, 1.0) * falling

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
