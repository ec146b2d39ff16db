# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""CLDNN: convolutions, an LSTM and dense layers.

The idea is of Sainath, Vinyals, Senior and Sak, "Convolutional, long short-term memory, fully
connected deep neural networks", ICASSP 2015; for modulations of West and O'Shea, "Deep
architectures for modulation recognition", DySPAN 2017: three convolutions of 50 filters of 1x8,
the first one's output beside the third's, an LSTM of 50. Our choice is the rest: convolutions that
keep the length, dropout, and a dense layer over the LSTM's whole output, 146 wide because that
gives the 1.03 M parameters of MLD-Net's table (1,027,113 at 11 classes and 128 samples, 17.7 M
multiply-accumulates against the table's 15.68 M).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .registry import register
from .same_convolution import same_convolution

_FILTERS = 50
_STATES = 50


@register("cldnn")
class CLDNN(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits.

    ``hidden`` is the width of the dense layer; ``dropout`` stands before and after it.
    """

    def __init__(
        self, *, classes: int, frame_length: int, hidden: int = 146, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.first = nn.Sequential(*same_convolution(1, _FILTERS, (1, 8)), nn.ReLU())
        self.body = nn.Sequential(
            *same_convolution(_FILTERS, _FILTERS, (1, 8)),
            nn.ReLU(),
            *same_convolution(_FILTERS, _FILTERS, (1, 8)),
            nn.ReLU(),
        )
        self.recurrent = nn.LSTM(4 * _FILTERS, _STATES, batch_first=True)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(_STATES * frame_length, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )

    def forward(self, iq: Tensor) -> Tensor:
        first = self.first(iq[:, None])
        features = torch.cat([first, self.body(first)], dim=1)
        states, _ = self.recurrent(features.flatten(1, 2).transpose(1, 2))
        return self.head(states.flatten(1))
