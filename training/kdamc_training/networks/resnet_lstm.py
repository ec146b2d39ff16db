# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""ResNet+LSTM: a residual network over time and an LSTM.

After Elsagheer and Ramzy, "A hybrid model for automatic modulation classification based on residual
neural networks and long short term memory", Alexandria Engineering Journal 67, 2023, whom MLD-Net
names for it. Our choice, made without their layers at hand: ResNet-18 (He, Zhang, Ren and Sun,
CVPR 2016) with one-dimensional convolutions and an LSTM in place of the average over time, 720 wide
because that gives the 7.40 M parameters of MLD-Net's table (7,406,203 at 11 classes; 36.0 M
multiply-accumulates at 128 samples against the table's 35.0 M).
"""

from __future__ import annotations

from torch import Tensor, nn

from .registry import register

_WIDTHS = (64, 128, 256, 512)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm1d(outputs),
    ]


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(inputs, outputs, 3, stride), nn.ReLU(), *_convolution(outputs, outputs, 3)
        )
        same = inputs == outputs and stride == 1
        self.skip = nn.Sequential(*([] if same else _convolution(inputs, outputs, 1, stride)))

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + self.skip(x)).relu()


@register("resnet_lstm")
class ResNetLSTM(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits.

    ``states`` is the width of the LSTM, which is given one step every 32 samples.
    """

    def __init__(self, *, classes: int, frame_length: int, states: int = 720) -> None:
        super().__init__()
        channels = _WIDTHS[0]
        layers = [*_convolution(2, channels, 7, 2), nn.ReLU(), nn.MaxPool1d(3, 2, 1)]
        for width in _WIDTHS:
            layers += [_Residual(channels, width, width // channels), _Residual(width, width, 1)]
            channels = width
        self.body = nn.Sequential(*layers)
        self.recurrent = nn.LSTM(channels, states, batch_first=True)
        self.head = nn.Linear(states, classes)

    def forward(self, iq: Tensor) -> Tensor:
        states, _ = self.recurrent(self.body(iq).transpose(1, 2))
        return self.head(states[:, -1])
