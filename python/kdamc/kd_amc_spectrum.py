# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The KD AMC Spectrum block: a Qt widget with a band's spectrum and labels over its signals."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from . import metadata
from .decision import Segment
from .guard import Guarded, guarded_work
from .kdamc_python import AveragedSpectrum

try:
    from PyQt5.QtCore import QTimer
    from PyQt5.QtWidgets import QApplication, QWidget

    from .spectrum_view import SpectrumView
except ImportError as error:
    raise ImportError(
        f"the KD AMC Spectrum needs PyQt5 for this Python (Debian: python3-pyqt5): {error}"
    ) from error

#: Signals that may wait for the next picture; a window that hangs must not fill the memory.
_WAITING = 4096


class kd_amc_spectrum(Guarded, gr.sync_block):
    """Show the spectrum of a band in a Qt window, and what a scanner says of the signals in it.

    Keep a reference to the block: GNU Radio 3.10.5 does not keep Python blocks alive.

    Input: complex samples; tags ``rx_freq`` and ``rx_rate`` are honoured.  Message port
    ``signals`` takes the PDUs of the Signal Scanner's port of that name: while a signal lasts its
    band is coloured, with label, confidence, SNR, bandwidth and symbol rate above it; when it has
    ended it fades.  Below is a waterfall, with the signals in their colours.  What is no signal is
    left out, and the first such message is logged.

    Args:
        title: a text above the spectrum; "" for none.
        sample_rate: in Hz; a tag ``rx_rate`` overrules it.
        rx_freq: Hz that 0 Hz of the samples stands for, until a tag says otherwise.
        bins: of the spectrum, even, 16 to 65536.
        update_time: seconds from one picture to the next.
        fade_time: seconds that an ended signal takes to fade out.
        waterfall: seconds that the waterfall shows; 0 for none.

    Raises RuntimeError if there is no Qt application, ValueError for what is out of range.
    """

    def __init__(
        self,
        title: str = "",
        sample_rate: float = 1e6,
        rx_freq: float = 0.0,
        bins: int = 1024,
        update_time: float = 0.1,
        fade_time: float = 3.0,
        waterfall: float = 10.0,
    ) -> None:
        gr.sync_block.__init__(self, name="KD AMC Spectrum", in_sig=[np.complex64], out_sig=None)
        if not sample_rate > 0:
            raise ValueError(f"sample_rate must be above 0, not {sample_rate!r}")
        if not 16 <= bins <= 1 << 16 or bins % 2:
            raise ValueError(f"bins must be even, from 16 to 65536, not {bins!r}")
        if not 0.02 <= update_time <= 60:
            raise ValueError(f"update_time must be from 0.02 to 60 s, not {update_time!r}")
        if QApplication.instance() is None:
            raise RuntimeError("the KD AMC Spectrum needs a Qt application (in GRC: QT GUI)")
        self._bins = int(bins)
        self._update_time = float(update_time)
        self._view = SpectrumView(
            title, _seconds("fade_time", fade_time), _seconds("waterfall", waterfall)
        )
        self._signals: deque[tuple[metadata.SignalMessage, float]] = deque(maxlen=_WAITING)
        self._warned = False
        # The latest spectrum and the band that it is of; between the thread of the flowgraph and
        # that of the window.
        self._lock = threading.Lock()
        self._row: np.ndarray | None = None
        self._asked_freq: float | None = None
        self._set(Segment(float(rx_freq), float(sample_rate)))
        self.message_port_register_in(pmt.intern("signals"))
        self.set_msg_handler(pmt.intern("signals"), self._take_signal)
        self._timer = QTimer(self._view)
        self._timer.timeout.connect(self._show)
        self._timer.start(round(1000 * self._update_time))

    def qwidget(self) -> QWidget:
        """The widget, to be put into a layout."""
        return self._view

    def set_title(self, title: str) -> None:
        """The text above the spectrum; "" for none."""
        self._view.set_title(title)

    def set_fade_time(self, fade_time: float) -> None:
        """Seconds that an ended signal takes to fade out."""
        self._view.set_fade_time(_seconds("fade_time", fade_time))

    def set_waterfall(self, waterfall: float) -> None:
        """Seconds that the waterfall shows, 0 for none; it starts anew."""
        self._view.set_waterfall(_seconds("waterfall", waterfall))

    def set_rx_freq(self, rx_freq: float) -> None:
        """Hz that 0 Hz of the samples stands for."""
        self._asked_freq = float(rx_freq)

    # In the threads of the scheduler.

    @guarded_work
    def work(self, input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Average the spectra of all samples; the last average is shown."""
        samples = input_items[0]
        asked, self._asked_freq = self._asked_freq, None
        if asked is not None:
            self._set(metadata.moved(self._segment, self.nitems_read(0), freq_hz=asked))
        first, at = self.nitems_read(0), 0
        tags = self.get_tags_in_window(0, 0, len(samples))
        for tag in sorted(tags, key=lambda tag: tag.offset):
            segment = metadata.after_tag(self._segment, tag.key, tag.value, tag.offset)
            place = (segment.freq_hz, segment.sample_rate)
            if place != (self._segment.freq_hz, self._segment.sample_rate):
                self._average(samples[at : tag.offset - first])
                at = tag.offset - first
                self._set(segment)
        self._average(samples[at:])
        return len(samples)

    def _set(self, segment: Segment) -> None:
        averages = max(1, round(segment.sample_rate * self._update_time * 2 / self._bins))
        with self._lock:
            self._segment = segment
            self._spectrum = AveragedSpectrum(self._bins, averages)
            self._row = None

    def _average(self, samples: np.ndarray) -> None:
        rows = self._spectrum.process(samples)
        if len(rows):
            with self._lock:
                self._row = rows[-1]

    def _take_signal(self, message: Any) -> None:
        try:
            self._signals.append((metadata.read_signal(message), time.monotonic()))
        except ValueError as error:
            if not self._warned:
                self._warned = True
                gr.logger(self.alias()).warn(f"message left out: {error}")

    # In the thread of the window.

    def _show(self) -> None:
        now = time.monotonic()
        with self._lock:
            row, self._row = self._row, None
            segment = self._segment
        self._view.set_band(segment.freq_hz, segment.sample_rate)
        if row is not None:
            self._view.show_spectrum(row, now)
        while self._signals:
            self._view.show_signal(*self._signals.popleft())
        self._view.tick(now)


def _seconds(name: str, value: float) -> float:
    if not 0 <= value <= 1e6:
        raise ValueError(f"{name} must be from 0 to 1e6 s, not {value!r}")
    return float(value)
