# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of samples that belong together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

#: A time beyond this is one of day, seconds since 1970; below, seconds since some other start.
EPOCH_S = 1e8


def datetime_text(time: tuple[int, float] | None) -> str | None:
    """SigMF's text for a time, whole seconds and a fraction; None if it is no time of day."""
    if time is None or time[0] < EPOCH_S:
        return None
    moment = datetime.fromtimestamp(time[0], timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{int(time[1] * 1e9):09d}Z"


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
