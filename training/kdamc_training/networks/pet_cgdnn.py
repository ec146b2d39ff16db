# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""PET-CGDNN: a learnt phase turn, convolutions and a GRU.

Of Zhang, Luo, Xu and Luo, "An efficient deep learning model for automatic modulation
recognition based on parameter estimation and transformation", IEEE Communications Letters 25,
2021, as published: 71,871 parameters at 11 classes and 128 samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .registry import register

_STATES = 128


@register("pet_cgdnn")
class PETCGDNN(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; L of at least 12."""

    def __init__(self, *, classes: int, frame_length: int) -> None:
        super().__init__()
        self.angle = nn.Linear(2 * frame_length, 1)
        self.body = nn.Sequential(
            nn.Conv2d(1, 75, (2, 8)), nn.ReLU(), nn.Conv2d(75, 25, (1, 5)), nn.ReLU()
        )
        self.recurrent = nn.GRU(25, _STATES, batch_first=True)
        self.head = nn.Linear(_STATES, classes)

    def forward(self, iq: Tensor) -> Tensor:
        angle = self.angle(iq.flatten(1))
        cosine, sine = angle.cos(), angle.sin()
        i, q = iq[:, 0], iq[:, 1]
        turned = torch.stack([i * cosine + q * sine, q * cosine - i * sine], dim=1)
        features = self.body(turned[:, None])[:, :, 0]
        states, _ = self.recurrent(features.transpose(1, 2))
        return self.head(states[:, -1])
