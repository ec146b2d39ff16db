# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Qt widget of the KD AMC Spectrum: a band's spectrum, with labels over its signals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PyQt5.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PyQt5.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen, QPolygonF
from PyQt5.QtWidgets import QSizePolicy, QWidget

from .decision_view import UNKNOWN_COLOUR, colours_of
from .metadata import SignalMessage

#: Pixels.
_MARGIN = 8
_TEXT = 12
_LABEL = 14
#: An ended signal fades out in this time, and one that nobody tells of any more is over after
#: that: seconds.
_FADE = 3.0
_FORGOTTEN = 10.0
#: The axis of levels: its steps, and room above the strongest and below the weakest, dB.
_STEP_DB = 10.0
_ABOVE_DB, _BELOW_DB = 6.0, 4.0
#: Of a new picture in the mean of the spectra.
_NEW_SHARE = 0.4


@dataclass
class _Shown:
    """A signal, when it was last heard of, and whether it was over then."""

    signal: SignalMessage
    at: float


class SpectrumView(QWidget):
    """Shows a spectrum and signals; every method belongs to the thread of the window."""

    def __init__(self, title: str) -> None:
        QWidget.__init__(self)
        self._title = title
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
        self.update()

    def set_band(self, centre_hz: float, rate: float) -> None:
        """Middle and width of the band, Hz; what was shown of another one goes."""
        if (centre_hz, rate) != (self._centre_hz, self._rate):
            self._centre_hz, self._rate = centre_hz, rate
            self._mean = None
            self._limits = None
            self._signals.clear()

    def show_spectrum(self, power: np.ndarray) -> None:
        """A power spectrum (bins,), lowest frequency first."""
        if self._mean is None or len(self._mean) != len(power):
            self._mean = np.array(power, float)
        else:
            self._mean += _NEW_SHARE * (power - self._mean)

    def show_signal(self, signal: SignalMessage, at: float) -> None:
        """A signal, heard of at the time ``at`` in seconds of any clock that never goes back."""
        self._signals[signal.number] = _Shown(signal, at)

    def signals(self) -> list[SignalMessage]:
        """What is drawn, in the order in which it started."""
        return [self._signals[number].signal for number in sorted(self._signals)]

    def tick(self, now: float) -> None:
        """Paint what is so at the time ``now``."""
        self._now = now
        for number, shown in list(self._signals.items()):
            patience = _FORGOTTEN if shown.signal.ongoing else _FADE
            if now - shown.at > patience:
                del self._signals[number]
        self.update()

    # Painting.

    def paintEvent(self, event: object) -> None:  # noqa: N802 (Qt's name)
        """Grid, signals' bands, spectrum, labels."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.palette().window())
        font = QFont(self.font())
        font.setPixelSize(_TEXT)
        painter.setFont(font)
        metrics = QFontMetrics(font)
        area = self.rect().adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
        plot = QRect(area)
        plot.setLeft(area.left() + metrics.horizontalAdvance("-200") + 4)
        plot.setBottom(area.bottom() - metrics.height() - 4)
        if self._title:
            plot.setTop(area.top() + metrics.height() + 4)
            painter.setPen(self.palette().windowText().color())
            painter.drawText(area, Qt.AlignHCenter | Qt.AlignTop, self._title)
        painter.fillRect(plot, self.palette().base())
        if self._mean is None or plot.width() < 20 or plot.height() < 20:
            return
        levels = 10 * np.log10(np.maximum(self._columns(plot.width()), 1e-30))
        low, high = self._set_limits(levels)
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

    def _columns(self, width: int) -> np.ndarray:
        """The spectrum as one value a column of pixels: the highest of several bins."""
        bins = len(self._mean)
        if bins <= width:
            return np.interp(np.linspace(0, bins - 1, width), np.arange(bins), self._mean)
        edges = np.linspace(0, bins, width, endpoint=False).astype(int)
        return np.maximum.reduceat(self._mean, edges)

    def _set_limits(self, levels: np.ndarray) -> tuple[float, float]:
        """Whole steps around the levels, which grow at once and shrink by two steps at least."""
        low = math.floor((float(np.quantile(levels, 0.02)) - _BELOW_DB) / _STEP_DB) * _STEP_DB
        high = math.ceil((float(levels.max()) + _ABOVE_DB) / _STEP_DB) * _STEP_DB
        if self._limits is not None:
            was_low, was_high = self._limits
            low = low if low < was_low or low > was_low + _STEP_DB else was_low
            high = high if high > was_high or high < was_high - _STEP_DB else was_high
        self._limits = (low, max(high, low + 2 * _STEP_DB))
        return self._limits

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
            painter.drawText(box, Qt.AlignRight | Qt.AlignVCenter, f"{level:.0f}")
        unit, divisor = _unit(max(abs(self._centre_hz), self._rate / 2))
        step = _nice(self._rate / max(2.0, plot.width() / 90))
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

    def _fade(self, shown: _Shown) -> float:
        """1 while it is there, then down to 0."""
        return 1.0 if shown.signal.ongoing else max(0.0, 1 - (self._now - shown.at) / _FADE)

    def _paint_bands(self, painter: QPainter, plot: QRect) -> None:
        for shown in self._signals.values():
            signal = shown.signal
            colour = colour_of(signal.label)
            colour.setAlphaF(0.3 * self._fade(shown))
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


def colour_of(label: str) -> QColor:
    """The colour of a label, as other displays have it; grey if it is none of a model's."""
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
