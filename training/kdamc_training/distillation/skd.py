# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signal knowledge distillation (SKD): ClST's loss for its two light students."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..networks.outputs import Outputs
from .checks import not_negative, positive, same_classes
from .logit_standardisation import standardise
from .registry import Loss, register
from .response import softened_kl


@register("skd")
class SKD(Loss):
    """``kl T^2 KL(p_T || p_S) + mse MSE(standardised z_T, z_S)``, mean over the batch.

    ClST (arXiv 2312.17446) weighs three terms by a, b and c but neither their forms nor weights
    are public: all here is our choice. a is the weight of cross-entropy, a term of its own in the
    recipe, b is ``kl`` and c ``mse``. KL is that of ``response`` at ``temperature`` T; the MSE, a
    mean over the classes, is twice one minus the correlation of a frame's logits.
    """

    def __init__(
        self,
        *,
        student: Outputs,
        teacher: Outputs,
        kl: float = 0.5,
        mse: float = 0.5,
        temperature: float = 4.0,
    ) -> None:
        super().__init__()
        same_classes(student, teacher)
        self.kl = not_negative("kl", kl)
        self.mse = not_negative("mse", mse)
        self.temperature = positive("temperature", temperature)

    def forward(self, student: Outputs, teacher: Outputs, label: Tensor) -> Tensor:
        response = softened_kl(student.logits, teacher.logits, self.temperature)
        relation = functional.mse_loss(
            standardise(student.logits), standardise(teacher.logits.detach())
        )
        return self.kl * self.temperature**2 * response + self.mse * relation
