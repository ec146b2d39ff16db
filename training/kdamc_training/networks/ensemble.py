# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several trained networks as one teacher: the mean of their posteriors, over turned frames too."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """``(n, 2, L)`` frames to ``(n, classes)`` logits: the log of the mean posterior.

    The mean is over ``networks``, and over ``rotations`` copies of each frame turned by equal parts
    of a circle: a modulation is the same at any carrier phase, what a network makes of it is not
    quite. Raises ValueError for no network or no rotation.
    """

    def __init__(self, networks: Sequence[nn.Module], rotations: int = 1) -> None:
        super().__init__()
        if not networks or rotations < 1:
            raise ValueError("an ensemble needs a network and a rotation")
        self.networks = nn.ModuleList(networks)
        self.rotations = rotations

    def forward(self, iq: Tensor) -> Tensor:
        posteriors = []
        for turn in range(self.rotations):
            angle = 2 * math.pi * turn / self.rotations
            cosine, sine = math.cos(angle), math.sin(angle)
            i, q = iq[:, 0], iq[:, 1]
            turned = torch.stack([cosine * i - sine * q, sine * i + cosine * q], dim=1)
            posteriors += [torch.log_softmax(one(turned).float(), 1) for one in self.networks]
        return torch.logsumexp(torch.stack(posteriors), dim=0) - math.log(len(posteriors))
