#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The display shows what it is told, from whatever thread, and the source sends what is chosen."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import numpy as np
import pmt
from gnuradio import blocks, gr, gr_unittest, kdamc
from gnuradio.kdamc import metadata
from gnuradio.kdamc.decision import Decision
from gnuradio.kdamc.decision_view import DecisionView, Strip, colours_of
from PyQt5.QtCore import QRectF
from PyQt5.QtGui import QColor, QImage, QPainter
from PyQt5.QtWidgets import QApplication
from qa_support import axis_signal, write_model

APP = QApplication.instance() or QApplication(sys.argv)
CLASSES = ("I", "Q")


def pixels(widget):
    """Colours of a widget's picture: (height, width) of 0xAARRGGBB."""
    image = widget.grab().toImage().convertToFormat(QImage.Format_RGB32)
    data = image.bits().asarray(image.byteCount())
    return np.array(data, np.uint8).view(np.uint32).reshape(image.height(), image.width())


class qa_kd_amc_display(gr_unittest.TestCase):
    def wait_for(self, condition, seconds=20.0):
        limit = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), limit, "waited too long")
            APP.processEvents()
            time.sleep(0.01)

    def shown(self, display):
        """The share of the picture's lower part, the strip, that each class colour takes."""
        display.qwidget().resize(500, 400)
        picture = pixels(display.qwidget())[300:]
        return {
            name: float((picture == colour.rgb()).mean())
            for name, colour in colours_of(CLASSES).items()
        }

    def test_the_strip_keeps_the_order_of_time(self):
        strip = Strip(60.0, QColor("#ffffff"))
        red, blue = QColor("#ff0000"), QColor("#0000ff")
        for k in range(100):
            strip.add(red if k < 50 else blue, 1000.0 + 0.2 * k, 0.05)
        image = QImage(600, 10, QImage.Format_RGB32)
        painter = QPainter(image)
        strip.paint(painter, QRectF(0, 0, 600, 10))
        painter.end()
        row = [image.pixelColor(x, 5).name() for x in range(600)]
        # 20 of 60 seconds had signal: ten of each colour, red first.
        self.assertEqual(row[0], "#ffffff")
        self.assertAlmostEqual(row.count("#ff0000"), 100, delta=6)
        self.assertAlmostEqual(row.count("#0000ff"), 100, delta=6)
        self.assertLess(row.index("#ff0000"), row.index("#0000ff"))
        self.assertEqual(row[-1], "#0000ff")

    def test_colours_do_not_depend_on_the_order_of_classes(self):
        names = ["BPSK", "x", "y", "z", "GFSK"]
        one, other = colours_of(names), colours_of(names[::-1])
        self.assertEqual({k: v.name() for k, v in one.items()},
                         {k: v.name() for k, v in other.items()})  # fmt: skip
        self.assertEqual(len({v.name() for v in one.values()}), len(names))

    def test_a_flowgraph_is_shown(self):
        with tempfile.TemporaryDirectory() as folder:
            classifier = kdamc.kd_amc_classifier(
                write_model(Path(folder) / "m.onnx", 16), sample_rate=200e3, decision_frames=16,
                stats_interval=0.05,
            )  # fmt: skip
            display = kdamc.kd_amc_display("two")
            tb = gr.top_block()
            source = blocks.vector_source_c(axis_signal("I" * 64, 16).tolist(), True)
            tb.connect(source, blocks.throttle(8, 200e3), classifier)
            for port in ("decisions", "stats"):
                tb.msg_connect(classifier, port, display, port)
            tb.start()
            try:
                self.wait_for(lambda: self.shown(display)["I"] > 0.01)
            finally:
                tb.stop()
                tb.wait()
            self.assertEqual(self.shown(display)["Q"], 0.0)

    def test_messages_from_another_thread_and_senseless_ones(self):
        display = kdamc.kd_amc_display()
        decision = Decision(
            label="Q", confidence=0.9, posterior=np.array([0.1, 0.9], np.float32), entropy=0.3,
            snr_db=None, sample_start=0, sample_count=2000, rx_time=None, freq_hz=0.0,
            sample_rate=1000.0, model="m", frames_used=1, frames_gated=0, frames_dropped=0,
        )  # fmt: skip

        def pdu(classes):
            meta = metadata.decision_to_pmt(decision)
            meta = pmt.dict_add(meta, pmt.intern("classes"), pmt.intern(classes))
            return pmt.cons(meta, metadata.f32vector(decision.posterior))

        def send():
            for message in (pmt.intern("nonsense"), pdu("I,Q,R"), pdu("I,Q")):
                display.to_basic_block()._post(pmt.intern("decisions"), message)

        tb = gr.top_block()
        tb.msg_connect(blocks.message_strobe(pmt.PMT_NIL, 100), "strobe", display, "stats")
        tb.start()
        try:
            sender = threading.Thread(target=send)
            sender.start()
            sender.join()
            self.wait_for(lambda: self.shown(display)["Q"] > 0.001)
        finally:
            tb.stop()
            tb.wait()

    def test_a_refused_setting_is_shown_for_a_while(self):
        view = DecisionView("", 60.0)
        view.resize(500, 400)
        red = QColor("#e03131").rgb()

        def has_red():
            return bool((pixels(view) == red).any())

        for height in (400, 100):
            view.resize(500, height)
            view.show_stats({"dropped": 0}, 100.0)
            view.tick(100.0)
            self.assertFalse(has_red())
            view.show_stats({"setting_refused": "model 'x' refused: no such model"}, 101.0)
            view.tick(101.0)
            self.assertTrue(has_red())
            self.assertIn("no such model", view.toolTip())
            view.show_stats({"dropped": 0}, 102.0)  # statistics go on
            view.tick(102.0)
            self.assertTrue(has_red())
            view.tick(130.0)
            self.assertFalse(has_red())
            self.assertEqual(view.toolTip(), "")

    def test_a_broken_model_leaves_the_old_one_working_and_says_why(self):
        with tempfile.TemporaryDirectory() as folder:
            broken = Path(folder) / "broken.onnx"
            broken.write_bytes(b"nothing")
            classifier = kdamc.kd_amc_classifier(
                write_model(Path(folder) / "m.onnx", 16), sample_rate=200e3, decision_frames=16
            )
            display = kdamc.kd_amc_display()
            tb = gr.top_block()
            source = blocks.vector_source_c(axis_signal("I" * 64, 16).tolist(), True)
            tb.connect(source, blocks.throttle(8, 200e3), classifier)
            for port in ("decisions", "stats"):
                tb.msg_connect(classifier, port, display, port)
            tb.start()
            try:
                classifier.set_model(str(broken))
                tip = display.qwidget().toolTip
                self.wait_for(lambda: "not a usable ONNX model" in tip())
                made = classifier.stats()["decisions"]
                self.wait_for(lambda: classifier.stats()["decisions"] > made)
            finally:
                tb.stop()
                tb.wait()
            self.assertEqual(classifier.model(), "m")

    def test_without_an_application_it_says_so(self):
        code = (
            "from gnuradio import kdamc\n"
            "try: kdamc.kd_amc_display()\n"
            "except RuntimeError as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        self.assertIn("needs a Qt application", done.stdout)
        with self.assertRaises(ValueError):
            kdamc.kd_amc_display(seconds=0)

    def test_the_source_sends_what_is_chosen(self):
        source = kdamc.modulation_source("noise", snr_db=20.0)
        tb = gr.top_block()
        sink = blocks.vector_sink_c()
        head = blocks.head(gr.sizeof_gr_complex, 40000)
        tb.connect(source, head, sink)
        tb.run()
        self.assertAlmostEqual(np.mean(np.abs(sink.data()) ** 2), 0.01, delta=0.002)
        source = kdamc.modulation_source("BPSK", snr_db=200.0)
        tb = gr.top_block()
        sink, head = blocks.vector_sink_c(), blocks.head(gr.sizeof_gr_complex, 40000)
        tb.connect(source, head, sink)
        tb.run()
        signal = np.asarray(sink.data())[1000:]
        self.assertAlmostEqual(np.mean(np.abs(signal) ** 2), 1.0, delta=0.05)
        # BPSK lies on a line: its square has one phase.
        self.assertGreater(abs(np.mean(signal**2)), 0.99 * np.mean(np.abs(signal) ** 2))
        for bad in ("QQQ", ""):
            with self.assertRaises(ValueError):
                source.set_modulation(bad)
        with self.assertRaises(ValueError):
            source.set_snr_db(float("nan"))


if __name__ == "__main__":
    gr_unittest.run(qa_kd_amc_display)
