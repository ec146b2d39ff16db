# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Response distillation: the student learns the teacher's softened posterior."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..networks.outputs import Outputs
from .checks import flag, positive, same_classes
from .logit_standardisation import standardise
from .registry import Loss, register


def softened_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """``KL(p_T || p_S)``, mean over the batch, where ``p = softmax(z / temperature)``.

    Both are logits ``(n, classes)`` of any float type; computed in float32, a scalar in nats. No
    gradient flows into ``teacher``.
    """
    return functional.kl_div(
        functional.log_softmax(student.float() / temperature, dim=1),
        functional.log_softmax(teacher.detach().float() / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )


@register("response")
class Response(Loss):
    """``T^2 KL(p_T || p_S)`` of posteriors softened at ``temperature`` T, mean over the batch.

    G. Hinton et al., "Distilling the knowledge in a neural network", 2015. The factor T^2 keeps
    the size of the gradients alike at all T; without ``squared_temperature`` it is left out, as in
    Algorithm 3 of the edge paper (Baishya, Manoj, Bora; T = 10). The SBCNN paper has it, at T = 1.
    ``standardise`` takes mean and std out of each frame's logits before the temperature. How the
    term weighs against cross-entropy is the recipe's.
    """

    def __init__(
        self,
        *,
        student: Outputs,
        teacher: Outputs,
        temperature: float = 4.0,
        squared_temperature: bool = True,
        standardise: bool = False,
    ) -> None:
        super().__init__()
        same_classes(student, teacher)
        self.temperature = positive("temperature", temperature)
        self.factor = self.temperature**2 if flag("squared_temperature", squared_temperature) else 1
        self.standardise = flag("standardise", standardise)

    def forward(self, student: Outputs, teacher: Outputs, label: Tensor) -> Tensor:
        logits = student.logits, teacher.logits
        if self.standardise:
            logits = standardise(logits[0]), standardise(logits[1])
        return self.factor * softened_kl(*logits, self.temperature)
