# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Signal Front End block: the strongest signal of a band, as a classifier wants it."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from . import metadata
from .decision import Segment
from .engine import Engine
from .guard import Guarded, guarded_work
from .kdamc_python import Extractor
from .signal_search import Track
from .signal_tap import (
    BANDWIDTH_SHARE,
    SETTLE_ROWS,
    Aim,
    Band,
    SignalTap,
    WantedRate,
    extractor_for,
)

#: A signal is left for another one that is so much stronger.
_STRONGER_DB = 6.0
#: Samples that are worked off in a call: what they become has to wait for room behind the block.
_MOST_SAMPLES = 1 << 15


class signal_front_end(Guarded, gr.basic_block):
    """Find the strongest signal, and hand it on at 0 Hz, filtered, at the rate that a model wants.

    Keep a reference to the block: GNU Radio 3.10.5 does not keep Python blocks alive.

    Input: complex samples of a band; tags ``rx_freq``, ``rx_rate`` and ``rx_time`` are honoured,
    ``eos`` on the last sample gets out what would otherwise stay behind with the end of the input.
    Output: complex samples of the signal while it lasts, nothing between signals. Where the block
    is set to a signal, or follows one that drifts, the first sample has tags ``rx_freq``,
    ``rx_rate`` and ``rx_time`` of the signal, and ``bandwidth`` and ``symbol_rate`` (Hz, PMT_NIL
    where there is none), which the classifier reports with its decisions. Since positions in the
    output are no positions in the input, ``rx_time`` is what tells where a decision belongs.

    Args:
        sample_rate: in Hz; a tag ``rx_rate`` overrules it.
        model: name of an installed model, a file, or "" for the default model: the output has the
            rate in the middle of those that it was trained on. Not opened if a rate is told:
        samples_per_symbol: of the output; of signals without symbols, samples in 1.2 / bandwidth.
        oversampling: or samples for each cycle of the signal's bandwidth.
        tune: Hz from 0 of the signal, if it is known; None looks for it.
        symbol_rate: Hz, if it is known; 0 estimates it.
        min_bandwidth: in Hz, of a signal that counts.
        ignore_dc: leave out a spike at 0 Hz.
        audio: the band is what a receiver's filter left of a wider one.
        ring_seconds: of samples that are kept (8 bytes each), at least 1.
        rx_freq: in Hz, until a tag says otherwise.
        rx_time: seconds or (seconds, fraction) of the first sample; by default 0.

    With both ``tune`` and ``symbol_rate`` nothing is looked for: all samples are handed on.

    Raises ValueError for what is out of range and ModelError for a model that cannot be used.
    """

    def __init__(
        self,
        sample_rate: float = 1e6,
        model: str = "",
        samples_per_symbol: float = 0.0,
        oversampling: float = 0.0,
        tune: float | None = None,
        symbol_rate: float = 0.0,
        min_bandwidth: float = 0.0,
        ignore_dc: bool = True,
        audio: bool = False,
        ring_seconds: float = 2.0,
        rx_freq: float = 0.0,
        rx_time: float | tuple[int, float] = 0.0,
    ) -> None:
        gr.basic_block.__init__(
            self, name="Signal Front End", in_sig=[np.complex64], out_sig=[np.complex64]
        )
        if not sample_rate > 0:
            raise ValueError(f"sample_rate must be above 0, not {sample_rate!r}")
        if not samples_per_symbol >= 0:
            raise ValueError(f"samples_per_symbol must be 0 or more, not {samples_per_symbol!r}")
        if not symbol_rate >= 0:
            raise ValueError(f"symbol_rate must be 0 or more, not {symbol_rate!r}")
        if not ring_seconds >= 1:
            raise ValueError(f"ring_seconds must be at least 1, not {ring_seconds!r}")
        if not oversampling >= 0:
            raise ValueError(f"oversampling must be 0 or more, not {oversampling!r}")
        if oversampling > 0:
            self._wanted = WantedRate(oversampling=oversampling)
        elif samples_per_symbol > 0:
            self._wanted = WantedRate(samples_per_symbol)
        else:
            self._wanted = WantedRate.of(Engine.of(model).model.info)
        self._tune = tune
        self._symbol_rate = symbol_rate
        self._ring_seconds = ring_seconds
        self._search = {
            "min_bandwidth_hz": min_bandwidth,
            "ignore_dc": ignore_dc,
            "audio": audio,
        }
        whole, part = divmod(rx_time, 1.0) if isinstance(rx_time, int | float) else rx_time
        self._first_segment = Segment(rx_freq, float(sample_rate), (int(whole), part), 0)
        self._asked_freq: float | None = None
        self.set_tag_propagation_policy(gr.TPP_DONT)
        self._set(self._first_segment, 0)

    def start(self) -> bool:
        """Begin at sample 0, as the scheduler does at every start."""
        self._set(self._first_segment, 0)
        return True

    def set_rx_freq(self, rx_freq: float) -> None:
        """Hz that 0 Hz stands for from the next sample on, where the search begins anew."""
        self._asked_freq = float(rx_freq)

    def forecast(self, noutput_items: int, ninputs: int) -> list[int]:
        """Any input will do; none is needed while something waits to go out."""
        return [0 if self._waiting else 1]

    @guarded_work
    def general_work(self, input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Take samples in if nothing waits, then hand out as much as there is room for."""
        if not self._waiting and len(input_items[0]):
            samples = input_items[0][:_MOST_SAMPLES]
            self._take(samples, self.nitems_read(0))
            self.consume(0, len(samples))
        return self._hand_out(output_items[0])

    # Inside. `_waiting` holds (samples, aim's tags or None).

    def _set(self, segment: Segment, sample: int) -> None:
        """``segment`` begins at ``sample``; what was before is over."""
        self._segment = segment
        self._first = sample
        self._waiting: deque[tuple[np.ndarray, list[tuple[Any, Any]] | None]] = deque()
        self._tap: SignalTap | None = None
        self._handed = 0
        self._fixed: Extractor | None = None
        self._band = Band(segment.sample_rate, self._ring_seconds, **self._search)

    def _take(self, samples: np.ndarray, first: int) -> None:
        at = 0
        asked, self._asked_freq = self._asked_freq, None
        if asked is not None and asked != self._segment.freq_hz:
            self._renew(metadata.moved(self._segment, first, freq_hz=asked), first)
        tags = self.get_tags_in_range(0, first, first + len(samples))
        for tag in sorted(tags, key=lambda tag: tag.offset):
            segment = metadata.after_tag(self._segment, tag.key, tag.value, tag.offset)
            ends = pmt.eqv(tag.key, metadata.TAG_EOS)
            if segment is not self._segment or ends:
                here = tag.offset - first + ends
                self._push(samples[at:here])
                at = here
                self._renew(segment, first + here)
        self._push(samples[at:])

    def _renew(self, segment: Segment, sample: int) -> None:
        """End what lasts; ``segment`` begins at ``sample``."""
        self._finish()
        waiting = self._waiting
        self._set(segment, sample)
        self._waiting = waiting

    def _push(self, samples: np.ndarray) -> None:
        if self._tune is not None and self._symbol_rate > 0:
            self._push_known(samples)
            return
        while len(samples):
            taken, ended = self._band.take(samples)
            samples = samples[taken:]
            if ended is not None:
                self._follow(ended)

    def _push_known(self, samples: np.ndarray) -> None:
        """Nothing is looked for."""
        tags = None
        if self._fixed is None and len(samples):
            bandwidth_hz = BANDWIDTH_SHARE * self._symbol_rate
            rate = self._wanted.hertz(bandwidth_hz, self._symbol_rate)
            aim = Aim(self._tune, bandwidth_hz, rate)
            self._fixed = extractor_for(self._segment.sample_rate, aim)
            tags = self._tags(aim, self._symbol_rate, 0)
        if self._fixed is not None:
            self._waiting.append((self._fixed.process(samples), tags))

    def _follow(self, ended: list[Track]) -> None:
        search = self._band.search
        if self._tap is not None and self._tap.track.ended:
            self._hand_on(self._tap)
            self._tap = None
        settled = [t for t in search.tracks if search.row - t.start_row >= SETTLE_ROWS]
        # A burst that was over before it was met counts while nothing else is there.
        brief = [] if self._tap or settled else [t for t in ended if not t.looked_at]
        best = max((*settled, *brief), key=self._power, default=None)
        if best is not None and best is not (self._tap and self._tap.track):
            now = -math.inf if self._tap is None else self._power(self._tap.track)
            if self._tap is None or self._power(best) > now + _STRONGER_DB:
                # Time in the output never runs backwards.
                self._tap = SignalTap(self._band, best, self._wanted)
                self._tap.position = max(self._tap.position, self._handed)
        if self._tap is not None:
            self._hand_on(self._tap)
            if self._tap.track.ended:
                self._tap = None

    def _power(self, track: Track) -> float:
        """Decibels of its mean excess over the noise."""
        bins = slice(int(track.low), int(track.high) + 1)
        excess = float((track.spectrum[bins] - track.floor[bins]).sum()) / track.seen_rows
        return 10 * math.log10(max(excess, 1e-30))

    def _hand_on(self, tap: SignalTap) -> None:
        tags = None
        if tap.is_due and not (tap.track.ended and tap.aimed):
            tap.look()
            if self._symbol_rate > 0:
                tap.symbol_rate_hz = self._symbol_rate
            if self._tune is not None:
                tap.place.centre_hz = self._tune
            if tap.aim():
                tags = self._tags(tap.aimed, tap.symbol_rate_hz, tap.position)
        for samples in tap.take():
            self._waiting.append((samples, tags))
            tags = None
        self._handed = tap.position

    def _finish(self) -> None:
        """End what lasts."""
        for track in self._band.search.finish():
            if self._tap is not None and track is self._tap.track:
                self._hand_on(self._tap)
                self._tap = None

    def _tags(self, aim: Aim, symbol_rate_hz: float | None, position: int) -> list[tuple[Any, Any]]:
        """Of the first sample that an extractor gives, ``position`` in the segment."""
        segment = self._segment
        time = segment.time_of(self._first + position)
        number = pmt.from_double
        return [
            (metadata.TAG_FREQ, number(segment.freq_hz + aim.centre_hz)),
            (metadata.TAG_RATE, number(aim.sample_rate)),
            (metadata.TAG_TIME, metadata.time_to_pmt(time)),
            (metadata.TAG_BANDWIDTH, number(aim.bandwidth_hz)),
            (metadata.TAG_SYMBOL_RATE, metadata.to_pmt(symbol_rate_hz)),
        ]

    def _hand_out(self, out: np.ndarray) -> int:
        written = 0
        while self._waiting and written < len(out):
            samples, tags = self._waiting.popleft()
            for key, value in tags or ():
                self.add_item_tag(0, self.nitems_written(0) + written, key, value)
            count = min(len(samples), len(out) - written)
            out[written : written + count] = samples[:count]
            written += count
            if count < len(samples):
                self._waiting.appendleft((samples[count:], None))
        return written
