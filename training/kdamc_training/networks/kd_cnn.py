# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""KD-CNN, a small convolutional student of ClST.

arXiv 2312.17446 names a KD-CNN; what we know of that paper does not say what it is. This one is
our own: convolutions over time with batch norm, ReLU and maximum pooling, the mean over time, one
dense layer. 26,379 parameters at 11 classes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .clst import convolution
from .registry import register


@register("kd_cnn")
class KdCnn(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L from 2 for each convolution.

    ``widths`` and ``kernels``, which are odd, name one convolution each; each halves L.
    """

    def __init__(
        self,
        *,
        classes: int,
        frame_length: int,
        widths: Sequence[int] = (16, 32, 64, 64),
        kernels: Sequence[int] = (7, 5, 5, 3),
    ) -> None:
        super().__init__()
        if len(widths) != len(kernels):
            raise TypeError("widths and kernels must be of one length")
        layers: list[nn.Module] = []
        channels = 2
        for width, kernel in zip(widths, kernels, strict=True):
            layers += [convolution(channels, width, kernel), nn.MaxPool1d(2)]
            channels = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)

    def forward(self, iq: Tensor) -> Tensor:
        return self.head(self.body(iq).mean(dim=2))
