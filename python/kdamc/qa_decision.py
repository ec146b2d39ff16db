#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames to decisions: fusion, limits, unknown, SNR, time."""

from types import SimpleNamespace

import numpy as np
from gnuradio import gr_unittest
from gnuradio.kdamc.contract import Fusion, ModelInfo
from gnuradio.kdamc.decision import DecisionMaker, DecisionSettings, Segment, fuse


def maker(exponent=0.5, threshold=None, decision_interval=0.0, **settings):
    info = ModelInfo(("a", "b"), 10, fusion=Fusion(exponent, exponent), unknown_threshold=threshold)
    return DecisionMaker(
        SimpleNamespace(info=info, name="m", input_size=10),
        DecisionSettings(decision_interval=decision_interval, **settings),
    )


def feed(m, segment, starts, p=0.8, noise=0.1, **extra):
    n = len(starts)
    log_p = np.log(np.tile([p, 1 - p], (n, 1))).astype(np.float32)
    return m.feed(
        segment,
        np.asarray(starts, np.uint64),
        log_p,
        np.ones(n, np.float32),
        np.full(n, noise, np.float32),
        **extra,
    )


class qa_decision(gr_unittest.TestCase):
    def test_fusion_is_tempered(self):
        p = np.log([0.8, 0.2])

        def fused(frames, *fusion):
            return np.exp(fuse(frames * p, frames, Fusion(*fusion)))

        np.testing.assert_allclose(fused(1, 0.3, 0.7, 0.5), [0.8, 0.2])
        # Independent frames multiply, fully correlated ones add nothing.
        np.testing.assert_allclose(fused(2, 0.0, 0.0), [0.64 / 0.68, 0.04 / 0.68])
        np.testing.assert_allclose(fused(16, 1.0, 1.0), [0.8, 0.2])
        tempered = 0.8**4 / (0.8**4 + 0.2**4)
        np.testing.assert_allclose(fused(16, 0.5, 0.5)[0], tempered)
        # 0.8 lies at 0.6 of the way from 1/2, where all classes are alike, to 1.
        np.testing.assert_allclose(fused(16, 0.8, 0.3)[0], tempered)
        share = 0.4 * 15 / 16
        mixed = (1 - share) * tempered + share * 0.8
        np.testing.assert_allclose(fused(16, 0.5, 0.5, 0.4)[0], mixed)
        np.testing.assert_allclose(fused(16, 0.5, 0.5, 0.4).sum(), 1.0)

    def test_fuses_many_runs_at_once(self):
        sums = np.log(np.random.default_rng(1).dirichlet([1, 1, 1], (5, 8))).sum(axis=1)
        fusion = Fusion(0.9, 0.4, 0.1)
        together = fuse(sums, 8, fusion)
        np.testing.assert_allclose(np.exp(together).sum(axis=1), 1.0)
        np.testing.assert_allclose(together[3], fuse(sums[3], 8, fusion))
        np.testing.assert_array_equal(together.argmax(axis=1), sums.argmax(axis=1))

    def test_a_decision_tells_its_sum(self):
        m = maker(decision_frames=3)
        (done,) = feed(m, Segment(), [0, 10, 20])
        np.testing.assert_allclose(done.log_sum, 3 * np.log([0.8, 0.2]), rtol=1e-6)

    def test_ends_after_so_many_frames(self):
        m = maker(decision_frames=4, decision_interval=0)
        segment = Segment()
        self.assertEqual(feed(m, segment, range(0, 30, 10)), [])
        done = feed(m, segment, range(30, 110, 10)) + m.close()
        self.assertEqual([d.frames_used for d in done], [4, 4, 3])
        self.assertEqual([d.sample_start for d in done], [0, 40, 80])
        self.assertEqual([d.sample_count for d in done], [40, 40, 30])

    def test_ends_after_so_many_seconds(self):
        m = maker(decision_frames=1000, decision_interval=0.5)
        segment = Segment(sample_rate=100.0)
        done = feed(m, segment, range(0, 70, 10)) + feed(m, segment, range(70, 130, 10))
        self.assertEqual([d.sample_start for d in done], [0, 50])
        self.assertEqual([d.frames_used for d in done], [5, 5])
        # After a hole in the stream the frames before it stand alone.
        done = feed(m, segment, [1000])
        self.assertEqual([(d.sample_start, d.frames_used) for d in done], [(100, 3)])

    def test_segments_and_gates_part_decisions(self):
        m = maker(decision_frames=100)
        one, two = Segment(freq_hz=1e6), Segment(freq_hz=2e6)
        self.assertEqual(feed(m, one, [0, 10]), [])
        done = feed(m, two, [20, 30])
        self.assertEqual([(d.freq_hz, d.frames_used) for d in done], [(1e6, 2)])
        done = m.withheld(3)
        self.assertEqual([(d.freq_hz, d.frames_used) for d in done], [(2e6, 2)])
        m.dropped(5)
        self.assertEqual(feed(m, two, [70]), [])
        (last,) = m.close()
        self.assertEqual((last.frames_gated, last.frames_dropped), (3, 5))

    def test_unknown(self):
        for p, threshold, explicit, label in (
            (0.8, None, None, "a"),
            (0.8, 0.9, None, "unknown"),
            (0.8, 0.9, 0.7, "a"),
            (0.45, None, None, "b"),
            (0.8, None, 0.95, "unknown"),
        ):
            m = maker(
                exponent=1.0, threshold=threshold, decision_frames=2, unknown_threshold=explicit
            )
            (d,) = feed(m, Segment(), [0, 10], p=p)
            self.assertEqual(d.label, label, (p, threshold, explicit))
        # A model with a score of its own is judged by that.
        m = maker(threshold=1.0, decision_frames=2)
        (d,) = feed(m, Segment(), [0, 10], unknown_score=np.array([0.5, 2.5], np.float32))
        self.assertEqual(d.label, "unknown")
        (d,) = feed(m, Segment(), [0, 10], unknown_score=np.array([0.5, 0.5], np.float32))
        self.assertEqual(d.label, "a")
        self.assertAlmostEqual(d.unknown_score, 0.5)
        # A confidence may be asked for beside it; 0 asks for a class in any case.
        for explicit, score, label in (
            (0.99, 0.5, "unknown"),
            (0.0, 2.5, "a"),
            (0.5, 2.5, "unknown"),
        ):
            m = maker(threshold=1.0, decision_frames=1, unknown_threshold=explicit)
            (d,) = feed(m, Segment(), [0], unknown_score=np.array([score], np.float32))
            self.assertEqual(d.label, label, (explicit, score))

    def test_three_classes_none_likely(self):
        info = ModelInfo(("a", "b", "c"), 10)
        m = DecisionMaker(SimpleNamespace(info=info, name="m", input_size=10), DecisionSettings(1))
        log_p = np.log(np.array([[0.4, 0.3, 0.3]], np.float32))
        ones = np.ones(1, np.float32)
        (d,) = m.feed(Segment(), np.zeros(1, np.uint64), log_p, ones, ones)
        self.assertEqual(d.label, "unknown")
        self.assertAlmostEqual(d.confidence, 0.4, places=6)
        self.assertAlmostEqual(d.entropy, -sum(p * np.log(p) for p in (0.4, 0.3, 0.3)), places=5)

    def test_snr(self):
        m = maker(decision_frames=100)
        (d,) = feed(m, Segment(), range(0, 1000, 10), noise=0.1)
        self.assertAlmostEqual(d.snr_db, 10 * np.log10(9), places=3)
        (d,) = feed(m, Segment(), range(0, 1000, 10), noise=np.nan)
        self.assertIsNone(d.snr_db)
        (d,) = feed(m, Segment(), range(0, 1000, 10), noise=0.99)
        self.assertIsNone(d.snr_db)
        (d,) = feed(m, Segment(), range(0, 1000, 10), snr_db=np.full(100, 7, np.float32))
        self.assertAlmostEqual(d.snr_db, 7, places=5)

    def test_time_keeps_its_precision(self):
        # Seconds since 1970 and a fraction do not fit one double to the sample.
        segment = Segment(sample_rate=1e7, time=(1_700_000_000, 0.25), time_at=100)
        self.assertEqual(segment.time_of(100), (1_700_000_000, 0.25))
        whole, part = segment.time_of(100 + 12_500_001)
        self.assertEqual(whole, 1_700_000_001)
        self.assertAlmostEqual(part, 0.5000001, places=10)
        self.assertEqual(segment.time_of(100 - 5_000_000)[0], 1_699_999_999)


if __name__ == "__main__":
    gr_unittest.run(qa_decision)
