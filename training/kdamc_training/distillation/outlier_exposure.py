# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Outlier exposure: what is none of the classes shall look like none."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..networks.outputs import Outputs
from .registry import Loss, register

NO_CLASS = -100
"""The label of a frame of none of the classes; torch's cross-entropy leaves it out."""


@register("outlier_exposure")
class OutlierExposure(Loss):
    """The cross-entropy of an even posterior with the network's, mean over the frames that are
    labelled ``NO_CLASS``; a batch without such frames gives 0.

    D. Hendrycks, M. Mazeika and T. Dietterich, "Deep anomaly detection with outlier exposure", ICLR
    2019, section 3, which weighs it 0.5.
    """

    needs_teacher = False

    def __init__(self, *, student: Outputs, teacher: Outputs | None) -> None:
        super().__init__()

    def forward(self, student: Outputs, teacher: Outputs | None, label: Tensor) -> Tensor:
        strange = label == NO_CLASS
        even = -functional.log_softmax(student.logits.float(), dim=1).mean(dim=1)
        return (even * strange).sum() / strange.sum().clamp_min(1)
