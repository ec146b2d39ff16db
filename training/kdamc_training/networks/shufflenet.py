# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""ShuffleNet with one-dimensional convolutions.

Zhang, Zhou, Lin and Sun, "ShuffleNet: An extremely efficient convolutional neural network for
mobile devices", CVPR 2018: the units, their number and the widths for three groups, at a quarter.
Our choice, as MLD-Net's table names no more: kernels of 3 over time, no pooling after the first
convolution (frames are short). That gives the table's 0.06 M parameters (64,475 at 11 classes) and
0.71 M multiply-accumulates at 128 samples against its 0.87 M.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .registry import register

_GROUPS = 3
_STEM = 24
# (width, units) of each stage.
_STAGES = ((60, 4), (120, 8), (240, 4))


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels of ``(n, channels, L)`` in the order that takes one of each group in turn."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


class _Unit(nn.Module):
    """Grouped 1x1, shuffle, depthwise, grouped 1x1; input added, or at stride 2 beside it."""

    def __init__(self, inputs: int, outputs: int, stride: int, entry_groups: int) -> None:
        super().__init__()
        inner = outputs // 4
        self.halves = stride == 2
        added = outputs - inputs if self.halves else outputs
        self.entry = nn.Sequential(
            nn.Conv1d(inputs, inner, 1, groups=entry_groups, bias=False),
            nn.BatchNorm1d(inner),
            nn.ReLU(),
        )
        self.body = nn.Sequential(
            nn.Conv1d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm1d(inner),
            nn.Conv1d(inner, added, 1, groups=_GROUPS, bias=False),
            nn.BatchNorm1d(added),
        )
        self.pool = nn.AvgPool1d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.body(shuffle(self.entry(x), _GROUPS))
        if self.halves:
            return torch.cat([self.pool(x), inner], dim=1).relu()
        return (x + inner).relu()


@register("shufflenet")
class ShuffleNet(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L."""

    def __init__(self, *, classes: int, frame_length: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv1d(2, _STEM, 3, 2, 1, bias=False),
            nn.BatchNorm1d(_STEM),
            nn.ReLU(),
        ]
        channels = _STEM
        for width, units in _STAGES:
            # The first unit of all has too few input channels to be parted, as the paper says.
            layers.append(_Unit(channels, width, 2, 1 if channels == _STEM else _GROUPS))
            layers += [_Unit(width, width, 1, _GROUPS) for _ in range(units - 1)]
            channels = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)

    def forward(self, iq: Tensor) -> Tensor:
        return self.head(self.body(iq).mean(dim=2))
