# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attention distillation: the student looks where the teacher looks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..networks.outputs import Outputs
from .layer_pairs import layer_pairs
from .registry import Loss, register


@register("attention")
class Attention(Loss):
    """Squared distance of head-averaged attention maps: summed over keys, mean over the rest.

    The attention level of MLD-Net (Sensors 2025, 25, 7143), whose form is not public. Ours: each
    query's weights over the keys are compared as one vector, so the value lies in [0, 2] for any
    number of tokens L. It is L times the mean over all entries, which are about 1 / L, so that the
    plain mean would hardly count; for that reading divide the weight by L. The mean is over
    queries, batch and pairs of layers. Weights such as 10 are meant for this sum.

    ``layers`` lists pairs [student, teacher] of places in ``Outputs.attention``, counted from 0;
    the default matches them evenly (see ``layer_pairs``).
    """

    needs_attention = True

    def __init__(
        self,
        *,
        student: Outputs,
        teacher: Outputs,
        layers: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        self.pairs = layer_pairs("attention", student.attention, teacher.attention, layers)

    def forward(self, student: Outputs, teacher: Outputs, label: Tensor) -> Tensor:
        distances = []
        for mine, theirs in self.pairs:
            target = teacher.attention[theirs].detach().float()
            difference = student.attention[mine].float() - target
            distances.append(difference.square().sum(dim=2).mean())
        return torch.stack(distances).mean()

    def teacher_attention(self) -> tuple[int, ...]:
        return tuple(theirs for _, theirs in self.pairs)
