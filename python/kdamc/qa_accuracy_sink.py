#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy Sink: what it says of a data set's frames is what the frames and the model say."""

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pmt
from gnuradio import gr, gr_unittest
from gnuradio.kdamc import (
    accuracy_sink,
    frame_slicer,
    kd_amc_classifier,
    metadata,
    onnx_classifier,
    open_model,
    rml_source,
    rms_normalizer,
)
from gnuradio.kdamc.accuracy import Tally, describe_model, measure
from gnuradio.kdamc.data_file import SNR_UNKNOWN
from qa_support import write_data_set, write_model

TOP = Path(__file__).resolve().parents[2]
FRAMES, LENGTH = 3000, 16


class KnownSource:
    """A source of frames of 10 samples: class 0 at 0 dB and class 1 at 4 dB, in turn."""

    def classes(self):
        return ("I", "Q")

    def truth(self, sample_start):
        frame = sample_start // 10
        return frame % 2, 4 * (frame % 2), sample_start % 10 == 0

    def describe(self):
        return {"file": "known"}


def results(starts, posteriors, model="m", classes="I,Q"):
    """A PDU as classifiers publish them."""
    meta = metadata.dictionary({"model": model, "classes": classes})
    starts = pmt.init_u64vector(len(starts), list(starts))
    meta = pmt.dict_add(meta, pmt.intern("sample_start"), starts)
    return pmt.cons(meta, metadata.f32vector(np.asarray(posteriors, np.float32)))


class qa_accuracy_sink(gr_unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        random = np.random.default_rng(1)
        # Noise that leans to an axis, more so at a high SNR: a good model errs sometimes.
        y = random.integers(0, 2, FRAMES)
        z = random.choice([-10, 0, 10], FRAMES)
        self.x = random.standard_normal((FRAMES, 2, LENGTH)).astype(np.float32)
        self.x[np.arange(FRAMES), y] *= 10 ** ((z[:, None] + 15) / 60)
        self.y, self.z = y, z
        self.data = write_data_set(self.folder / "data.h5", self.x, y, z)
        self.model = write_model(self.folder / "axes.onnx", LENGTH, gain=1.5)

    def tearDown(self):
        self._folder.cleanup()

    def expected(self, chosen=slice(None)):
        """The record from the model itself."""
        model = open_model(self.model)
        x = self.x[chosen]
        rms = np.sqrt((x.astype(float) ** 2).sum(axis=1).mean(axis=1))
        logits = model.run((x / rms[:, None, None]).astype(np.float32)).logits
        y, z = self.y[chosen], self.z[chosen]
        return measure(logits, y, z, model.classes, model.info.temperature)

    def run_graph(self, source, *chain, **settings):
        sink, tb = accuracy_sink(source, **settings), gr.top_block()
        tb.connect(source, *chain)
        tb.msg_connect(chain[-1], "frames", sink, "frames")
        tb.run()
        for block in (source, *chain):
            self.assertIsNone(getattr(block, "error", None))
        return sink

    def classifier(self, **settings):
        return kd_amc_classifier(self.model, mode="offline", publish_frames=True, **settings)

    def check(self, record, expected):
        """Equal but for the calibration error, which single precision touches."""
        self.assertAlmostEqual(record["ece"], expected["ece"], 5)
        for key in expected.keys() - {"ece"}:
            self.assertEqual(record[key], expected[key], key)

    def test_record_is_the_evaluators(self):
        self.assertTrue(0.6 < self.expected()["overall"] < 0.95)
        out = self.folder / "record.json"
        model = open_model(self.model)
        source = rml_source(self.data, tags=False)
        sink = self.run_graph(source, self.classifier(), json_file=out, model=model)
        self.assertIsNone(sink.error)
        record = json.loads(out.read_text())
        self.check(record, self.expected())
        self.assertEqual(record["frames"], FRAMES)
        self.assertEqual(record["model"], describe_model(model))
        self.assertEqual(record["data"]["file"], "data.h5")
        self.assertEqual(sink.stats()["unmatched"], 0)
        self.assertEqual(sink.accuracy(), record["overall"])
        self.assertEqual(list(sink.stats()["by_snr"]), [-10, 0, 10])
        np.testing.assert_array_equal(sink.stats()["confusion"], record["confusion"])

    def test_order_and_tags_change_nothing(self):
        for tags, order in ((True, "file"), (True, "shuffled"), (False, "shuffled")):
            source = rml_source(self.data, tags=tags, order=order)
            sink = self.run_graph(source, self.classifier(stats_interval=0))
            self.check({**sink.record()}, self.expected())

    def test_building_blocks_give_the_same(self):
        source = rml_source(self.data, tags=False)
        chain = frame_slicer(LENGTH), rms_normalizer(LENGTH), onnx_classifier(self.model)
        sink = self.run_graph(source, *chain)
        self.check(sink.record(), self.expected())

    def test_chosen_frames_alone_count_and_are_named(self):
        source = rml_source(self.data, classes="Q", snr_low=0, snr_high=10)
        record = self.run_graph(source, self.classifier()).record()
        self.check(record, self.expected((self.y == 1) & (self.z >= 0)))
        self.assertEqual((record["data"]["classes"], record["data"]["snr"]), (["Q"], [0, 10]))

    def test_frames_that_are_left_out_do_no_harm(self):
        self.x[5:300:7] = 0
        loud = np.abs(self.x).max(axis=(1, 2)) > 0
        data = write_data_set(self.folder / "holes.h5", self.x, self.y, self.z)
        sink = self.run_graph(rml_source(data), self.classifier())
        self.check(sink.record(), self.expected(loud))

    def test_overlapping_frames_are_told_apart(self):
        sink = self.run_graph(rml_source(self.data), self.classifier(hop=LENGTH // 2))
        self.check(sink.record(), self.expected())
        self.assertEqual(sink.stats()["unmatched"], FRAMES - 1)

    def test_a_second_run_counts_anew(self):
        source, classifier = rml_source(self.data), self.classifier()
        sink = self.run_graph(source, classifier)
        tb = gr.top_block()
        tb.connect(source, classifier)
        tb.msg_connect(classifier, "frames", sink, "frames")
        tb.run()
        self.check(sink.record(), self.expected())

    def test_other_classes_end_the_flowgraph(self):
        data = write_data_set(self.folder / "o.h5", self.x, self.y, self.z, ("Q", "I"))
        out = self.folder / "record.json"
        sink = self.run_graph(rml_source(data), self.classifier(), json_file=out)
        self.assertIn("the data set holds Q, I", str(sink.error))
        self.assertFalse(out.exists())

    def test_unplaced_results_are_refused(self):
        sink = accuracy_sink(KnownSource())
        meta = metadata.dictionary({"model": "m", "classes": "I,Q"})
        sink._take_frames(pmt.cons(meta, metadata.f32vector(np.ones(2))))
        self.assertIn("at which samples", str(sink.error))
        sink = accuracy_sink(KnownSource())
        sink._take_frames(pmt.intern("nonsense"))
        self.assertIn("not a PDU", str(sink.error))

    def test_example_runs(self):
        """``rml_accuracy.grc`` as Companion makes it, on noise of the classes of its model."""
        model = open_model("rml2016_10a_plain")
        random = np.random.default_rng(2)
        x = random.standard_normal((300, 2, model.input_size)).astype(np.float32)
        y, z = random.integers(0, len(model.classes), 300), np.zeros(300)
        data = write_data_set(self.folder / "noise.h5", x, y, z, model.classes)
        subprocess.run(
            ["grcc", "-o", self.folder, str(TOP / "examples" / "rml_accuracy.grc")],
            check=True,
            capture_output=True,
            env={**os.environ, "GRC_BLOCKS_PATH": str(TOP / "grc")},
        )
        program, out = self.folder / "rml_accuracy.py", self.folder / "record.json"
        done = subprocess.run(
            [sys.executable, program, "--data", data, "--record", str(out)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        rms = np.sqrt((x.astype(float) ** 2).sum(axis=1).mean(axis=1))
        logits = model.run((x / rms[:, None, None]).astype(np.float32)).logits
        record = json.loads(out.read_text())
        self.check(record, measure(logits, y, z, model.classes, model.info.temperature))
        self.assertEqual(record["model"], describe_model(model))

    def test_counts(self):
        sink = accuracy_sink(KnownSource())
        self.assertTrue(math.isnan(sink.accuracy()))
        with self.assertRaises(ValueError):
            sink.record()
        right, wrong = [[0.9, 0.1]], [[0.2, 0.8]]
        sink._take_frames(results([0, 20, 40, 45], right + right + wrong + wrong))
        sink._take_frames(results([10], right))
        stats = sink.stats()
        self.assertEqual((stats["frames"], stats["unmatched"]), (4, 1))
        self.assertEqual(stats["confusion"].tolist(), [[2, 1], [1, 0]])
        self.assertEqual(stats["by_snr"], {0: 2 / 3, 4: 0.0})
        self.assertEqual((sink.frames(), sink.accuracy()), (4, 0.5))
        # An unknown model is named, no more; another one begins anew.
        self.assertEqual(sink.record()["model"], {"name": "m"})
        sink._take_frames(results([10], wrong, model="n"))
        self.assertEqual((sink.stats()["frames"], sink.accuracy()), (1, 1.0))

    def test_messages_that_wait_at_the_end_count(self):
        sink = accuracy_sink(KnownSource())
        sink.to_basic_block()._post(pmt.intern("frames"), results([0], [[1, 0]]))
        sink.stop()
        self.assertEqual(sink.stats()["frames"], 1)

    def test_stats_message(self):
        sink = accuracy_sink(KnownSource())
        sink._take_frames(results([0, 20, 10], [[0.9, 0.1], [0.3, 0.7], [0.3, 0.7]]))
        said = pmt.to_python(sink._stats_message())
        self.assertEqual((said["frames"], said["unmatched"], said["classes"]), (3, 0, "I,Q"))
        self.assertAlmostEqual(said["overall"], 2 / 3)
        self.assertEqual(list(said["snr_labels"]), [0, 4])
        np.testing.assert_allclose(said["by_snr"], [0.5, 1])
        self.assertEqual(list(said["confusion"]), [1, 1, 0, 1])

    def test_impossible_settings_are_refused(self):
        for settings in ({"json_file": self.folder / "no" / "x.json"}, {"stats_interval": -1}):
            with self.assertRaises(ValueError):
                accuracy_sink(KnownSource(), **settings)

    def test_arithmetic(self):
        tally = Tally(("A", "B"))
        posteriors = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
        tally.add(np.array([0, 0, 1, 1]), np.array([-4, 2, 2, SNR_UNKNOWN]), posteriors)
        record = tally.record(confusion_at=(2,))
        self.assertEqual(record["confusion"], [[2, 0], [1, 1]])
        self.assertEqual(record["confusion_from_0_db"], [[1, 0], [0, 1]])
        self.assertEqual(record["confusion_at_db"], {"2": [[1, 0], [0, 1]]})
        self.assertEqual(record["overall"], 0.75)
        self.assertEqual(record["by_snr"], {"-4": 1.0, "2": 1.0, "127": 0.0})
        self.assertEqual(record["by_class"], {"A": [1.0, 1.0, None], "B": [None, 1.0, 0.0]})
        self.assertEqual(record["scores"]["A"]["recall"], 1.0)
        self.assertAlmostEqual(record["scores"]["A"]["precision"], 2 / 3)
        self.assertAlmostEqual(record["scores"]["B"]["f1"], 2 / 3)
        # A bin for each frame: 0.1, 0.4, 0.3 from the right ones, 0.8 from the wrong one.
        self.assertAlmostEqual(record["ece"], 0.4)
        with self.assertRaises(ValueError):
            tally.add(np.array([0]), np.array([-129]), posteriors[:1])


if __name__ == "__main__":
    gr_unittest.run(qa_accuracy_sink)
