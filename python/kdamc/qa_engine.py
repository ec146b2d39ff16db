#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine room: sharing, order, batches across clients, drops, errors."""

import tempfile
import threading
from pathlib import Path

import numpy as np
from gnuradio import gr_unittest
from gnuradio.kdamc.engine import BATCH_FRAMES, Chunk, Engine, Lost
from qa_support import write_model


class Receiver:
    """Keeps what it gets; ``gate`` holds the worker up while it is not set."""

    def __init__(self):
        self.results = []
        self.errors = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def on_result(self, result):
        self.entered.set()
        self.gate.wait(10)
        if isinstance(result, Lost):
            self.results.append(("lost", result.dropped, result.gated, result.ends_segment))
        else:
            labels = result.outputs.logits.argmax(axis=1).tolist() if result.delivered else []
            self.results.append(("chunk", result.segment, labels))

    def on_error(self, error):
        self.errors.append(error)


def put(client, segment, labels, ends=False):
    """Submit frames that the analytic model labels 0 (I) or 1 (Q)."""
    chunk = client.claim(segment)
    for label in labels:
        frame = np.zeros((2, 16), np.float32)
        frame[label] = 1
        chunk.iq[chunk.delivered] = frame
        chunk.flags[chunk.rows] = 0
        chunk.rows += 1
        chunk.delivered += 1
    chunk.ends_segment = ends
    client.submit(chunk)


class qa_engine(gr_unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = write_model(Path(self.folder.name) / "m.onnx")
        self.engine = Engine.of(self.path)

    def tearDown(self):
        self.folder.cleanup()

    def test_one_engine_a_model_and_setting(self):
        self.assertIs(Engine.of(self.path), self.engine)
        self.assertIsNot(Engine.of(self.path, temperature=2.0), self.engine)
        write_model(Path(self.path), gain=9.0, metadata={"architecture": "another"})
        self.assertIsNot(Engine.of(self.path), self.engine)

    def test_results_come_back_in_order_to_their_client(self):
        receivers = [Receiver() for _ in range(5)]
        clients = [(r, self.engine.join(r, False, 4 * BATCH_FRAMES)) for r in receivers]
        random = np.random.default_rng(1)
        sent = [[] for _ in clients]
        for turn in range(200):
            i = int(random.integers(len(clients)))
            labels = random.integers(0, 2, random.integers(1, 60)).tolist()
            sent[i] += labels
            put(clients[i][1], turn % 3, labels)
        for i, (receiver, client) in enumerate(clients):
            client.drain()
            got = [label for result in receiver.results for label in result[2]]
            self.assertEqual(got, sent[i])
            client.close()

    def test_batches_are_formed_across_clients(self):
        calls = []
        model = self.engine.model
        run = model.run
        model.run = lambda frames, power=None: calls.append(len(frames)) or run(frames, power)
        first, second = Receiver(), Receiver()
        a = self.engine.join(first, False, 1024)
        b = self.engine.join(second, False, 1024)
        first.gate.clear()
        put(a, "hold", [0])
        first.entered.wait(10)
        put(a, "s", [0, 1, 0])
        put(b, "s", [1, 1])
        first.gate.set()
        a.drain()
        b.drain()
        self.assertEqual(calls, [1, 5])
        self.assertEqual(first.results[1], ("chunk", "s", [0, 1, 0]))
        self.assertEqual(second.results, [("chunk", "s", [1, 1])])
        del model.run
        a.close()
        b.close()

    def test_small_pieces_share_a_buffer(self):
        receiver = Receiver()
        client = self.engine.join(receiver, True, 2 * BATCH_FRAMES)
        receiver.gate.clear()
        put(client, "hold", [0])
        receiver.entered.wait(10)
        for _ in range(BATCH_FRAMES):
            put(client, "s", [1])
        receiver.gate.set()
        client.drain()
        self.assertEqual([len(r[2]) for r in receiver.results], [1, BATCH_FRAMES])
        client.close()

    def test_live_drops_the_oldest_and_counts(self):
        receiver = Receiver()
        client = self.engine.join(receiver, True, 4 * BATCH_FRAMES)
        receiver.gate.clear()
        put(client, "hold", [0])
        receiver.entered.wait(10)
        # One of four buffers is held: three wait, seven of ten are dropped.
        for k in range(10):
            put(client, k, [k % 2] * (k + 1), ends=k == 4)
        receiver.gate.set()
        client.drain()
        self.assertEqual(
            receiver.results,
            [("chunk", "hold", [0]), ("lost", sum(range(1, 8)), 0, True)]
            + [("chunk", k, [k % 2] * (k + 1)) for k in (7, 8, 9)],
        )
        client.close()

    def test_offline_blocks_and_loses_nothing(self):
        receiver = Receiver()
        client = self.engine.join(receiver, False, 2 * BATCH_FRAMES)
        for k in range(50):
            put(client, k, [0] * 100)
        client.drain()
        self.assertEqual(sum(len(r[2]) for r in receiver.results), 5000)
        self.assertTrue(all(r[0] == "chunk" for r in receiver.results))
        client.close()

    def test_an_error_of_one_client_leaves_the_others_working(self):
        bad, good = Receiver(), Receiver()
        bad.on_result = lambda result: 1 / 0
        a, b = self.engine.join(bad, False, 1024), self.engine.join(good, False, 1024)
        put(a, "s", [0])
        with self.assertRaisesRegex(RuntimeError, "division"):
            a.drain()
        self.assertIsInstance(bad.errors[0], ZeroDivisionError)
        with self.assertRaises(RuntimeError):
            a.claim("s")
        put(b, "s", [1])
        b.drain()
        self.assertEqual(good.results, [("chunk", "s", [1])])
        a.close()
        b.close()

    def test_the_worker_ends_with_its_last_client(self):
        client = self.engine.join(Receiver(), False, 256)
        worker = self.engine._worker
        self.assertTrue(worker.is_alive())
        client.close()
        worker.join(5)
        self.assertFalse(worker.is_alive())
        # And comes back for the next one.
        receiver = Receiver()
        client = self.engine.join(receiver, False, 256)
        put(client, "s", [1])
        client.drain()
        self.assertEqual(receiver.results, [("chunk", "s", [1])])
        client.close()

    def test_chunk_room(self):
        chunk = Chunk(2, 16)
        chunk.clear("s")
        self.assertTrue(chunk.has_room)
        chunk.ends_segment = True
        self.assertFalse(chunk.has_room)


if __name__ == "__main__":
    gr_unittest.run(qa_engine)
