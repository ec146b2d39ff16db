# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The KD AMC Display block: a Qt widget that shows decisions as they come."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import pmt
from gnuradio import gr

from . import metadata
from .decision import Decision

try:
    from PyQt5.QtCore import Qt, QTimer
    from PyQt5.QtWidgets import QApplication, QWidget

    from .decision_view import DecisionView
except ImportError as error:
    raise ImportError(
        f"the KD AMC Display needs PyQt5 for this Python (Debian: python3-pyqt5): {error}"
    ) from error

# Twenty pictures a second look alive; more decisions than that share one.
_PERIOD_MS = 50
# Decisions that may wait for the next picture; a window that hangs must not fill the memory.
_WAITING = 4096

_CLASSES = pmt.intern("classes")


class kd_amc_display(gr.basic_block):
    """Show decisions in a Qt window: label, posterior, the last minute, SNR and drops.

    Keep a reference to the block: GNU Radio 3.10.5 does not keep Python blocks alive.

    Message ports: ``decisions`` takes the PDUs of the KD AMC Classifier's port of that name,
    ``stats`` its dictionaries of counters and of refused settings, which are shown for a while in
    red.  Messages may come from any thread; other methods
    belong to the thread of the window, which is painted at most 20 times a second.  What is no
    decision is left out, and the first such message is logged.

    Args:
        title: a text above the label; "" for none.
        seconds: length of the strip of past decisions.

    Raises RuntimeError if there is no Qt application, ValueError if ``seconds`` is not over 0.
    """

    def __init__(self, title: str = "", seconds: float = 60.0) -> None:
        gr.basic_block.__init__(self, name="KD AMC Display", in_sig=None, out_sig=None)
        if QApplication.instance() is None:
            raise RuntimeError("the KD AMC Display needs a Qt application (in GRC: QT GUI)")
        self._view = DecisionView(title, _checked(seconds))
        self._waiting: deque[tuple[Decision, tuple[str, ...], float]] = deque(maxlen=_WAITING)
        self._stats: deque[tuple[dict[str, Any], float]] = deque(maxlen=_WAITING)
        self._warned = False
        # The names of a model come with every decision, as one and the same symbol.
        self._names: tuple[Any, tuple[str, ...]] = (None, ())
        self._timer = QTimer(self._view)
        self._timer.setTimerType(Qt.PreciseTimer)
        self._timer.timeout.connect(self._show)
        self._timer.start(_PERIOD_MS)
        for name, handler in (("decisions", self._take_decision), ("stats", self._take_stats)):
            self.message_port_register_in(pmt.intern(name))
            self.set_msg_handler(pmt.intern(name), handler)

    def qwidget(self) -> QWidget:
        """The widget, to be put into a layout."""
        return self._view

    def set_title(self, title: str) -> None:
        """The text above the label; "" for none."""
        self._view.set_title(title)

    def set_seconds(self, seconds: float) -> None:
        """Length of the strip, which starts anew."""
        self._view.set_seconds(_checked(seconds))

    # In the thread of a scheduler.

    def _take_decision(self, message: Any) -> None:
        try:
            decision = metadata.read_decision(message)
            text = pmt.dict_ref(pmt.car(message), _CLASSES, pmt.PMT_NIL)
            if not pmt.equal(text, self._names[0]):
                self._names = (text, tuple(pmt.symbol_to_string(text).split(",")))
            classes = self._names[1]
            if len(classes) != len(decision.posterior):
                raise ValueError(f"{len(decision.posterior)} numbers for {len(classes)} classes")
        except Exception as error:
            self._warn(error)
            return
        self._waiting.append((decision, classes, time.monotonic()))

    def _take_stats(self, message: Any) -> None:
        try:
            self._stats.append((dict(pmt.to_python(message)), time.monotonic()))
        except Exception as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            gr.logger(self.alias()).warn(f"message left out: {error}")

    # In the thread of the window.

    def _show(self) -> None:
        while self._waiting:
            self._view.show_decision(*self._waiting.popleft())
        while self._stats:
            self._view.show_stats(*self._stats.popleft())
        self._view.tick(time.monotonic())


def _checked(seconds: float) -> float:
    if not 0 < seconds < 1e6:
        raise ValueError(f"seconds must be over 0, not {seconds}")
    return float(seconds)
