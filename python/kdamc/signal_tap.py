# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""One signal of a band, taken out of it as a model wants it, from its true start to its end."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .contract import ModelInfo
from .kdamc_python import AveragedSpectrum, Extractor
from .signal_search import Occupancy, SignalSearch, Track, plan_rows
from .symbol_rate import HIGHEST_SHARE, estimate_symbol_rate

#: Rows of spectra that are seen of a signal before its extractor is set.
SETTLE_ROWS = 12
#: Between checks of where a lasting signal is now, and what is looked at, seconds.
FOLLOW_SECONDS = 1.0
#: An extractor is set anew where centre (of the bandwidth) or rate moved by so much.
_DRIFT_SHARE, _RATE_SHARE = 0.04, 0.02
#: The pass band and the slope beyond it, over the bandwidth that a spectrum shows: the ends of a
#: root-raised-cosine spectrum lie under the noise.
_PASS, _SLOPE = 1.25, 0.25
#: Samples at this many bandwidths tell the symbol rate.
_LOOK_RATE = 2.5 * HIGHEST_SHARE
#: Symbols a second over bandwidth, where a signal shows no symbols.
_ASSUMED_SHARE = 0.85
#: Bandwidth over the symbol rate of a signal of which only the latter is known.
BANDWIDTH_SHARE = 1.2
#: What a network is given that does not say what it wants.
_SAMPLES_PER_SYMBOL = 8.0
#: Output rates end at this many times the band's.
_MOST_OVERSAMPLING = 32


@dataclass(frozen=True)
class WantedRate:
    """At what rate a network wants the samples of a signal.

    ``samples_per_symbol``, or where ``oversampling`` is given so many samples for each cycle of
    the signal's bandwidth, which every signal has.
    """

    samples_per_symbol: float = _SAMPLES_PER_SYMBOL
    oversampling: float | None = None

    @classmethod
    def of(cls, info: ModelInfo) -> WantedRate:
        """The middle of what a model was trained on."""
        if info.oversampling is not None:
            return cls(oversampling=math.sqrt(math.prod(info.oversampling)))
        if info.samples_per_symbol is not None:
            return cls(math.sqrt(math.prod(info.samples_per_symbol)))
        return cls()

    def hertz(self, bandwidth_hz: float, symbol_rate_hz: float | None) -> float:
        """The sample rate for a signal; where it shows no symbols, some are assumed."""
        if self.oversampling is not None:
            return self.oversampling * bandwidth_hz
        return self.samples_per_symbol * (symbol_rate_hz or _ASSUMED_SHARE * bandwidth_hz)

    def per_symbol(self) -> float:
        """Samples a symbol, of a signal of which only the symbol rate is known."""
        return self.hertz(BANDWIDTH_SHARE, 1.0)


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


class Band:
    """The samples of a band, their spectra, and the search for signals in these.

    ``sample_rate`` in Hz; the ring holds ``ring_seconds``; ``search`` are settings of
    :class:`SignalSearch`.
    """

    def __init__(self, sample_rate: float, ring_seconds: float, **search: float | bool) -> None:
        bins, averages = plan_rows(sample_rate)
        self.sample_rate = sample_rate
        self.search = SignalSearch(sample_rate, bins, averages, **search)
        self._spectrum = AveragedSpectrum(bins, averages)
        # Transforms overlap: a row needs half of one more than its samples.
        self._row_end = self.search.row_samples + bins // 2
        self.ring = SampleRing(max(round(ring_seconds * sample_rate), 4 * self._row_end))
        #: Rows between looks at a lasting signal.
        self.follow_rows = max(
            SETTLE_ROWS, round(FOLLOW_SECONDS * sample_rate / self.search.row_samples)
        )

    def take(self, samples: np.ndarray) -> tuple[int, list[Track] | None]:
        """Take samples up to the end of a row: how many, and the tracks that ended with the row.

        The latter is None where the row is not complete. That parts end where rows do makes all
        that follows independent of how a stream is cut.
        """
        part = samples[: self._row_end - self.ring.end]
        self.ring.write(part)
        rows = self._spectrum.process(part)
        if self.ring.end < self._row_end:
            return len(part), None
        self._row_end += self.search.row_samples
        return len(part), self.search.feed(rows[0])


@dataclass(frozen=True)
class Aim:
    """What an extractor is set to, all in Hz; ``centre_hz`` from the middle of the band."""

    centre_hz: float
    bandwidth_hz: float
    sample_rate: float


def extractor_for(band_rate: float, aim: Aim) -> Extractor:
    """An extractor that passes a signal's bandwidth and what lies close to it."""
    lower = min(aim.sample_rate, band_rate)
    half = min(_PASS * aim.bandwidth_hz / 2, 0.4 * lower)
    slope = min(_SLOPE * aim.bandwidth_hz, lower / 2 - half)
    return Extractor(band_rate, aim.centre_hz, aim.sample_rate, 2 * half, slope)


class SignalTap:
    """A track's signal: where it is, and its samples.

    ``wanted`` is the rate that the samples are wanted at. After :meth:`look` there is a ``place``,
    after :meth:`aim` an ``aimed``; ``samples_lost`` left the ring unused.
    """

    def __init__(self, band: Band, track: Track, wanted: WantedRate) -> None:
        track.looked_at = True
        self.track = track
        self.place: Occupancy | None = None
        self.symbol_rate_hz: float | None = None
        self.aimed: Aim | None = None
        self.samples_lost = 0
        #: The next sample of the band to be taken.
        self.position = track.start_row * band.search.row_samples
        self._band = band
        self._wanted = wanted
        self._extractor: Extractor | None = None
        self._before: tuple[np.ndarray, np.ndarray, int] | None = None
        self._looked_row: int | None = None

    @property
    def start(self) -> int:
        """Its first sample, as far as is known."""
        return round(self.track.rows()[0] * self._band.search.row_samples)

    @property
    def stop(self) -> int:
        """After its last sample until now."""
        last = round(self.track.rows()[1] * self._band.search.row_samples)
        return min(last, self._band.ring.end)

    @property
    def is_due(self) -> bool:
        """Whether it is time to look again."""
        row = self._band.search.row
        return self._looked_row is None or row - self._looked_row >= self._band.follow_rows

    def look(self) -> None:
        """See where the signal is, by its rows since the last look, and its symbol rate."""
        track, search = self.track, self._band.search
        recent = track
        if self._before is not None and track.seen_rows - self._before[2] >= SETTLE_ROWS:
            spectrum, floor, seen = self._before
            recent = replace(
                track,
                spectrum=track.spectrum - spectrum,
                floor=track.floor - floor,
                seen_rows=track.seen_rows - seen,
            )
        self._before = (track.spectrum.copy(), track.floor.copy(), track.seen_rows)
        self._looked_row = search.row
        self.place = search.occupancy(recent)
        self.symbol_rate_hz = self._estimate_symbol_rate() or self.symbol_rate_hz

    def look_back(self) -> None:
        """See where the signal was, all its rows together."""
        if self.place is None:
            self.look()
        else:
            self.place = self._band.search.occupancy(self.track)

    def aim(self) -> bool:
        """Set the extractor, unless it is set well already; whether it was set anew."""
        place = self.place
        rate = self._wanted.hertz(place.bandwidth_hz, self.symbol_rate_hz)
        most = _MOST_OVERSAMPLING * self._band.sample_rate
        wanted = Aim(place.centre_hz, place.bandwidth_hz, min(rate, most))
        now = self.aimed
        if now is None:
            self.position = max(self.position, self.start)
        elif (
            abs(wanted.centre_hz - now.centre_hz) < _DRIFT_SHARE * wanted.bandwidth_hz
            and abs(wanted.sample_rate / now.sample_rate - 1) < _RATE_SHARE
        ):
            return False
        self.aimed = wanted
        self._extractor = extractor_for(self._band.sample_rate, wanted)
        return True

    def take(self) -> list[np.ndarray]:
        """Its samples that have not been taken; without an aim they are lost."""
        # The latest row that holds the signal may be the one in which it ends.
        latest = self.track.last_row * self._band.search.row_samples
        stop = self.stop if self.track.ended else latest
        start = max(self.position, self._band.ring.start)
        self.samples_lost += start - self.position
        self.position = max(self.position, stop)
        if self._extractor is None:
            self.samples_lost += max(0, stop - start)
            return []
        taken = [self._extractor.process(part) for part in self._band.ring.parts(start, stop)]
        if self.track.ended:
            taken.append(self._extractor.process(np.zeros(self._extractor.tail, np.complex64)))
        return [part for part in taken if len(part)]

    def _estimate_symbol_rate(self) -> float | None:
        """From what the ring holds of the signal, not more than a second."""
        band, place = self._band, self.place
        stop = self.stop
        start = max(self.start, band.ring.start, stop - round(FOLLOW_SECONDS * band.sample_rate))
        rate = min(_LOOK_RATE * place.bandwidth_hz, band.sample_rate)
        extractor = extractor_for(band.sample_rate, Aim(place.centre_hz, place.bandwidth_hz, rate))
        looked = [extractor.process(part) for part in band.ring.parts(start, stop)]
        if not looked:
            return None
        return estimate_symbol_rate(np.concatenate(looked), rate, place.bandwidth_hz)
