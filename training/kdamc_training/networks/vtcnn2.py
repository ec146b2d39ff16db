# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""VTCNN2, two convolutions and two dense layers.

Of O'Shea, Corgan and Clancy, "Convolutional radio modulation recognition networks", EANN 2016,
with the widths of its published code. Baishya, Manoj and Bora, "Edge-efficient deep learning
models for automatic modulation classification", take it as the smallest of their three; at 11
classes and 128 samples it has their 2.83 M parameters, 2,830,427. Our choices: torch's initial
weights, and how much dropout stands where.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .registry import register


class HiddenLayerClassifier(nn.Module):
    """``body``, flattened to ``features`` values; dropout, dense layer, ReLU, dropout, dense layer.

    ``hidden`` is the first dense layer, which has nearly all parameters of the three edge
    networks: what pruning and quantization work on. ``body`` gives ``(n, channels, rows, time)``.
    """

    def __init__(
        self, body: nn.Module, features: int, *, classes: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.body = body
        self.hidden = nn.Linear(features, hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, classes)
        # Measured on the CPU: about 1.5 times as fast forward, 1.3 times with backward.
        self.to(memory_format=torch.channels_last)

    def hidden_input(self, iq: Tensor) -> Tensor:
        """What ``hidden`` is given for frames ``(n, 2, L)``, before dropout: ``(n, features)``."""
        return self.body(iq[:, None]).flatten(1)

    def forward(self, iq: Tensor) -> Tensor:
        hidden = self.hidden(self.dropout(self.hidden_input(iq))).relu()
        return self.head(self.dropout(hidden))


@register("vtcnn2")
class VTCNN2(HiddenLayerClassifier):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits.

    ``filters`` and ``hidden`` are the widths of the two convolutions and of the first dense layer;
    ``dropout`` stands before and after the latter, ``early_dropout`` after the first convolution.
    The published code has one half at all three; the early one is off here because its random
    numbers take more than half of the time of a training step on a CPU.
    """

    def __init__(
        self,
        *,
        classes: int,
        frame_length: int,
        filters: Sequence[int] = (256, 80),
        hidden: int = 256,
        dropout: float = 0.5,
        early_dropout: float = 0.0,
    ) -> None:
        first, second = filters
        body = nn.Sequential(
            nn.Conv2d(1, first, (1, 3), padding=(0, 2)),
            nn.ReLU(inplace=True),
            nn.Dropout(early_dropout),
            nn.Conv2d(first, second, (2, 3), padding=(0, 2)),
            nn.ReLU(inplace=True),
        )
        super().__init__(
            body, second * (frame_length + 4), classes=classes, hidden=hidden, dropout=dropout
        )
