# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain strided convolutional student: fast on one core, easy to quantize.

Our own design, not a published one: strided Conv1d layers on I, Q, amplitude and phase step, the
average and the maximum over time, one linear layer. 38,283 parameters at the default widths and
11 classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .features import phase_steps
from .registry import register
from .strided_convolutions import strided_convolutions


@register("plain_conv")
class PlainConv(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L that survives the strides.

    ``kernels``, ``strides`` and ``widths`` name one convolution each and must be of one length.
    ``lags`` are the distances, in samples, over which phase steps are taken.
    """

    def __init__(
        self,
        *,
        classes: int,
        frame_length: int,
        kernels: Sequence[int] = (7, 5, 5, 3),
        strides: Sequence[int] = (2, 2, 2, 2),
        widths: Sequence[int] = (32, 48, 64, 64),
        lags: Sequence[int] = (1,),
    ) -> None:
        super().__init__()
        if not len(kernels) == len(strides) == len(widths):
            raise TypeError("kernels, strides and widths must be of one length")
        self.lags = tuple(lags)
        self.body = strided_convolutions(3 + 2 * len(self.lags), kernels, strides, widths)
        self.head = nn.Linear(2 * widths[-1], classes)

    def forward(self, iq: Tensor) -> Tensor:
        features = self.body(phase_steps(iq, self.lags))
        return self.head(torch.cat([features.mean(dim=2), features.amax(dim=2)], dim=1))
