# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The student for real signals: strided convolutions, with an estimate of the SNR beside the class.

Our own design, not a published one. It differs from ``plain_conv`` in what real signals ask for:
phase steps over several lags, as at many samples a symbol a step of one sample is mostly noise, the
spread over time beside mean and maximum, a second head that tells the SNR, and, if asked for, a
second body that looks at spectra of the signal and of its powers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .features import phase_steps
from .outputs import Outputs
from .registry import register
from .spectra import CHANNELS as SPECTRA
from .spectra import Spectra
from .strided_convolutions import strided_convolutions

# The heads work on standard scores of the SNR: middle and half range of the live set, dB.
_SNR_MIDDLE, _SNR_SCALE = 10.0, 20.0
_TINY = 1e-5


@register("live_conv")
class LiveConv(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L that survives the strides.

    ``kernels``, ``strides`` and ``widths`` name one convolution each and must be of one length;
    ``lags`` are the distances of the phase steps, in samples. ``spectra`` are the widths of
    convolutions over frequency, of kernel 5 and stride 2, which see ``Spectra``; none leaves that
    out. ``outputs`` also gives ``snr_db (n)``
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
        spectra: Sequence[int] = (),
        stranger: bool = False,
    ) -> None:
        super().__init__()
        if not len(kernels) == len(strides) == len(widths):
            raise TypeError("kernels, strides and widths must be of one length")
        self.lags = tuple(lags)
        self.body = strided_convolutions(3 + 2 * len(self.lags), kernels, strides, widths)
        pooled = 3 * widths[-1]
        self.spectral_body = None
        if spectra:
            fives, twos = [5] * len(spectra), [2] * len(spectra)
            self.spectral_body = nn.Sequential(
                Spectra(frame_length),
                *strided_convolutions(SPECTRA, fives, twos, spectra),
            )
            pooled += 3 * spectra[-1]
        self.head = nn.Linear(pooled, classes)
        self.snr = nn.Sequential(nn.Linear(pooled, 32), nn.ReLU(), nn.Linear(32, 1))
        self.stranger = None
        if stranger:
            self.stranger = nn.Sequential(nn.Linear(pooled, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, iq: Tensor) -> Tensor:
        return self.outputs(iq).logits

    def outputs(self, iq: Tensor, attention: bool = False) -> Outputs:
        """Logits, the pooled features as one token, and the SNR; there are no attention maps."""
        pooled = _pooled(self.body(phase_steps(iq, self.lags)))
        if self.spectral_body is not None:
            pooled = torch.cat([pooled, _pooled(self.spectral_body(iq))], dim=1)
        snr_db = _SNR_MIDDLE + _SNR_SCALE * self.snr(pooled)[:, 0]
        stranger = self.stranger and self.stranger(pooled)[:, 0]
        return Outputs(self.head(pooled), (pooled[:, None],), snr_db=snr_db, stranger=stranger)


def _pooled(features: Tensor) -> Tensor:
    """Mean, maximum and spread, ``(n, width, L)`` to ``(n, 3 width)``."""
    # In float32: the spread is a small difference of large numbers.
    features = features.float()
    mean = features.mean(dim=2)
    spread = torch.sqrt((features * features).mean(dim=2) - mean * mean + _TINY)
    return torch.cat([mean, features.amax(dim=2), spread], dim=1)
