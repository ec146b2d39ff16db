# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""KD-MobileNet, a small depthwise separable student of ClST.

arXiv 2312.17446 names a KD-MobileNet; what we know of that paper does not say what it is. This one
is our own: a convolution, then depthwise separable ones as in MobileNet, each over time with batch
norm and ReLU, the mean over time, one dense layer. 16,675 parameters at 11 classes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .clst import convolution
from .registry import register


def separable(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Depthwise, then pointwise convolution, both with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv1d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False),
        nn.BatchNorm1d(inputs),
        nn.ReLU(),
        convolution(inputs, outputs, 1),
    )


@register("kd_mobilenet")
class KdMobileNet(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L.

    ``widths`` and ``strides`` name one convolution each, of which the first is a common one; all
    have the odd ``kernel``.
    """

    def __init__(
        self,
        *,
        classes: int,
        frame_length: int,
        widths: Sequence[int] = (24, 32, 64, 64, 96),
        strides: Sequence[int] = (2, 1, 2, 1, 2),
        kernel: int = 7,
    ) -> None:
        super().__init__()
        if len(widths) != len(strides):
            raise TypeError("widths and strides must be of one length")
        layers: list[nn.Module] = [convolution(2, widths[0], kernel, strides[0])]
        channels = widths[0]
        for width, stride in zip(widths[1:], strides[1:], strict=True):
            layers.append(separable(channels, width, kernel, stride))
            channels = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)

    def forward(self, iq: Tensor) -> Tensor:
        return self.head(self.body(iq).mean(dim=2))
