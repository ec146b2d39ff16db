#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""RML Source: every frame once, in the order asked for, with what is known of it."""

import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pmt
from gnuradio import blocks, gr, gr_unittest
from gnuradio.kdamc import DataFileError, rml_source
from gnuradio.kdamc.data_file import SNR_UNKNOWN, DataSetFile
from qa_support import write_data_set

FRAMES, LENGTH = 500, 24
CLASSES = ("A", "B", "C")


def complex_frames(x):
    """(n, 2, L) to (n, L) complex64."""
    return x[:, 0].astype(np.float32) + 1j * x[:, 1].astype(np.float32)


class qa_rml_source(gr_unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        random = np.random.default_rng(1)
        self.x = random.standard_normal((FRAMES, 2, LENGTH)).astype(np.float32)
        self.y = random.integers(0, 3, FRAMES)
        self.z = random.choice([-10, 0, 10, SNR_UNKNOWN], FRAMES)
        self.path = self.write("plain.h5")

    def tearDown(self):
        self._folder.cleanup()

    def write(self, name, **how):
        return write_data_set(self.folder / name, self.x, self.y, self.z, CLASSES, **how)

    def play(self, source, most=None):
        """Frames (n, L) and tags of a whole pass, or of the first ``most`` frames."""
        tb, sink = gr.top_block(), blocks.vector_sink_c()
        chain = [source, sink]
        if most is not None:
            chain.insert(1, blocks.head(8, most * LENGTH))
        tb.connect(*chain)
        tb.run()
        self.assertIsNone(source.error)
        return np.array(sink.data(), np.complex64).reshape(-1, LENGTH), sink.tags()

    def test_every_frame_in_order_however_it_is_stored(self):
        for name, how in (
            ("a.h5", {}),
            ("b.h5", {"chunks": (7, 2, LENGTH), "compression": "gzip"}),
            ("c.h5", {"dtype": np.float16}),
        ):
            with self.subTest(name):
                frames, tags = self.play(rml_source(self.write(name, **how), tags=False))
                expected = complex_frames(self.x.astype(how.get("dtype", np.float32)))
                np.testing.assert_array_equal(frames, expected)
                said = [(t.offset, pmt.to_python(t.key), pmt.to_python(t.value)) for t in tags]
                last = FRAMES * LENGTH - 1
                self.assertEqual(said, [(0, "rx_rate", 1e3), (last, "eos", True)])

    def test_shuffled_is_every_frame_once_and_tags_say_which(self):
        for name, how in (("a.h5", {}), ("b.h5", {"chunks": (7, 2, LENGTH)})):
            with self.subTest(name):
                source = rml_source(self.write(name, **how), order="shuffled", seed=4)
                frames, tags = self.play(source)
                by_key = {"label": {}, "snr": {}, "index": {}, "rx_rate": {}, "eos": {}}
                for tag in tags:
                    by_key[pmt.to_python(tag.key)][tag.offset] = pmt.to_python(tag.value)
                index = np.array([by_key["index"][k * LENGTH] for k in range(FRAMES)])
                self.assertEqual(sorted(index), list(range(FRAMES)))
                self.assertNotEqual(index.tolist(), sorted(index))
                np.testing.assert_array_equal(frames, complex_frames(self.x)[index])
                labels = [by_key["label"][k * LENGTH] for k in range(FRAMES)]
                self.assertEqual(labels, [CLASSES[y] for y in self.y[index]])
                snr = [by_key["snr"].get(k * LENGTH, SNR_UNKNOWN) for k in range(FRAMES)]
                self.assertEqual(snr, self.z[index].tolist())
        again, _ = self.play(rml_source(self.path, order="shuffled", seed=4))
        other, _ = self.play(rml_source(self.path, order="shuffled", seed=5))
        np.testing.assert_array_equal(again, frames)
        self.assertFalse(np.array_equal(other, frames))

    def test_chosen_frames(self):
        for chosen, settings in (
            (self.y != 1, {"classes": "A, C"}),
            (self.y == 2, {"classes": ["C"]}),
            ((self.z >= -10) & (self.z <= 0), {"snr_high": 0}),
            ((self.z == 10) & (self.y == 0), {"classes": "A", "snr_low": 10}),
        ):
            with self.subTest(settings):
                source = rml_source(self.path, **settings)
                frames, _ = self.play(source)
                np.testing.assert_array_equal(frames, complex_frames(self.x)[chosen])
                self.assertEqual(source.frames(), chosen.sum())

    def test_truth(self):
        source = rml_source(self.path, order="shuffled")
        frames, _ = self.play(source)
        starts = np.arange(FRAMES, dtype=np.uint64) * LENGTH
        labels, snr, known = source.truth(starts)
        self.assertTrue(known.all())
        # What the samples themselves say.
        found = {frame.tobytes(): k for k, frame in enumerate(complex_frames(self.x))}
        index = [found[frame.tobytes()] for frame in frames]
        np.testing.assert_array_equal(labels, self.y[index])
        np.testing.assert_array_equal(snr, self.z[index])
        _, _, known = source.truth(np.array([0, 1, LENGTH, FRAMES * LENGTH]))
        np.testing.assert_array_equal(known, [True, False, True, False])

    def test_repeats_from_the_first_frame(self):
        source = rml_source(self.path, classes="A", repeat=True, tags=False)
        n = source.frames()
        frames, tags = self.play(source, most=2 * n + 5)
        own = complex_frames(self.x)[self.y == 0]
        np.testing.assert_array_equal(frames, np.concatenate([own, own, own[:5]]))
        self.assertEqual([pmt.to_python(tag.key) for tag in tags], ["rx_rate"])
        labels, snr, known = source.truth(LENGTH * np.arange(2 * n + 5))
        self.assertTrue(known.all())
        np.testing.assert_array_equal(snr, np.resize(self.z[self.y == 0], 2 * n + 5))
        np.testing.assert_array_equal(labels, 0)

    def test_runs_again_from_the_first_frame(self):
        source, sink = rml_source(self.path), blocks.vector_sink_c()
        tb = gr.top_block()
        tb.connect(source, sink)
        tb.run()
        first = np.array(sink.data())
        sink.reset()
        tb.run()
        np.testing.assert_array_equal(np.array(sink.data()), first)

    def test_pdus(self):
        source, store = rml_source(self.path, pdus=True, tags=False), blocks.message_debug()
        tb, sink = gr.top_block(), blocks.null_sink(8)
        tb.connect(source, sink)
        tb.msg_connect(source, "pdus", store, "store")
        tb.run()
        self.assertIsNone(source.error)
        self.assertEqual(store.num_messages(), FRAMES)
        for k in range(FRAMES):
            meta = pmt.to_python(pmt.car(store.get_message(k)))
            self.assertEqual(
                (meta["label"], meta.get("snr", SNR_UNKNOWN), meta["index"], meta["sample_rate"]),
                (CLASSES[self.y[k]], self.z[k], k, 1e3),
            )
            payload = np.array(pmt.c32vector_elements(pmt.cdr(store.get_message(k))))
            np.testing.assert_array_equal(payload, complex_frames(self.x)[k])

    def test_throttled_is_not_faster_than_its_rate_and_stops(self):
        rate = 100 * LENGTH  # frames at 100 a second
        source = rml_source(self.path, throttle=True, sample_rate=rate, tags=False)
        began = time.monotonic()
        frames, _ = self.play(source, most=31)
        self.assertGreaterEqual(time.monotonic() - began, 0.3)
        np.testing.assert_array_equal(frames, complex_frames(self.x)[:31])
        # A frame in four minutes.
        slow = rml_source(self.path, throttle=True, sample_rate=0.1)
        tb, sink = gr.top_block(), blocks.vector_sink_c()
        tb.connect(slow, sink)
        tb.start()
        while len(sink.data()) < LENGTH:
            time.sleep(0.01)
        began = time.monotonic()
        tb.stop()
        tb.wait()
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(len(sink.data()), LENGTH)

    def test_pace_and_what_it_tells_change_while_it_runs(self):
        # A frame in four minutes: only another pace brings the others.
        slow = {"throttle": True, "sample_rate": 0.1, "tags": False, "repeat": True}
        source = rml_source(self.path, **slow)
        tb, sink, store = gr.top_block(), blocks.vector_sink_c(), blocks.message_debug()
        tb.connect(source, sink)
        tb.msg_connect(source, "pdus", store, "store")
        tb.start()
        while source.nitems_written(0) < LENGTH:
            time.sleep(0.01)
        source.set_tags(True)
        source.set_pdus(True)
        source.set_throttle(False)
        while source.nitems_written(0) < FRAMES * LENGTH or not store.num_messages():
            time.sleep(0.01)
        tb.stop()
        tb.wait()
        self.assertIsNone(source.error)
        told = [int(pmt.to_python(t.value)) for t in sink.tags()
                if pmt.symbol_to_string(t.key) == "index"]  # fmt: skip
        self.assertEqual(told[: FRAMES - 1], list(range(1, FRAMES)))
        self.assertEqual(pmt.to_python(pmt.car(store.get_message(0)))["index"], 1)

    def test_refusals_say_why(self):
        text = self.folder / "text.h5"
        text.write_text("no data")
        for settings, reason in (
            ({"file": self.folder / "absent.h5"}, "no such file"),
            ({"file": text}, "not a readable HDF5 file"),
            ({"classes": "D"}, "no class 'D'"),
            ({"snr_low": 40, "snr_high": 50}, "no frame"),
            ({"order": "backwards"}, "order"),
            ({"sample_rate": -1}, "sample_rate"),
            ({"sample_rate": float("nan")}, "sample_rate"),
        ):
            with self.subTest(settings), self.assertRaises(ValueError) as caught:
                rml_source(**{"file": self.path, **settings})
            self.assertIn(reason, str(caught.exception))
            self.assertNotIn("\n", str(caught.exception))

    def test_files_that_are_no_data_set(self):
        import h5py

        def without(name):
            def change(file):
                del (file if name in file else file.attrs)[name]

            return change

        def set_options(file):
            file.attrs["options"] = "{"

        def call_beyond(file):
            file["Y"][0] = 3

        def call_before(file):
            labels = file["Y"][:].astype(np.int8)
            labels[0] = -1
            del file["Y"]
            file["Y"] = labels

        for change, reason in (
            (without("X"), "no dataset X"),
            (without("Z"), "no dataset Z"),
            (without("classes"), "no attribute classes"),
            (set_options, "unreadable"),
            (call_beyond, "class beyond"),
            (call_before, "class beyond"),
        ):
            path = self.write("bad.h5")
            with h5py.File(path, "a") as file:
                change(file)
            with self.subTest(reason), self.assertRaises(DataFileError) as caught:
                DataSetFile(path)
            self.assertIn(reason, str(caught.exception))

    def test_says_what_to_install(self):
        with mock.patch.dict(sys.modules, {"h5py": None}), self.assertRaises(ValueError) as caught:
            rml_source(self.path)
        self.assertIn("pip install h5py", str(caught.exception))


if __name__ == "__main__":
    gr_unittest.run(qa_rml_source)
