#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The front end before a classifier, on signals whose truth is known."""

import numpy as np
import pmt
from gnuradio import blocks, gr, gr_unittest, kdamc
from qa_support import keyed

RATE = 1e6
MODEL = "rml2016_10a_plain"


def tag(offset, key, value):
    """A stream tag."""
    return gr.python_to_tag((offset, pmt.intern(key), value, pmt.PMT_F))


class qa_signal_front_end(gr_unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rng = np.random.default_rng(4)
        count = 2_400_000
        band = 0.5**0.5 * (rng.standard_normal(count) + 1j * rng.standard_normal(count))
        cls.truth = ((200_000, -300e3, 50e3), (1_300_000, 120e3, 25e3))
        for start, hertz, symbol_rate in cls.truth:
            burst = keyed(symbol_rate, 0.8, 200.0, rng, RATE, hertz) * 1e-10 * 10**0.9
            band[start : start + len(burst)] += burst
        cls.band = band.astype(np.complex64)

    def run_band(self, tags=(), **settings):
        """The samples and tags that come out, and the decisions on them."""
        decisions = []
        front = kdamc.signal_front_end(RATE, **{"model": MODEL, **settings})
        classifier = kdamc.kd_amc_classifier(
            MODEL, RATE, mode="offline", on_decision=decisions.append
        )
        source = blocks.vector_source_c(self.band.tolist(), False, 1, list(tags))
        sink = blocks.vector_sink_c()
        graph = gr.top_block()
        graph.connect(source, front, classifier)
        graph.connect(front, sink)
        graph.run()
        self.assertIsNone(front.error)
        self.assertIsNone(classifier.error)
        found = {}
        for item in sink.tags():
            key = pmt.symbol_to_string(item.key)
            found.setdefault(item.offset, {})[key] = pmt.to_python(item.value)
        return np.array(sink.data()), found, decisions

    def test_two_bursts_one_after_the_other(self):
        samples, tags, decisions = self.run_band([tag(0, "rx_freq", pmt.from_double(100e6))])
        self.assertEqual(len(tags), 2)
        ends = [*sorted(tags)[1:], len(samples)]
        for offset, end, (start, hertz, symbol_rate) in zip(
            sorted(tags), ends, self.truth, strict=True
        ):
            told = tags[offset]
            self.assertAlmostEqual(told["rx_freq"], 100e6 + hertz, delta=0.02 * symbol_rate)
            self.assertAlmostEqual(told["rx_rate"] / symbol_rate, 8.0, delta=0.08)
            self.assertAlmostEqual(told["symbol_rate"] / symbol_rate, 1.0, delta=0.01)
            self.assertAlmostEqual(told["bandwidth"] / symbol_rate, 1.2, delta=0.35)
            self.assertAlmostEqual(sum(told["rx_time"]), start / RATE, delta=0.01)
            self.assertAlmostEqual((end - offset) / told["rx_rate"], 0.8, delta=0.02)
            # Centred, and of the amplitude that it has in the band.
            part = samples[offset + 4096 : offset + 20480]
            spectrum = np.abs(np.fft.fftshift(np.fft.fft(part))) ** 2
            centre = (spectrum * np.linspace(-0.5, 0.5, len(part))).sum() / spectrum.sum()
            self.assertAlmostEqual(centre * 8, 0.0, delta=0.05)
            power = 10**1.8 * symbol_rate / RATE
            self.assertAlmostEqual(np.mean(np.abs(part) ** 2) / power, 1.0, delta=0.1)
        for decision in decisions:
            self.assertEqual(decision.label, "QPSK")
            nearest = min(self.truth, key=lambda one: abs(one[0] / RATE + 0.4 - decision.time))
            self.assertAlmostEqual(decision.symbol_rate_hz / nearest[2], 1.0, delta=0.01)
            self.assertIsNotNone(decision.bandwidth_hz)
            self.assertGreaterEqual(decision.time, nearest[0] / RATE - 0.01)
            self.assertLessEqual(decision.time, nearest[0] / RATE + 0.81)
        self.assertGreater(len(decisions), 40)

    def test_what_is_known_is_obeyed(self):
        _, hertz, symbol_rate = self.truth[0]
        samples, tags, _ = self.run_band(tune=hertz, symbol_rate=symbol_rate)
        self.assertEqual(list(tags), [0])
        self.assertEqual(tags[0]["rx_rate"], 8 * symbol_rate)
        self.assertEqual(tags[0]["rx_freq"], hertz)
        self.assertEqual(tags[0]["symbol_rate"], symbol_rate)
        # All of the band but what its last filter holds back.
        self.assertAlmostEqual(len(samples) / (8 * symbol_rate), 2.4, delta=0.01)
        quiet = np.mean(np.abs(samples[: int(0.15 * 8 * symbol_rate)]) ** 2)
        loud = np.mean(np.abs(samples[int(0.3 * 8 * symbol_rate) :][:40_000]) ** 2)
        self.assertGreater(loud / quiet, 20)

    def test_the_rate_may_be_told(self):
        for told, of in (({"samples_per_symbol": 5.0}, 5.0), ({"oversampling": 3.0}, None)):
            _, tags, _ = self.run_band(**told)
            self.assertEqual(len(tags), 2)
            for one in tags.values():
                wanted = of * one["symbol_rate"] if of else 3.0 * one["bandwidth"]
                self.assertAlmostEqual(one["rx_rate"] / wanted, 1.0, delta=0.001)

    def test_a_known_symbol_rate_sets_the_rate(self):
        _, tags, _ = self.run_band(symbol_rate=30e3)
        for told in tags.values():
            self.assertEqual(told["rx_rate"], 240e3)
            self.assertEqual(told["symbol_rate"], 30e3)

    def test_a_change_of_tuning_begins_anew(self):
        middle = 600_000
        _, tags, _ = self.run_band([tag(middle, "rx_freq", pmt.from_double(50e6))])
        times = sorted(sum(told["rx_time"]) for told in tags.values())
        self.assertEqual(len(times), 3)
        self.assertAlmostEqual(times[1], middle / RATE, delta=0.02)
        freqs = [tags[offset]["rx_freq"] for offset in sorted(tags)]
        self.assertAlmostEqual(freqs[0], -300e3, delta=1e3)
        self.assertAlmostEqual(freqs[1], 49.7e6, delta=1e3)

    def test_a_frequency_that_is_set_while_it_runs_holds_from_there_on(self):
        front = kdamc.signal_front_end(RATE, MODEL)
        part = self.band[: round(1.2 * RATE)]
        source = blocks.vector_source_c(part.tolist(), True)
        sink = blocks.vector_sink_c()
        graph = gr.top_block()
        graph.connect(source, blocks.head(8, 2 * len(part)), front, sink)
        front.set_rx_freq(100e6)
        graph.run()
        self.assertIsNone(front.error)
        told = [pmt.to_python(item.value) for item in sink.tags() if str(item.key) == "rx_freq"]
        self.assertGreaterEqual(len(told), 2)
        for freq in told:
            self.assertAlmostEqual(freq, 100e6 + self.truth[0][1], delta=1e3)

    def test_noise_gives_nothing(self):
        rng = np.random.default_rng(9)
        self.band = rng.standard_normal(1 << 20, np.float32).view(np.complex64)
        samples, tags, decisions = self.run_band()
        self.assertEqual((len(samples), len(tags), len(decisions)), (0, 0, 0))

    def test_values_out_of_range_are_refused(self):
        for settings in (
            {"sample_rate": 0.0},
            {"samples_per_symbol": -1.0},
            {"oversampling": -1.0},
            {"symbol_rate": -1.0},
            {"ring_seconds": 0.1},
        ):
            with self.assertRaises(ValueError):
                kdamc.signal_front_end(**settings)


if __name__ == "__main__":
    gr_unittest.run(qa_signal_front_end)
