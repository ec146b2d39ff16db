# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""LSTM2: two LSTM layers on amplitude and phase.

Of Rajendran, Meert, Giustiniano, Lenders and Pollin, "Deep learning models for wireless signal
classification with distributed low-cost spectrum sensors", IEEE Transactions on Cognitive
Communications and Networking 4, 2018, as published: two layers of 128, 201,099 parameters at 11
classes. They scale the amplitude to norm 1; ours is of RMS 1, and dropout between the layers is an
option. The first weights are as of Keras: torch's own hardly begin to learn here.
"""

from __future__ import annotations

from torch import Tensor, nn

from .features import amplitude_phase
from .keras_start import keras_start
from .registry import register

_STATES = 128


@register("lstm2")
class LSTM2(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L."""

    def __init__(self, *, classes: int, frame_length: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(2, _STATES, num_layers=2, batch_first=True, dropout=dropout)
        self.head = nn.Linear(_STATES, classes)
        self.apply(keras_start)

    def forward(self, iq: Tensor) -> Tensor:
        states, _ = self.recurrent(amplitude_phase(iq).transpose(1, 2))
        return self.head(states[:, -1])
