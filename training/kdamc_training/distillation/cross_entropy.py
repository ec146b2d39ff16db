# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cross-entropy with the true class: every network is trained with it, alone or with a teacher."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..networks.outputs import Outputs
from .checks import not_negative, positive
from .registry import Loss, register


@register("cross_entropy")
class CrossEntropy(Loss):
    """``-log softmax(z / T)[label]``, mean over the batch.

    ``label_smoothing`` spreads that share of the target evenly over all classes, the control that
    tells a teacher's knowledge from mere softness. ``temperature`` is 1 but in the edge paper's
    Algorithm 3, which puts this term under the softened posterior too.
    """

    needs_teacher = False

    def __init__(
        self,
        *,
        student: Outputs,
        teacher: Outputs | None,
        label_smoothing: float = 0.0,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.label_smoothing = not_negative("label_smoothing", label_smoothing)
        if self.label_smoothing >= 1.0:
            raise ValueError(f"label_smoothing is {label_smoothing}; it must lie in [0, 1)")
        self.temperature = positive("temperature", temperature)

    def forward(self, student: Outputs, teacher: Outputs | None, label: Tensor) -> Tensor:
        return functional.cross_entropy(
            student.logits / self.temperature, label, label_smoothing=self.label_smoothing
        )
