# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoupled knowledge distillation (DKD): response distillation in two parts, weighed apart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..networks.outputs import Outputs
from .checks import not_negative, positive, same_classes
from .registry import Loss, register


@register("dkd")
class DKD(Loss):
    """``T^2 (alpha TCKD + beta NCKD)``, mean over the batch.

    B. Zhao et al., "Decoupled knowledge distillation", 2022. TCKD is the KL divergence of the two
    networks' posteriors of "the true class" against "any other", NCKD that of their posteriors
    among the other classes. The KL divergence of ``response`` is TCKD plus, in each frame,
    1 - p_T(true class) times NCKD, so it hardly heeds NCKD where the teacher is certain. T is
    ``temperature``. The defaults are those common for CIFAR-100, not tuned for modulations.
    """

    def __init__(
        self,
        *,
        student: Outputs,
        teacher: Outputs,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
    ) -> None:
        super().__init__()
        if same_classes(student, teacher) < 2:
            raise ValueError("there must be at least two classes")
        self.alpha = not_negative("alpha", alpha)
        self.beta = not_negative("beta", beta)
        self.temperature = positive("temperature", temperature)

    def forward(self, student: Outputs, teacher: Outputs, label: Tensor) -> Tensor:
        mine = _decoupled(student.logits.float() / self.temperature, label)
        theirs = _decoupled(teacher.logits.detach().float() / self.temperature, label)
        target, others = (
            functional.kl_div(p, q, reduction="batchmean", log_target=True)
            for p, q in zip(mine, theirs, strict=True)
        )
        return self.temperature**2 * (self.alpha * target + self.beta * others)


def _decoupled(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Log posteriors ``(n, 2)``, of the true class and of any other, and ``(n, classes - 1)``,
    among the others."""
    log_posterior = functional.log_softmax(logits, dim=1)
    label = label[:, None]
    # The places of the other classes: all but the label, without asking the device for its value.
    places = torch.arange(logits.shape[1] - 1, device=logits.device)
    others = log_posterior.gather(1, places + (places >= label))
    other = others.logsumexp(dim=1, keepdim=True)
    return torch.cat([log_posterior.gather(1, label), other], dim=1), others - other
