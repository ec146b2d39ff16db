# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""A live stream's way in: counts samples and losses, keeps its time, and writes its tags."""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_right

import numpy as np
import pmt
from gnuradio import gr

from .. import metadata
from ..guard import Guarded, guarded_work
from .overflow import OverflowEstimator
from .segments import EPOCH_S, Segment

#: The clock is set anew when it is off by this much, seconds.
_CLOCK_STEP_S = 0.01
#: Samples come here in parts of about this length, seconds: a call costs the same for any number.
_PART_S = 0.01
_LARGEST_PART = 1 << 17
#: Settings of the clock that are remembered: decisions ask for recent samples only.
_ANCHORS = 1024

Time = tuple[int, float]


def _plus(moment: Time, seconds: float) -> Time:
    more, part = divmod(moment[1] + seconds, 1.0)
    return moment[0] + int(more), part


def _between(first: Time, second: Time) -> float:
    return (second[0] - first[0]) + (second[1] - first[1])


class StreamMonitor(Guarded, gr.sync_block):
    """Passes complex samples on, from a source that is live.

    Tags of the source stop here.  Out go ``rx_freq``, ``rx_rate`` and ``rx_time`` on the first
    sample and after each gap that is found: where ``reports_overflows``, by the source's
    ``rx_time`` tags, to the sample; elsewhere by the clock, some seconds late, and not to the
    sample.  Time is that of day: of the source's first tag if that has it, or of this computer
    when the first samples came.  At the end of a source up to 10 ms stay behind.

    Keep a reference to the block.  Other threads may read ``received`` (samples), ``overflows``
    (gaps), ``lost`` (samples that they lack) and :meth:`seconds_at`.
    """

    def __init__(self, segment: Segment, reports_overflows: bool):
        gr.sync_block.__init__(
            self, name="Stream Monitor", in_sig=[np.complex64], out_sig=[np.complex64]
        )
        self._segment = segment
        self._reports_overflows = reports_overflows
        self._estimator = None if reports_overflows else OverflowEstimator(segment.sample_rate)
        self.received = 0
        self.overflows = 0
        self.lost = 0
        #: When samples came last, by time.monotonic(); None before the first.
        self.last_arrival: float | None = None
        self._lock = threading.Lock()
        # Where the clock was set: sample of the stream, and its time.
        self._anchor_samples: list[int] = []
        self._anchor_times: list[Time] = []
        # The source's last tag, by its own clock.
        self._driver_sample = 0
        self._driver_time: Time | None = None
        # Deficit that the clock has taken into account, samples.
        self._told = 0.0
        self.set_tag_propagation_policy(gr.TPP_DONT)
        part = 1 << max(0, math.floor(math.log2(segment.sample_rate * _PART_S)))
        self.set_output_multiple(min(part, _LARGEST_PART))

    def seconds_at(self, sample: int) -> float:
        """The time of a sample of the source, seconds since 1970."""
        with self._lock:
            if not self._anchor_samples:
                return self._segment.seconds_at(sample)
            at = sample - self._segment.start
            index = max(0, bisect_right(self._anchor_samples, at) - 1)
            whole, part = self._anchor_times[index]
            return whole + (part + (at - self._anchor_samples[index]) / self._segment.sample_rate)

    def sample_at(self, moment: Time) -> int:
        """The sample of the stream, counted from its begin, that came at a time of its clock."""
        with self._lock:
            if not self._anchor_samples:
                return 0
            index = max(0, bisect_right(self._anchor_times, moment) - 1)
            passed = _between(self._anchor_times[index], moment) * self._segment.sample_rate
            return max(0, self._anchor_samples[index] + round(passed))

    @guarded_work
    def work(self, input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Copy, count, look at the clock and at tags."""
        count = len(input_items[0])
        output_items[0][:] = input_items[0]
        first = self.received
        now = time.monotonic()
        for tag in self.get_tags_in_window(0, 0, count, metadata.TAG_TIME):
            self._on_driver_time(tag.offset, metadata.read_time(tag.value))
        if not self._anchor_samples:
            elapsed = count / self._segment.sample_rate
            self._set_clock(0, _plus(divmod(time.time(), 1.0), -elapsed), True)
        self.received = first + count
        self.last_arrival = now
        if self._estimator is not None:
            self._infer(now)
        return count

    def _on_driver_time(self, sample: int, moment: Time | None) -> None:
        if moment is None:
            return
        rate = self._segment.sample_rate
        if self._driver_time is None:
            if sample == 0 and moment[0] >= EPOCH_S:
                self._set_clock(0, moment, True)
        elif self._reports_overflows:
            passed = _between(self._driver_time, moment) * rate
            lost = round(passed - (sample - self._driver_sample))
            if lost > 0:
                self._on_loss(sample, lost)
        self._driver_sample, self._driver_time = sample, moment

    def _infer(self, now: float) -> None:
        lost = self._estimator.update(now, self.received)
        rate = self._segment.sample_rate
        if lost:
            self._on_loss(self.received - 1, lost)
            self._told = self._estimator.deficit
        elif abs(self._estimator.deficit - self._told) > _CLOCK_STEP_S * rate:
            drift = self._estimator.deficit - self._told
            self._told = self._estimator.deficit
            self._set_clock(self.received - 1, self._time_at(self.received - 1, drift), False)

    def _on_loss(self, sample: int, lost: int) -> None:
        self.overflows += 1
        self.lost += lost
        self._set_clock(sample, self._time_at(sample, lost), True)

    def _time_at(self, sample: int, lost: float) -> Time:
        """The time of a sample of the stream before which so many are found lost."""
        samples = sample - self._anchor_samples[-1] + lost
        return _plus(self._anchor_times[-1], samples / self._segment.sample_rate)

    def _set_clock(self, sample: int, moment: Time, is_begin: bool) -> None:
        moment = int(moment[0]), moment[1]
        with self._lock:
            self._anchor_samples.append(sample)
            self._anchor_times.append(moment)
            del self._anchor_samples[:-_ANCHORS], self._anchor_times[:-_ANCHORS]
        if is_begin:
            segment = self._segment
            for key, value in (
                (metadata.TAG_FREQ, pmt.from_double(segment.freq_hz)),
                (metadata.TAG_RATE, pmt.from_double(segment.sample_rate)),
                (metadata.TAG_TIME, metadata.time_to_pmt(moment)),
            ):
                self.add_item_tag(0, sample, key, value)
