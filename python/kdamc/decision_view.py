# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Qt widget of the KD AMC Display: label, posterior, the last minute, SNR and drops.

All of it is painted by hand in one pass: many times a second, layouts of labels and progress bars
would cost several times as much.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PyQt5.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PyQt5.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter, QPixmap
from PyQt5.QtWidgets import QSizePolicy, QWidget

from .decision import Decision

#: Well apart from each other, and from the grey of what is unknown, on light and dark windows.
# fmt: off
_COLOURS = (
    "#2f6fde", "#e8832a", "#2f9e44", "#8a5cd6", "#d6336c", "#8c564b", "#12a5a5", "#b8a100",
    "#e03131", "#e599f7", "#74c0fc", "#94d82d", "#1b4f8f", "#f1a89a", "#0b6e4f", "#f4d03f",
    "#9b2226", "#5f3dc4", "#63e6be", "#5c5f12", "#ff8787", "#364fc7", "#d0bfff", "#7a4419",
)
UNKNOWN_COLOUR = QColor("#868e96")
_ALARM = QColor("#e03131")
#: The commonest classes come first in the table of colours, in every model.
_FIRST = (
    "BPSK", "QPSK", "8PSK", "PAM4", "QAM16", "QAM64", "GFSK", "CPFSK", "WBFM", "AM-DSB", "AM-SSB",
)
# fmt: on

#: Columns of the strip, and its rows: what share of a column each label has.
_COLUMNS = 600
_ROWS = 24
#: Decisions that come this close after each other leave no gap in the strip: seconds.
_JOINED = 0.25
#: The label turns grey when there was no decision for this long: seconds.
_STALE = 2.0
#: A refused setting is shown for this long: seconds.
_WARNING = 20.0
#: Sizes in pixels.
_MARGIN = 8
_ROW = 13
_TALLEST_ROW = 34
_NARROWEST_COLUMN = 130


def colours_of(classes: Sequence[str]) -> dict[str, QColor]:
    """A colour for every class: always the same for the same classes, whatever their order.

    Common classes have fixed colours; others choose by their name, and give way to each other
    in alphabetical order.  Only a model of more than 24 classes has colours twice.
    """
    slots = {name: _FIRST.index(name) for name in classes if name in _FIRST}
    taken = set(slots.values())
    for name in sorted(set(classes) - slots.keys()):
        slot = zlib.crc32(name.encode()) % len(_COLOURS)
        while slot in taken and len(taken) < len(_COLOURS):
            slot = (slot + 1) % len(_COLOURS)
        slots[name] = slot
        taken.add(slot)
    return {name: QColor(_COLOURS[slot]) for name, slot in slots.items()}


class Strip:
    """A picture of the last ``seconds`` seconds: one column a time slot, coloured by label."""

    def __init__(self, seconds: float, blank: QColor) -> None:
        self._slot = seconds / _COLUMNS
        self._blank = blank.rgb()
        self._cells = np.full((_ROWS, _COLUMNS), self._blank, np.uint32)
        # Shares the memory of the array.
        self._image = QImage(
            self._cells.data, _COLUMNS, _ROWS, 4 * _COLUMNS, QImage.Format.Format_RGB32
        )
        self._in_slot: list[int] = []
        self._now: int | None = None
        self._last = -np.inf

    def advance(self, now: float) -> bool:
        """Make room up to the time ``now``; whether anything moved."""
        slot = int(now / self._slot)
        if self._now is None:
            self._now = slot
        new = min(slot - self._now, _COLUMNS)
        if new <= 0:
            return False
        self._cells[:, np.arange(slot - new + 1, slot + 1) % _COLUMNS] = self._blank
        self._in_slot.clear()
        self._now = slot
        return True

    def add(self, colour: QColor, at: float, seconds: float) -> None:
        """A decision that was made at the time ``at`` over ``seconds`` of signal."""
        start = at - seconds
        if start < self._last + _JOINED:
            start = self._last  # no gap, and no signal twice where more comes than time passes
        self._last = at
        self.advance(at)
        first = max(int(max(start, 0.0) / self._slot) + 1, self._now - _COLUMNS + 1)
        if first < self._now:
            self._cells[:, np.arange(first, self._now) % _COLUMNS] = colour.rgb()
        self._in_slot.append(colour.rgb())
        share = np.linspace(0, len(self._in_slot), _ROWS, endpoint=False).astype(int)
        self._cells[:, self._now % _COLUMNS] = np.array(self._in_slot, np.uint32)[share]

    def paint(self, painter: QPainter, place: QRectF) -> None:
        """Oldest on the left, now on the right."""
        oldest = 0 if self._now is None else (self._now + 1) % _COLUMNS
        width = place.width() * (_COLUMNS - oldest) / _COLUMNS
        left = QRectF(place.left(), place.top(), width, place.height())
        right = QRectF(left.right(), place.top(), place.width() - width, place.height())
        painter.drawImage(left, self._image, QRectF(oldest, 0, _COLUMNS - oldest, _ROWS))
        painter.drawImage(right, self._image, QRectF(0, 0, oldest, _ROWS))


class DecisionView(QWidget):
    """Shows decisions; every method belongs to the thread of the window."""

    def __init__(self, title: str, seconds: float) -> None:
        QWidget.__init__(self)
        self._title = title
        self._classes: tuple[str, ...] = ()
        self._colours: dict[str, QColor] = {}
        self._decision: Decision | None = None
        self._decided = -np.inf
        self._now = 0.0
        self._stats: dict[str, Any] = {}
        self._warning = ""
        self._warned = -np.inf
        self._fresh = True
        self._pictures: dict[str, tuple[Any, QPixmap]] = {}
        self._fonts: dict[Any, QFont] = {}
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Expanding)
        self.setAttribute(Qt.WA_OpaquePaintEvent)
        self.set_seconds(seconds)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Where nothing else decides."""
        return QSize(440, 380)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Label, SNR and a strip still fit."""
        return QSize(150, 70)

    def set_title(self, title: str) -> None:
        """The text above the label; "" for none."""
        self._title = title
        self._fresh = True

    def set_seconds(self, seconds: float) -> None:
        """Length of the strip, which starts anew."""
        self._seconds = seconds
        self._strip = Strip(seconds, self.palette().base().color())
        self._fresh = True

    def show_decision(self, decision: Decision, classes: tuple[str, ...], at: float) -> None:
        """A decision, made at the time ``at`` in seconds of any clock that never goes back."""
        if classes != self._classes:
            self._classes = classes
            self._colours = colours_of(classes)
        self._decision, self._decided = decision, at
        seconds = decision.sample_count / decision.sample_rate
        self._strip.add(self._colour(decision.label), at, seconds)
        self._fresh = True

    def show_stats(self, stats: Mapping[str, Any], at: float) -> None:
        """What a ``stats`` message of the classifier says that came at the time ``at``."""
        refused = stats.get("setting_refused")
        if refused:
            self._warning, self._warned = str(refused), at
            self.setToolTip(self._warning)  # there is not always room for all of it
        else:
            self._stats = dict(stats)
        self._fresh = True

    def tick(self, now: float) -> None:
        """Paint if anything is new at the time ``now``."""
        was_stale, self._now = self._is_stale(), now
        if self._warning and now - self._warned > _WARNING:
            self._warning, self._fresh = "", True
            self.setToolTip("")
        moved = self._decision is not None and self._strip.advance(now)
        if self._fresh or moved or self._is_stale() != was_stale:
            self._fresh = False
            self.update()

    def _is_stale(self) -> bool:
        return self._now - self._decided > _STALE

    def _colour(self, label: str) -> QColor:
        return self._colours.get(label, UNKNOWN_COLOUR)

    # Painting.

    def paintEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Everything, from top to bottom; what does not fit is left out, bars first."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.palette().window())
        margin = min(_MARGIN, self.height() // 20)
        area = self.rect().adjusted(margin, margin, -margin, -margin)
        height = area.height()
        line = QFontMetrics(self._font(11)).height()

        head = QRect(area)
        head.setHeight(max(24, min(height // 4, 84)))
        self._keep(painter, head, self._paint_head, self._head())
        bottom = area.bottom() + 1
        roomy = height >= 180
        if self._warning and height >= 56:
            rows = 2 if roomy else 1
            bottom -= rows * line
            warning = QRect(area.left(), bottom, area.width(), rows * line)
            self._keep(painter, warning, self._paint_warning, (self._warning, rows))
        if roomy or (height >= 56 and not self._warning):
            bottom -= line
            status = QRect(area.left(), bottom, area.width(), line)
            self._keep(painter, status, self._paint_status, self._status())
        if roomy:
            bottom -= line + 2
            axis = QRect(area.left(), bottom, area.width(), line)
            self._keep(painter, axis, self._paint_axis, self._seconds)
        strip_height = min(max(height // 7, 8), 54)
        gap = margin // 2 + 1
        if bottom - head.bottom() - 2 * gap >= strip_height:
            bottom -= strip_height + gap
            place = QRectF(area.left(), bottom, area.width(), strip_height)
            self._strip.paint(painter, place)
            painter.setPen(self.palette().mid().color())
            painter.drawRect(place.adjusted(0, 0, -1, -1))
        bars = QRect(area.left(), head.bottom() + 1 + margin, area.width(), 0)
        bars.setBottom(bottom - margin - 1)
        if self._decision is not None and bars.height() >= 2 * _ROW:
            self._paint_bars(painter, bars)

    def _keep(
        self,
        painter: QPainter,
        place: QRect,
        paint: Callable[[QPainter, QRect, Any], None],
        content: Any,
    ) -> None:
        """Paint a part, from its last picture if its content and its place are the same."""
        key = (content, place.getRect())
        kept = self._pictures.get(paint.__name__)
        if kept is None or kept[0] != key:
            picture = QPixmap(place.size())
            picture.fill(self.palette().window().color())
            pen = QPainter(picture)
            pen.translate(-place.topLeft())
            paint(pen, place, content)
            pen.end()
            kept = self._pictures[paint.__name__] = (key, picture)
        painter.drawPixmap(place.topLeft(), kept[1])

    def _head(self) -> tuple[str, str, str, str | None]:
        """Title, label, confidence, and the name of the label's colour unless it is old."""
        decision = self._decision
        if decision is None:
            return self._title, "", "", None
        colour = None if self._is_stale() else self._colour(decision.label).name()
        return self._title, decision.label, f"{decision.confidence:.0%}", colour

    def _paint_head(self, painter: QPainter, place: QRect, content: Any) -> None:
        title, label, confidence, name = content
        colour = UNKNOWN_COLOUR if name is None else QColor(name)
        if not label:
            colour = self.palette().mid().color()
        painter.setRenderHint(QPainter.Antialiasing)
        painter.setPen(Qt.NoPen)
        painter.setBrush(colour)
        painter.drawRoundedRect(place, 4, 4)
        painter.setRenderHint(QPainter.Antialiasing, False)
        light = 0.299 * colour.red() + 0.587 * colour.green() + 0.114 * colour.blue() < 150
        painter.setPen(QColor(Qt.white if light else Qt.black))
        inside = place.adjusted(10, 2, -10, -2)
        if title and place.height() >= 52:
            top = QRect(inside.left(), inside.top() + 1, inside.width(), 14)
            painter.setFont(self._font(11))
            painter.drawText(top, Qt.AlignLeft | Qt.AlignVCenter, title)
            inside.setTop(top.bottom())
        if not label:
            painter.setFont(self._fitted("no decision yet", inside.width(), inside.height() // 2))
            painter.drawText(inside, Qt.AlignLeft | Qt.AlignVCenter, "no decision yet")
            return
        wide = inside.width() * 2 // 3
        painter.setFont(self._fitted(label, wide, inside.height(), bold=True))
        painter.drawText(inside, Qt.AlignLeft | Qt.AlignVCenter, label)
        painter.setFont(self._fitted("100%", inside.width() // 3, inside.height() * 3 // 4))
        painter.drawText(inside, Qt.AlignRight | Qt.AlignVCenter, confidence)

    def _paint_bars(self, painter: QPainter, place: QRect) -> None:
        classes, posterior = self._classes, self._decision.posterior
        most = max(1, place.width() // _NARROWEST_COLUMN)
        columns = min(-(-len(classes) * _ROW // place.height()), most)
        rows = -(-len(classes) // columns)
        row_height = min(place.height() / rows, _TALLEST_ROW)
        if row_height < 5:
            return
        font = self._font(max(6, min(int(row_height * 0.75), 13)))
        metrics = QFontMetrics(font)
        name_width = max(metrics.horizontalAdvance(name) for name in classes) + 6
        number_width = metrics.horizontalAdvance("100%") + 4
        column_width = place.width() / columns
        bar_width = max(column_width - name_width - number_width - 8, 10.0)
        thick = max(2.0, row_height * 0.62)

        def corner(k: int) -> QPointF:
            column, row = divmod(k, rows)
            return QPointF(place.left() + column * column_width, place.top() + row * row_height)

        def tracks(pen: QPainter, place: QRect, classes: tuple[str, ...]) -> None:
            pen.setFont(font)
            pen.setPen(self.palette().windowText().color())
            for k, name in enumerate(classes):
                at = corner(k)
                box = QRectF(at.x(), at.y(), name_width - 6, row_height)
                pen.drawText(box, Qt.AlignRight | Qt.AlignVCenter, name)
                top = at.y() + (row_height - thick) / 2
                track = QRectF(at.x() + name_width, top, bar_width, thick)
                pen.fillRect(track, self.palette().base())

        self._keep(painter, place, tracks, classes)
        painter.setFont(font)
        painter.setPen(self.palette().windowText().color())
        for k, share in enumerate(posterior.tolist()[: len(classes)]):
            if share < 0.005:
                continue
            at = corner(k)
            top = at.y() + (row_height - thick) / 2
            bar = QRectF(at.x() + name_width, top, bar_width * share, thick)
            painter.fillRect(bar, self._colour(classes[k]))
            number = QRectF(at.x() + name_width + bar_width, at.y(), number_width, row_height)
            painter.drawText(number, Qt.AlignRight | Qt.AlignVCenter, f"{share:.0%}")

    def _paint_axis(self, painter: QPainter, place: QRect, seconds: float) -> None:
        painter.setFont(self._font(11))
        painter.setPen(self.palette().windowText().color())
        start, middle = (f"{seconds * part:.3g} s ago" for part in (1, 0.5))
        painter.drawText(place, Qt.AlignLeft | Qt.AlignVCenter, start)
        painter.drawText(place, Qt.AlignHCenter | Qt.AlignVCenter, middle)
        painter.drawText(place, Qt.AlignRight | Qt.AlignVCenter, "now")

    def _status(self) -> tuple[tuple[str, bool], ...]:
        """SNR and drops, then what else there may be room for; whether each is alarming."""
        decision, stats = self._decision, self._stats
        snr = None if decision is None else decision.snr_db
        dropped = int(stats.get("dropped") or 0)
        items = [
            ("SNR - dB" if snr is None else f"SNR {snr:.1f} dB", False),
            (f"{dropped} dropped", dropped > 0),
        ]
        if stats.get("frames_per_second") is not None:
            items.append((f"{stats['frames_per_second']:.0f} frames/s", False))
        if decision is not None:
            items.append((decision.model, False))
        return tuple(items)

    def _paint_status(self, painter: QPainter, place: QRect, items: Any) -> None:
        font = self._font(11)
        metrics = QFontMetrics(font)
        painter.setFont(font)
        plain = self.palette().windowText().color()
        left = place.left()
        for text, alarming in items:
            room = place.right() - left
            if room < 30:
                break
            text = metrics.elidedText(text, Qt.ElideRight, room)
            painter.setPen(_ALARM if alarming else plain)
            box = QRect(left, place.top(), room, place.height())
            painter.drawText(box, Qt.AlignLeft | Qt.AlignVCenter, text)
            left += metrics.horizontalAdvance(text) + 14

    def _paint_warning(self, painter: QPainter, place: QRect, content: Any) -> None:
        text, rows = content
        font = self._font(11)
        painter.setFont(font)
        painter.setPen(_ALARM)
        # Words and paths break unevenly: a little less than the rows would hold.
        room = rows * place.width() - (rows - 1) * place.width() // 8
        text = QFontMetrics(font).elidedText(text, Qt.ElideRight, room)
        painter.drawText(place, Qt.AlignLeft | Qt.AlignTop | Qt.TextWrapAnywhere, text)

    def _font(self, pixels: int, bold: bool = False) -> QFont:
        font = self._fonts.get((pixels, bold))
        if font is None:
            font = QFont(self.font())
            font.setPixelSize(max(pixels, 1))
            font.setBold(bold)
            self._fonts[pixels, bold] = font
        return font

    def _fitted(self, text: str, width: int, height: int, bold: bool = False) -> QFont:
        """The largest font in which a text is no wider and no higher than asked."""
        key = (text, width, height, bold)
        font = self._fonts.get(key)
        if font is None:
            pixels = max(int(height * 0.8), 6)
            advance = QFontMetrics(self._font(pixels, bold)).horizontalAdvance(text)
            font = self._font(max(6, min(pixels, pixels * width // max(advance, 1))), bold)
            if len(self._fonts) > 200:  # many sizes while a window is dragged
                self._fonts.clear()
            self._fonts[key] = font
        return font
