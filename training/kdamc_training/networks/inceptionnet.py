# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inception network of the edge paper.

Baishya, Manoj and Bora, "Edge-efficient deep learning models for automatic modulation
classification", name West and O'Shea, "Deep architectures for modulation recognition", DySPAN
2017, as its source, and give 10.14 M parameters, 10.06 M of them in the first dense layer. Neither
gives all layers. Our choice, which fits these figures: a frame with one zero before and two after
it, two modules of three branches of 50 filters each (1x1; 1x1 and 1x3; 1x1 and 1x8), a dense layer
of 256; 10,142,033 parameters at 11 classes and 128 samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .registry import register
from .same_convolution import same_convolution
from .vtcnn2 import HiddenLayerClassifier


class Inception(nn.Module):
    """Three branches side by side, ``(n, inputs, 2, L)`` to ``(n, 3 * filters, 2, L)``."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()

        def reduce() -> list[nn.Module]:
            return [nn.Conv2d(inputs, filters, 1), nn.ReLU(inplace=True)]

        self.short = nn.Sequential(*reduce())
        self.middle = nn.Sequential(
            *reduce(), *same_convolution(filters, filters, (1, 3)), nn.ReLU(inplace=True)
        )
        self.long = nn.Sequential(
            *reduce(), *same_convolution(filters, filters, (1, 8)), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.short(x), self.middle(x), self.long(x)], dim=1)


@register("inceptionnet")
class InceptionNet(HiddenLayerClassifier):
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
            nn.ZeroPad2d((1, 2, 0, 0)),
            Inception(1, filters),
            Inception(3 * filters, filters),
        )
        features = 3 * filters * 2 * (frame_length + 3)
        super().__init__(body, features, classes=classes, hidden=hidden, dropout=dropout)
