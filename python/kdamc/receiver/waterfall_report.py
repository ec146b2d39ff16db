# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of a run: its waterfall, with what was found drawn in."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

import numpy as np
from gnuradio import blocks, fft, gr

from ..guard import WORK_DONE
from ..whole_file import is_writable, write_whole
from .errors import InputError
from .labels import UNKNOWN
from .records import DecisionRecord, SignalRecord, Summary
from .segments import Segment
from .sink_tap import SinkTap
from .sources import Source

#: The waterfall never has more rows; when it is full, pairs of rows become one.
MAX_ROWS = 2048
#: Rows that a source of known length gives.
_ROWS = 768
#: Bins of a row: as many as leave at least so many rows to a second, or to a source.
_BINS = (64, 1024)
_MIN_ROWS_A_SECOND = 50
#: Rows a second that an endless source gives Python; transforms a second, more are left out.
_ROWS_A_SECOND = 20
_TRANSFORMS_A_SECOND = 500
#: Vectors that are skipped before they are made.
_MAX_SKIP = 4
#: Boxes are kept in one list up to this length, then only the larger half of them.
_MAX_BOXES = 2000
#: Decisions apart by less than this share of their length are one box.
_JOIN = 0.5
#: Of boxes, by how common their label is; all stand out from any grey.
_COLOURS = (
    "#ff9f1c",
    "#2ec4f0",
    "#7ae04a",
    "#ff5964",
    "#e07aff",
    "#ffe94a",
    "#4affd0",
    "#ff8fc7",
    "#a0a8ff",
    "#c8a060",
)
_UNKNOWN_COLOUR = "#c0c0c0"
_LEGEND = 18
_SIZE_INCHES = (11, 8)
_DPI = 110
#: Room that a word takes, shares of the picture.
_TEXT_HEIGHT = 0.022
_TEXT_WIDTH = 0.07
#: The colours reach from so much below the noise to the strongest, over this range at least.
_BELOW_NOISE_DB = 3.0
_LEAST_RANGE_DB = 20.0
_LEAST_POWER = 1e-20
#: Units, and from how many of them on they are used.
_FREQUENCIES = ((1.0, "Hz", 1), (1e3, "kHz", 1), (1e6, "MHz", 1))
_TIMES = ((1.0, "s", 1), (60.0, "min", 10), (3600.0, "h", 10))


@dataclass
class _Box:
    """Something that was found: samples of the source, hertz, words."""

    start: int
    stop: int
    low_hz: float
    high_hz: float
    label: str


class Spectra:
    """Rows of power over frequency, averaged over pieces of time that grow when there are many.

    A row is ``(bins,)`` float32, linear power, low frequencies first.
    """

    def __init__(self) -> None:
        #: (segment, first sample, sample after the last, power)
        self.rows: list[tuple[Segment, int, int, np.ndarray]] = []
        self._factor = 1
        self._under_way: list[tuple[Segment, int, int, np.ndarray]] = []

    def add(self, segment: Segment, start: int, stop: int, power: np.ndarray) -> None:
        """Take a row of ``segment`` that stands for samples ``start`` to ``stop``."""
        under_way = self._under_way
        if under_way and under_way[0][0] is not segment:
            self.flush()
        under_way.append((segment, start, stop, power))
        if len(under_way) >= self._factor:
            self.flush()

    def flush(self) -> None:
        """End the row under way."""
        if self._under_way:
            self.rows.append(_mean(self._under_way))
            self._under_way.clear()
        if len(self.rows) >= MAX_ROWS:
            self._factor *= 2
            halved = []
            for _, same in groupby(self.rows, key=lambda row: id(row[0])):
                rows = list(same)
                halved += [_mean(rows[at : at + 2]) for at in range(0, len(rows), 2)]
            self.rows = halved


def _mean(
    rows: list[tuple[Segment, int, int, np.ndarray]],
) -> tuple[Segment, int, int, np.ndarray]:
    power = np.mean([row[3] for row in rows], axis=0, dtype=np.float32)
    return rows[0][0], rows[0][1], rows[-1][2], power


class SpectrumSink(gr.sync_block):
    """Rows of ``bins`` floats into :class:`Spectra`.

    Each stands for ``samples`` samples; ``scale`` makes a tone of full scale 1.
    """

    def __init__(self, spectra: Spectra, segment: Segment, bins: int, samples: int, scale: float):
        gr.sync_block.__init__(self, "spectrum_sink", [(np.float32, bins)], [])
        self.error: BaseException | None = None
        self._spectra = spectra
        self._segment = segment
        self._samples = samples
        self._scale = np.float32(scale)

    def work(self, input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Keep what is there."""
        try:
            for index, power in enumerate(input_items[0]):
                start = (self.nitems_read(0) + index) * self._samples + self._segment.start
                self._spectra.add(self._segment, start, start + self._samples, power * self._scale)
        except BaseException as error:
            self.error = error
            return WORK_DONE
        return len(input_items[0])


class WaterfallReport(SinkTap):
    """Writes a PNG at the end: time runs down, frequency across, boxes are what was found.

    Spectra are taken from snapshots by GNU Radio's own blocks; memory is bounded.  Decisions that
    follow each other with one label are one box, ``bandwidth_hz`` wide where they do not say;
    if there are signals, only they are drawn.  A report and a tap at once.
    Raises :class:`InputError` if the file cannot be written, or Matplotlib is not there.
    """

    def __init__(self, path: Path, source: Source, bandwidth_hz: float):
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            raise InputError("--report needs the Python package matplotlib") from None
        if path.suffix.lower() != ".png":
            raise InputError(f"{path}: the picture is a PNG, its name ends in .png")
        if not is_writable(path):
            raise InputError(f"{path}: cannot be written")
        self._path = path
        self._source = source
        self._bandwidth_hz = bandwidth_hz
        self._spectra = Spectra()
        self._lock = threading.Lock()
        self._boxes: dict[type, list[_Box]] = {DecisionRecord: [], SignalRecord: []}

    def connect(
        self, graph: gr.top_block, samples: gr.basic_block, segment: Segment, is_complex: bool
    ) -> None:
        """Take spectra of ``segment`` from ``samples``."""
        bins, kept, averaged = _resolution(self._source.segments, segment)
        chain: list[gr.basic_block] = [samples]
        if not is_complex:
            chain.append(blocks.float_to_complex(1))
        if segment.count is not None:
            chain.append(blocks.head(gr.sizeof_gr_complex, segment.count))
        skipping, kept_of_those = _split(kept)
        if skipping > 1:
            item = gr.sizeof_gr_complex
            chain.append(blocks.keep_m_in_n(item, bins, bins * skipping, 0))
        chain.append(blocks.stream_to_vector(gr.sizeof_gr_complex, bins))
        if kept_of_those > 1:
            chain.append(blocks.keep_one_in_n(bins * gr.sizeof_gr_complex, kept_of_those))
        window = fft.window.blackmanharris(bins)
        chain.append(fft.fft_vcc(bins, True, window, True, 1))
        chain.append(blocks.complex_to_mag_squared(bins))
        if averaged > 1:
            chain.append(blocks.integrate_ff(averaged, bins))
        self._spectra.flush()
        self._sink = SpectrumSink(
            self._spectra,
            segment,
            bins,
            samples=bins * kept * averaged,
            scale=1 / (averaged * sum(window) ** 2),
        )
        graph.connect(*chain, self._sink)

    def decision(self, record: DecisionRecord) -> None:
        """Keep a decision as a box, or lengthen that of the one before."""
        width = record.bandwidth_hz or self._bandwidth_hz
        low, high = record.freq_hz - width / 2, record.freq_hz + width / 2
        stop = record.sample_start + record.sample_count
        with self._lock:
            boxes = self._boxes[DecisionRecord]
            if boxes and boxes[-1].label == record.label and boxes[-1].low_hz <= record.freq_hz:
                last = boxes[-1]
                gap = record.sample_start - last.stop
                if record.freq_hz <= last.high_hz and gap <= _JOIN * record.sample_count:
                    last.stop = stop
                    last.low_hz, last.high_hz = min(low, last.low_hz), max(high, last.high_hz)
                    return
            self._add(boxes, _Box(record.sample_start, stop, low, high, record.label))

    def signal(self, record: SignalRecord) -> None:
        """Keep a signal as a box when it has ended."""
        if record.ongoing:
            return
        half = record.bandwidth_hz / 2
        box = _Box(
            record.sample_start,
            record.sample_start + record.sample_count,
            record.freq_hz - half,
            record.freq_hz + half,
            record.label,
        )
        with self._lock:
            self._add(self._boxes[SignalRecord], box)

    def stats(self, stats: Mapping[str, Any]) -> None:
        """Counters are not in the picture."""

    def summary(self, summary: Summary) -> None:
        """Draw the picture and write it, whole or not at all.  Raises OSError."""
        self._spectra.flush()
        if not self._spectra.rows:
            return
        with self._lock:
            boxes = self._boxes[SignalRecord] or self._boxes[DecisionRecord]
            picture = self._draw(summary, boxes)
        try:
            write_whole(self._path, picture)
        except OSError as error:
            raise OSError(f"{self._path}: {error.strerror or error}") from None

    @staticmethod
    def _add(boxes: list[_Box], box: _Box) -> None:
        boxes.append(box)
        if len(boxes) > _MAX_BOXES:
            *others, last = boxes
            others.sort(key=lambda box: box.stop - box.start, reverse=True)
            boxes[:] = [*others[: _MAX_BOXES // 2], last]  # the last may still grow

    def _draw(self, summary: Summary, boxes: list[_Box]) -> bytes:
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch, Rectangle
        from matplotlib.patheffects import withStroke

        figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
        axes = figure.add_subplot()
        rate = self._source.segments[0].sample_rate
        edges = [edge for row in self._spectra.rows for edge in _edges(row[0], self._source)]
        hertz, unit = _unit(max(abs(edge) for edge in edges), _FREQUENCIES)
        end = max(row[2] for row in self._spectra.rows)
        begin = min(row[1] for row in self._spectra.rows)
        tick, time_unit = _unit(end / rate, _TIMES)
        seconds = tick * rate  # samples in a unit of time

        levels = [10 * np.log10(np.maximum(row[3], _LEAST_POWER)) for row in self._spectra.rows]
        low = float(np.median([np.percentile(level, 10) for level in levels])) - _BELOW_NOISE_DB
        high = max(low + _LEAST_RANGE_DB, max(float(level.max()) for level in levels))
        at = 0
        for _, same in groupby(self._spectra.rows, key=lambda row: id(row[0])):
            rows = list(same)
            left, right = _edges(rows[0][0], self._source)
            image = np.array(levels[at : at + len(rows)])
            at += len(rows)
            if not self._source.is_complex:
                image = image[:, image.shape[1] // 2 :]
            picture = axes.imshow(
                image,
                aspect="auto",
                interpolation="nearest",
                extent=(left / hertz, right / hertz, rows[-1][2] / seconds, rows[0][1] / seconds),
                vmin=low,
                vmax=high,
                cmap="gray",
            )
        axes.set_xlim(min(edges) / hertz, max(edges) / hertz)
        axes.set_ylim(end / seconds, begin / seconds)

        labels = summary.signal_labels() or summary.labels()
        names = [label for label, *_ in labels if label != UNKNOWN]
        colours = dict(zip(names, cycle(_COLOURS), strict=False))
        halo = [withStroke(linewidth=2.5, foreground="black")]
        texts: list[tuple[float, float]] = []
        for box in sorted(boxes, key=lambda box: box.start - box.stop):
            left = max(box.low_hz, min(edges)) / hertz
            right = min(box.high_hz, max(edges)) / hertz
            top, bottom = box.start / seconds, box.stop / seconds
            colour = colours.get(box.label, _UNKNOWN_COLOUR)
            axes.add_patch(
                Rectangle(
                    (left, top),
                    right - left,
                    bottom - top,
                    fill=False,
                    edgecolor=colour,
                    linewidth=1.6,
                    path_effects=halo,
                )
            )
            # The largest boxes are named first, others where there is room.
            height = (end - begin) / seconds * _TEXT_HEIGHT
            width = (max(edges) - min(edges)) / hertz * _TEXT_WIDTH
            if all(abs(top - y) > height or abs(left - x) > width for x, y in texts):
                texts.append((left, top))
                axes.text(
                    left,
                    top,
                    f" {box.label}",
                    color=colour,
                    fontsize=9,
                    va="top",
                    clip_on=True,
                    path_effects=halo,
                )
        axes.set_xlabel(f"frequency, {unit}")
        axes.set_ylabel(f"time, {time_unit}")
        axes.ticklabel_format(useOffset=False)
        figure.colorbar(picture, label="power in a bin, dBFS", pad=0.01)
        axes.legend(
            handles=[
                Patch(
                    facecolor="none",
                    edgecolor=colours.get(label, _UNKNOWN_COLOUR),
                    label=f"{label}: {count} ({share:.0%})",
                )
                for label, count, share, _ in labels[:_LEGEND]
            ],
            loc="upper center",
            bbox_to_anchor=(0.5, -0.07),
            ncols=6,
            fontsize=8,
            frameon=False,
        )
        count, what = summary.decisions, "decisions"
        if summary.signals:
            count, what = summary.signals, "signals"
        axes.set_title(
            f"{_shortened(summary.source)}\n{count} {what} by {summary.model}, "
            f"{summary.duration_s:.4g} s at {rate / 1e6:.6g} MS/s",
            fontsize=10,
        )
        file = io.BytesIO()
        figure.savefig(file, format="png")
        return file.getvalue()


def _edges(segment: Segment, source: Source) -> tuple[float, float]:
    """Lowest and highest frequency of a segment, Hz."""
    half = segment.sample_rate / 2
    return segment.freq_hz - half if source.is_complex else segment.freq_hz, segment.freq_hz + half


def _unit(most: float, units: tuple[tuple[float, str, int], ...]) -> tuple[float, str]:
    """Size and name of the unit for values up to ``most``."""
    fitting = [unit for unit in units if most >= unit[0] * unit[2]]
    size, name, _ = (fitting or units[:1])[-1]
    return size, name


def _shortened(text: str, limit: int = 90) -> str:
    return text if len(text) <= limit else "..." + text[3 - limit :]


def _resolution(segments: list[Segment], segment: Segment) -> tuple[int, int, int]:
    """``(bins, n, m)``: of n transforms of ``bins`` samples one is made, m of them are a row."""
    rate = segment.sample_rate
    if segment.count is None:
        samples = rate / _ROWS_A_SECOND
    else:
        others = sum(part.count or 0 for part in segments if part.start != segment.start)
        samples = (segment.count + others) / _ROWS
    fitting = min(samples, max(rate / _MIN_ROWS_A_SECOND, _BINS[0]))
    bins = 1 << math.floor(math.log2(min(max(fitting, _BINS[0]), _BINS[1])))
    transforms = max(1, round(samples / bins))
    kept = min(transforms, max(1, round(rate / bins / _TRANSFORMS_A_SECOND)))
    kept = math.prod(_split(kept))
    return bins, kept, max(1, transforms // kept)


def _split(kept: int) -> tuple[int, int]:
    """``kept`` as a product: samples are skipped cheapest before they are vectors.

    What is skipped at once must fit into the smallest buffer.
    """
    skipping = min(kept, _MAX_SKIP)
    return skipping, kept // skipping
