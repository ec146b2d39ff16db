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

# Cutoff and width of the edge in cycles a sample; the signals' half bandwidth is 0.084.
_CUTOFFS = (0.1, 0.5)
_TRANSITION = 0.04


def augment(
    iq: Tensor,
    generator: torch.Generator,
    *,
    rotation: bool,
    conjugation: bool,
    carrier_offset: float,
    receiver_filter: float,
) -> Tensor:
    """Turn, mirror, shift and filter frames ``(n, 2, L)`` of RMS 1; RMS stays 1.

    Per frame: a phase from [0, 2 pi), conjugation with probability 1/2, an offset from
    ``±carrier_offset`` cycles a sample, and with probability ``receiver_filter`` a low-pass as of
    a receiver narrower than the sampled band. A modulation keeps its name under all four.
    """
    n, _, length = iq.shape
    signal = torch.complex(iq[:, 0], iq[:, 1])
    if conjugation:
        mirrored = torch.rand(n, 1, generator=generator) < 0.5
        signal = torch.where(mirrored, signal.conj(), signal)
    phase = torch.zeros(n, 1)
    if rotation:
        phase = 2 * math.pi * torch.rand(n, 1, generator=generator)
    if carrier_offset > 0.0:
        offset = carrier_offset * (2 * torch.rand(n, 1, generator=generator) - 1)
        phase = phase + 2 * math.pi * offset * torch.arange(length)
    signal = signal * torch.polar(torch.ones_like(phase), phase)
    if receiver_filter > 0.0:
        signal = _filtered(signal, generator, receiver_filter)
    return torch.stack([signal.real, signal.imag], dim=1)


def _filtered(signal: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Low-pass a share of the frames ``(n, L)``, each at a cutoff of its own, back to RMS 1."""
    n, length = signal.shape
    low, high = _CUTOFFS
    cutoff = low * (high / low) ** torch.rand(n, 1, generator=generator)
    frequency = torch.fft.fftfreq(length).abs()
    edge = (cutoff + _TRANSITION / 2 - frequency) / _TRANSITION
    response = 0.5 - 0.5 * torch.cos(math.pi * edge.clamp(0.0, 1.0))
    chosen = torch.rand(n, 1, generator=generator) < share
    response = torch.where(chosen, response, torch.ones_like(response))
    filtered = torch.fft.ifft(torch.fft.fft(signal) * response)
    rms = filtered.abs().square().mean(dim=1, keepdim=True).sqrt()
    return filtered / rms.clamp_min(1e-12)


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
