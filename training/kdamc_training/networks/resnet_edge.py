# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The residual network of the edge paper.

Baishya, Manoj and Bora, "Edge-efficient deep learning models for automatic modulation
classification", name West and O'Shea, "Deep architectures for modulation recognition", DySPAN
2017, as its source, and give 3.45 M parameters, 3.37 M of them in the first dense layer. Neither
gives all layers. Our choice, which fits these figures: a frame with two zeros at each end, a
convolution of 50 filters of 1x8, two residual blocks of two such convolutions, the very last one
1x3, a dense layer of 256; 3,450,433 parameters at 11 classes and 128 samples.
"""

from __future__ import annotations

from torch import Tensor, nn

from .registry import register
from .same_convolution import same_convolution
from .vtcnn2 import HiddenLayerClassifier


class Residual(nn.Module):
    """Convolution, ReLU, convolution of the width ``last``; what went in is added."""

    def __init__(self, filters: int, last: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *same_convolution(filters, filters, (1, 8)),
            nn.ReLU(inplace=True),
            *same_convolution(filters, filters, (1, last)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + x).relu()


@register("resnet_edge")
class ResNetEdge(HiddenLayerClassifier):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits.

    ``dropout`` stands before and after the first dense layer.
    """

    def __init__(
        self,
        *,
        classes: int,
        frame_length: int,
        filters: int = 50,
        hidden: int = 256,
        dropout: float = 0.5,
    ) -> None:
        body = nn.Sequential(
            nn.ZeroPad2d((2, 2, 0, 0)),
            *same_convolution(1, filters, (1, 8)),
            nn.ReLU(inplace=True),
            Residual(filters, 8),
            Residual(filters, 3),
        )
        super().__init__(
            body, filters * 2 * (frame_length + 4), classes=classes, hidden=hidden, dropout=dropout
        )
