# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The signal-based convolutional network SBCNN and its one-block student.

SBCNN is of Kim, Kim, Doan and Kim, "Lightweight deep learning model for automatic modulation
classification in cognitive radio networks", IEEE Access 8, 2020; the student, its first block
alone, of Pereira, "Knowledge distillation for modulation classification in resource-constrained
devices", Inatel, 2024. Theirs are the order of the blocks, the convolutions with batch norm and
ReLU, average pooling over the whole map and the last dense layer. Pereira's slides show the
inside of the blocks as pictures only: widths and kernels here are our reading, our choice. At 24
classes they come to 71,624 and 16,024 parameters as Keras counts them, with running statistics
(70,504 and 15,768 trained ones).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .registry import register
from .same_convolution import Kernel, same_convolution


def convolution(inputs: int, outputs: int, kernel: Kernel) -> nn.Sequential:
    """Convolution that keeps height and width, batch norm, ReLU."""
    return nn.Sequential(
        *same_convolution(inputs, outputs, kernel),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """A 1x1 convolution to ``width`` channels, then ``body`` added to what it gives.

    ``body`` names (channels, kernel) of each convolution; the last must have ``width`` channels.
    """

    def __init__(self, inputs: int, width: int, body: Sequence[tuple[int, Kernel]]) -> None:
        super().__init__()
        self.entry = convolution(inputs, width, (1, 1))
        layers = []
        channels = width
        for outputs, kernel in body:
            layers.append(convolution(channels, outputs, kernel))
            channels = outputs
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        return self.body(x) + x


class _PooledClassifier(nn.Module):
    """``body`` on frames as one-channel pictures, average over the map, dense layer."""

    def __init__(self, body: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(width, classes)
        # Measured on the CPU: about twice as fast forward and 1.4 times with backward.
        self.to(memory_format=torch.channels_last)

    def forward(self, iq: Tensor) -> Tensor:
        return self.head(self.body(iq[:, None]).mean(dim=(2, 3)))


def _block_a() -> nn.Sequential:
    return nn.Sequential(
        convolution(1, 32, (1, 8)),
        convolution(32, 32, (3, 1)),
        nn.MaxPool2d((1, 2)),
        convolution(32, 32, (1, 8)),
        convolution(32, 32, (3, 1)),
        nn.MaxPool2d((1, 2)),
    )


def _block_c(inputs: int) -> Residual:
    return Residual(inputs, 64, [(32, (1, 8)), (64, (1, 1))])


@register("sbcnn")
class SBCNN(_PooledClassifier):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L of at least 4.

    34.3 M multiply-accumulates a frame at L = 1024.
    """

    def __init__(self, *, classes: int, frame_length: int) -> None:
        block_b = Residual(32, 32, [(24, (1, 8)), (24, (3, 1)), (32, (1, 1))])
        body = nn.Sequential(_block_a(), block_b, nn.AvgPool2d((2, 1)), _block_c(32), _block_c(64))
        super().__init__(body, 64, classes)


@register("sbcnn_student")
class SBCNNStudent(_PooledClassifier):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L of at least 4.

    18.35 M multiply-accumulates a frame at L = 1024.
    """

    def __init__(self, *, classes: int, frame_length: int) -> None:
        super().__init__(_block_a(), 32, classes)
