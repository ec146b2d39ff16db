# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Similarity distillation: frames that are alike to the teacher become alike to the student."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..networks.outputs import Outputs
from .checks import both_show
from .registry import Loss, register

_NORMALISATIONS = ("rows", "matrix")
# Norms of G below this count as this, so that a frame without features has finite gradients.
_TINY = 1e-6


@register("similarity")
class Similarity(Loss):
    """``||G_T - G_S||_F^2 / b^2`` of batch similarities, summed over all features in turn.

    F. Tung and G. Mori, "Similarity-preserving knowledge distillation", 2019; CrossTLNet
    (Electronics 2023, 12, 4668), equations 6 and 7, where the two features are the outputs of the
    I/Q and the A/P TCN. ``G = F F^T`` is normalised, ``F`` being a feature ``(b, tokens, width)``
    flattened to ``(b, tokens width)``. ``b`` is the batch at hand, on one device. Widths and tokens
    of the two networks may differ; nothing is learned.

    ``normalisation``: "rows" divides each row of G by its L2 norm, as Tung and Mori do; "matrix"
    divides G by its Frobenius norm, as CrossTLNet's equation 6 is written. The paper's weight,
    9e5, goes with "matrix", which gives values about b times smaller.
    """

    needs_features = True

    def __init__(self, *, student: Outputs, teacher: Outputs, normalisation: str = "rows") -> None:
        super().__init__()
        if normalisation not in _NORMALISATIONS:
            raise ValueError(f'normalisation is {normalisation!r}; it must be "rows" or "matrix"')
        both_show("features", student.features, teacher.features)
        mine, theirs = len(student.features), len(teacher.features)
        if mine != theirs:
            raise ValueError(f"the student shows {mine} features, the teacher {theirs}")
        self.normalisation = normalisation
        self.count = theirs

    def forward(self, student: Outputs, teacher: Outputs, label: Tensor) -> Tensor:
        distances = []
        # Autocast would multiply in half precision, and the differences are small.
        with torch.autocast(student.logits.device.type, enabled=False):
            for mine, theirs in zip(student.features, teacher.features, strict=True):
                difference = self._similarity(theirs.detach()) - self._similarity(mine)
                distances.append(difference.square().mean())
        return torch.stack(distances).sum()

    def teacher_features(self) -> tuple[int, ...]:
        return tuple(range(self.count))

    def _similarity(self, feature: Tensor) -> Tensor:
        """The normalised G ``(b, b)`` of a feature ``(b, ...)``; rows of a zero frame are 0."""
        flat = feature.float().flatten(1)
        dims = 1 if self.normalisation == "rows" else (0, 1)
        return functional.normalize(flat @ flat.T, dim=dims, eps=_TINY)
