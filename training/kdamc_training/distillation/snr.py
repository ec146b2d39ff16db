# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The error of a network's second output, its estimate of the SNR."""

from __future__ import annotations

import torch
from torch import Tensor

from ..networks.outputs import Outputs
from .checks import positive
from .registry import Loss, register


@register("snr")
class Snr(Loss):
    """Huber's loss of ``snr_db`` against the true SNR, in units of ``scale`` dB, mean over frames.

    Errors count by their square up to ``scale`` and linearly beyond. Frames without a signal have
    no SNR and are left out; a batch of such alone gives 0.
    """

    needs_teacher = False
    needs_snr = True

    def __init__(self, *, student: Outputs, teacher: Outputs | None, scale: float = 3.0) -> None:
        super().__init__()
        if student.snr_db is None:
            raise ValueError("the network gives no snr_db")
        self.scale = positive("scale", scale)

    def forward(self, student: Outputs, teacher: Outputs | None, label: Tensor) -> Tensor:
        known = torch.isfinite(label)
        error = torch.where(known, student.snr_db.float() - label, 0.0) / self.scale
        loss = torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="sum")
        return loss / known.sum().clamp_min(1)
