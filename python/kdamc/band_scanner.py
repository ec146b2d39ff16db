# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""A band of samples in, labelled signals out; everything that a scanning block does except
GNU Radio itself.

Samples go into a ring and into averaged spectra; a search follows the signals in these. Each
signal gets one of a fixed number of extractors, set as soon as enough of it has been seen to
tell centre, bandwidth and symbol rate, and fed from the ring from the signal's true start. All
signals share one model: their frames meet in its engine and are classified in common batches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .channel import Channel, Counters
from .contract import UNKNOWN_LABEL
from .decision import Decision, DecisionSettings, Segment, fuse, is_unknown
from .engine import Engine
from .signal_search import SignalSearch, Track
from .signal_tap import SETTLE_ROWS, Band, SignalTap, WantedRate

_DECISION_FRAMES = 64
#: All of a signal is classified until it has given so many frames and lasted a second; then frames
#: with so many samples a second: more would hardly change a label that all of them make together.
_GAPLESS_FRAMES, _LATER_SAMPLES_PER_SECOND = 256, 50e3


@dataclass(frozen=True)
class FoundSignal:
    """A signal, over or still there (``ongoing``).

    ``start`` and ``stop`` in samples of the band; ``centre_hz`` from its middle; ``snr_db``
    within ``bandwidth_hz``; ``symbol_rate_hz`` is None where none shows; ``label`` a class or
    ``unknown``, with the fused posterior's ``confidence`` and ``entropy`` (nats).
    ``frames_lost`` counts frames that a queue dropped, ``samples_lost`` samples that had left
    the ring before they could be used, or that no extractor was free for.
    """

    number: int
    start: int
    stop: int
    ongoing: bool
    centre_hz: float
    bandwidth_hz: float
    symbol_rate_hz: float | None
    snr_db: float
    label: str
    confidence: float
    entropy: float
    frames_used: int
    frames_lost: int
    samples_lost: int


@dataclass
class ScanCounters(Counters):
    """What happened since the start: samples, signals, and the frames of all signals.

    ``samples_lost`` had left the ring before they could be used, or no extractor was free.
    """

    samples: int = 0
    signals: int = 0
    samples_lost: int = 0

    def __add__(self, other: Counters) -> ScanCounters:
        """The sums of what both counted."""
        both = vars(ScanCounters()) | vars(other)
        return ScanCounters(**{name: count + both[name] for name, count in vars(self).items()})


class _Follower:
    """A signal on its way through the model; decisions come from the engine's thread."""

    def __init__(self, number: int, tap: SignalTap) -> None:
        self.number = number
        self.tap = tap
        self.channel: Channel | None = None
        self.segment: Segment | None = None
        self._lock = threading.Lock()
        self._log_sum: np.ndarray | float = 0.0
        self._score_sum: float | None = None
        self._used = 0
        self._dropped = 0

    def add(self, decisions: list[Decision]) -> None:
        """Take decisions of the signal's frames."""
        with self._lock:
            for decision in decisions:
                self._log_sum = self._log_sum + decision.log_sum
                if decision.unknown_score is not None:
                    score = decision.unknown_score * decision.frames_used
                    self._score_sum = (self._score_sum or 0.0) + score
                self._used += decision.frames_used
                self._dropped += decision.frames_dropped

    def sums(self) -> tuple[np.ndarray | float, float | None, int, int]:
        """Log posteriors, unknown scores, frames used, frames dropped."""
        with self._lock:
            return self._log_sum, self._score_sum, self._used, self._dropped


class BandScanner:
    """Finds and classifies the signals of a band.

    ``sample_rate`` in Hz; ``live`` drops the oldest frames where the model is too slow, and
    counts them, else ``push`` waits; ``max_signals`` extractors exist, signals beyond them are
    listed without a label; the ring holds ``ring_seconds``; ``ignore_dc`` and ``audio`` as in
    :class:`SignalSearch`. ``on_signal`` is told of a signal
    once a second or so while it lasts, and at its end; from the pushing thread.

    Raises ValueError for what is out of range.
    """

    def __init__(
        self,
        engine: Engine,
        sample_rate: float,
        on_signal: Callable[[FoundSignal], None],
        *,
        live: bool = False,
        max_signals: int = 16,
        ring_seconds: float = 2.0,
        min_bandwidth_hz: float = 0.0,
        unknown_threshold: float | None = None,
        queue_frames: int = 4096,
        ignore_dc: bool = True,
        audio: bool = False,
    ) -> None:
        if max_signals < 1:
            raise ValueError("max_signals must be at least 1")
        if not ring_seconds >= 1.0:
            raise ValueError("ring_seconds must be at least 1")
        self._engine = engine
        self._on_signal = on_signal
        self._live = live
        self._max_signals = max_signals
        self.unknown_threshold = unknown_threshold
        self._queue_frames = queue_frames
        self._band = Band(
            sample_rate,
            ring_seconds,
            min_bandwidth_hz=min_bandwidth_hz,
            ignore_dc=ignore_dc,
            audio=audio,
        )
        self._followers: dict[int, _Follower] = {}
        self._error: BaseException | None = None
        self._wanted = WantedRate.of(engine.model.info)
        self._counters = ScanCounters()

    @property
    def search(self) -> SignalSearch:
        """The search in the band's spectra."""
        return self._band.search

    @property
    def counters(self) -> ScanCounters:
        """What happened since the start."""
        counters = self._counters
        for follower in list(self._followers.values()):
            if follower.channel is not None:
                counters = counters + follower.channel.counters
        return counters

    def push(self, samples: np.ndarray) -> None:
        """The next samples (n,) complex64.

        Raises what a callback or the engine raised.
        """
        while len(samples):
            taken, ended = self._band.take(samples)
            samples = samples[taken:]
            self._counters.samples += taken
            if ended is not None:
                self._follow(ended)
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """The stream ended: everything that lasts is classified and reported."""
        for track in self.search.finish():
            self._end(track)
        if self._error is not None:
            raise self._error

    def _follow(self, ended: list[Track]) -> None:
        for track in self.search.tracks:
            if self.search.row - track.start_row < SETTLE_ROWS:
                continue
            follower = self._followers.get(track.number)
            is_new = follower is None
            if follower is None:
                follower = self._meet(track)
            if follower.tap.is_due:
                follower.tap.look()
                self._aim(follower)
                if not is_new:
                    self._report(follower)
            self._feed(follower)
        for track in ended:
            self._end(track)

    def _meet(self, track: Track) -> _Follower:
        self._counters.signals += 1
        tap = SignalTap(self._band, track, self._wanted)
        follower = self._followers[track.number] = _Follower(self._counters.signals, tap)
        return follower

    def _aim(self, follower: _Follower) -> None:
        """Set the signal's extractor, if one is free for it."""
        if follower.channel is None:
            busy = sum(other.channel is not None for other in self._followers.values())
            if busy >= self._max_signals:
                return
            follower.channel = Channel(
                self._engine,
                DecisionSettings(_DECISION_FRAMES, 0.0),
                live=self._live,
                queue_frames=self._queue_frames,
                on_decisions=follower.add,
                on_error=self._fail,
            )
        if follower.tap.aim():
            aim = follower.tap.aimed
            follower.segment = Segment(freq_hz=aim.centre_hz, sample_rate=aim.sample_rate)

    def _feed(self, follower: _Follower) -> None:
        """Classify what of the signal has not been."""
        before = follower.tap.samples_lost
        for samples in follower.tap.take():
            follower.channel.push(samples, follower.segment)
            self._thin_out(follower)
        self._counters.samples_lost += follower.tap.samples_lost - before

    def _thin_out(self, follower: _Follower) -> None:
        """Leave gaps between the frames of a signal of which much is known."""
        length, rate = self._engine.model.input_size, follower.segment.sample_rate
        if follower.channel.position >= max(_GAPLESS_FRAMES * length, rate):
            apart = round(length * rate / _LATER_SAMPLES_PER_SECOND)
            follower.channel.set_hop(max(length, apart))

    def _end(self, track: Track) -> None:
        follower = self._followers.get(track.number)
        if follower is None:
            follower = self._meet(track)
            follower.tap.look()
            self._aim(follower)
        self._feed(follower)
        del self._followers[track.number]
        if follower.channel is not None:
            follower.channel.leave()
            self._counters = self._counters + follower.channel.counters
        follower.tap.look_back()
        self._report(follower)

    def _report(self, follower: _Follower) -> None:
        tap = follower.tap
        log_sum, score_sum, used, dropped = follower.sums()
        label, confidence, entropy = UNKNOWN_LABEL, 0.0, 0.0
        if used:
            info = self._engine.model.info
            posterior = np.exp(fuse(log_sum, used, info.fusion))
            best = int(posterior.argmax())
            confidence = float(posterior[best])
            entropy = float(-(posterior * np.log(np.maximum(posterior, 1e-300))).sum())
            score = None if score_sum is None else score_sum / used
            if not is_unknown(info, self.unknown_threshold, confidence, score):
                label = info.classes[best]
        self._on_signal(
            FoundSignal(
                number=follower.number,
                start=tap.start,
                stop=tap.stop,
                ongoing=not tap.track.ended,
                centre_hz=tap.place.centre_hz,
                bandwidth_hz=tap.place.bandwidth_hz,
                symbol_rate_hz=tap.symbol_rate_hz,
                snr_db=tap.place.snr_db,
                label=label,
                confidence=confidence,
                entropy=entropy,
                frames_used=used,
                frames_lost=dropped,
                samples_lost=tap.samples_lost,
            )
        )

    def _fail(self, error: BaseException) -> None:
        self._error = error
