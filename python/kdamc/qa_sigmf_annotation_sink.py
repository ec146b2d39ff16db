#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""SigMF Annotation Sink: an annotation a decision, at its samples, in a valid file."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pmt
import sigmf
from gnuradio import blocks, gr, gr_unittest
from gnuradio.kdamc import Decision, kd_amc_classifier, metadata, sigmf_annotation_sink
from gnuradio.kdamc.receiver.errors import InputError
from qa_support import axis_signal, write_model

FRAME = 16
DECISION = Decision(
    label="I",
    confidence=0.75,
    entropy=0.5,
    snr_db=None,
    sample_start=320,
    sample_count=160,
    rx_time=(5, 0.25),
    freq_hz=0.0,
    sample_rate=1e3,
    model="m",
    posterior=np.array([0.75, 0.25], np.float32),
    frames_used=10,
    frames_gated=0,
    frames_dropped=0,
)


def message(decision):
    """Its PDU."""
    return pmt.cons(metadata.decision_to_pmt(decision), metadata.f32vector(decision.posterior))


class qa_sigmf_annotation_sink(gr_unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.out = self.folder / "out.sigmf-meta"

    def tearDown(self):
        self._folder.cleanup()

    def annotations(self, sink, *decisions):
        """What the file says after these decisions."""
        for decision in decisions:
            sink._take_decision(message(decision))
        sink.stop()
        self.assertIsNone(sink.error)
        content = json.loads(self.out.read_text())
        sigmf.SigMFFile(metadata=content).validate()
        return content["annotations"]

    def test_decisions_of_a_recording(self):
        recording = self.folder / "iqi.cf32"
        samples = axis_signal("IQI", 100 * FRAME)
        samples.astype("<c8").tofile(recording)
        model = write_model(self.folder / "axes.onnx", FRAME)
        eos = gr.tag_t()
        eos.offset, eos.key, eos.value = len(samples) - 1, metadata.TAG_EOS, pmt.PMT_T
        source = blocks.vector_source_c(samples.tolist(), False, 1, [eos])
        classifier = kd_amc_classifier(
            model, 1e3, mode="offline", decision_frames=40, decision_interval=0
        )
        sink = sigmf_annotation_sink(self.out, recording, 1e3, 1e8, 100.0)
        tb = gr.top_block()
        tb.connect(source, classifier)
        tb.msg_connect(classifier, "decisions", sink, "decisions")
        tb.run()
        self.assertIsNone(sink.error)
        content = json.loads(self.out.read_text())
        sigmf.SigMFFile(metadata=content).validate()
        self.assertEqual(content["global"]["core:dataset"], "iqi.cf32")
        starts = [a["core:sample_start"] for a in content["annotations"]]
        self.assertEqual(starts, list(range(0, 300 * FRAME, 40 * FRAME)))
        # The last decision has the 20 frames that are left: eos publishes it.
        self.assertEqual(content["annotations"][-1]["core:sample_count"], 20 * FRAME)
        first = content["annotations"][0]
        self.assertEqual(first["core:label"], "I")
        self.assertEqual(content["annotations"][3]["core:label"], "Q")
        self.assertEqual(first["core:freq_lower_edge"], 1e8 - 50)
        again = sigmf.sigmffile.fromfile(str(self.out))
        np.testing.assert_array_equal(again.read_samples(), samples)

    def test_without_a_recording(self):
        sink = sigmf_annotation_sink(self.out, sample_rate=1e3, freq_hz=5e6)
        later = replace(DECISION, sample_start=999, freq_hz=7e6, snr_db=12.0)
        first, second = self.annotations(sink, later, DECISION)
        self.assertEqual((first["core:sample_start"], first["core:sample_count"]), (320, 160))
        self.assertEqual(first["core:freq_upper_edge"], 5e6 + 500)
        self.assertEqual(first["kdamc:confidence"], 0.75)
        self.assertNotIn("kdamc:snr_db", first)
        self.assertEqual((second["core:freq_lower_edge"], second["kdamc:snr_db"]), (7e6 - 500, 12))

    def test_positions_are_the_recordings(self):
        sink = sigmf_annotation_sink(self.out, sample_rate=5e3)
        (only,) = self.annotations(sink, DECISION)
        self.assertEqual((only["core:sample_start"], only["core:sample_count"]), (1600, 800))

    def test_messages_that_wait_at_the_end_count(self):
        sink = sigmf_annotation_sink(self.out)
        sink.to_basic_block()._post(pmt.intern("decisions"), message(DECISION))
        self.assertEqual(len(self.annotations(sink)), 1)

    def test_every_start_begins_anew(self):
        sink = sigmf_annotation_sink(self.out)
        self.assertEqual(len(self.annotations(sink, DECISION)), 1)
        sink.start()
        self.assertEqual(len(self.annotations(sink, DECISION)), 1)

    def test_what_is_no_decision_is_refused_and_nothing_written(self):
        for wrong in (
            pmt.intern("BPSK"),
            pmt.cons(pmt.make_dict(), metadata.f32vector(np.ones(2))),
            pmt.cons(metadata.decision_to_pmt(DECISION), pmt.PMT_NIL),
        ):
            sink = sigmf_annotation_sink(self.out)
            sink._take_decision(wrong)
            sink.stop()
            self.assertIn("not a decision", str(sink.error))
            self.assertFalse(self.out.exists())

    def test_a_decision_survives_its_pdu(self):
        again = metadata.read_decision(message(DECISION))
        np.testing.assert_array_equal(again.posterior, DECISION.posterior)
        same = replace(again, posterior=DECISION.posterior)
        self.assertEqual(same, DECISION)

    def test_impossible_settings_are_refused(self):
        for settings in (
            {"file": self.folder / "no" / "x.sigmf-meta"},
            {"recording": self.folder / "absent.cf32"},
            {"sample_rate": 0.0},
            {"bandwidth_hz": -1.0},
        ):
            with self.subTest(settings), self.assertRaises((InputError, ValueError)) as caught:
                sigmf_annotation_sink(**{"file": self.out, **settings})
            self.assertNotIn("\n", str(caught.exception))


if __name__ == "__main__":
    gr_unittest.run(qa_sigmf_annotation_sink)
