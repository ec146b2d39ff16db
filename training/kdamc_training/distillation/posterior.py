# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Distillation from the exact posterior that a data set holds beside each frame."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..networks.outputs import Outputs
from .registry import Loss, register


@register("posterior")
class Posterior(Loss):
    """``-sum_c p_c log softmax(z)_c``, mean over the batch; p is the exact posterior.

    For a given frame this is the expectation of the cross-entropy with the true class: the same
    gradient without the chance of which class was sent. No network gets below the entropy of p. The
    log posteriors need not be normalised. They hold for frames as they are stored, turned,
    conjugated or reversed.
    """

    needs_teacher = False
    needs_posterior = True

    def __init__(self, *, student: Outputs, teacher: Outputs | None) -> None:
        super().__init__()

    def forward(self, student: Outputs, teacher: Outputs | None, label: Tensor) -> Tensor:
        return functional.cross_entropy(student.logits.float(), label.softmax(dim=1))
