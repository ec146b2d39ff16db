# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""CNN+LSTM: four one-dimensional convolutional blocks and an LSTM.

Of Zhao, Mao and Chen, "Speech emotion recognition using deep 1D & 2D CNN LSTM networks",
Biomedical Signal Processing and Control 47, 2019, whom MLD-Net names for it: blocks of convolution
(64, 64, 128, 128 filters of 3), batch norm, ELU and pooling, an LSTM of 256. Our choice: pooling by
2 after the first and the third block only, as frames are short, and a dense layer of 64. That gives
the figures of MLD-Net's table, 0.50 M parameters (499,979 at 11 classes) and 16.6 M
multiply-accumulates at 128 samples.
"""

from __future__ import annotations

from torch import Tensor, nn

from .registry import register

_STATES = 256


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv1d(inputs, outputs, 3, padding=1), nn.BatchNorm1d(outputs), nn.ELU()]


@register("cnn_lstm")
class CNNLSTM(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L of at least 4."""

    def __init__(self, *, classes: int, frame_length: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(2, 64),
            nn.MaxPool1d(2),
            *_block(64, 64),
            *_block(64, 128),
            nn.MaxPool1d(2),
            *_block(128, 128),
        )
        self.recurrent = nn.LSTM(128, _STATES, batch_first=True)
        self.head = nn.Sequential(nn.Linear(_STATES, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, iq: Tensor) -> Tensor:
        states, _ = self.recurrent(self.body(iq).transpose(1, 2))
        return self.head(states[:, -1])
