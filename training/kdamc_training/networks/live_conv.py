# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The student for real signals: strided convolutions, with an estimate of the SNR beside the class.

Our own design, not a published one. It differs from ``plain_conv`` in what real signals ask for:
phase steps over several lags, as at many samples a symbol a step of one sample is mostly noise, the
spread over time beside mean and maximum, and a second head that tells the SNR.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .features import phase_steps
from .outputs import Outputs
from .registry import register

# The heads work on standard scores of the SNR: middle and half range of the live set, dB.
_SNR_MIDDLE, _SNR_SCALE = 10.0, 20.0
_TINY = 1e-5


@register("live_conv")
class LiveConv(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L that survives the strides.

    ``kernels``, ``strides`` and ``widths`` name one convolution each and must be of one length;
    ``lags`` are the distances of the phase steps, in samples. ``outputs`` also gives ``snr_db (n)``
    in dB, and with the option ``stranger`` the log odds that a frame is of none of the classes.
    """

    def __init__(
        self,
        *,
        classes: int,
        frame_length: int,
        kernels: Sequence[int] = (7, 5, 5, 3, 3),
        strides: Sequence[int] = (2, 2, 2, 2, 2),
        widths: Sequence[int] = (24, 40, 64, 96, 128),
        lags: Sequence[int] = (1, 4),
        stranger: bool = False,
    ) -> None:
        super().__init__()
        if not len(kernels) == len(strides) == len(widths):
            raise TypeError("kernels, strides and widths must be of one length")
        self.lags = tuple(lags)
        layers: list[nn.Module] = []
        channels = 3 + 2 * len(self.lags)
        for kernel, stride, width in zip(kernels, strides, widths, strict=True):
            layers += [
                nn.Conv1d(channels, width, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
            channels = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(3 * channels, classes)
        self.snr = nn.Sequential(nn.Linear(3 * channels, 32), nn.ReLU(), nn.Linear(32, 1))
        self.stranger = None
        if stranger:
            self.stranger = nn.Sequential(nn.Linear(3 * channels, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, iq: Tensor) -> Tensor:
        return self.outputs(iq).logits

    def outputs(self, iq: Tensor, attention: bool = False) -> Outputs:
        """Logits, the pooled features as one token, and the SNR; there are no attention maps."""
        # In float32: the spread is a small difference of large numbers.
        features = self.body(phase_steps(iq, self.lags)).float()
        mean = features.mean(dim=2)
        spread = torch.sqrt((features * features).mean(dim=2) - mean * mean + _TINY)
        pooled = torch.cat([mean, features.amax(dim=2), spread], dim=1)
        snr_db = _SNR_MIDDLE + _SNR_SCALE * self.snr(pooled)[:, 0]
        stranger = self.stranger and self.stranger(pooled)[:, 0]
        return Outputs(self.head(pooled), (pooled[:, None],), snr_db=snr_db, stranger=stranger)
