# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""CNNIQ: four convolutions on I and Q and a dense layer.

Of Tekbiyik, Ekti, Gorcin, Kurt and Kececi, "Robust and fast automatic modulation classification
with CNN under multipath fading channels", VTC2020-Spring, whom MLD-Net names for it: 256, 128, 64
and 64 filters of 2x8, each followed by pooling over time by 2, a dense layer of 128. That makes
858,123 parameters at 11 classes and 128 samples, 1.4 % below the 0.87 M of MLD-Net's table, and
79 M multiply-accumulates, so the table's 9.15 M belong to another arrangement, which MLD-Net does
not tell. Dropout in the dense part only is our choice.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .registry import register
from .same_convolution import same_convolution

_FILTERS = (256, 128, 64, 64)


@register("cnniq")
class CNNIQ(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L of at least 16."""

    def __init__(self, *, classes: int, frame_length: int, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for filters in _FILTERS:
            layers += [
                *same_convolution(channels, filters, (2, 8)),
                nn.ReLU(),
                nn.MaxPool2d((1, 2)),
            ]
            channels = filters
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(channels * 2 * (frame_length >> len(_FILTERS)), 128),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(128, classes),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, iq: Tensor) -> Tensor:
        return self.head(self.body(iq[:, None]).flatten(1))
