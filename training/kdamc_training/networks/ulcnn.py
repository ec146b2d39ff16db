# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""ULCNN, an ultra-light convolutional network.

Of Guo, Wang, Lin, Zhao and Gui, "Ultra lite convolutional neural network for fast automatic
modulation classification in low-resource scenarios", arXiv 2208.04659: a complex convolution, six
units of depthwise separable convolution with stride 2, channel shuffle and channel attention, the
averages of the last three units summed. The published network has 9,751 parameters at 11 classes as
Keras counts them, 0.196 M multiply-accumulates. Our choice is the ordinary batch norm in place of a
complex one after the first layer, for 9,719 (9,271 trained ones), and padding alike on both sides.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .registry import register
from .shufflenet import shuffle

_NEURONS = 16
_CHANNELS = 2 * _NEURONS
_KERNEL = 5
_UNITS = 6
_SUMMED = 3


class _ComplexConvolution(nn.Module):
    """Complex convolution of I + jQ: ``(n, 2, L)`` to all real, then all imaginary parts.

    Batch norm follows, folded into the convolution here in evaluation, since an exporter does not
    fold it into a weight that is computed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.real = nn.Conv1d(1, _NEURONS, _KERNEL)
        self.imaginary = nn.Conv1d(1, _NEURONS, _KERNEL)
        self.norm = nn.BatchNorm1d(_CHANNELS)

    def forward(self, iq: Tensor) -> Tensor:
        real, imaginary = self.real, self.imaginary
        weight = torch.cat(
            [
                torch.cat([real.weight, -imaginary.weight], dim=1),
                torch.cat([imaginary.weight, real.weight], dim=1),
            ]
        )
        bias = torch.cat([real.bias, imaginary.bias])
        if self.training:
            return self.norm(functional.conv1d(iq, weight, bias, padding=_KERNEL // 2))
        scale = self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()
        bias = (bias - self.norm.running_mean) * scale + self.norm.bias
        return functional.conv1d(iq, weight * scale[:, None, None], bias, padding=_KERNEL // 2)


class _Unit(nn.Module):
    """Separable convolution with stride 2, batch norm, ReLU, shuffle, channel attention."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(_CHANNELS, _CHANNELS, _KERNEL, 2, _KERNEL // 2, groups=_CHANNELS, bias=False),
            nn.Conv1d(_CHANNELS, _CHANNELS, 1),
            nn.BatchNorm1d(_CHANNELS),
            nn.ReLU(),
        )
        self.attention = nn.Sequential(
            nn.Linear(_CHANNELS, _CHANNELS // 16),
            nn.ReLU(),
            nn.Linear(_CHANNELS // 16, _CHANNELS),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = shuffle(self.body(x), 2)
        weights = self.attention(x.mean(dim=2)) + self.attention(x.amax(dim=2))
        return x * weights.sigmoid()[:, :, None]


@register("ulcnn")
class ULCNN(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L."""

    def __init__(self, *, classes: int, frame_length: int) -> None:
        super().__init__()
        self.entry = nn.Sequential(_ComplexConvolution(), nn.ReLU())
        self.units = nn.ModuleList(_Unit() for _ in range(_UNITS))
        self.head = nn.Linear(_CHANNELS, classes)

    def forward(self, iq: Tensor) -> Tensor:
        x = self.entry(iq)
        averages = []
        for unit in self.units:
            x = unit(x)
            averages.append(x.mean(dim=2))
        return self.head(sum(averages[-_SUMMED:]))
