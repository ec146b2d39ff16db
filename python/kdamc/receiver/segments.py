# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of samples that belong together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    """Consecutive samples of a source at one rate and one centre frequency.

    ``start`` and ``count`` are in samples of the source; a ``count`` of None has no known end.
    ``time`` is that of the first sample, whole seconds and a fraction of one, since 1970 if the
    source knows, else since its own first sample.
    """

    start: int
    count: int | None
    sample_rate: float
    freq_hz: float = 0.0
    time: tuple[int, float] = (0, 0.0)

    def seconds_at(self, sample: int) -> float:
        """The time of a sample of the source, seconds."""
        return self.time[0] + (self.time[1] + (sample - self.start) / self.sample_rate)

    def limited(self, count: int) -> Segment:
        """The same, but at most ``count`` samples long."""
        if self.count is not None:
            count = min(count, self.count)
        return Segment(self.start, count, self.sample_rate, self.freq_hz, self.time)


def limit_duration(segments: list[Segment], seconds: float) -> list[Segment]:
    """The segments that lie in the first ``seconds`` of a source, the last one cut short."""
    kept = []
    for segment in segments:
        samples = round(seconds * segment.sample_rate)
        if samples <= 0:
            break
        kept.append(segment.limited(samples))
        if segment.count is None:
            break
        seconds -= segment.count / segment.sample_rate
    return kept
