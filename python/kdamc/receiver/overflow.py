# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lost samples, inferred from how many came in how much time.

Samples come in bursts and late, so a deficit against the clock means nothing for a while: what
is late comes after all.  But a deficit that has not gone down for a whole window was lost.  The
clocks of radio and computer differ too: a deficit that grows more slowly than clocks differ is
their drift.
"""

from __future__ import annotations

from collections import deque

#: Clocks differ by less than this, relative: dongles by up to 100 ppm, hot ones by a little more.
_DRIFT = 200e-6
#: A smaller step is not told from jitter, seconds.
_STEP_S = 0.05
_BIN_S = 0.5
_WINDOW_BINS = 10


class OverflowEstimator:
    """Watches one stream of ``rate`` samples a second.

    ``deficit`` is how many samples the stream is behind the clock that started with it, delays
    left out: drift and losses.
    """

    def __init__(self, rate: float):
        self._rate = rate
        self._began: float | None = None
        self._bin_ends = 0.0
        self._bin_least = 0.0
        self._bins: deque[float] = deque(maxlen=_WINDOW_BINS)
        self._level = 0.0

    @property
    def deficit(self) -> float:
        """Samples; negative for a stream that is faster than its rate."""
        return self._level

    def update(self, now: float, received: int) -> int:
        """Tell that ``received`` samples have come until ``now`` (s); how many are newly lost."""
        if self._began is None:
            self._began = now - received / self._rate
            self._bin_ends = now + _BIN_S
            return 0
        behind = (now - self._began) * self._rate - received
        if now < self._bin_ends:
            self._bin_least = min(self._bin_least, behind)
            return 0
        # Bins in which nothing came have no least value: the stream may still catch up.
        self._bins.append(self._bin_least)
        self._bin_least = behind
        elapsed = now - self._bin_ends + _BIN_S
        self._bin_ends = now + _BIN_S
        least = min(self._bins)
        self._level = min(least, self._level + _DRIFT * self._rate * elapsed)
        lost = least - self._level
        if lost <= _STEP_S * self._rate:
            return 0
        self._level = least
        return round(lost)
