# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where in a band are signals, and since when? Noise floor, threshold, tracks.

Works on averaged power spectra (see ``AveragedSpectrum`` of the kernel), some sixty a second,
and knows nothing of GNU Radio.

- The noise floor is a smooth curve under the spectrum: a low quantile in each of some sixty
  stretches of the band, then asymmetric least squares through them (P. H. C. Eilers, "A perfect
  smoother", Anal. Chem. 2003, 75, 3631), which follows a receiver's slope and passes under
  signals. Stretches far below the others (a filter's stop band) say nothing about noise.
- A cell averages a few neighbouring bins. Detection has a constant false alarm rate: the
  threshold over the floor follows from how many periodograms a cell averages. Two thresholds
  make the hysteresis in frequency; a few spectra on and a few off make the one in time.
- A track is a signal while it lasts. Its mean spectrum, over all its rows, gives centre and
  bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import solve_banded

#: Duration that a spectrum should average over, seconds: bursts are timed to within one.
ROW_SECONDS = 0.016
#: Bins of a spectrum lie about this share of the band apart, within the limits.
_BINS_WANTED = 4000
_MIN_BINS, _MAX_BINS = 512, 16384
#: Share of independent periodograms among half overlapping ones with this window.
_INDEPENDENT = 0.9
#: Of the bins of a cell: neighbours of one transform share the window's main lobe.
_CELL_BINS = 5
_CELL_INDEPENDENT = 2.2
#: Thresholds over the floor, as standard normal deviates of the same probability: to open, to
#: stay. A cell of noise is over the first once in 30 million.
_OPEN_DEVIATE, _STAY_DEVIATE = 5.4, 3.0
#: And in any case by so much, for floors are not known exactly.
_MIN_OPEN, _MIN_STAY = 1.6, 1.3
#: What lies over the floor by no more than this must last twice as long to count.
_CLEAR = 2.5
#: The floor: stretches of the band, the quantile in each, stiffness and asymmetry of the curve.
_STRETCHES = 64
_QUANTILE, _QUANTILE_DEVIATE = 0.3, -0.524
_STIFFNESS, _ASYMMETRY, _ITERATIONS = 3000.0, 0.001, 8
#: A stretch that lies so far under the median one is no noise but a filter's stop band.
_STOP_BAND_DB = 20.0
#: In a receiver's audio the step between its filter's stop and pass band is at least so high.
_AUDIO_STEP_DB = 15.0
#: What a Hilbert transformer makes of audio is no good at the ends of its band.
_AUDIO_EDGE_SHARE = 0.015
#: A mean spectrum may show so much more of a signal, in its width, than a row does.
_REACH = 0.2
#: Pieces that belong together show it within so many rows.
_JOIN_WITHIN_ROWS = 12
#: Weaker than a neighbour by so much, and closer than so many of its widths: what it leaks, or
#: clips. Side lobes, as of continuous phase without a filter, are two, weaker, and close by.
_SKIRT_DB, _SKIRT_REACH = 38.0, 1.5
_SIDE_LOBE_DB, _SIDE_LOBE_REACH = 12.0, 0.5


def plan_rows(sample_rate: float) -> tuple[int, int]:
    """``(bins, averages)`` of the spectra for a band, with rows of about ROW_SECONDS."""
    bins = 1 << round(np.log2(_BINS_WANTED))
    while bins > _MIN_BINS and bins / sample_rate > ROW_SECONDS / 6:
        bins //= 2
    while bins < _MAX_BINS and sample_rate / bins > 1500.0:
        bins *= 2
    return bins, max(10, round(ROW_SECONDS * sample_rate * 2 / bins))


@dataclass
class Occupancy:
    """What is known of a signal from its spectra.

    Frequencies in Hz from the middle of the band, ``floor`` and ``power`` as the spectra;
    ``snr_db`` is signal over noise within ``bandwidth_hz``.
    """

    centre_hz: float
    bandwidth_hz: float
    snr_db: float
    floor: float


@dataclass
class Track:
    """A signal while it lasts.

    ``start_row`` and ``last_row`` are the first and the latest row that hold it; ``low`` and
    ``high`` its bins; ``ended`` whether it is over. ``number`` counts confirmed tracks from 1.
    A track that nobody has ``looked_at`` may still turn out to be a piece of another: for
    ``joined_rows`` one region held both.
    """

    start_row: int
    low: float
    high: float
    spectrum: np.ndarray = field(repr=False)
    floor: np.ndarray = field(repr=False)
    number: int = 0
    last_row: int = 0
    seen_rows: int = 0
    joined_rows: int = 0
    looked_at: bool = False
    ended: bool = False
    first_excess: float = 0.0
    last_excess: float = 0.0

    @property
    def confirmed(self) -> bool:
        """Whether it lasted long enough to count."""
        return self.number > 0

    def add(self, row: int, spectrum: np.ndarray, floor: np.ndarray) -> None:
        """A row that holds it."""
        self.last_row = row
        self.spectrum += spectrum
        self.floor += floor
        bins = slice(int(self.low), int(self.high) + 1)
        self.last_excess = float((spectrum[bins] - floor[bins]).sum())
        if self.seen_rows == 0:
            self.first_excess = self.last_excess
        self.seen_rows += 1

    def over_floor(self) -> float:
        """Its mean power over that of the noise in its bins, as a ratio; both are in the former."""
        bins = slice(int(self.low), int(self.high) + 1)
        return float(self.spectrum[bins].sum() / max(self.floor[bins].sum(), 1e-30))

    def rows(self) -> tuple[float, float]:
        """Start and stop in rows, whole rows less what the first and the last do not hold."""
        bins = slice(int(self.low), int(self.high) + 1)
        mean = float((self.spectrum[bins] - self.floor[bins]).sum())
        if self.seen_rows > 2:
            mean -= self.first_excess + self.last_excess
        mean = max(mean / max(1, self.seen_rows - 2), 1e-30)

        def share(excess: float) -> float:
            return min(1.0, max(0.0, excess / mean))

        return (
            self.start_row + 1 - share(self.first_excess),
            self.last_row + share(self.last_excess),
        )


class SignalSearch:
    """Rows of spectra in, tracks out.

    ``bins`` and ``averages`` are those of the spectra. ``confirm_rows`` and ``release_rows`` are
    the hysteresis in time; ``min_bandwidth_hz`` is the narrowest signal that counts;
    ``ignore_dc`` drops a spike at 0 Hz, which direct conversion receivers make. ``audio`` says
    that the band is what a receiver's filter left of a wider one: outside it there is no noise.
    """

    def __init__(
        self,
        sample_rate: float,
        bins: int,
        averages: int,
        *,
        confirm_rows: int = 2,
        release_rows: int = 4,
        min_bandwidth_hz: float = 0.0,
        ignore_dc: bool = True,
        audio: bool = False,
    ) -> None:
        self.sample_rate = sample_rate
        self.bins = bins
        self.hertz_per_bin = sample_rate / bins
        self.row_samples = averages * bins // 2
        self._confirm_rows = confirm_rows
        self._release_rows = release_rows
        self._min_bins = max(2.0, min_bandwidth_hz / self.hertz_per_bin)
        self._ignore_dc = ignore_dc
        self._audio = audio
        self._edge_bins = int(_AUDIO_EDGE_SHARE * bins)
        sigma = (max(1.0, averages * _INDEPENDENT) * _CELL_INDEPENDENT) ** -0.5
        self._sigma = sigma
        self._open = max(_MIN_OPEN, _gamma_quantile(sigma, _OPEN_DEVIATE))
        self._stay = max(_MIN_STAY, _gamma_quantile(sigma, _STAY_DEVIATE))
        stretches = min(_STRETCHES, bins // 16)
        self._stretches = stretches
        self._middles = (np.arange(stretches) + 0.5) * (bins / stretches) - 0.5
        second = np.diff(np.eye(stretches), 2, axis=0)
        # The same share of the band for every number of stretches.
        stiff = _STIFFNESS * (stretches / _STRETCHES) ** 4 * second.T @ second
        # Its five diagonals, one a row, as SciPy wants them.
        self._stiff = np.zeros((5, stretches))
        for above in range(-2, 3):
            at = slice(max(above, 0), stretches + min(above, 0))
            self._stiff[2 - above, at] = np.diag(stiff, above)
        self._tracks: list[Track] = []
        self._numbered = 0
        self.row = 0

    @property
    def tracks(self) -> list[Track]:
        """The confirmed tracks that last."""
        return [track for track in self._tracks if track.confirmed]

    def floor_of(self, spectrum: np.ndarray) -> np.ndarray:
        """Noise floor (bins,) of a spectrum (bins,), in its units."""
        level = self._levels(spectrum)
        if self._audio:
            believed = level > _upper_heap(level)
        else:
            believed = level > np.median(level) - _STOP_BAND_DB
        weights = believed.astype(float)
        for _ in range(_ITERATIONS):
            system = self._stiff.copy()
            system[2] += weights
            # Not NumPy's solver for any matrix: its threads wait for each other at work, and take
            # a whole core where rows come 60 times a second.
            curve = solve_banded(
                (2, 2), system, weights * level, overwrite_ab=True, check_finite=False
            )
            # A little above the curve is noise as well: only what sticks out is a signal.
            changed = np.where(level - curve > 1.0, _ASYMMETRY, 1.0) * believed
            if np.array_equal(changed, weights):
                break
            weights = changed
        # Nothing is looked for in a stop band.
        curve = np.where(believed, curve, np.maximum(curve, level.max()))
        return 10 ** (np.interp(np.arange(self.bins), self._middles, curve) / 10)

    def _levels(self, spectrum: np.ndarray) -> np.ndarray:
        """A low quantile in each stretch of the band, corrected to the mean, dB."""
        stretches = _smooth(spectrum).reshape(self._stretches, -1)
        rank = int(_QUANTILE * stretches.shape[1])
        low = np.partition(stretches, rank, axis=1)[:, rank]
        return 10 * np.log10(
            np.maximum(low / _gamma_quantile(self._sigma, _QUANTILE_DEVIATE), 1e-30)
        )

    def feed(self, spectrum: np.ndarray) -> list[Track]:
        """Take the next row (bins,); return the confirmed tracks that ended with it."""
        floor = self.floor_of(spectrum)
        regions = self._regions(spectrum, floor)
        row = self.row
        self.row += 1
        for low, high in regions:
            matched = [t for t in self._tracks if t.low < high and low < t.high]
            if not matched:
                zeros = np.zeros(self.bins)
                matched = [Track(row, low, high, zeros, zeros.copy(), last_row=-1)]
                self._tracks += matched
            elif len(matched) == 1:
                self._widen(matched[0], low, high, regions)
            else:
                matched = self._join(matched)
            for track in matched:
                if track.last_row < row:
                    track.add(row, spectrum, floor)
        ended = []
        for track in list(self._tracks):
            wanted = self._confirm_rows * (1 if track.over_floor() > _CLEAR else 2)
            if not track.confirmed and track.seen_rows >= wanted:
                self._numbered += 1
                track.number = self._numbered
            gone = row - track.last_row
            if gone > (self._release_rows if track.confirmed else 0):
                self._tracks.remove(track)
                track.ended = True
                if track.confirmed:
                    ended.append(track)
        return ended

    def finish(self) -> list[Track]:
        """The stream ended: the confirmed tracks that lasted."""
        ended = self.tracks
        for track in ended:
            track.ended = True
        self._tracks = []
        return ended

    def _join(self, matched: list[Track]) -> list[Track]:
        """Tracks that one region holds: pieces that a weak start fell into become one again."""
        first = min(matched, key=lambda track: (track.start_row, track.low))
        kept = [first]
        for track in matched:
            if track is first:
                continue
            track.joined_rows += 1
            young = track.seen_rows < _JOIN_WITHIN_ROWS and not track.looked_at
            if young and track.joined_rows > max(1, track.seen_rows // 2):
                first.low, first.high = min(first.low, track.low), max(first.high, track.high)
                self._tracks.remove(track)
            else:
                kept.append(track)
        return kept

    @staticmethod
    def _widen(track: Track, low: float, high: float, regions: list[tuple[float, float]]) -> None:
        """Let the edges of a track follow the region that it was found in."""
        if sum(track.low < b and a < track.high for a, b in regions) == 1:
            share = max(0.1, 1 / (track.seen_rows + 1))
            track.low += share * (low - track.low)
            track.high += share * (high - track.high)
        else:
            track.low, track.high = min(track.low, low), max(track.high, high)

    def occupancy(self, track: Track) -> Occupancy:
        """Centre, bandwidth and SNR from the mean spectrum of a track so far."""
        power = track.spectrum / track.seen_rows
        floor = track.floor / track.seen_rows
        excess = _smooth(power) - floor
        # Neighbours' halves of the gaps between them and this track are not looked at.
        # Neither is what lies farther off: neighbours that are over are still in the mean.
        reach = max(_CELL_BINS, _REACH * (track.high - track.low))
        below = max((t.high for t in self._tracks if t.high <= track.low), default=-np.inf)
        above = min((t.low for t in self._tracks if t.low >= track.high), default=np.inf)
        first = max(0, int(max(track.low - reach, (below + track.low) / 2)))
        last = min(self.bins, int(min(track.high + reach, (above + track.high) / 2)) + 1)
        inside = excess[first:last]
        sigma = self._sigma * track.seen_rows**-0.5
        # Occupied is what stands out of the floor's uncertainty and is no skirt of the rest.
        level = np.quantile(inside, 0.75)
        limit = np.maximum(floor[first:last] * max(0.02, 4 * sigma), 0.1 * level)
        bins = np.flatnonzero(inside > limit)
        if len(bins) == 0:
            bins = np.arange(len(inside))
        taken = np.maximum(inside, 0.0)
        taken[: bins[0]] = taken[bins[-1] + 1 :] = 0.0
        summed = np.concatenate([[0.0], np.cumsum(taken)])
        at = np.interp(
            np.array([0.005, 0.1, 0.9, 0.995]) * summed[-1], summed, np.arange(len(summed))
        )
        low, high = first + at[0], first + at[3]
        centre = first + (at[0] + at[1] + at[2] + at[3]) / 4
        noise = float(floor[int(low) : int(high) + 1].mean()) * max(high - low, 1.0)
        return Occupancy(
            centre_hz=(centre - 0.5 - self.bins / 2) * self.hertz_per_bin,
            bandwidth_hz=(high - low) * self.hertz_per_bin,
            snr_db=10 * float(np.log10(max(summed[-1], 1e-30) / noise)),
            floor=float(floor[first:last].mean()),
        )

    def _regions(self, spectrum: np.ndarray, floor: np.ndarray) -> list[tuple[float, float]]:
        """Occupied stretches ``(low, high)`` of a row, in bins."""
        ratio = _smooth(spectrum / floor)
        stay = np.concatenate([[False], ratio > self._stay, [False]])
        change = np.flatnonzero(stay[1:] != stay[:-1])
        found: list[list[float]] = []
        for low, high in change.reshape(-1, 2):
            if found and low - found[-1][1] <= _CELL_BINS // 2:
                found[-1][1] = high
            else:
                found.append([low, high])
        kept: list[tuple[float, float, float]] = []
        for low, high in found:
            part = ratio[int(low) : int(high)]
            if (part > self._open).sum() < self._min_bins:
                continue
            if self._audio and (high <= self._edge_bins or low >= self.bins - self._edge_bins):
                continue
            if self._ignore_dc and high - low <= 3 * _CELL_BINS and low <= self.bins / 2 <= high:
                continue
            kept.append((low, high, float(part.max())))
        return [
            (low, high)
            for low, high, top in kept
            if not any(self._is_skirt(ratio, (low, high, top), other) for other in kept)
        ]

    def _is_skirt(
        self,
        ratio: np.ndarray,
        region: tuple[float, float, float],
        other: tuple[float, float, float],
    ) -> bool:
        """Whether a region belongs to a stronger one beside it: (low, high, top) of both.

        It does if it is so weak that a receiver may have made it of the other, or if it is one
        of two side lobes: no wider, and as strong as what lies as far off on the other side. What
        was a signal before it had an image there remains one.
        """
        low, high, top = region
        a, b, other_top = other
        if not (other_top > top and max(low - b, a - high) < _SKIRT_REACH * (b - a)):
            return False
        if other_top > top * 10 ** (_SKIRT_DB / 10):
            return True
        near = max(low - b, a - high) < _SIDE_LOBE_REACH * (b - a) and high - low <= b - a
        if not near or other_top < top * 10 ** (_SIDE_LOBE_DB / 10):
            return False
        if any(track.low < high and low < track.high for track in self.tracks):
            return False
        mirrored = a + b - 1
        first, last = int(mirrored - high + 1), int(mirrored - low + 1)
        if first < 0 or last > len(ratio):
            return False
        excess = float(ratio[int(low) : int(high)].mean()) - 1
        opposite = float(ratio[first:last].mean()) - 1
        return 0.5 * excess < opposite < 2 * excess


def _upper_heap(level: np.ndarray) -> float:
    """The level that parts a pass band from a stop band, dB; lowest of all if there is one heap."""
    ordered = np.sort(level)
    steps = np.diff(ordered)
    widest = int(steps.argmax())
    return float(ordered[widest]) if steps[widest] > _AUDIO_STEP_DB else -np.inf


def _gamma_quantile(sigma: float, deviate: float) -> float:
    """Quantile of a mean of squares with mean 1 and standard deviation ``sigma``.

    By the cube root that is nearly normal (E. B. Wilson, M. M. Hilferty, PNAS 1931, 17, 684).
    """
    ninth = sigma**2 / 9
    return (1 - ninth + deviate * ninth**0.5) ** 3


def _smooth(spectrum: np.ndarray) -> np.ndarray:
    """Mean over the bins of a cell around each bin."""
    half = _CELL_BINS // 2
    summed = np.cumsum(np.concatenate([[0.0], spectrum]), dtype=float)
    at = np.arange(len(spectrum))
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(spectrum))
    return (summed[high] - summed[low]) / (high - low)
