# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The symbol rate of a signal, from the line that its envelope has there.

The squared magnitude of a band-limited signal with symbols is periodic in its mean
(W. A. Gardner, "Exploitation of spectral redundancy in cyclostationary signals", IEEE SP
Magazine 1991, 8, 14): its spectrum has a line at the symbol rate, for linear modulations with
excess bandwidth as for shifted frequencies that a filter has cut. No constellation, carrier
or timing is needed.
"""

from __future__ import annotations

import numpy as np

#: Symbol rates lie within these shares of the occupied bandwidth.
LOWEST_SHARE, HIGHEST_SHARE = 0.5, 1.6
#: How far over the median of the bins around it a line must stand. Of noise, the largest of some
#: 10,000 bins stands 13 dB over it.
_PROMINENCE_DB = 16.0
#: More samples than this would only take longer.
_MAX_SAMPLES = 1 << 17
_MIN_SAMPLES = 256
_MEDIANS = 16
#: Tones that lie a symbol rate or more apart give lines at its multiples, of which the lowest
#: counts, also where it lies below the range in which a line is looked for.
_HARMONICS, _LOWEST_FUNDAMENTAL = 4, 0.15
#: How far it must stand out: in noise, nine bins do so once in ten thousand times.
_FUNDAMENTAL_DB = 12.0
#: Bins on each side of a place that tell whether there is a line.
_AROUND = 150


def estimate_symbol_rate(
    samples: np.ndarray, sample_rate: float, bandwidth_hz: float
) -> float | None:
    """Symbols a second, or None where no line stands out.

    ``samples`` (n,) complex of one signal, filtered to little more than its ``bandwidth_hz``, at
    a rate of more than 2 * HIGHEST_SHARE bandwidths.
    """
    samples = samples[:_MAX_SAMPLES]
    if len(samples) < _MIN_SAMPLES:
        return None
    envelope = samples.real**2 + samples.imag**2
    envelope = (envelope - envelope.mean()) * np.blackman(len(envelope))
    size = 2 << int(np.ceil(np.log2(len(envelope))))
    power = np.abs(np.fft.rfft(envelope, size)) ** 2
    hertz_per_bin = sample_rate / size
    first = max(1, int(LOWEST_SHARE * bandwidth_hz / hertz_per_bin))
    last = min(len(power) - 2, int(HIGHEST_SHARE * bandwidth_hz / hertz_per_bin))
    searched = power[first : last + 1]
    stretch = len(searched) // _MEDIANS
    if stretch < 8:
        return None
    medians = np.median(searched[: stretch * _MEDIANS].reshape(_MEDIANS, stretch), axis=1)
    middles = (np.arange(_MEDIANS) + 0.5) * stretch
    around = np.interp(np.arange(len(searched)), middles, medians)
    ratio = searched / np.maximum(around, 1e-30)
    best = int(ratio.argmax())
    if ratio[best] < 10 ** (_PROMINENCE_DB / 10):
        return None
    line = _top(power, first + best)
    for part in range(_HARMONICS, 1, -1):
        below = round(line / part)
        if below * hertz_per_bin < _LOWEST_FUNDAMENTAL * bandwidth_hz:
            continue
        if _stands_out(power, below):
            near = slice(below - 1, below + 2)
            return float(_top(power, below - 1 + int(power[near].argmax())) * hertz_per_bin)
    return float(line * hertz_per_bin)


def _top(power: np.ndarray, at: int) -> float:
    """The bin of the top of a parabola through the logarithms of a line and its neighbours."""
    left, top, right = np.log(np.maximum(power[at - 1 : at + 2], 1e-300))
    bend = left - 2 * top + right
    return at + (0.0 if bend >= 0 else 0.5 * (left - right) / bend)


def _stands_out(power: np.ndarray, at: int) -> bool:
    """Whether there is a line at a bin, or beside it."""
    around = power[max(1, at - _AROUND) : at + _AROUND + 1]
    line = power[max(1, at - 1) : at + 2].max()
    return bool(line > 10 ** (_FUNDAMENTAL_DB / 10) * np.median(around))
