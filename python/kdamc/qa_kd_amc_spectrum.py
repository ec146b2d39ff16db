#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The spectrum shows the band that it is given, and the signals that it is told of."""

import os
import sys
import time

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import numpy as np
import pmt
from gnuradio import blocks, gr, gr_unittest, kdamc
from gnuradio.kdamc import metadata
from gnuradio.kdamc.band_scanner import FoundSignal
from gnuradio.kdamc.decision import Segment
from gnuradio.kdamc.metadata import SignalMessage
from gnuradio.kdamc.spectrum_view import SpectrumView, Waterfall, colour_of, label_lines
from PyQt5.QtCore import QRectF
from PyQt5.QtGui import QColor, QImage, QPainter
from PyQt5.QtWidgets import QApplication

APP = QApplication.instance() or QApplication(sys.argv)
RATE = 1e6


def found(number=1, centre_hz=200e3, ongoing=True, label="QPSK"):
    """A signal as a scanner has it."""
    return FoundSignal(
        number=number, start=0, stop=1000, ongoing=ongoing, centre_hz=centre_hz,
        bandwidth_hz=100e3, symbol_rate_hz=None, snr_db=12.0, label=label, confidence=0.93,
        entropy=0.1, frames_used=3, frames_lost=0, samples_lost=0,
    )  # fmt: skip


def pdu(signal, freq_hz=433e6):
    """The scanner's message about it."""
    segment = Segment(freq_hz, RATE)
    return pmt.cons(metadata.signal_to_pmt(signal, segment, "m"), pmt.PMT_NIL)


def pixels(widget):
    """Its picture, (height, width, 3) of 0..255."""
    image = widget.grab().toImage().convertToFormat(QImage.Format_RGB32)
    data = np.array(image.bits().asarray(image.byteCount()), np.uint8)
    return data.reshape(image.height(), image.width(), 4)[:, :, 2::-1].astype(int)


def tinted(picture, label):
    """Columns of a picture's lower half that have a label's colour, thin on white."""
    colour = np.array(colour_of(label).getRgb()[:3])
    thin = 255 - 0.3 * (255 - colour)
    like = np.abs(picture[picture.shape[0] // 2 : -40] - thin).max(axis=2) < 12
    return np.flatnonzero(like.mean(axis=0) > 0.8)


class qa_kd_amc_spectrum(gr_unittest.TestCase):
    def view(self):
        view = SpectrumView("")
        view.resize(1000, 400)
        view.set_band(433e6, RATE)
        view.show_spectrum(np.ones(1024), 99.0)
        return view

    def test_a_message_is_read_as_it_was_written(self):
        signal = metadata.read_signal(pdu(found()))
        self.assertEqual(signal, SignalMessage(1, True, 433.2e6, 100e3, None, 12.0, "QPSK", 0.93))
        endless = pmt.dict_add(
            pmt.car(pdu(found())), pmt.intern("bandwidth_hz"), pmt.from_double(np.inf)
        )
        for nonsense in (
            pmt.PMT_NIL, pmt.intern("x"), pmt.cons(pmt.make_dict(), pmt.PMT_NIL),
            pmt.cons(endless, pmt.PMT_NIL), pdu(found(), np.nan),
        ):  # fmt: skip
            with self.assertRaises(ValueError):
                metadata.read_signal(nonsense)

    def test_words(self):
        signal = SignalMessage(1, True, 0.0, 12.5e3, 9600.0, None, "BPSK", 0.5)
        self.assertEqual(label_lines(signal), ("BPSK 50%", "12.5 kHz, 9.6 kBd"))

    def test_a_signal_is_coloured_where_it_is_and_fades(self):
        view = self.view()
        view.show_signal(metadata.read_signal(pdu(found())), 100.0)
        view.tick(100.0)
        columns = tinted(pixels(view), "QPSK")
        # 650 to 750 kHz of a band of 1 MHz, in a plot of some 950 pixels.
        self.assertAlmostEqual(len(columns), 95, delta=6)
        self.assertAlmostEqual(columns.mean(), 40 + 0.7 * 950, delta=12)
        view.show_signal(metadata.read_signal(pdu(found(ongoing=False))), 101.0)
        view.tick(102.5)
        self.assertEqual(len(tinted(pixels(view), "QPSK")), 0)
        self.assertEqual(len(view.signals()), 1)
        view.set_fade_time(5.0)
        view.tick(105.0)
        self.assertEqual(len(view.signals()), 1)
        view.set_fade_time(3.0)
        view.tick(105.0)
        self.assertEqual(view.signals(), [])

    def test_a_signal_of_another_band_has_no_label(self):
        """One that is told of after the band has changed would stand at its edge."""
        view = self.view()
        view.tick(100.0)
        before = pixels(view)
        view.show_signal(metadata.read_signal(pdu(found(), 500e6)), 100.0)
        view.tick(100.0)
        self.assertTrue((pixels(view) == before).all())

    def test_what_is_not_finite_is_left_out(self):
        view = self.view()
        view.tick(100.0)
        before = pixels(view)
        for value in (np.nan, np.inf):
            view.show_spectrum(np.full(1024, value), 100.0)
            view.tick(100.0)
            self.assertTrue((pixels(view) == before).all())

    def test_it_paints_only_what_is_new(self):
        view = self.view()
        view.show()
        painted = []
        view.paintEvent = lambda event: painted.append(event)

        def paints():
            painted.clear()
            for _ in range(5):
                APP.processEvents()
            return len(painted)

        view.tick(100.0)
        self.assertGreater(paints(), 0)
        view.tick(100.1)
        self.assertEqual(paints(), 0)
        view.show_spectrum(np.ones(1024), 100.2)
        view.tick(100.2)
        self.assertGreater(paints(), 0)
        view.show_signal(metadata.read_signal(pdu(found(ongoing=False))), 101.0)
        for now in (101.0, 101.5, 102.0, 104.5):  # it fades without anything new, and is gone
            view.tick(now)
            self.assertGreater(paints(), 0, now)
        view.tick(105.0)
        self.assertEqual(paints(), 0)

    def test_the_waterfall_keeps_the_order_of_time(self):
        picture = Waterfall(16.0, 10, QColor("#ffffff"))  # a line is 0.1 s
        red, blue = (np.full(10, QColor(name).rgb()) for name in ("#ff0000", "#0000ff"))
        for k in range(400):  # more than it holds; the last 2 s are blue
            picture.add(red if k < 360 else blue, 1000.0 + 0.05 * k)
        image = QImage(10, 160, QImage.Format_RGB32)
        painter = QPainter(image)
        picture.paint(painter, QRectF(0, 0, 10, 160))
        painter.end()
        column = [image.pixelColor(5, y).name() for y in range(160)]
        self.assertEqual(set(column[:20]), {"#0000ff"})
        self.assertEqual(set(column[21:]), {"#ff0000"})

    def test_the_waterfall_holds_signals_in_their_colours_and_short_bursts(self):
        view = SpectrumView("", waterfall=60.0)
        view.resize(1000, 500)
        view.set_band(433e6, RATE)
        burst = np.ones(1024)
        burst[700:750] = 1e4
        for k in range(100):
            if k == 50:
                view.show_signal(metadata.read_signal(pdu(found(centre_hz=208e3))), 100.0)
            if k == 60:
                signal = metadata.read_signal(pdu(found(centre_hz=208e3, ongoing=False)))
                view.show_signal(signal, 100.0)
            there = 50 <= k < 60 or k == 80
            view.show_spectrum(burst if there else np.ones(1024), 100.0 + 0.1 * k)
        view.tick(200.0)
        below = pixels(view)[298:-8]  # 60 s in 194 pixels
        colourful = np.abs(below - colour_of("QPSK").getRgb()[:3]).max(axis=2) < 30
        rows = np.flatnonzero(colourful.any(axis=1))
        # From 5 s to 4 s ago.
        self.assertAlmostEqual(len(rows), len(below) / 60, delta=2)
        self.assertAlmostEqual(rows.mean(), len(below) * 4.5 / 60, delta=2)
        columns = np.flatnonzero(colourful.any(axis=0))
        self.assertAlmostEqual(columns.mean(), 40 + 0.708 * 950, delta=12)
        # The other, shorter than a line and without a label, is there 2 s ago.
        dark = np.flatnonzero((below[:, columns].max(axis=2) < 120).mean(axis=1) > 0.5)
        self.assertAlmostEqual(dark.min(), len(below) * 2 / 60, delta=2)

    def test_a_signal_that_nobody_tells_of_any_more_goes(self):
        view = self.view()
        view.show_signal(metadata.read_signal(pdu(found())), 100.0)
        view.tick(108.0)
        self.assertEqual(len(view.signals()), 1)
        view.tick(111.0)
        self.assertEqual(view.signals(), [])

    def test_another_band_begins_anew(self):
        view = self.view()
        view.show_signal(metadata.read_signal(pdu(found())), 100.0)
        view.set_band(433e6, RATE)
        self.assertEqual(len(view.signals()), 1)
        view.set_band(434e6, RATE)
        self.assertEqual(view.signals(), [])

    def test_labels_close_to_each_other_do_not_overlap(self):
        """Ten signals 20 kHz apart: their words would cover each other in one row."""
        view = self.view()
        for k in range(10):
            signal = found(k, -100e3 + 20e3 * k, label=("BPSK", "QPSK")[k % 2])
            view.show_signal(metadata.read_signal(pdu(signal)), 100.0)
        view.tick(100.0)
        picture = pixels(view)
        heights = set()
        for label in ("BPSK", "QPSK"):
            colour = np.array(colour_of(label).getRgb()[:3])
            rows = np.flatnonzero((np.abs(picture - colour).max(axis=2) < 8).sum(axis=1) > 12)
            heights |= set((rows // 30).tolist())
        self.assertGreaterEqual(len(heights), 3)

    def test_any_size_can_be_painted(self):
        view = self.view()
        view.show_signal(metadata.read_signal(pdu(found())), 100.0)
        for width, height in ((30, 20), (200, 120), (1600, 900)):
            view.resize(width, height)
            view.tick(100.0)
            self.assertEqual(pixels(view).shape[:2], (height, width))

    def test_a_flowgraph_is_shown(self):
        """A tone's line stands where its frequency is; a rx_freq tag moves the axis."""
        tag = gr.python_to_tag((0, metadata.TAG_FREQ, pmt.from_double(100e6), pmt.PMT_F))
        tone = np.exp(2j * np.pi * 0.25 * np.arange(1 << 14)) * 1e3
        noise = np.random.default_rng(1).standard_normal((1 << 14, 2)) @ [1, 1j]
        source = blocks.vector_source_c((tone + noise).tolist(), True, 1, [tag])
        display = kdamc.kd_amc_spectrum(sample_rate=RATE, update_time=0.02)
        display.qwidget().resize(1000, 400)
        tb = gr.top_block()
        tb.connect(source, blocks.throttle(gr.sizeof_gr_complex, RATE), display)
        tb.msg_connect(blocks.message_strobe(pmt.PMT_NIL, 100), "strobe", display, "signals")
        tb.start()
        try:
            limit = time.monotonic() + 20
            while True:
                self.assertLess(time.monotonic(), limit, "waited too long")
                APP.processEvents()
                picture = pixels(display.qwidget())[40:-40, 60:]
                dark = (picture.max(axis=2) < 60).sum(axis=0)
                # The line that climbs to the tone is the tallest of all.
                if dark.max() > 60:
                    break
            self.assertAlmostEqual(60 + dark.argmax(), 40 + 0.75 * 950, delta=15)
            display.to_basic_block()._post(pmt.intern("signals"), pdu(found(), 100e6))
            while not display.qwidget().signals():
                self.assertLess(time.monotonic(), limit, "waited too long")
                APP.processEvents()
            self.assertEqual(display.qwidget().signals()[0].freq_hz, 100.2e6)
        finally:
            tb.stop()
            tb.wait()
        self.assertIsNone(display.error)

    def test_values_out_of_range_are_refused(self):
        for settings in (
            {"sample_rate": 0.0}, {"bins": 8}, {"bins": 1023}, {"update_time": 0.0},
            {"fade_time": -1.0}, {"waterfall": -1.0},
        ):  # fmt: skip
            with self.assertRaises(ValueError):
                kdamc.kd_amc_spectrum(**settings)


if __name__ == "__main__":
    gr_unittest.run(qa_kd_amc_spectrum)
