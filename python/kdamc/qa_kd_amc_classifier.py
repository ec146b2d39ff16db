#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The block that people drag in, in real flowgraphs, with a model whose answer is known."""

import tempfile
import threading
import time
import unittest
from pathlib import Path

import numpy as np
import pmt
from gnuradio import blocks, gr, gr_unittest
from gnuradio.kdamc import ModelError, kd_amc_classifier
from gnuradio.kdamc.engine import Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from qa_support import axis_signal, write_model

L = 16
YARDSTICK = Path(__file__).resolve().parents[3] / "shared/yardsticks/cgdnet_rml2016.10a.onnx"


def tag(offset, key, value):
    t = gr.tag_t()
    t.offset, t.key, t.value = offset, pmt.intern(key), value
    return t


def time_pmt(whole, part):
    return pmt.make_tuple(pmt.from_uint64(whole), pmt.from_double(part))


class ChunkedSource(gr.sync_block):
    """Plays an array in pieces of given sizes, again and again; tags at absolute samples."""

    def __init__(self, data, sizes, tags=()):
        gr.sync_block.__init__(self, "chunked", [], [np.complex64])
        self.data, self.sizes, self.todo = data, list(sizes), sorted(tags, key=lambda t: t.offset)
        self.at = self.turn = 0

    def work(self, input_items, output_items):
        if self.at == len(self.data):
            return -1
        out = output_items[0]
        n = min(self.sizes[self.turn % len(self.sizes)], len(out), len(self.data) - self.at)
        self.turn += 1
        out[:n] = self.data[self.at : self.at + n]
        while self.todo and self.todo[0].offset < self.at + n:
            t = self.todo.pop(0)
            self.add_item_tag(0, t.offset, t.key, t.value)
        self.at += n
        return n


class qa_kd_amc_classifier(gr_unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.dir = Path(self.folder.name)
        self.path = write_model(self.dir / "m.onnx", L)

    def tearDown(self):
        self.folder.cleanup()

    def run_stream(self, data, tags=(), sizes=(1000,), through=False, **settings):
        """(decisions, block, stream output, its tags, stored messages)."""
        decisions = []
        options = {"mode": "offline", "decision_frames": 4, "decision_interval": 0.0, **settings}
        block = kd_amc_classifier(self.path, on_decision=decisions.append, **options)
        tb = gr.top_block()
        source = ChunkedSource(np.asarray(data, np.complex64), sizes, tags)
        store = blocks.message_debug()
        sink = blocks.vector_sink_c()
        tb.connect(source, block)
        if through:
            tb.connect(block, sink)
        tb.msg_connect(block, "decisions", store, "store")
        tb.run()
        messages = [store.get_message(i) for i in range(store.num_messages())]
        return decisions, block, np.array(sink.data()), sink.tags(), messages

    def test_decisions_and_their_pdus(self):
        decisions, block, _, _, messages = self.run_stream(
            axis_signal("IIIIQQQQIIQQQQ", L),
            sample_rate=1000.0,
            rx_freq=5e6,
            rx_time=100.25,
            unknown_threshold=0.6,
        )
        self.assertIsNone(block.error)
        self.assertEqual([d.label for d in decisions], ["I", "Q", "unknown", "Q"])
        self.assertEqual([d.sample_start for d in decisions], [0, 64, 128, 192])
        self.assertEqual([d.sample_count for d in decisions], [64, 64, 64, 32])
        self.assertEqual([d.frames_used for d in decisions], [4, 4, 4, 2])
        self.assertEqual([d.freq_hz for d in decisions], [5e6] * 4)
        np.testing.assert_allclose([d.time for d in decisions], 100.25 + np.arange(4) * 0.064)
        # The first three left as messages from work(); the last came at the end of the stream.
        self.assertGreaterEqual(len(messages), 3)
        meta = pmt.to_python(pmt.car(messages[1]))
        self.assertEqual(meta["label"], "Q")
        self.assertEqual(meta["sample_start"], 64)
        self.assertEqual(meta["sample_count"], 64)
        self.assertEqual(meta["frames_used"], 4)
        self.assertEqual((meta["frames_gated"], meta["frames_dropped"]), (0, 0))
        self.assertEqual(meta["rx_freq"], 5e6)
        self.assertEqual(meta["sample_rate"], 1000.0)
        self.assertEqual((meta["model"], meta["classes"]), ("m", "I,Q"))
        self.assertEqual(meta["rx_time"][0], 100)
        self.assertAlmostEqual(meta["rx_time"][1], 0.25 + 0.064)
        # 4 frames fused with exponent 1/2: twice the logit difference of one frame.
        self.assertAlmostEqual(meta["confidence"], 1 / (1 + np.exp(-8.0)), places=5)
        payload = pmt.to_python(pmt.cdr(messages[1]))
        np.testing.assert_allclose(payload, decisions[1].posterior)

    @settings(max_examples=15, deadline=None)
    @given(
        sizes=st.lists(st.integers(1, 700), min_size=1, max_size=5),
        hop=st.integers(1, 40),
        seed=st.integers(0, 100),
    )
    def test_chunk_sizes_change_nothing(self, sizes, hop, seed):
        x = np.random.default_rng(seed).standard_normal((3000, 2)).astype(np.float32)
        x = x.view(np.complex64)[:, 0]
        whole, *_ = self.run_stream(x, hop=hop, sizes=(8192,))
        parts, *_ = self.run_stream(x, hop=hop, sizes=sizes)
        for a, b in zip(whole, parts, strict=True):
            self.assertEqual(
                (a.label, a.sample_start, a.sample_count, a.frames_used),
                (b.label, b.sample_start, b.sample_count, b.frames_used),
            )
            np.testing.assert_allclose(a.posterior, b.posterior, atol=1e-5)

    def test_nothing_is_lost_offline(self):
        x = axis_signal("IQ" * 20000, L)
        decisions, block, *_ = self.run_stream(x, sizes=(100000,))
        stats = block.stats()
        self.assertEqual(stats["frames_in"], 40000)
        self.assertEqual(stats["classified"], 40000)
        self.assertEqual(stats["dropped"], 0)
        self.assertEqual(sum(d.frames_used for d in decisions), 40000)

    def test_changes_of_tuning_part_frames_and_decisions(self):
        x = axis_signal("I" * 40, L)
        for key, value, attribute, after in (
            ("rx_freq", pmt.from_double(2e6), "freq_hz", 2e6),
            ("rx_rate", pmt.from_double(500.0), "sample_rate", 500.0),
        ):
            decisions, *_ = self.run_stream(
                x, tags=[tag(100, key, value)], sample_rate=1000.0, rx_freq=1e6
            )
            starts = [d.sample_start for d in decisions]
            # 6 whole frames before sample 100; frames start anew there.
            self.assertEqual(starts[:4], [0, 64, 100, 164])
            self.assertEqual(decisions[1].frames_used, 2)
            self.assertEqual(getattr(decisions[2], attribute), after)
            self.assertNotEqual(getattr(decisions[1], attribute), after)
        # The same value again is no change.
        decisions, *_ = self.run_stream(
            x, tags=[tag(100, "rx_freq", pmt.from_double(1e6))], rx_freq=1e6
        )
        self.assertEqual([d.sample_start for d in decisions][:3], [0, 64, 128])

    def test_a_gap_in_time_parts_decisions_and_a_steady_clock_does_not(self):
        x = axis_signal("I" * 20, L)
        steady = [tag(0, "rx_time", time_pmt(7, 0.0)), tag(100, "rx_time", time_pmt(7, 0.1))]
        decisions, *_ = self.run_stream(x, tags=steady, sample_rate=1000.0)
        self.assertEqual([d.sample_start for d in decisions][:3], [0, 64, 128])
        self.assertAlmostEqual(decisions[2].time, 7.128)
        gap = [tag(0, "rx_time", time_pmt(7, 0.0)), tag(100, "rx_time", time_pmt(7, 0.102))]
        decisions, *_ = self.run_stream(x, tags=gap, sample_rate=1000.0)
        self.assertEqual([d.sample_start for d in decisions][:4], [0, 64, 100, 164])
        self.assertAlmostEqual(decisions[3].time, 7.102 + 0.064)

    def test_gate_and_unfit_frames(self):
        x = axis_signal("IIIIIQQ0000IIN" + "I" * 3, L)
        x[5 * L : 7 * L] *= 1e-3
        decisions, block, *_ = self.run_stream(x, gate_db=-20.0)
        self.assertEqual([d.label for d in decisions], ["I", "I", "I", "I"])
        self.assertEqual([d.sample_start // L for d in decisions], [0, 4, 11, 14])
        self.assertEqual([d.frames_used for d in decisions], [4, 1, 2, 3])
        # Silent frames are under the gate too, but what has no scale counts as refused.
        self.assertEqual([d.frames_gated for d in decisions], [0, 0, 6, 1])
        stats = block.stats()
        self.assertEqual((stats["gated"], stats["refused"], stats["classified"]), (2, 5, 10))

    def test_nothing_is_said_of_nothing(self):
        for pattern in ("0" * 20, "N" * 20):
            decisions, block, *_ = self.run_stream(axis_signal(pattern, L))
            self.assertEqual(decisions, [])
            self.assertIsNone(block.error)
        decisions, *_ = self.run_stream(axis_signal("I", L - 1))
        self.assertEqual(decisions, [])
        decisions, *_ = self.run_stream([])
        self.assertEqual(decisions, [])

    def test_eos_publishes_the_trailing_decision_200_times(self):
        x = axis_signal("IIIIQQ", L)
        for _ in range(200):
            decisions, _, _, _, messages = self.run_stream(
                x, tags=[tag(len(x) - 1, "eos", pmt.PMT_T)]
            )
            self.assertEqual([d.label for d in decisions], ["I", "Q"])
            self.assertEqual(len(messages), 2)

    def test_trailing_decision_reaches_the_callback_200_times(self):
        x = axis_signal("IIIIQQ", L)
        for _ in range(200):
            decisions, *_ = self.run_stream(x)
            self.assertEqual([d.label for d in decisions], ["I", "Q"])

    def test_stream_output_carries_decisions_at_their_samples(self):
        x = axis_signal("IIIIQQQQIIIIQQQ", L)
        marks = [tag(5, "mark", pmt.from_long(5)), tag(70, "mark", pmt.from_long(70))]
        for sizes in ((1000,), (7,), (64, 1)):
            _, block, out, tags, _ = self.run_stream(
                x, [*marks, tag(len(x) - 1, "eos", pmt.PMT_T)], sizes, through=True
            )
            self.assertIsNone(block.error)
            np.testing.assert_array_equal(out, x)
            found = [
                (t.offset, pmt.to_python(t.value)["label"])
                for t in tags
                if pmt.symbol_to_string(t.key) == "amc_decision"
            ]
            self.assertEqual(found, [(0, "I"), (64, "Q"), (128, "I"), (192, "Q")])
            self.assertEqual(
                [t.offset for t in tags if pmt.symbol_to_string(t.key) == "mark"], [5, 70]
            )

    def test_stream_output_live_goes_on_untagged_after_the_deadline(self):
        x = axis_signal("I" * 400, L)
        _, _, out, tags, _ = self.run_stream(
            x,
            sizes=(L,),
            through=True,
            mode="live",
            decision_frames=100000,
            tag_deadline=0.0,
        )
        np.testing.assert_array_equal(out, x[: len(out)])
        self.assertGreater(len(out), len(x) // 2)
        self.assertEqual([t for t in tags if "amc" in pmt.symbol_to_string(t.key)], [])

    def test_pdus(self):
        decisions = []
        block = kd_amc_classifier(
            self.path, decision_frames=4, decision_interval=0, mode="offline",
            on_decision=decisions.append,
        )  # fmt: skip
        tb = gr.top_block()
        store = blocks.message_debug()
        tb.msg_connect(block, "decisions", store, "store")
        tb.start()
        meta = pmt.dict_add(pmt.make_dict(), pmt.intern("rx_freq"), pmt.from_double(3e6))
        meta = pmt.dict_add(meta, pmt.intern("sample_rate"), pmt.from_double(1000.0))
        meta = pmt.dict_add(meta, pmt.intern("rx_time"), time_pmt(9, 0.5))
        port = pmt.intern("iq")
        for pattern in ("IIIIQQ", "QQ", "I"):
            x = axis_signal(pattern, L)
            block.to_basic_block()._post(
                port, pmt.cons(meta, pmt.init_c32vector(len(x), x.tolist()))
            )
        block.to_basic_block()._post(port, pmt.intern("not a PDU"))
        block.to_basic_block()._post(
            pmt.intern("system"), pmt.cons(pmt.intern("done"), pmt.from_long(1))
        )
        tb.wait()
        self.assertIsNone(block.error)
        self.assertEqual([d.label for d in decisions], ["I", "Q", "Q", "I"])
        self.assertEqual([d.frames_used for d in decisions], [4, 2, 2, 1])
        self.assertEqual({d.freq_hz for d in decisions}, {3e6})
        np.testing.assert_allclose([d.time for d in decisions], [9.5, 9.564, 9.5, 9.5])

    def test_pdus_leave_no_tags_on_the_stream(self):
        x = axis_signal("I" * 40, L)
        block = kd_amc_classifier(self.path, mode="offline", decision_frames=4)
        tb, sink = gr.top_block(), blocks.vector_sink_c()
        source = ChunkedSource(x, (7,), [tag(len(x) - 1, "eos", pmt.PMT_T)])
        tb.connect(source, block, sink)
        pdu = axis_signal("Q" * 12, L)
        message = pmt.cons(pmt.make_dict(), pmt.init_c32vector(len(pdu), pdu.tolist()))
        block.to_basic_block()._post(pmt.intern("iq"), message)
        tb.run()
        found = [t for t in sink.tags() if pmt.symbol_to_string(t.key) == "amc_decision"]
        self.assertEqual({pmt.to_python(t.value)["label"] for t in found}, {"I"})
        self.assertEqual(block.stats()["late"], 0)
        self.assertEqual(block.stats()["classified"], 52)

    def test_every_frame_on_request(self):
        x = axis_signal("IIIQ0QQ", L)
        block = kd_amc_classifier(self.path, mode="offline", publish_frames=True)
        tb = gr.top_block()
        store = blocks.message_debug()
        tb.connect(blocks.vector_source_c(x.tolist()), block)
        tb.msg_connect(block, "frames", store, "store")
        tb.run()
        self.assertEqual(store.num_messages(), 1)
        meta = pmt.car(store.get_message(0))

        def field(name):
            return pmt.dict_ref(meta, pmt.intern(name), pmt.PMT_NIL)

        self.assertEqual(pmt.u8vector_elements(field("labels")), [0, 0, 0, 1, 1, 1])
        starts = pmt.u64vector_elements(field("sample_start"))
        self.assertEqual([start // L for start in starts], [0, 1, 2, 3, 5, 6])
        self.assertEqual(pmt.symbol_to_string(field("classes")), "I,Q")
        posteriors = pmt.to_python(pmt.cdr(store.get_message(0))).reshape(6, 2)
        np.testing.assert_allclose(posteriors.sum(axis=1), 1, atol=1e-5)

    def running(self, **settings):
        """A block fed without end by a throttled source; (top block, block, decisions)."""
        decisions = []
        block = kd_amc_classifier(self.path, on_decision=decisions.append, **settings)
        tb = gr.top_block()
        source = blocks.vector_source_c(axis_signal("I" * 64, L).tolist(), True)
        tb.connect(source, blocks.throttle(8, 200e3), block)
        return tb, block, decisions

    def wait_for(self, condition, seconds=5.0):
        limit = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), limit, "waited too long")
            time.sleep(0.005)

    def test_changes_while_running(self):
        other = write_model(self.dir / "other.onnx", 2 * L, classes=("left", "right"))
        broken = self.dir / "broken.onnx"
        broken.write_bytes(b"nothing")
        tb, block, decisions = self.running(decision_frames=4, stats_interval=0.05)
        store = blocks.message_debug()
        tb.msg_connect(block, "stats", store, "store")
        tb.start()
        try:
            self.wait_for(lambda: decisions and decisions[-1].label == "I")
            self.assertFalse(block.set_model(str(broken)))
            self.assertFalse(block.set_model("absent"))
            self.assertEqual(block.model(), "m")
            self.assertTrue(block.set_model(other))
            self.wait_for(lambda: decisions[-1].label == "left")
            self.assertEqual(decisions[-1].model, "other")
            self.assertTrue(block.set_hop(5))
            self.wait_for(lambda: decisions[-1].sample_count == 2 * L + 3 * 5)
            self.assertFalse(block.set_hop(-1))

            def command(message):
                block.to_basic_block()._post(pmt.intern("command"), message)

            command(pmt.cons(pmt.intern("decision_frames"), pmt.from_long(2)))
            self.wait_for(lambda: decisions[-1].frames_used == 2)
            command(
                pmt.dict_add(
                    pmt.dict_add(pmt.make_dict(), pmt.intern("unknown_threshold"),
                                 pmt.from_double(0.99999999)),
                    pmt.intern("hop"), pmt.from_long(0),
                )
            )  # fmt: skip
            self.wait_for(lambda: decisions[-1].label == "unknown")
            command(pmt.cons(pmt.intern("gate_db"), pmt.from_double(50.0)))
            self.wait_for(lambda: block.stats()["gated"] > 10)
            command(pmt.cons(pmt.intern("colour"), pmt.from_double(50.0)))
            command(pmt.intern("nonsense"))
        finally:
            tb.stop()
            tb.wait()
        self.assertIsNone(block.error)
        told = [pmt.to_python(store.get_message(i)) for i in range(store.num_messages())]
        refused = [m["setting_refused"] for m in told if "setting_refused" in m]
        self.assertTrue(any("not a usable ONNX" in text for text in refused))
        self.assertTrue(any("no such model" in text for text in refused))
        counted = next(m for m in told if "classified" in m and m["classified"] > 0)
        for key in ("frames_in", "gated", "dropped", "latency_p50_ms", "latency_p99_ms"):
            self.assertIn(key, counted)

    def test_a_change_of_place_parts_decisions_and_loses_no_sample(self):
        decisions = []
        block = kd_amc_classifier(
            self.path, mode="offline", sample_rate=1e3, rx_freq=5.0, rx_time=10.0,
            decision_frames=7, decision_interval=0, stats_interval=0, on_decision=decisions.append,
        )  # fmt: skip
        asked = []

        class Tuner(ChunkedSource):
            def work(self, input_items, output_items):
                if decisions and not asked:
                    asked.extend((block.set_rx_freq(6.0), block.set_sample_rate(2e3)))
                    asked.extend((block.set_publish_frames(True), block.set_stats_interval(1e-9)))
                    asked.extend((block.set_rx_freq(float("nan")), block.set_sample_rate("fast")))
                return ChunkedSource.work(self, input_items, output_items)

        # More than the buffers hold, so that the end is read after the change.
        source = Tuner(axis_signal("I" * 40000, L), (4000,))
        store = blocks.message_debug()
        tb = gr.top_block()
        tb.connect(source, block)
        for port in ("frames", "stats"):
            tb.msg_connect(block, port, store, "store")
        tb.run()
        self.assertIsNone(block.error)
        self.assertEqual(asked, [True, True, True, True, False, False])
        places = [(d.freq_hz, d.sample_rate) for d in decisions]
        self.assertEqual(sorted(set(places)), [(5.0, 1e3), (6.0, 2e3)])
        self.assertEqual(places, sorted(places))
        changed = decisions[places.index((6.0, 2e3))]
        # The clock goes on at the old rate up to the change.
        self.assertAlmostEqual(changed.time, 10 + changed.sample_start / 1e3, places=6)
        told = [store.get_message(i) for i in range(store.num_messages())]
        frames = [m for m in told if pmt.is_pair(m) and pmt.is_f32vector(pmt.cdr(m))]
        stats = [pmt.to_python(m) for m in told if pmt.is_dict(m) and m not in frames]
        self.assertTrue(frames)
        self.assertTrue(any("classified" in m for m in stats))

    def test_changing_the_model_offline_loses_no_sample(self):
        test = self
        other = write_model(self.dir / "other.onnx", L)
        x = axis_signal("I" * 4000, L)
        decisions = []
        block = kd_amc_classifier(
            self.path, mode="offline", decision_frames=7, decision_interval=0,
            on_decision=decisions.append,
        )  # fmt: skip

        class Switcher(ChunkedSource):
            def work(self, input_items, output_items):
                if self.turn % 40 == 20:
                    # A source runs ahead of the block: without waiting, a change could come
                    # before the model that it replaces has seen a frame.
                    used = block.model()
                    test.wait_for(lambda: decisions and decisions[-1].model == used)
                    block.set_model(other if used == "m" else self.first)
                return ChunkedSource.work(self, input_items, output_items)

        source = Switcher(x, (37, 501))
        source.first = self.path
        tb = gr.top_block()
        tb.connect(source, block)
        tb.run()
        self.assertIsNone(block.error)
        self.assertEqual({d.model for d in decisions}, {"m", "other"})
        self.assertEqual(sum(d.frames_used for d in decisions), 4000)
        ends = [d.sample_start + d.sample_count for d in decisions]
        self.assertEqual([d.sample_start for d in decisions][1:], ends[:-1])

    def test_live_drops_when_the_network_is_too_slow(self):
        decisions = []
        gate = threading.Event()

        def slow(decision):
            decisions.append(decision)
            gate.wait(0.02)

        block = kd_amc_classifier(
            self.path, decision_frames=64, on_decision=slow, queue_frames=512,
            decision_interval=0,
        )  # fmt: skip
        tb = gr.top_block()
        tb.connect(blocks.vector_source_c(axis_signal("I" * 50000, L).tolist()), block)
        tb.run()
        self.assertIsNone(block.error)
        stats = block.stats()
        self.assertEqual(stats["frames_in"], 50000)
        self.assertGreater(stats["dropped"], 0)
        self.assertEqual(stats["classified"] + stats["dropped"], 50000)
        self.assertEqual(sum(d.frames_dropped for d in decisions), stats["dropped"])

    def test_errors_end_the_flowgraph_within_two_seconds(self):
        def bad_callback(decision):
            raise RuntimeError("the callback is broken")

        for mode in ("live", "offline"):
            block = kd_amc_classifier(self.path, mode=mode, on_decision=bad_callback)
            tb = gr.top_block()
            source = blocks.vector_source_c(axis_signal("I" * 64, L).tolist(), True)
            tb.connect(source, blocks.throttle(8, 200e3), block)
            begin = time.monotonic()
            tb.run()
            self.assertLess(time.monotonic() - begin, 2.0)
            self.assertIn("the callback is broken", str(block.error))

        # An error in a handler, with no stream at all.
        block = kd_amc_classifier(self.path, mode="offline", on_decision=bad_callback)
        tb = gr.top_block()
        tb.msg_connect(block, "decisions", blocks.message_debug(), "store")
        tb.start()
        x = axis_signal("IIII", L)
        pdu = pmt.cons(pmt.make_dict(), pmt.init_c32vector(len(x), x.tolist()))
        block.to_basic_block()._post(pmt.intern("iq"), pdu)
        ended = threading.Thread(target=tb.wait)
        ended.start()
        ended.join(2.0)
        self.assertFalse(ended.is_alive())
        self.assertIn("the callback is broken", str(block.error))

        # An error in work itself.
        block = kd_amc_classifier(self.path)
        block._read = lambda *arguments: 1 / 0
        tb = gr.top_block()
        tb.connect(blocks.null_source(8), block)
        begin = time.monotonic()
        tb.run()
        self.assertLess(time.monotonic() - begin, 2.0)
        self.assertIsInstance(block.error, ZeroDivisionError)

    @unittest.skipUnless(YARDSTICK.is_file(), "the third-party model lies outside of this project")
    def test_third_party_model(self):
        """A network with input (n, 128, 2), sum of magnitudes 1 and a softmax at its end."""
        x = np.random.default_rng(1).standard_normal((64 * 128, 2)).astype(np.float32)
        decisions = []
        block = kd_amc_classifier(
            str(YARDSTICK),
            classes="8PSK,AM-DSB,AM-SSB,BPSK,CPFSK,GFSK,PAM4,QAM16,QAM64,QPSK,WBFM",
            layout="nlc",
            normalise_mode="l1",
            output="probabilities",
            mode="offline",
            unknown_threshold=0.0,
            on_decision=decisions.append,
        )
        tb = gr.top_block()
        tb.connect(blocks.vector_source_c(x.view(np.complex64)[:, 0].tolist()), block)
        tb.run()
        self.assertIsNone(block.error)
        # RML2016.10A's AM-SSB is noise alone, and so is this.
        self.assertEqual([d.label for d in decisions], ["AM-SSB"])
        session = block._stream.client.model._session
        frames = x.reshape(64, 128, 2)
        frames = frames / np.hypot(frames[..., 0], frames[..., 1]).sum(axis=1)[:, None, None]
        (probabilities,) = session.run(None, {session.get_inputs()[0].name: frames})
        mean = np.log(probabilities).mean(axis=0)
        expected = np.exp(mean) / np.exp(mean).sum()
        np.testing.assert_allclose(decisions[0].posterior, expected, atol=1e-4)

    def test_impossible_settings_are_refused(self):
        for bad in (
            {"mode": "fast"},
            {"sample_rate": 0.0},
            {"sample_rate": float("nan")},
            {"hop": -1},
            {"hop": 1.5},
            {"decision_frames": 0},
            {"decision_interval": -1.0},
            {"gate_db": float("nan")},
            {"rx_time": -1.5},
            {"tag_deadline": float("nan")},
            {"stats_interval": -1.0},
        ):
            with self.assertRaises(ValueError, msg=str(bad)):
                kd_amc_classifier(self.path, **bad)
        with self.assertRaises(ModelError):
            kd_amc_classifier(str(self.dir / "absent.onnx"))

    def test_two_blocks_share_one_session(self):
        a, b = kd_amc_classifier(self.path), kd_amc_classifier(self.path)
        self.assertIs(a._stream.client.engine, b._stream.client.engine)

    def test_impossible_values_while_running_are_refused(self):
        tb, block, decisions = self.running(decision_frames=4)
        tb.start()
        try:
            self.wait_for(lambda: len(decisions) > 2)
            for refused in (
                block.set_hop(float("inf")),
                block.set_hop(1e20),
                block.set_decision_frames(float("inf")),
                block.set_unknown_threshold(float("nan")),
                block.set_unknown_threshold("none"),
                block.set_gate_db(None),
                block.set_tag_deadline(-1.0),
                block.set_model("~nobody_of_that_name/x"),
                block.set_model("x" * 5000),
            ):
                self.assertFalse(refused)
            port = pmt.intern("command")
            vector = pmt.init_f32vector(2, [1.0, 2.0])
            for message in (
                pmt.cons(vector, pmt.intern("x")),
                pmt.cons(pmt.dict_add(pmt.make_dict(), vector, vector), vector),
                pmt.cons(pmt.intern("hop"), vector),
                pmt.cons(pmt.intern("decision_interval"), pmt.from_double(1e15)),
            ):
                block.to_basic_block()._post(port, message)
            seen = len(decisions)
            self.wait_for(lambda: len(decisions) > seen + 5)
        finally:
            tb.stop()
            tb.wait()
        self.assertIsNone(block.error)

    def test_times_that_are_none_change_nothing(self):
        x = axis_signal("I" * 20, L)
        for value in (
            time_pmt(7, float("nan")),
            pmt.from_complex(1, 2),
            pmt.make_tuple(pmt.from_long(-5), pmt.from_double(0.5)),
            pmt.intern("noon"),
        ):
            decisions, block, *_ = self.run_stream(x, tags=[tag(100, "rx_time", value)])
            self.assertIsNone(block.error)
            self.assertEqual({d.time for d in decisions}, {None})
            self.assertEqual([d.sample_start for d in decisions][:3], [0, 64, 128])

    def test_a_network_without_numbers_says_unknown(self):
        path = write_model(self.dir / "nan.onnx", L, metadata={"normalise_mode": "none"})
        decisions = []
        block = kd_amc_classifier(path, mode="offline", on_decision=decisions.append)
        tb = gr.top_block()
        # Squares of such samples leave float32 inside the network, but not in the kernel.
        x = 1e18 * axis_signal("I" * 4, L)
        x[0] = 1.5e19
        tb.connect(blocks.vector_source_c(x.tolist()), block)
        tb.run()
        self.assertIsNone(block.error)
        for decision in decisions:
            self.assertTrue(np.isfinite(decision.confidence))

    def test_stream_output_goes_on_when_the_input_pauses(self):
        x = axis_signal("I" * 40 + "II", L)[:-5]
        resume = threading.Event()

        class Pausing(ChunkedSource):
            def work(self, input_items, output_items):
                if self.at == len(self.data):
                    resume.wait(10)
                return ChunkedSource.work(self, input_items, output_items)

        block = kd_amc_classifier(self.path, decision_frames=4, tag_deadline=0.2)
        tb, sink = gr.top_block(), blocks.vector_sink_c()
        source = Pausing(x, (100,))
        tb.connect(source, block, sink)
        tb.start()
        try:
            self.wait_for(lambda: len(sink.data()) == len(x), 3.0)
        finally:
            resume.set()
            tb.stop()
            tb.wait()
        np.testing.assert_array_equal(sink.data(), x)

    def test_a_stopped_block_is_forgotten(self):
        engine = Engine.of(self.path)
        for _ in range(5):
            block = kd_amc_classifier(self.path, mode="offline")
            tb = gr.top_block()
            tb.connect(blocks.vector_source_c(axis_signal("I" * 8, L).tolist()), block)
            tb.run()
            self.assertEqual(engine._clients, [])

    def test_a_restart_forgets_the_last_run(self):
        x = axis_signal("I" * 20, L)
        decisions = []
        block = kd_amc_classifier(
            self.path, mode="offline", sample_rate=100.0, decision_interval=0,
            on_decision=decisions.append,
        )  # fmt: skip
        tb = gr.top_block()
        source = blocks.vector_source_c(
            x.tolist(),
            False,
            1,
            [tag(160, "rx_time", time_pmt(0, 0.0)), tag(160, "rx_freq", pmt.from_double(5e6))],
        )
        tb.connect(source, block)
        for _ in range(2):
            del decisions[:]
            source.rewind()
            tb.run()
            self.assertIsNone(block.error)
            self.assertEqual([d.sample_start for d in decisions], [0, 160])
            self.assertEqual([d.freq_hz for d in decisions], [0, 5e6])
            self.assertEqual([d.time for d in decisions], [None, 0.0])

    def test_a_restart_after_an_error_ends(self):
        block = kd_amc_classifier(self.path, mode="offline", on_decision=lambda decision: 1 / 0)
        tb = gr.top_block()
        tb.connect(blocks.vector_source_c(axis_signal("I" * 200, L).tolist(), True), block)
        for _ in range(2):
            ended = threading.Thread(target=tb.run, daemon=True)
            ended.start()
            ended.join(2.0)
            self.assertFalse(ended.is_alive())
        self.assertIsInstance(block.error.__cause__ or block.error, ZeroDivisionError)

    def test_runs_again_after_stop(self):
        tb, block, decisions = self.running(decision_frames=4)
        for _ in range(3):
            del decisions[:]
            tb.start()
            self.wait_for(lambda: len(decisions) > 3)
            tb.stop()
            tb.wait()
            self.assertEqual(decisions[0].sample_start, 0)
        self.assertIsNone(block.error)


if __name__ == "__main__":
    gr_unittest.run(qa_kd_amc_classifier)
