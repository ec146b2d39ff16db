# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""MCLDNN, a multi-channel convolutional LSTM network.

Of Xu, Luo, Parr and Luo, "A spatiotemporal multi-channel learning framework for automatic
modulation recognition", IEEE Wireless Communications Letters 9, 2020, as published: 406,199
parameters at 11 classes. MLD-Net's table gives it 1.16 M and 34.36 M operations, which no width
of this network has: it takes 49 M multiply-accumulates, and 128 M at ``width`` 256, where it has
1.15 M parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .registry import register
from .same_convolution import same_convolution

_FILTERS = 50
_KERNEL = 8


@register("mcldnn")
class MCLDNN(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L of at least 5.

    ``width`` is that of the two LSTM and the two dense layers.
    """

    def __init__(
        self, *, classes: int, frame_length: int, width: int = 128, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.both = nn.Sequential(*same_convolution(1, _FILTERS, (2, _KERNEL)), nn.ReLU())
        self.i = nn.Conv1d(1, _FILTERS, _KERNEL)
        self.q = nn.Conv1d(1, _FILTERS, _KERNEL)
        self.each = nn.Sequential(*same_convolution(_FILTERS, _FILTERS, (1, _KERNEL)), nn.ReLU())
        self.merge = nn.Sequential(nn.Conv2d(2 * _FILTERS, 2 * _FILTERS, (2, 5)), nn.ReLU())
        self.recurrent = nn.LSTM(2 * _FILTERS, width, num_layers=2, batch_first=True)
        self.head = nn.Sequential(
            nn.Linear(width, width),
            nn.SELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.SELU(),
            nn.Dropout(dropout),
            nn.Linear(width, classes),
        )

    def forward(self, iq: Tensor) -> Tensor:
        past = functional.pad(iq, (_KERNEL - 1, 0))
        each = torch.stack([self.i(past[:, 0:1]).relu(), self.q(past[:, 1:2]).relu()], dim=2)
        merged = self.merge(torch.cat([self.both(iq[:, None]), self.each(each)], dim=1))
        states, _ = self.recurrent(merged[:, :, 0].transpose(1, 2))
        return self.head(states[:, -1])
