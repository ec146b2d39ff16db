# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""IBCNN: SBCNN, and a second network that classifies its logits as a small picture.

The two stages are of Kim, Moon, Kim and Kim, "A hybrid deep learning model for automatic
modulation classification", IEEE Wireless Communications Letters 11, 2022, as Pereira, "Knowledge
distillation for modulation classification in resource-constrained devices", Inatel, 2024, takes
them for a teacher. Theirs are the two stages, the order of the blocks and the dropout of 20 %.
Pereira's slides neither say how the picture is made nor give figures inside the blocks. Our
choices: the logits of a frame, one pixel each, from its least to its greatest on 256 levels from 0
to 1; the widths and kernels, which give 141,784 parameters at 24 classes as Keras counts them (the
second stage has 70,160 of them); the dropout before the dense layer, where the slides name it
after; and training both stages at once, the rounding passed by the gradient as if it were not
there, where the slides read as if a trained first stage made the pictures that the second learns
from.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .registry import register
from .sbcnn import SBCNN, Residual, convolution

_LEVELS = 256
# Keeps the division finite where all logits of a frame are equal.
_TINY = 1e-6


def picture(logits: Tensor) -> Tensor:
    """Logits ``(n, classes)`` as 8-bit pictures ``(n, 1, classes, 1)`` of 256 levels in [0, 1].

    The gradient takes rounding for the identity (straight-through). The result is float32 for
    logits of lower precision too, which could not tell the levels apart.
    """
    logits = logits.float()
    least = logits.amin(dim=1, keepdim=True)
    span = logits.amax(dim=1, keepdim=True) - least
    exact = (_LEVELS - 1) * (logits - least) / (span + _TINY)
    level = exact + (exact.round() - exact).detach()
    return (level / (_LEVELS - 1))[:, None, :, None]


@register("ibcnn")
class IBCNN(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; 4 classes and samples or more.

    ``signal`` is the first stage, an SBCNN: to train it alone first, train a ``sbcnn`` and load
    its state there.
    """

    def __init__(self, *, classes: int, frame_length: int, dropout: float = 0.2) -> None:
        super().__init__()
        if classes < 4:
            raise TypeError("the picture of the logits is halved twice: at least 4 classes")
        self.signal = SBCNN(classes=classes, frame_length=frame_length)
        self.body = nn.Sequential(
            convolution(1, 32, (3, 1)),
            convolution(32, 64, (1, 1)),
            convolution(64, 32, (3, 1)),
            nn.MaxPool2d((2, 1)),
            Residual(32, 32, [(24, (3, 1)), (32, (1, 1))]),
            nn.MaxPool2d((2, 1)),
            Residual(32, 64, [(32, (3, 1)), (64, (1, 1))]),
            Residual(64, 128, [(64, (3, 1)), (128, (1, 1))]),
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(128, classes))
        self.to(memory_format=torch.channels_last)

    def forward(self, iq: Tensor) -> Tensor:
        return self.head(self.body(picture(self.signal(iq))).mean(dim=(2, 3)))
