#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frame Slicer, RMS Normalizer and ONNX Classifier: alone and in a row."""

import tempfile
from pathlib import Path

import numpy as np
import pmt
from gnuradio import blocks, gr, gr_unittest
from gnuradio.kdamc import ModelError, frame_slicer, onnx_classifier, rms_normalizer
from qa_support import axis_signal, write_model

FRAME_START = pmt.intern("frame_start")


def noise(n, seed=1):
    x = np.random.default_rng(seed).standard_normal((n, 2)).astype(np.float32)
    return x.view(np.complex64)[:, 0]


def tag(offset, key, value):
    t = gr.tag_t()
    t.offset, t.key, t.value = offset, pmt.intern(key), value
    return t


def run(data, *chain, vlen=1, tags=()):
    """The last block's output and its tags."""
    tb = gr.top_block()
    sink = (
        blocks.vector_sink_f(vlen)
        if isinstance(chain[-1], onnx_classifier)
        else blocks.vector_sink_c(vlen)
    )
    tb.connect(blocks.vector_source_c(data.tolist(), False, 1, list(tags)), *chain, sink)
    tb.run()
    return np.array(sink.data()).reshape(-1, vlen), sink.tags()


class qa_frame_blocks(gr_unittest.TestCase):
    def test_slicer_cuts_every_frame(self):
        x = noise(30000)
        for frame_len, hop in ((128, 0), (128, 128), (128, 32), (100, 333), (1024, 1024), (1, 3)):
            frames, tags = run(x, frame_slicer(frame_len, hop), vlen=frame_len)
            starts = range(0, len(x) - frame_len + 1, hop or frame_len)
            expected = np.array([x[s : s + frame_len] for s in starts])
            np.testing.assert_array_equal(frames, expected)
            self.assertEqual(len(tags), 1)
            self.assertEqual(pmt.to_python(tags[0].value), (0, hop or frame_len))

    def test_slicer_gate_leaves_frames_out_and_says_so(self):
        x = noise(10 * 64)
        x[3 * 64 : 5 * 64] *= 0.01
        frames, tags = run(x, frame_slicer(64, 64, -20.0), vlen=64)
        kept = [k for k in range(10) if k not in (3, 4)]
        np.testing.assert_array_equal(frames, x.reshape(10, 64)[kept])
        starts = {t.offset: pmt.to_python(t.value)[0] for t in tags}
        self.assertEqual(starts, {0: 0, 3: 5 * 64})

    def test_slicer_frames_do_not_cross_a_change(self):
        x = noise(1000)
        change = tag(500, "rx_freq", pmt.from_double(1e6))
        frames, tags = run(x, frame_slicer(64), vlen=64, tags=[change])
        starts = [*range(0, 437, 64), *range(500, 937, 64)]
        np.testing.assert_array_equal(frames, np.array([x[s : s + 64] for s in starts]))
        where = {pmt.symbol_to_string(t.key): t.offset for t in tags if t.offset}
        self.assertEqual(where, {"rx_freq": 7, "frame_start": 7})

    def test_slicer_obeys_tags_in_a_gap_however_the_stream_is_cut(self):
        x = noise(400)
        change = tag(40, "rx_freq", pmt.from_double(1e6))
        for most in (1000, 20):
            with self.subTest(most=most):
                self.slice_around(x, change, most)

    def slice_around(self, x, change, most):
        slicer, sink = frame_slicer(16, 64), blocks.vector_sink_c(16)
        tb = gr.top_block()
        source = blocks.vector_source_c(x.tolist(), False, 1, [change])
        tb.connect(source, slicer, sink)
        tb.run(most)  # samples that a block may give at once
        starts = [pmt.to_python(t.value)[0] for t in sink.tags() if pmt.eqv(t.key, FRAME_START)]
        self.assertEqual(starts, [0, 40])
        keys = [pmt.symbol_to_string(t.key) for t in sink.tags()]
        self.assertEqual(keys.count("rx_freq"), 1)

    def test_slicer_takes_a_hop_of_any_size(self):
        x = noise(5000)
        for hop in (4000, 1 << 30):
            frames, _ = run(x, frame_slicer(16, hop), vlen=16)
            expected = [x[s : s + 16] for s in range(0, len(x) - 15, hop)]
            np.testing.assert_array_equal(frames, expected)

    def test_normalizer(self):
        x = noise(5 * 50) * np.float32(1e-3)
        x[50:100] = 0
        x[120] = np.nan
        block = rms_normalizer(50)
        frames, _ = run(x, blocks.stream_to_vector(8, 50), block, vlen=50)
        power = np.mean(np.abs(frames) ** 2, axis=1)
        np.testing.assert_allclose(power, [1, 0, 0, 1, 1], atol=1e-5)
        np.testing.assert_allclose(frames[3] / frames[3][0], x[150:200] / x[150], rtol=1e-4)
        self.assertEqual(block.refused(), 2)

    def test_classifier(self):
        with tempfile.TemporaryDirectory() as folder:
            path = write_model(Path(folder) / "m.onnx", 16)
            x = axis_signal("IQQI" * 300, 16)
            x[16 : 2 * 16] *= 1e-6
            classifier = onnx_classifier(path)
            tb = gr.top_block()
            sink, store = blocks.vector_sink_f(2), blocks.message_debug()
            # GNU Radio 3.10.5 does not keep Python blocks alive: the test does.
            slicer, normalizer = frame_slicer(16, 16, -40.0), rms_normalizer(16)
            tb.connect(blocks.vector_source_c(x.tolist()), slicer, normalizer, classifier, sink)
            tb.msg_connect(classifier, "frames", store, "store")
            tb.run()
            self.assertIsNone(classifier.error)
            logits = np.array(sink.data()).reshape(-1, 2)
            labels = np.array([0, 1, 1, 0] * 300)
            labels = np.delete(labels, 1)
            np.testing.assert_array_equal(logits.argmax(axis=1), labels)
            np.testing.assert_allclose(logits.max(axis=1), 4, atol=1e-4)
            said, starts = [], []
            for i in range(store.num_messages()):
                meta = pmt.car(store.get_message(i))
                field = lambda name, m=meta: pmt.dict_ref(m, pmt.intern(name), pmt.PMT_NIL)  # noqa: E731
                said += pmt.u8vector_elements(field("labels"))
                starts += pmt.u64vector_elements(field("sample_start"))
            np.testing.assert_array_equal(said, labels)
            np.testing.assert_array_equal(starts, np.delete(np.arange(1200) * 16, 1))

    def test_classifier_says_nothing_of_unfit_frames(self):
        with tempfile.TemporaryDirectory() as folder:
            classifier = onnx_classifier(write_model(Path(folder) / "m.onnx", 16))
            tb, sink, store = gr.top_block(), blocks.vector_sink_f(2), blocks.message_debug()
            slicer, normalizer = frame_slicer(16), rms_normalizer(16)
            source = blocks.vector_source_c(axis_signal("Q0NI", 16).tolist())
            tb.connect(source, slicer, normalizer, classifier, sink)
            tb.msg_connect(classifier, "frames", store, "store")
            tb.run()
            logits = np.array(sink.data()).reshape(4, 2)
            np.testing.assert_array_equal(np.isnan(logits[:, 0]), [False, True, True, False])
            meta = pmt.car(store.get_message(0))
            labels = pmt.dict_ref(meta, pmt.intern("labels"), pmt.PMT_NIL)
            self.assertEqual(pmt.u8vector_elements(labels), [1, 0])
            starts = pmt.dict_ref(meta, pmt.intern("sample_start"), pmt.PMT_NIL)
            self.assertEqual(pmt.u64vector_elements(starts), [0, 48])

    def test_classifier_without_stream_output(self):
        with tempfile.TemporaryDirectory() as folder:
            path = write_model(Path(folder) / "m.onnx", 16)
            classifier, store = onnx_classifier(path), blocks.message_debug()
            tb = gr.top_block()
            x = axis_signal("IQ" * 10, 16)
            tb.connect(
                blocks.vector_source_c(x.tolist()), blocks.stream_to_vector(8, 16), classifier
            )
            tb.msg_connect(classifier, "frames", store, "store")
            tb.run()
            self.assertEqual(store.num_messages(), 1)
            meta = pmt.car(store.get_message(0))
            self.assertFalse(pmt.dict_has_key(meta, pmt.intern("sample_start")))

    def test_impossible_settings_are_refused(self):
        for make in (
            lambda: frame_slicer(0),
            lambda: frame_slicer(16, -1),
            lambda: frame_slicer(16, 1 << 40),
            lambda: rms_normalizer(0),
        ):
            with self.assertRaises(ValueError):
                make()
        with self.assertRaises(ModelError):
            onnx_classifier("absent.onnx")


if __name__ == "__main__":
    gr_unittest.run(qa_frame_blocks)
