# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Made-up signals that are none of a data set's classes, for outlier exposure.

D. Hendrycks, M. Mazeika and T. Dietterich, "Deep anomaly detection with outlier exposure", ICLR
2019, train with outliers from another data set; radio has none, so these are made from the frames
of a batch and from random numbers (our choice). None is a modulation that anybody sends:

- ``sum``: two signals at once, each with a carrier offset of its own, within 6 dB;
- ``product``: one signal times another;
- ``splice``: pieces of two signals in turn, cut at three random places;
- ``hopping``: a tone with random, continuous frequencies, each for a time that is random too or,
  in half of the frames, the same;
- ``envelope``: a signal whose level wanders as it never does on the air.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

KINDS = ("sum", "product", "splice", "hopping", "envelope")

PLAIN = ("noise", "carrier")
"""Classes that give other classes, not strangers, when they are added or multiplied."""

_OFFSET = 0.1
"""Largest carrier offset, cycles a sample."""
_RATIO_DB = 6.0
_CUTS = 3
_HOP_SAMPLES = (6.0, 200.0)
"""Shortest and longest mean time on one frequency, log-uniform."""
_DEVIATION = (0.01, 0.3)
"""Smallest and largest deviation of a tone, cycles a sample, log-uniform."""
_TONE_SNR_DB = (5.0, 30.0)
_WANDER_SAMPLES = (60.0, 1200.0)
"""About the shortest and longest period of a wandering level."""
_WANDER_NEPER = 0.8
"""Standard deviation of the logarithm of the level."""


def strangers(
    iq: Tensor, label: Tensor, plain: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Something strange made of each of the frames ``(n, 2, L)`` of RMS 1; RMS stays 1.

    ``label (n)`` are classes, ``plain (classes)`` bool tells which are of ``PLAIN``. Comes back
    with ``kind (n)``, indices of ``KINDS``, and ``made (n)`` bool: where it is False the frame is
    as it was, because two frames of one class, or plain ones, would not have made a stranger.
    """
    n, length = len(iq), iq.shape[2]
    signal = torch.complex(iq[:, 0], iq[:, 1])
    other_at = torch.randperm(n, generator=generator, device=iq.device)
    other = signal[other_at]
    lively = ~plain[label]
    pairs = (label != label[other_at]) & lively & lively[other_at]
    kind = torch.randint(len(KINDS), (n,), generator=generator, device=iq.device)
    draw = _Draw(n, length, generator)
    # All kinds of all frames: cheaper than to gather each kind's own.
    ratio = draw.decibels(-_RATIO_DB, _RATIO_DB)
    candidates = (
        draw.shifted(signal) + ratio * draw.shifted(other),
        draw.shifted(signal * other),
        torch.where(draw.pieces(), draw.shifted(other), signal),
        draw.hopping(),
        signal * torch.exp(_WANDER_NEPER * draw.wandering()),
    )
    strange = signal
    for number, candidate in enumerate(candidates):
        rms = candidate.abs().square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
        strange = torch.where((kind == number)[:, None], candidate / rms, strange)
    is_kind = {name: kind == number for number, name in enumerate(KINDS)}
    made = pairs | is_kind["hopping"] | (is_kind["envelope"] & lively)
    strange = torch.where(made[:, None], strange, signal)
    return torch.stack([strange.real, strange.imag], dim=1), kind, made


class _Draw:
    """Random numbers, a row a frame."""

    def __init__(self, n: int, length: int, generator: torch.Generator) -> None:
        self._n, self._length, self._generator = n, length, generator
        self._time = torch.arange(length, device=generator.device)

    def _uniform(self, low: float, high: float, columns: int = 1) -> Tensor:
        size = (self._n, columns)
        unit = torch.rand(size, generator=self._generator, device=self._generator.device)
        return low + (high - low) * unit

    def _log_uniform(self, edges: tuple[float, float]) -> Tensor:
        return torch.exp(self._uniform(math.log(edges[0]), math.log(edges[1])))

    def _normal(self) -> Tensor:
        size = (self._n, self._length)
        return torch.randn(size, generator=self._generator, device=self._generator.device)

    def decibels(self, low: float, high: float) -> Tensor:
        """Amplitude ratios ``(n, 1)``."""
        return 10.0 ** (self._uniform(low, high) / 20.0)

    def shifted(self, signal: Tensor) -> Tensor:
        """``signal (n, L)`` at a carrier offset."""
        turns = self._uniform(-_OFFSET, _OFFSET) * self._time
        return signal * torch.polar(torch.ones_like(turns), 2 * math.pi * turns)

    def pieces(self) -> Tensor:
        """``(n, L)`` bool that changes at the cuts."""
        cuts = self._uniform(0.0, self._length, _CUTS)
        return (self._time >= cuts[:, :, None]).sum(dim=1) % 2 == 1

    def hopping(self) -> Tensor:
        """Noisy tones ``(n, L)`` of constant envelope and phase without jumps."""
        dwell = self._log_uniform(_HOP_SAMPLES)
        regular = torch.floor((self._time + dwell * self._uniform(0.0, 1.0)) / dwell).long()
        jumps = self._uniform(0.0, 1.0, self._length) < 1.0 / dwell
        even = self._uniform(0.0, 1.0) < 0.5
        number = torch.where(even, regular, jumps.cumsum(dim=1))
        frequency = self._uniform(-1.0, 1.0, self._length + 1).gather(1, number)
        turns = (self._log_uniform(_DEVIATION) * frequency).cumsum(dim=1)
        noise = torch.complex(self._normal(), self._normal()) / math.sqrt(2.0)
        tone = torch.polar(torch.ones_like(turns), 2 * math.pi * turns)
        return tone + noise / self.decibels(*_TONE_SNR_DB)

    def wandering(self) -> Tensor:
        """Low-pass noise ``(n, L)`` of variance 1."""
        frequency = torch.fft.rfftfreq(self._length, device=self._generator.device)
        response = torch.exp(-((frequency * self._log_uniform(_WANDER_SAMPLES) / 6.0) ** 2))
        wander = torch.fft.irfft(torch.fft.rfft(self._normal()) * response, n=self._length)
        return wander / wander.std(dim=1, keepdim=True)
