# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spectra of a frame and of its powers, inside a network's graph.

A power of a linearly modulated signal has spectral lines where the signal itself has none: the
second of BPSK, the fourth of QPSK, the eighth of 8PSK, at so many times the carrier and a symbol
rate to its sides, and the squared magnitude has one at the symbol rate (W. A. Gardner,
"Exploitation of spectral redundancy in cyclostationary signals", IEEE Signal Processing Magazine,
April 1991). They stand out of noise that hides the constellation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

CHANNELS = 5

_SIDE = 32
_TINY = 1e-8
_FLOOR = 1e-2
"""Of power, with white noise of RMS 1 at 1: below it the logarithm tells nothing more."""


class Spectra(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to log power spectra ``(n, CHANNELS, L)`` over frequency.

    Of the samples, of their phasors' second, fourth and eighth power with the magnitude kept, and
    of the squared magnitude without its mean, all under a Hann window; frequencies from 0 up and
    round. L must be a multiple of 32 (TypeError).

    Two short transforms with a turn between them (Cooley and Tukey), each one matrix product: ONNX
    Runtime is quick at these, and not at its own DFT.
    """

    def __init__(self, frame_length: int) -> None:
        super().__init__()
        if frame_length % _SIDE:
            raise TypeError(f"spectra need frames of a multiple of {_SIDE}, not {frame_length}")
        rows, columns = frame_length // _SIDE, _SIDE
        window = torch.hann_window(frame_length, dtype=torch.float64)
        window /= window.square().sum().sqrt()
        turn = torch.outer(torch.arange(columns), torch.arange(rows)).double() / frame_length
        for name, constant in (
            ("_window", window),
            ("_first", _dft(rows)),
            ("_second", _dft(columns)),
            ("_cos", torch.cos(2 * math.pi * turn)),
            ("_sin", -torch.sin(2 * math.pi * turn)),
        ):
            self.register_buffer(name, constant.float(), persistent=False)

    def forward(self, iq: Tensor) -> Tensor:
        # In float32 under mixed precision, too: a weak line beside a strong one counts.
        with torch.autocast(iq.device.type, enabled=False):
            return self._log_power(_powers(iq.float()) * self._window)

    def _log_power(self, x: Tensor) -> Tensor:
        """``(n, CHANNELS, 2, L)`` to ``(n, CHANNELS, L)``."""
        n, channels, _, length = x.shape
        rows, columns = length // _SIDE, _SIDE
        # Sample row * columns + column; the first transform is over rows.
        x = x.reshape(n, channels, 2, rows, columns).permute(0, 1, 4, 2, 3)
        x = x.reshape(n, channels, columns, 2 * rows) @ self._first
        real, imaginary = x[..., :rows], x[..., rows:]
        turned = [
            real * self._cos - imaginary * self._sin,
            real * self._sin + imaginary * self._cos,
        ]
        # Now the second, over columns.
        x = torch.stack(turned, dim=2).permute(0, 1, 4, 2, 3)
        x = x.reshape(n, channels, rows, 2 * columns) @ self._second
        power = x[..., :columns].square() + x[..., columns:].square()
        # Frequency k of the first and l of the second is k + rows * l.
        return torch.log(power.transpose(2, 3).reshape(n, channels, length) + _FLOOR)


def _dft(size: int) -> Tensor:
    """The transform of ``size`` as a real matrix: ``[re, im] @ matrix`` is ``[re, im]``."""
    angle = 2 * math.pi * torch.outer(torch.arange(size), torch.arange(size)).double() / size
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.cat([torch.cat([cos, -sin], dim=1), torch.cat([sin, cos], dim=1)])


def _powers(iq: Tensor) -> Tensor:
    """The signals whose spectra are taken, ``(n, 2, L)`` to ``(n, CHANNELS, 2, L)``."""
    i, q = iq[:, 0], iq[:, 1]
    power = i * i + q * q
    magnitude = torch.sqrt(power + _TINY)
    phasor = (i / magnitude, q / magnitude)
    signals = [iq]
    for _ in range(3):
        phasor = (phasor[0] * phasor[0] - phasor[1] * phasor[1], 2 * phasor[0] * phasor[1])
        signals.append(torch.stack([magnitude * phasor[0], magnitude * phasor[1]], dim=1))
    envelope = power - power.mean(dim=1, keepdim=True)
    signals.append(torch.stack([envelope, torch.zeros_like(envelope)], dim=1))
    return torch.stack(signals, dim=1)
