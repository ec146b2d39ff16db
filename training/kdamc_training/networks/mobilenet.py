# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""MobileNet with one-dimensional convolutions.

Howard et al., "MobileNets: Efficient convolutional neural networks for mobile vision applications",
2017: the order of layers, the strides and the width multiplier. Our choice, as MLD-Net's table
names no more: kernels of 3 over time, no stride in the first layer (frames are short), multiplier
1/4. That gives the table's 0.21 M parameters (208,291 at 11 classes) and 2.6 M multiply-accumulates
at 128 samples against its 2.8 M.
"""

from __future__ import annotations

from torch import Tensor, nn

from .registry import register

# (width at multiplier 1, stride) of each depthwise separable convolution.
_LAYERS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *(5 * ((512, 1),)),
    *((1024, 2), (1024, 1)),
)


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
    ]


@register("mobilenet")
class MobileNet(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L."""

    def __init__(self, *, classes: int, frame_length: int, multiplier: float = 0.25) -> None:
        super().__init__()
        channels = int(32 * multiplier)
        layers = _convolution(2, channels, 3)
        for width, stride in _LAYERS:
            outputs = int(width * multiplier)
            layers += _convolution(channels, channels, 3, stride, groups=channels)
            layers += _convolution(channels, outputs, 1)
            channels = outputs
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)

    def forward(self, iq: Tensor) -> Tensor:
        return self.head(self.body(iq).mean(dim=2))
