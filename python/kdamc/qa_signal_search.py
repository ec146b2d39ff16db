# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Search, symbol rate and scanner on signals whose truth is known."""

import unittest
from types import SimpleNamespace

import numpy as np
import pmt
from gnuradio import blocks, gr, gr_unittest
from gnuradio.kdamc.band_scanner import BandScanner
from gnuradio.kdamc.engine import Engine
from gnuradio.kdamc.signal_scanner import signal_scanner
from gnuradio.kdamc.signal_search import SignalSearch, plan_rows
from gnuradio.kdamc.signal_tap import SampleRing
from gnuradio.kdamc.symbol_rate import estimate_symbol_rate
from qa_support import keyed

BINS, AVERAGES = 2048, 16
RATE = 1e6


def noise_rows(count, rng, level=1.0):
    """Averaged spectra of noise; neighbouring bins correlate as behind a window."""
    rows = rng.gamma(AVERAGES * 0.9, 1 / (AVERAGES * 0.9), (count, BINS + 2))
    return level * (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4


def new_search(**settings):
    """A search for such rows."""
    return SignalSearch(RATE, BINS, AVERAGES, **settings)


def ended_by(search, rows):
    """Tracks that ended while these rows came, or with them."""
    ended = []
    for row in rows:
        ended += search.feed(row)
    return ended + search.finish()


class Search(unittest.TestCase):
    """Rows in, tracks out."""

    def setUp(self):
        self.rng = np.random.default_rng(1)

    def test_the_floor_follows_a_slope_under_signals(self):
        slope = 10 ** (np.linspace(0, 6, BINS) / 10)
        row = noise_rows(1, self.rng)[0] * slope
        for low in (200, 700, 1300):
            row[low : low + 300] += 30 * slope[low : low + 300]
        error = 10 * np.log10(new_search().floor_of(row) / slope)
        self.assertLess(np.abs(error).max(), 1.0)

    def test_a_stop_band_is_no_noise_floor(self):
        rows = noise_rows(50, self.rng)
        rows[:, :200] *= 1e-6
        rows[:, -150:] *= 1e-6
        self.assertEqual(ended_by(new_search(), rows), [])

    def test_noise_alone_is_nothing(self):
        self.assertEqual(ended_by(new_search(confirm_rows=1), noise_rows(3000, self.rng)), [])

    def test_a_burst_has_start_stop_centre_and_width(self):
        rows = noise_rows(60, self.rng)
        shape = np.zeros(BINS)
        shape[600:700] = 5.0
        rows[20:40] += shape
        rows[19] += 0.25 * shape
        rows[40] += 0.5 * shape
        search = new_search()
        (track,) = ended_by(search, rows)
        start, stop = track.rows()
        self.assertAlmostEqual(start, 19.75, delta=0.15)
        self.assertAlmostEqual(stop, 40.5, delta=0.15)
        place = search.occupancy(track)
        self.assertAlmostEqual(place.centre_hz, (649.5 - BINS / 2) * RATE / BINS, delta=2e3)
        self.assertAlmostEqual(place.bandwidth_hz, 100 * RATE / BINS, delta=4e3)
        self.assertAlmostEqual(place.snr_db, 10 * np.log10(5.0 * 20.75 / 22), delta=0.5)

    def test_neighbours_half_a_bandwidth_apart_are_two(self):
        rows = noise_rows(20, self.rng)
        rows[:, 600:700] += 20.0
        rows[:, 750:850] += 20.0
        self.assertEqual(len(ended_by(new_search(), rows)), 2)

    def test_a_neighbour_that_is_over_does_not_count(self):
        rows = noise_rows(40, self.rng)
        rows[:, 600:700] += 5.0
        rows[5:25, 730:760] += 50.0
        search = new_search()
        found = sorted(search.occupancy(t).bandwidth_hz for t in ended_by(search, rows))
        np.testing.assert_allclose(found, [30 * RATE / BINS, 100 * RATE / BINS], rtol=0.2)

    def test_a_pause_shorter_than_the_hysteresis_is_bridged(self):
        rows = noise_rows(40, self.rng)
        rows[:18, 600:700] += 5.0
        rows[21:, 600:700] += 5.0
        self.assertEqual(len(ended_by(new_search(release_rows=4), rows)), 1)
        self.assertEqual(len(ended_by(new_search(release_rows=1), rows)), 2)

    def test_what_a_strong_signal_leaks_is_no_signal(self):
        rows = noise_rows(20, self.rng)
        rows[:, 600:700] += 1e6
        rows[:, 720:730] += 10.0
        rows[:, 1500:1530] += 10.0
        search = new_search()
        found = [search.occupancy(track).centre_hz for track in ended_by(search, rows)]
        self.assertEqual(len(found), 2)

    def test_side_lobes_belong_to_their_signal(self):
        rows = noise_rows(20, self.rng)
        rows[:, 600:700] += 200.0
        rows[:, 740:760] += 5.0
        alone = rows.copy()
        rows[:, 540:560] += 5.0
        self.assertEqual(len(ended_by(new_search(), rows)), 1)
        self.assertEqual(len(ended_by(new_search(), alone)), 2)

    def test_like_neighbours_on_both_sides_are_no_side_lobes(self):
        """One that was there before the other, one that is too wide, and two that are too far."""
        before = noise_rows(20, self.rng)
        before[:, 600:700] += 200.0
        before[:, 740:760] += 5.0
        before[5:, 540:560] += 5.0
        self.assertEqual(len(ended_by(new_search(), before)), 2)
        wide = noise_rows(20, self.rng)
        wide[:, 640:660] += 200.0
        wide[:, 580:610] += 5.0
        wide[:, 690:720] += 5.0
        self.assertEqual(len(ended_by(new_search(), wide)), 3)
        far = noise_rows(20, self.rng)
        far[:, 600:700] += 200.0
        far[:, 500:520] += 5.0
        far[:, 780:800] += 5.0
        self.assertEqual(len(ended_by(new_search(), far)), 3)

    def test_what_is_hardly_over_the_noise_must_last_longer(self):
        for level, rows, count in ((1.4, 3, 0), (1.4, 10, 1), (5.0, 3, 1)):
            band = noise_rows(20, self.rng)
            band[8 : 8 + rows, 300:340] += level
            self.assertEqual(len(ended_by(new_search(), band)), count)

    def test_a_spike_at_0_hz_can_be_left_out(self):
        rows = noise_rows(20, self.rng)
        rows[:, BINS // 2 - 1 : BINS // 2 + 2] += 100.0
        self.assertEqual(ended_by(new_search(), rows), [])
        self.assertEqual(len(ended_by(new_search(ignore_dc=False), rows)), 1)

    def test_a_narrow_one_can_be_left_out(self):
        rows = noise_rows(20, self.rng)
        rows[:, 600:620] += 20.0
        self.assertEqual(ended_by(new_search(min_bandwidth_hz=30e3), rows), [])

    def test_rows_of_16_ms_or_what_resolution_allows(self):
        for rate in (8e3, 48e3, 250e3, 2e6, 20e6, 56e6):
            bins, averages = plan_rows(rate)
            self.assertLess(averages * bins / 2 / rate, max(0.02, 10.1 * 512 / 2 / rate))
            self.assertLessEqual(rate / bins, 4e3)


class SymbolRate(unittest.TestCase):
    """The line of the envelope."""

    def test_a_line_at_12_db_is_right_within_a_thousandth(self):
        rng = np.random.default_rng(2)
        for rate in (9600.0, 31250.0, 77777.0):
            x = keyed(rate, 3000 / rate, 12.0, rng, 5 * rate)
            found = estimate_symbol_rate(x, 5 * rate, 1.1 * rate)
            self.assertIsNotNone(found)
            self.assertAlmostEqual(found / rate, 1.0, delta=1e-3)

    def test_tones_far_apart_do_not_double_it(self):
        """Frequency shift keying, filtered to the bandwidth by Carson's rule."""
        rng = np.random.default_rng(4)
        rate, oversampling = 1200.0, 16
        steps = np.repeat(rng.choice([-1.0, 1.0], 8000), oversampling)
        for index in (0.8, 1.0, 1.5, 2.0):
            x = np.exp(1j * np.pi * index / oversampling * np.cumsum(steps))
            spectrum = np.fft.fft(x)
            hertz = np.fft.fftfreq(len(x), 1 / (oversampling * rate))
            bandwidth = (1 + index) * rate
            spectrum[np.abs(hertz) > 0.5 * bandwidth] = 0
            x = np.fft.ifft(spectrum) + 0.05 * rng.standard_normal((len(x), 2)) @ [1, 1j]
            found = estimate_symbol_rate(x, oversampling * rate, bandwidth)
            self.assertAlmostEqual(found / rate, 1.0, delta=1e-3)

    def test_noise_and_carriers_have_none(self):
        rng = np.random.default_rng(3)
        for _ in range(20):
            x = rng.standard_normal(20000) + 1j * rng.standard_normal(20000)
            self.assertIsNone(estimate_symbol_rate(x, 4.0, 1.0))
        tone = np.exp(0.1j * np.arange(20000)) + 0.1 * x
        self.assertIsNone(estimate_symbol_rate(tone, 4.0, 1.0))
        self.assertIsNone(estimate_symbol_rate(x[:10], 4.0, 1.0))
        self.assertIsNone(estimate_symbol_rate(np.zeros(20000, complex), 4.0, 1.0))


class Ring(unittest.TestCase):
    """The last samples of a stream."""

    def test_parts_are_what_was_written(self):
        ring = SampleRing(100)
        stream = np.arange(1000).astype(np.complex64)
        for at in range(0, 1000, 37):
            ring.write(stream[at : at + 37])
            self.assertEqual(ring.end, min(at + 37, 1000))
            self.assertEqual(ring.start, max(0, ring.end - 100))
            for start in (ring.start, (ring.start + ring.end) // 2):
                got = np.concatenate([np.empty(0), *ring.parts(start, ring.end)])
                np.testing.assert_array_equal(got, stream[start : ring.end])


class Scanner(gr_unittest.TestCase):
    """Band in, signals out, with the shipped model."""

    @classmethod
    def setUpClass(cls):
        rng = np.random.default_rng(4)
        band = 0.5**0.5 * (rng.standard_normal(1_200_000) + 1j * rng.standard_normal(1_200_000))
        for start, hertz in ((100_000, -300e3), (300_000, 120e3)):
            burst = keyed(50e3, 0.6, 200.0, rng, RATE, hertz) * 1e-10 * np.sqrt(10**1.8)
            band[start : start + len(burst)] += burst
        cls.band = band.astype(np.complex64)

    def scan(self, chunk, **settings):
        """Final reports of the scanner, the band cut into pieces."""
        found = []
        scanner = BandScanner(Engine.of("rml2016_10a_plain"), RATE, found.append, **settings)
        for at in range(0, len(self.band), chunk):
            scanner.push(self.band[at : at + chunk])
        scanner.finish()
        return scanner, [signal for signal in found if not signal.ongoing]

    def test_two_bursts(self):
        scanner, found = self.scan(len(self.band))
        self.assertEqual(len(found), 2)
        for signal, start, hertz in zip(found, (100_000, 300_000), (-300e3, 120e3), strict=True):
            self.assertEqual(signal.label, "QPSK")
            self.assertAlmostEqual(signal.start, start, delta=0.01 * RATE)
            self.assertAlmostEqual(signal.stop, start + 600_000, delta=0.01 * RATE)
            self.assertAlmostEqual(signal.centre_hz, hertz, delta=1.5e3)
            self.assertAlmostEqual(signal.symbol_rate_hz, 50e3, delta=100)
            self.assertEqual(signal.samples_lost, 0)
            # From its true start: 8 samples a symbol, 128 a frame.
            self.assertAlmostEqual(signal.frames_used, 0.6 * 400e3 / 128, delta=40)
        counters = scanner.counters
        self.assertEqual(counters.signals, 2)
        self.assertEqual(counters.frames_in, sum(signal.frames_used for signal in found))

    def test_how_the_stream_is_cut_changes_nothing(self):
        _, whole = self.scan(len(self.band))
        for chunk in (1_000, 77_777):
            _, found = self.scan(chunk)
            self.assertEqual(found, whole)

    def test_a_long_signal_is_looked_at_now_and_then(self):
        rng = np.random.default_rng(5)
        noise = rng.standard_normal((3_000_000, 2), np.float32).view(np.complex64)[:, 0]
        signal = keyed(50e3, 2.8, 200.0, rng, RATE, 0.0) * 1e-10 * np.sqrt(10**1.8)
        noise[100_000 : 100_000 + len(signal)] += signal.astype(np.complex64)
        found = []
        scanner = BandScanner(Engine.of("rml2016_10a_plain"), RATE, found.append, ignore_dc=False)
        scanner.push(noise)
        scanner.finish()
        last = found[-1]
        self.assertEqual((last.ongoing, last.label), (False, "QPSK"))
        # All of the first second at 8 samples a symbol, then 50,000 samples a second.
        self.assertAlmostEqual(last.frames_used, (400e3 + 1.8 * 50e3) / 128, delta=60)
        self.assertEqual((last.frames_lost, last.samples_lost), (0, 0))
        self.assertAlmostEqual(last.stop, 2_900_000, delta=0.01 * RATE)

    def test_beyond_the_extractors_signals_are_listed_unknown(self):
        scanner, found = self.scan(50_000, max_signals=1)
        self.assertEqual(sorted(signal.label for signal in found), ["QPSK", "unknown"])
        lost = sum(signal.samples_lost for signal in found)
        self.assertGreater(lost, 100_000)
        self.assertEqual(scanner.counters.samples_lost, lost)

    def test_a_value_out_of_range_is_refused(self):
        for settings in ({"max_signals": 0}, {"ring_seconds": 0.5}):
            with self.assertRaises(ValueError):
                BandScanner(Engine.of("rml2016_10a_plain"), RATE, print, **settings)

    def test_the_block_publishes_what_it_finds(self):
        retune = 650_000
        tags = [
            SimpleNamespace(offset=0, key="rx_freq", value=pmt.from_double(100e6)),
            SimpleNamespace(offset=retune, key="rx_freq", value=pmt.from_double(101e6)),
            SimpleNamespace(offset=len(self.band) - 1, key="eos", value=pmt.PMT_T),
        ]
        tags = [
            gr.python_to_tag((tag.offset, pmt.intern(tag.key), tag.value, pmt.PMT_F))
            for tag in tags
        ]
        called = []
        block = signal_scanner("rml2016_10a_plain", RATE, "offline", on_signal=called.append)
        source = blocks.vector_source_c(self.band.tolist(), False, 1, tags)
        sink = blocks.message_debug()
        graph = gr.top_block()
        graph.connect(source, block)
        graph.msg_connect(block, "signals", sink, "store")
        graph.run()
        self.assertIsNone(block.error)
        final = [signal for signal in called if not signal.ongoing]
        # Both last at the change of tuning: each is two signals.
        self.assertEqual(
            [signal.number for signal in sorted(final, key=lambda s: s.number)], [1, 2, 3, 4]
        )
        self.assertEqual(block.stats()["signals"], 4)
        # Messages are handed over as the flowgraph ends; those under way then may be lost.
        read = [pmt.to_python(pmt.car(sink.get_message(k))) for k in range(sink.num_messages())]
        self.assertGreater(len(read), 0)
        for meta in read:
            self.assertIn(meta["label"], ("QPSK", "unknown"))
            self.assertEqual(meta["sample_rate"], RATE)
            self.assertAlmostEqual(abs(meta["rx_freq"] - 100.4e6), 0.7e6, delta=0.65e6)


if __name__ == "__main__":
    gr_unittest.main()
