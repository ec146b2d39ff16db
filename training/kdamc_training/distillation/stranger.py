# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The error of a network's output that tells signals of no class."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..networks.outputs import Outputs
from .outlier_exposure import NO_CLASS
from .registry import Loss, register


@register("stranger")
class Stranger(Loss):
    """The cross-entropy of the log odds ``stranger`` with whether a frame is labelled ``NO_CLASS``,
    mean over the batch.

    An output of its own in place of an even posterior (:class:`OutlierExposure`): a frame that two
    classes share is no stranger (our choice).
    """

    needs_teacher = False

    def __init__(self, *, student: Outputs, teacher: Outputs | None) -> None:
        super().__init__()
        if student.stranger is None:
            raise ValueError("the network gives no log odds of a stranger")

    def forward(self, student: Outputs, teacher: Outputs | None, label: Tensor) -> Tensor:
        strange = (label == NO_CLASS).float()
        return functional.binary_cross_entropy_with_logits(student.stranger.float(), strange)
