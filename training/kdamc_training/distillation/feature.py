# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Feature distillation: the student's layers, projected, learn the teacher's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..networks.outputs import Outputs
from .checks import flag
from .layer_pairs import layer_pairs
from .registry import Loss, register


@register("feature")
class Feature(Loss):
    """``MSE(H_S W, H_T)`` over batch, tokens and width, mean over pairs of layers.

    The feature level of MLD-Net (Sensors 2025, 25, 7143). The paper's form is not public; this is
    TinyBERT's (X. Jiao et al., 2019), which the paper cites: ``W`` is a projection of each pair
    without bias, learned with the student and dropped after training. ``layers`` lists pairs
    [student, teacher] of places in ``Outputs.features``, counted from 0; the default matches them
    evenly (see ``layer_pairs``).

    With ``normalised`` each token of both, ``H_S`` and ``H_T``, has mean 0 and variance 1 over its
    width first. TinyBERT's features are the outputs of layer norms; those of layers normalised at
    their input are sums that grow from layer to layer, and nothing reads them but through a norm.
    """

    needs_features = True

    def __init__(
        self,
        *,
        student: Outputs,
        teacher: Outputs,
        layers: Sequence[Sequence[int]] | None = None,
        normalised: bool = False,
    ) -> None:
        super().__init__()
        self.normalised = flag("normalised", normalised)
        self.pairs = layer_pairs("features", student.features, teacher.features, layers)
        self.projections = nn.ModuleList(
            nn.Linear(
                student.features[mine].shape[2], teacher.features[theirs].shape[2], bias=False
            )
            for mine, theirs in self.pairs
        )

    def forward(self, student: Outputs, teacher: Outputs, label: Tensor) -> Tensor:
        distances = []
        # Autocast would project in half precision.
        with torch.autocast(student.logits.device.type, enabled=False):
            for (mine, theirs), projection in zip(self.pairs, self.projections, strict=True):
                own = student.features[mine].float()
                target = teacher.features[theirs].detach().float()
                if self.normalised:
                    own, target = (functional.layer_norm(x, x.shape[2:]) for x in (own, target))
                distances.append(functional.mse_loss(projection(own), target))
        return torch.stack(distances).mean()

    def teacher_features(self) -> tuple[int, ...]:
        return tuple(theirs for _, theirs in self.pairs)
