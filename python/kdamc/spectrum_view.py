# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Qt widget of the KD AMC Spectrum: a band's spectrum with labels, and its waterfall."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PyQt5.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PyQt5.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter, QPen, QPolygonF
from PyQt5.QtWidgets import QSizePolicy, QWidget

from .decision_view import UNKNOWN_COLOUR, colours_of
from .metadata import SignalMessage

#: Pixels.
_MARGIN = 8
_TEXT = 12
_LABEL = 14
#: A signal that nobody tells of any more is over after this time: seconds.
_FORGOTTEN = 10.0
#: The axis of levels: its steps, and room above the strongest and below the weakest, dB.
_STEP_DB = 10.0
_ABOVE_DB, _BELOW_DB = 6.0, 4.0
#: Of a new picture in the mean of the spectra.
_NEW_SHARE = 0.4
#: Of a signal's colour over its band.
_TINT = 0.3
#: The waterfall: its lines and the most columns; how much under the noise is blank, and how much
#: over it is dark, dB; its share of the picture, and how high that must be to have one: pixels.
_LINES = 160
_MOST_COLUMNS = 1024
_PALE_DB, _DARK_DB = 4.0, 30.0
_WATERFALL_SHARE = 0.4
_HIGH_ENOUGH = 260


@dataclass
class _Shown:
    """A signal, when it was last heard of, and whether it was over then."""

    signal: SignalMessage
    at: float


class Waterfall:
    """A picture of the spectra of the last ``seconds`` seconds, the newest on top."""

    def __init__(self, seconds: float, columns: int, blank: QColor) -> None:
        self._slot = seconds / _LINES
        self._blank = blank.rgb()
        self._cells = np.full((_LINES, columns), self._blank, np.uint32)
        # Shares the memory of the array.
        self._image = QImage(
            self._cells.data, columns, _LINES, 4 * columns, QImage.Format.Format_RGB32
        )
        self._now: int | None = None
        self._line = np.full(columns, self._blank, np.uint32)

    @property
    def columns(self) -> int:
        """Of the picture."""
        return self._cells.shape[1]

    def is_new(self, at: float) -> bool:
        """Whether the time ``at`` begins a line, and not only changes the latest."""
        return int(at / self._slot) != self._now

    def add(self, line: np.ndarray, at: float) -> None:
        """A line (columns,) of colours 0xffRRGGBB from the time ``at`` on."""
        slot = int(at / self._slot)
        new = 1 if self._now is None else min(slot - self._now, _LINES)
        # Slots count upwards in time and downwards in the picture.
        self._cells[-np.arange(slot - new + 1, slot) % _LINES] = self._line
        self._cells[-slot % _LINES] = self._line = line
        self._now = slot

    def paint(self, painter: QPainter, place: QRectF) -> None:
        """Into ``place``."""
        top = 0 if self._now is None else -self._now % _LINES
        height = place.height() * (_LINES - top) / _LINES
        newer = QRectF(place.left(), place.top(), place.width(), height)
        older = QRectF(place.left(), newer.bottom(), place.width(), place.height() - height)
        painter.drawImage(newer, self._image, QRectF(0, top, self.columns, _LINES - top))
        painter.drawImage(older, self._image, QRectF(0, 0, self.columns, top))


class SpectrumView(QWidget):
    """Shows a spectrum and signals; every method belongs to the thread of the window.

    ``fade_time`` is how many seconds an ended signal takes to fade out; ``waterfall`` is how many
    seconds the waterfall shows, 0 for none.
    """

    def __init__(self, title: str, fade_time: float = 3.0, waterfall: float = 0.0) -> None:
        QWidget.__init__(self)
        self._title = title
        self._fade_time = fade_time
        self._seconds = waterfall
        self._waterfall: Waterfall | None = None
        self._highest: np.ndarray | None = None  # of what shares the latest line
        self._fresh = True
        self._centre_hz = 0.0
        self._rate = 1.0
        self._mean: np.ndarray | None = None
        self._limits: tuple[float, float] | None = None
        self._signals: dict[int, _Shown] = {}
        self._now = 0.0
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Expanding)
        self.setAttribute(Qt.WA_OpaquePaintEvent)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Where nothing else decides."""
        return QSize(700, 380)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """A label still fits."""
        return QSize(200, 120)

    def set_title(self, title: str) -> None:
        """The text above the spectrum; "" for none."""
        self._title = title
        self._fresh = True

    def set_fade_time(self, fade_time: float) -> None:
        """Seconds that an ended signal takes to fade out."""
        self._fade_time = fade_time

    def set_waterfall(self, seconds: float) -> None:
        """Seconds that the waterfall shows, 0 for none; it starts anew."""
        self._seconds = seconds
        self._waterfall = None
        self._fresh = True

    def set_band(self, centre_hz: float, rate: float) -> None:
        """Middle and width of the band, Hz; what was shown of another one goes."""
        if (centre_hz, rate) != (self._centre_hz, self._rate):
            self._centre_hz, self._rate = centre_hz, rate
            self._mean = None
            self._limits = None
            self._waterfall = None
            self._signals.clear()
            self._fresh = True

    def show_spectrum(self, power: np.ndarray, at: float) -> None:
        """A power spectrum (bins,) of the time ``at``, lowest frequency first.

        One that is not finite is left out: a single such sample must not spoil the mean for ever.
        """
        if not np.isfinite(power).all():
            return
        if self._mean is None or len(self._mean) != len(power):
            self._mean = np.array(power, float)
        else:
            self._mean += _NEW_SHARE * (power - self._mean)
        self._set_limits(_decibels(self._mean))
        if self._seconds > 0:
            if self._waterfall is None:
                columns = min(len(power), _MOST_COLUMNS)
                self._waterfall = Waterfall(self._seconds, columns, self.palette().base().color())
            if not self._waterfall.is_new(at):
                power = np.maximum(power, self._highest)
            self._highest = power
            self._waterfall.add(self._line(power), at)
        self._fresh = True

    def show_signal(self, signal: SignalMessage, at: float) -> None:
        """A signal, heard of at the time ``at`` in seconds of any clock that never goes back."""
        self._signals[signal.number] = _Shown(signal, at)
        self._fresh = True

    def signals(self) -> list[SignalMessage]:
        """What is drawn, in the order in which it started."""
        return [self._signals[number].signal for number in sorted(self._signals)]

    def tick(self, now: float) -> None:
        """Paint what is so at the time ``now``, if it is anything new."""
        self._now = now
        for number, shown in list(self._signals.items()):
            patience = _FORGOTTEN if shown.signal.ongoing else self._fade_time
            fading = not shown.signal.ongoing
            if now - shown.at > patience:
                del self._signals[number]
                fading = True
            self._fresh = self._fresh or fading
        if self._fresh:
            self._fresh = False
            self.update()

    # Painting.

    def paintEvent(self, event: object) -> None:  # noqa: N802 (Qt's name)
        """Grid, signals' bands, spectrum, labels, and the waterfall below."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.palette().window())
        font = QFont(self.font())
        font.setPixelSize(_TEXT)
        painter.setFont(font)
        metrics = QFontMetrics(font)
        area = self.rect().adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
        plot = QRect(area)
        plot.setLeft(area.left() + metrics.horizontalAdvance("-100 dB") + 4)
        plot.setBottom(area.bottom() - metrics.height() - 4)
        if self._waterfall is not None and self._mean is not None and area.height() > _HIGH_ENOUGH:
            below = QRect(plot)
            below.setTop(area.bottom() - int(_WATERFALL_SHARE * area.height()))
            plot.setBottom(below.top() - metrics.height() - 8)
            below.setBottom(area.bottom())
            self._paint_waterfall(painter, below)
        if self._title:
            plot.setTop(area.top() + metrics.height() + 4)
            painter.setPen(self.palette().windowText().color())
            painter.drawText(area, Qt.AlignHCenter | Qt.AlignTop, self._title)
        painter.fillRect(plot, self.palette().base())
        if self._mean is None or plot.width() < 20 or plot.height() < 20:
            return
        levels = _decibels(_columns(self._mean, plot.width()))
        low, high = self._limits
        self._paint_grid(painter, plot, low, high)
        painter.setClipRect(plot)
        self._paint_bands(painter, plot)
        painter.setRenderHint(QPainter.Antialiasing)
        scale = plot.height() / (high - low)
        lows = np.clip(plot.bottom() - (levels - low) * scale, plot.top(), plot.bottom())
        line = QPolygonF([QPointF(plot.left() + x, y) for x, y in enumerate(lows.tolist())])
        painter.setPen(QPen(self.palette().windowText().color(), 1.0))
        painter.drawPolyline(line)
        self._paint_labels(painter, plot, lows)

    def _line(self, power: np.ndarray) -> np.ndarray:
        """A line of the waterfall: the stronger, the darker, signals in the colours of labels.

        The scale begins at the noise and not at the axis, whose steps would show in the picture.
        """
        columns = self._waterfall.columns
        noise = float(np.quantile(_decibels(self._mean), 0.2))
        over = _decibels(_columns(power, columns)) - (noise - _PALE_DB)
        share = np.clip(over / (_PALE_DB + _DARK_DB), 0, 1)[:, None]
        palette = self.palette()
        ink = np.tile(_rgb(palette.windowText().color()), (columns, 1))
        for shown in self._signals.values():
            signal = shown.signal
            if signal.ongoing and self._is_inside(signal):
                edges = signal.freq_hz + np.array([-0.5, 0.5]) * signal.bandwidth_hz
                first, last = ((edges - self._centre_hz) / self._rate + 0.5) * columns
                ink[max(0, int(first)) : int(last) + 1] = _rgb(colour_of(signal.label))
        line = (1 - share) * _rgb(palette.base().color()) + share * ink
        red, green, blue = line.astype(np.uint32).T
        return np.uint32(0xFF000000) | red << 16 | green << 8 | blue

    def _set_limits(self, levels: np.ndarray) -> None:
        """Whole steps around the levels, which grow at once and shrink by two steps at least."""
        low = math.floor((float(np.quantile(levels, 0.02)) - _BELOW_DB) / _STEP_DB) * _STEP_DB
        high = math.ceil((float(levels.max()) + _ABOVE_DB) / _STEP_DB) * _STEP_DB
        if self._limits is not None:
            was_low, was_high = self._limits
            low = low if low < was_low or low > was_low + _STEP_DB else was_low
            high = high if high > was_high or high < was_high - _STEP_DB else was_high
        self._limits = (low, max(high, low + 2 * _STEP_DB))

    def _is_inside(self, signal: SignalMessage) -> bool:
        """Whether it is in the band that is shown: one of another may be told of late."""
        return abs(signal.freq_hz - self._centre_hz) < (self._rate + signal.bandwidth_hz) / 2

    def _x(self, plot: QRect, hertz: float) -> float:
        return plot.left() + ((hertz - self._centre_hz) / self._rate + 0.5) * plot.width()

    def _paint_grid(self, painter: QPainter, plot: QRect, low: float, high: float) -> None:
        text = self.palette().windowText().color()
        faint = QPen(self.palette().mid().color(), 1, Qt.DotLine)
        metrics = painter.fontMetrics()
        steps = round((high - low) / _STEP_DB)
        every = max(1, math.ceil(steps * (metrics.height() + 2) / plot.height()))
        for k in range(0, steps + 1, every):
            level = low + k * _STEP_DB
            y = round(plot.bottom() - (level - low) / (high - low) * plot.height())
            painter.setPen(faint)
            painter.drawLine(plot.left(), y, plot.right(), y)
            painter.setPen(text)
            box = QRect(0, y - 20, plot.left() - 4, 40)
            painter.drawText(box, Qt.AlignRight | Qt.AlignVCenter, f"{level:.0f} dB")
        unit, divisor = _unit(max(abs(self._centre_hz), self._rate / 2))
        step = _nice(self._rate / max(2.0, plot.width() / 84))
        start = math.ceil((self._centre_hz - self._rate / 2) / step)
        for k in range(start, math.floor((self._centre_hz + self._rate / 2) / step) + 1):
            x = round(self._x(plot, k * step))
            painter.setPen(faint)
            painter.drawLine(x, plot.top(), x, plot.bottom())
            painter.setPen(text)
            digits = max(0, -math.floor(math.log10(step / divisor)))
            words = f"{k * step / divisor:.{digits}f} {unit}"
            half = metrics.horizontalAdvance(words) // 2 + 2
            if plot.left() <= x - half and x + half <= plot.right():
                box = QRect(x - half, plot.bottom() + 2, 2 * half, metrics.height())
                painter.drawText(box, Qt.AlignCenter, words)

    def _paint_waterfall(self, painter: QPainter, place: QRect) -> None:
        """The picture, with its times on the left."""
        self._waterfall.paint(painter, QRectF(place))
        painter.setPen(self.palette().windowText().color())
        times = QRect(0, place.top(), place.left() - 4, place.height())
        painter.drawText(times, Qt.AlignRight | Qt.AlignTop, "now")
        painter.drawText(times, Qt.AlignRight | Qt.AlignBottom, f"-{self._seconds:.3g} s")

    def _fade(self, shown: _Shown) -> float:
        """1 while it is there, then down to 0."""
        if shown.signal.ongoing:
            return 1.0
        return max(0.0, 1 - (self._now - shown.at) / max(self._fade_time, 1e-9))

    def _paint_bands(self, painter: QPainter, plot: QRect) -> None:
        for shown in self._signals.values():
            signal = shown.signal
            colour = colour_of(signal.label)
            colour.setAlphaF(_TINT * self._fade(shown))
            left = self._x(plot, signal.freq_hz - signal.bandwidth_hz / 2)
            right = self._x(plot, signal.freq_hz + signal.bandwidth_hz / 2)
            painter.fillRect(
                QRectF(left, plot.top(), max(2.0, right - left), plot.height()), colour
            )

    def _paint_labels(self, painter: QPainter, plot: QRect, line: np.ndarray) -> None:
        """Two lines over each signal, from left to right, in rows where they would overlap."""
        bold = QFont(painter.font())
        bold.setPixelSize(_LABEL)
        bold.setBold(True)
        plain = painter.font()
        height = QFontMetrics(bold).height() + QFontMetrics(plain).height()
        ends: list[float] = []  # right end of the last text in each row
        for shown in sorted(self._signals.values(), key=lambda shown: shown.signal.freq_hz):
            signal = shown.signal
            if not self._is_inside(signal):
                continue
            texts = label_lines(signal)
            width = 6 + max(
                QFontMetrics(bold).horizontalAdvance(texts[0]),
                QFontMetrics(plain).horizontalAdvance(texts[1]),
            )
            middle = self._x(plot, signal.freq_hz)
            left = min(max(middle - width / 2, plot.left()), plot.right() - width)
            row = next((k for k, end in enumerate(ends) if end < left), len(ends))
            if (row + 1) * height > plot.height():
                continue
            ends[row : row + 1] = [left + width]
            top = plot.top() + row * height
            painter.setOpacity(self._fade(shown))
            back = self.palette().base().color()
            back.setAlphaF(0.75)
            painter.fillRect(QRectF(left, top, width, height), back)
            first = QRectF(left, top, width, QFontMetrics(bold).height())
            painter.setPen(colour_of(signal.label))
            painter.setFont(bold)
            painter.drawText(first, Qt.AlignCenter, texts[0])
            painter.setPen(self.palette().windowText().color())
            painter.setFont(plain)
            below = QRectF(left, first.bottom(), width, height - first.height())
            painter.drawText(below, Qt.AlignCenter, texts[1])
            # A mark from the text down to the signal.
            column = min(max(int(middle - plot.left()), 0), len(line) - 1)
            if line[column] > top + height:
                painter.setPen(QPen(colour_of(signal.label), 1))
                painter.drawLine(QPointF(middle, top + height), QPointF(middle, line[column]))
            painter.setOpacity(1.0)


def _columns(power: np.ndarray, width: int) -> np.ndarray:
    """A spectrum as ``width`` columns: between bins, or the highest of several."""
    bins = len(power)
    if bins <= width:
        return np.interp(np.linspace(0, bins - 1, width), np.arange(bins), power)
    return np.maximum.reduceat(power, np.linspace(0, bins, width, endpoint=False).astype(int))


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 1e-30))


def _rgb(colour: QColor) -> np.ndarray:
    return np.array(colour.getRgb()[:3], float)


def colour_of(label: str) -> QColor:
    """The colour of a label, grey of the unknown.

    Of common classes it is that of the KD AMC Display, which knows all classes of a model and may
    give another to one of the rest.
    """
    return QColor(UNKNOWN_COLOUR) if label == "unknown" else colours_of((label,))[label]


def label_lines(signal: SignalMessage) -> tuple[str, str]:
    """What is written over a signal: label and confidence; SNR, bandwidth, symbol rate."""
    parts = [] if signal.snr_db is None else [f"{signal.snr_db:.0f} dB"]
    parts.append(_hertz(signal.bandwidth_hz))
    if signal.symbol_rate_hz is not None:
        parts.append(_hertz(signal.symbol_rate_hz, "Bd"))
    return f"{signal.label} {signal.confidence:.0%}", ", ".join(parts)


def _hertz(value: float, unit: str = "Hz") -> str:
    prefix, divisor = _unit(value, unit)
    return f"{value / divisor:.3g} {prefix}"


def _unit(value: float, unit: str = "Hz") -> tuple[str, float]:
    for prefix, divisor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= divisor:
            return prefix + unit, divisor
    return unit, 1.0


def _nice(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... that is no less than ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * k for k in (1, 2, 5, 10) if power * k >= least * (1 - 1e-9))
