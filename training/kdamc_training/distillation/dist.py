# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""DIST: the student's posteriors are to correlate with the teacher's, not to equal them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..networks.outputs import Outputs
from .checks import flag, not_negative, positive, same_classes
from .registry import Loss, register

# Below this length a centred vector of posteriors is but rounding of float32.
_CONSTANT = 1e-6


def pearson_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """``1 - correlation`` of the rows of two float32 matrices of one shape, mean over the rows.

    A constant row correlates with nothing: its distance is 1 where the student's is constant and 0
    where the teacher's is, as that has nothing to teach.
    """
    student = student - student.mean(dim=1, keepdim=True)
    teacher = teacher - teacher.mean(dim=1, keepdim=True)
    correlation = (
        functional.normalize(student, dim=1, eps=_CONSTANT)
        * functional.normalize(teacher, dim=1, eps=_CONSTANT)
    ).sum(dim=1)
    teaches = torch.linalg.vector_norm(teacher, dim=1) > _CONSTANT
    return torch.where(teaches, 1.0 - correlation, torch.zeros_like(correlation)).mean()


@register("dist")
class Dist(Loss):
    """``inter`` times the Pearson distance of frames plus ``intra`` times that of classes.

    T. Huang et al., "Knowledge distillation from a stronger teacher", 2022 (DIST). Posteriors
    softened at ``temperature`` form a matrix of b frames by c classes; the distances of the two
    networks' rows (inter-class) and columns (intra-class) are averaged over b and over c. The
    defaults follow CrossTLNet (Electronics 2023, 12, 4668), equations 8 to 10 with T = 1.5: both
    weights 1 and no factor T^2, which common DIST code has and ``squared_temperature`` gives.
    """

    def __init__(
        self,
        *,
        student: Outputs,
        teacher: Outputs,
        inter: float = 1.0,
        intra: float = 1.0,
        temperature: float = 1.5,
        squared_temperature: bool = False,
    ) -> None:
        super().__init__()
        same_classes(student, teacher)
        self.inter = not_negative("inter", inter)
        self.intra = not_negative("intra", intra)
        self.temperature = positive("temperature", temperature)
        self.factor = self.temperature**2 if flag("squared_temperature", squared_temperature) else 1

    def forward(self, student: Outputs, teacher: Outputs, label: Tensor) -> Tensor:
        mine = (student.logits.float() / self.temperature).softmax(dim=1)
        theirs = (teacher.logits.detach().float() / self.temperature).softmax(dim=1)
        between = pearson_distance(mine, theirs)
        within = pearson_distance(mine.T, theirs.T)
        return self.factor * (self.inter * between + self.intra * within)
