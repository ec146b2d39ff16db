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
from dataclasses import dataclass, field, replace

import numpy as np

from .channel import Channel, Counters
from .contract import UNKNOWN_LABEL
from .decision import DEFAULT_CONFIDENCE, Decision, DecisionSettings, Segment, fuse
from .engine import Engine
from .kdamc_python import AveragedSpectrum, Extractor
from .signal_search import Occupancy, SignalSearch, Track, plan_rows
from .symbol_rate import HIGHEST_SHARE, estimate_symbol_rate

#: Rows of spectra that are seen of a signal before its extractor is set.
_SETTLE_ROWS = 12
#: Between checks of where a lasting signal is now, and between interim reports of it; and what
#: is looked at, seconds.
_FOLLOW_SECONDS = 1.0
#: An extractor is set anew where centre (of the bandwidth) or symbol rate moved by so much.
_DRIFT_SHARE, _RATE_SHARE = 0.04, 0.02
#: The pass band and the slope beyond it, over the bandwidth that a spectrum shows: the ends of a
#: root-raised-cosine spectrum lie under the noise.
_PASS, _SLOPE = 1.25, 0.25
#: Samples at this many bandwidths tell the symbol rate.
_LOOK_RATE = 2.5 * HIGHEST_SHARE
#: Symbols a second over bandwidth, where a signal shows no symbols.
_ASSUMED_SHARE = 0.85
#: Without a word from the model, samples a symbol.
_SAMPLES_PER_SYMBOL = 8.0
_DECISION_FRAMES = 64


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


class SampleRing:
    """The last ``size`` complex64 samples of a stream, by their absolute index."""

    def __init__(self, size: int) -> None:
        self._samples = np.zeros(size, np.complex64)
        #: Index of the next sample.
        self.end = 0

    @property
    def start(self) -> int:
        """Index of the oldest sample."""
        return max(0, self.end - len(self._samples))

    def write(self, samples: np.ndarray) -> None:
        """Append at most ``size`` samples."""
        at = self.end % len(self._samples)
        first = min(len(samples), len(self._samples) - at)
        self._samples[at : at + first] = samples[:first]
        self._samples[: len(samples) - first] = samples[first:]
        self.end += len(samples)

    def parts(self, start: int, stop: int) -> list[np.ndarray]:
        """The samples from ``start`` to before ``stop``, as one or two views."""
        if stop <= start:
            return []
        at, count = start % len(self._samples), stop - start
        first = min(count, len(self._samples) - at)
        parts = [self._samples[at : at + first]]
        if first < count:
            parts.append(self._samples[: count - first])
        return parts


@dataclass
class _Follower:
    """What belongs to one signal."""

    track: Track
    found: FoundSignal
    position: int = 0
    extractor: Extractor | None = None
    channel: Channel | None = None
    segment: Segment | None = None
    rate_hz: float = 0.0
    checked_row: int = 0
    log_sum: np.ndarray | float = 0.0
    recent: tuple[np.ndarray, np.ndarray, int] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


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
        bins, averages = plan_rows(sample_rate)
        self._engine = engine
        self._sample_rate = sample_rate
        self._on_signal = on_signal
        self._live = live
        self._max_signals = max_signals
        self.unknown_threshold = unknown_threshold
        self._queue_frames = queue_frames
        self._spectrum = AveragedSpectrum(bins, averages)
        self.search = SignalSearch(
            sample_rate,
            bins,
            averages,
            min_bandwidth_hz=min_bandwidth_hz,
            ignore_dc=ignore_dc,
            audio=audio,
        )
        # Transforms overlap: a row needs half of one more than its samples.
        self._row_end = self.search.row_samples + bins // 2
        self._ring = SampleRing(max(round(ring_seconds * sample_rate), 4 * self._row_end))
        self._follow_rows = max(
            _SETTLE_ROWS, round(_FOLLOW_SECONDS * sample_rate / self.search.row_samples)
        )
        self._followers: dict[int, _Follower] = {}
        self._error: BaseException | None = None
        wanted = engine.model.samples_per_symbol
        self._samples_per_symbol = (
            _SAMPLES_PER_SYMBOL if wanted is None else (wanted[0] * wanted[1]) ** 0.5
        )
        self._counters = ScanCounters()

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
        at = 0
        while at < len(samples):
            # Parts end where rows do: how a stream is cut then changes nothing.
            part = samples[at : at + self._row_end - self._ring.end]
            at += len(part)
            self._ring.write(part)
            self._counters.samples += len(part)
            for spectrum in self._spectrum.process(part):
                self._follow(self.search.feed(spectrum))
            if self._ring.end == self._row_end:
                self._row_end += self.search.row_samples
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """The stream ended: everything that lasts is classified and reported."""
        for track in self.search.finish():
            self._end(track)
        if self._error is not None:
            raise self._error

    def _follow(self, ended: list[Track]) -> None:
        row = self.search.row
        for track in self.search.tracks:
            if row - track.start_row < _SETTLE_ROWS:
                continue
            follower = self._followers.get(track.number) or self._meet(track)
            if row - follower.checked_row >= self._follow_rows or follower.checked_row == 0:
                self._look(follower)
                if follower.channel is not None or len(self._busy()) < self._max_signals:
                    self._aim(follower)
                if follower.checked_row:
                    self._report(follower, ongoing=True)
                follower.checked_row = row
            # The latest row that holds the signal may be the one in which it ends.
            self._feed(follower, track.last_row * self.search.row_samples)
        for track in ended:
            self._end(track)

    def _busy(self) -> list[_Follower]:
        return [f for f in self._followers.values() if f.channel is not None]

    def _meet(self, track: Track) -> _Follower:
        start = track.start_row * self.search.row_samples
        track.looked_at = True
        self._counters.signals += 1
        found = FoundSignal(
            self._counters.signals,
            start,
            start,
            True,
            0.0,
            0.0,
            None,
            0.0,
            UNKNOWN_LABEL,
            0.0,
            0.0,
            0,
            0,
            0,
        )
        follower = _Follower(track, found, position=start)
        self._followers[track.number] = follower
        return follower

    def _look(self, follower: _Follower) -> None:
        """Where the signal is, since the last look."""
        track = follower.track
        seen, recent = track.seen_rows, track
        if follower.recent is not None and seen - follower.recent[2] >= _SETTLE_ROWS:
            spectrum, floor, before = follower.recent
            recent = replace(
                track,
                spectrum=track.spectrum - spectrum,
                floor=track.floor - floor,
                seen_rows=seen - before,
            )
        follower.recent = (track.spectrum.copy(), track.floor.copy(), seen)
        place = self.search.occupancy(recent)
        follower.found = replace(
            follower.found,
            centre_hz=place.centre_hz,
            bandwidth_hz=place.bandwidth_hz,
            snr_db=place.snr_db,
            symbol_rate_hz=self._symbol_rate(follower, place) or follower.found.symbol_rate_hz,
        )

    def _symbol_rate(self, follower: _Follower, place: Occupancy) -> float | None:
        """From what the ring holds of the signal, not more than a second."""
        stop = self._stop(follower.track)
        start = max(
            self._start(follower.track),
            self._ring.start,
            stop - round(_FOLLOW_SECONDS * self._sample_rate),
        )
        rate = min(_LOOK_RATE * place.bandwidth_hz, self._sample_rate)
        extractor = self._extractor(place.centre_hz, rate, place.bandwidth_hz)
        looked = [extractor.process(part) for part in self._ring.parts(start, stop)]
        if not looked:
            return None
        return estimate_symbol_rate(np.concatenate(looked), rate, place.bandwidth_hz)

    def _extractor(self, centre_hz: float, rate: float, bandwidth_hz: float) -> Extractor:
        lower = min(rate, self._sample_rate)
        half = min(_PASS * bandwidth_hz / 2, 0.4 * lower)
        slope = min(_SLOPE * bandwidth_hz, lower / 2 - half)
        return Extractor(self._sample_rate, centre_hz, rate, 2 * half, slope)

    def _aim(self, follower: _Follower) -> None:
        """Set the signal's extractor, unless it is set well already."""
        found = follower.found
        symbols = found.symbol_rate_hz or _ASSUMED_SHARE * found.bandwidth_hz
        rate = min(symbols * self._samples_per_symbol, 32 * self._sample_rate)
        segment = follower.segment
        if (
            segment is not None
            and abs(found.centre_hz - segment.freq_hz) < _DRIFT_SHARE * found.bandwidth_hz
            and abs(rate / segment.sample_rate - 1) < _RATE_SHARE
        ):
            return
        follower.extractor = self._extractor(found.centre_hz, rate, found.bandwidth_hz)
        follower.segment = Segment(freq_hz=found.centre_hz, sample_rate=rate)
        if follower.channel is None:
            follower.position = max(follower.position, self._start(follower.track))
            follower.channel = Channel(
                self._engine,
                DecisionSettings(_DECISION_FRAMES, 0.0),
                live=self._live,
                queue_frames=self._queue_frames,
                on_decisions=lambda decisions: self._add(follower, decisions),
                on_error=self._fail,
            )

    def _feed(self, follower: _Follower, stop: int) -> None:
        """Classify what the ring holds of the signal and has not been used."""
        start = max(follower.position, self._ring.start)
        lost = start - follower.position
        follower.position = max(follower.position, stop)
        if follower.channel is None:
            lost += max(0, stop - start)
        else:
            for part in self._ring.parts(start, stop):
                samples = follower.extractor.process(part)
                if len(samples):
                    follower.channel.push(samples, follower.segment)
        if lost:
            self._counters.samples_lost += lost
            follower.found = replace(
                follower.found, samples_lost=follower.found.samples_lost + lost
            )

    def _end(self, track: Track) -> None:
        follower = self._followers.pop(track.number, None) or self._meet(track)
        self._followers.pop(track.number, None)
        if follower.checked_row == 0:
            self._look(follower)
            if len(self._busy()) < self._max_signals:
                self._aim(follower)
        self._feed(follower, self._stop(track))
        if follower.channel is not None:
            tail = np.zeros(follower.extractor.tail, np.complex64)
            samples = follower.extractor.process(tail)
            if len(samples):
                follower.channel.push(samples, follower.segment)
            follower.channel.leave()
            self._counters = self._counters + follower.channel.counters
        place = self.search.occupancy(track)
        follower.found = replace(
            follower.found,
            centre_hz=place.centre_hz,
            bandwidth_hz=place.bandwidth_hz,
            snr_db=place.snr_db,
        )
        self._report(follower, ongoing=False)

    def _add(self, follower: _Follower, decisions: list[Decision]) -> None:
        """Decisions of a signal's frames (the engine's thread)."""
        exponent = self._engine.model.info.fusion_exponent
        with follower.lock:
            for decision in decisions:
                # What was summed before it was tempered, but for a constant.
                posterior = np.maximum(decision.posterior.astype(float), 1e-30)
                follower.log_sum = follower.log_sum + np.log(posterior) * (
                    decision.frames_used**exponent
                )
                found = follower.found
                follower.found = replace(
                    found,
                    frames_used=found.frames_used + decision.frames_used,
                    frames_lost=found.frames_lost + decision.frames_dropped,
                )

    def _report(self, follower: _Follower, ongoing: bool) -> None:
        with follower.lock:
            found = follower.found
            log_sum = follower.log_sum
        if found.frames_used:
            info = self._engine.model.info
            posterior = fuse(log_sum, found.frames_used, info.fusion_exponent)
            best = int(posterior.argmax())
            confidence = float(posterior[best])
            threshold = self.unknown_threshold
            if threshold is None:
                threshold = info.unknown_threshold
            if threshold is None:
                threshold = DEFAULT_CONFIDENCE
            found = replace(
                found,
                label=UNKNOWN_LABEL if confidence < threshold else info.classes[best],
                confidence=confidence,
                entropy=float(-(posterior * np.log(np.maximum(posterior, 1e-300))).sum()),
            )
        track = follower.track
        stop = self._ring.end if ongoing else self._stop(track)
        self._on_signal(replace(found, start=self._start(track), stop=stop, ongoing=ongoing))

    def _start(self, track: Track) -> int:
        return round(track.rows()[0] * self.search.row_samples)

    def _stop(self, track: Track) -> int:
        return min(round(track.rows()[1] * self.search.row_samples), self._ring.end)

    def _fail(self, error: BaseException) -> None:
        self._error = error
