#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources, front end, gate and reports of the receiver, without a network."""

import json
import struct
import sys
import tempfile
import threading
import time
import wave
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gnuradio import blocks, gr, gr_unittest
from gnuradio.kdamc.receiver import formats, gate, labels, records, segments, simulated
from gnuradio.kdamc.receiver.console import PlainConsole, summary_lines
from gnuradio.kdamc.receiver.errors import InputError
from gnuradio.kdamc.receiver.front_end import FrontEnd, plan_front_end, simple_ratio
from gnuradio.kdamc.receiver.json_report import JsonReport
from gnuradio.kdamc.receiver.receive import Receiver
from gnuradio.kdamc.receiver.sigmf_report import SigmfReport
from gnuradio.kdamc.receiver.sources import RawFileSource, SimulatedSource, open_file
from hypothesis import given, settings
from hypothesis import strategies as st


def read_all(source, segment=None):
    """Every sample of a source's segment, as a NumPy array."""
    segment = segment or source.segments[0]
    graph = gr.top_block()
    item = gr.sizeof_gr_complex if source.is_complex else gr.sizeof_float
    sink = blocks.vector_sink_c() if source.is_complex else blocks.vector_sink_f()
    graph.connect(source.connect(graph, segment), blocks.head(item, segment.count), sink)
    graph.run()
    return np.array(sink.data())


def through_front_end(samples, plan):
    """What the front end makes of samples, end to end."""
    graph = gr.top_block()
    padded = np.concatenate([samples, np.zeros(plan.flush)])
    if plan.is_complex:
        source = blocks.vector_source_c(padded.astype(np.complex64))
    else:
        source = blocks.vector_source_f(padded.astype(np.float32))
    sink = blocks.vector_sink_c()
    head = blocks.head(gr.sizeof_gr_complex, plan.output_count(len(samples)))
    graph.connect(source, FrontEnd(plan), head, sink)
    graph.run()
    return np.array(sink.data())


def record(**changes):
    """A decision record, with changes."""
    base = records.DecisionRecord(
        label="BPSK",
        confidence=0.9,
        entropy=0.3,
        snr_db=12.0,
        time=1.0,
        sample_start=100,
        sample_count=50,
        freq_hz=1e6,
        model="m",
        frames_used=2,
        frames_gated=0,
        frames_dropped=0,
    )
    return replace(base, **changes)


class WithFolder(gr_unittest.TestCase):
    """Tests that write files."""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)

    def tearDown(self):
        self._folder.cleanup()

    def write_wav(self, name, samples, channels, width=2, rate=48000):
        """A PCM WAV file of integers."""
        path = self.folder / name
        with wave.open(str(path), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(width)
            file.setframerate(rate)
            file.writeframes(np.asarray(samples).astype("u1" if width == 1 else "<i2").tobytes())
        return path

    def write_sigmf(self, count=1000, datatype="cf32_le", captures=None, annotations=(), **extra):
        """A SigMF pair of ``count`` complex samples 0, 1, 2, …"""
        data = np.arange(count).astype("<c8")
        (self.folder / "r.sigmf-data").write_bytes(data.tobytes())
        metadata = {
            "global": {
                "core:datatype": datatype,
                "core:version": "1.2.6",
                "core:sample_rate": 1000.0,
                **extra,
            },
            "captures": captures or [{"core:sample_start": 0}],
            "annotations": list(annotations),
        }
        path = self.folder / "r.sigmf-meta"
        path.write_text(json.dumps(metadata))
        return path


class TestFormats(WithFolder):
    """Raw samples come out at full scale 1, exactly."""

    def read(self, form, data):
        path = self.folder / "samples"
        path.write_bytes(data)
        return read_all(RawFileSource(path, form, 1e3))

    def test_scales(self):
        extremes = [-32768, 32767, 0, 1]
        for name, dtype, values, expected in (
            ("cs16", "<i2", extremes, np.array(extremes) / 32768),
            ("cs8", "i1", [-128, 127, 0, 1], np.array([-128, 127, 0, 1]) / 128),
            ("cu8", "u1", [0, 255, 127, 128], np.array([-127.5, 127.5, -0.5, 0.5]) / 128),
            ("cf32", "<f4", [0.5, -2, 1e-9, 3], np.array([0.5, -2, 1e-9, 3], "f4")),
        ):
            with self.subTest(name):
                got = self.read(formats.FORMATS[name], np.array(values, dtype).tobytes())
                np.testing.assert_array_equal(got.real, expected[0::2].astype("f4"))
                np.testing.assert_array_equal(got.imag, expected[1::2].astype("f4"))

    def test_sigmf_only_types(self):
        for datatype, dtype, scale in (
            ("ri16_le", "<i2", 32768),
            ("ri16_be", ">i2", 32768),
            ("rf32_be", ">f4", 1),
            ("ri8", "i1", 128),
        ):
            with self.subTest(datatype):
                form = formats.format_by_sigmf_datatype(datatype)
                assert form.sigmf_datatype == datatype
                values = np.array([-100, 0, 1, 100])
                got = self.read(form, values.astype(dtype).tobytes())
                np.testing.assert_array_equal(got, (values / scale).astype("f4"))
        form = formats.format_by_sigmf_datatype("cf32_be")
        got = self.read(form, np.array([1, 2, 3, 4], ">f4").tobytes())
        np.testing.assert_array_equal(got, [1 + 2j, 3 + 4j])

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.integers(0, 255), min_size=2, max_size=64).filter(lambda v: len(v) % 2 == 0))
    def test_any_unsigned_bytes(self, values):
        got = self.read(formats.FORMATS["cu8"], bytes(values))
        expected = (np.array(values) - 127.5) / 128
        np.testing.assert_array_equal(
            got.view("f4") if got.dtype == "c8" else np.column_stack([got.real, got.imag]).ravel(),
            expected,
        )

    def test_refused(self):
        for datatype in ("cf64_le", "cf32", "ci16", "ci8_le", "xf32_le", "", "ci16_pe"):
            with self.subTest(datatype), pytest.raises(InputError):
                formats.format_by_sigmf_datatype(datatype)
        with pytest.raises(InputError):
            formats.format_by_name("cs12")
        with pytest.raises(InputError):
            formats.format_by_suffix(Path("x.iq"))
        with pytest.raises(InputError, match="whole number"):
            self.read(formats.FORMATS["cs16"], b"123")


class TestWav(WithFolder):
    """WAV, I and Q or real."""

    def test_two_channels_are_i_and_q(self):
        source = open_file(self.write_wav("iq.wav", [1, 2, 3, 4], 2), None, None, 5e6)
        assert source.is_complex
        assert source.segments == [segments.Segment(0, 2, 48000.0, 5000000.0)]
        np.testing.assert_allclose(read_all(source) * 32768, [1 + 2j, 3 + 4j], rtol=1e-6)

    def test_real_carrier_goes_to_zero(self):
        rate, carrier = 48000, 12193.0
        tone = 20000 * np.cos(2 * np.pi * carrier / rate * np.arange(rate))
        source = open_file(self.write_wav("real.wav", tone.round(), 1), None, None, None)
        assert not source.is_complex
        plan = plan_front_end(rate, False, carrier, 9600, 8)
        out = through_front_end(read_all(source), plan)[1000:-1000]
        # One line at 0 Hz: no rotation, and nothing left of the mirror image.
        turn = np.angle(np.vdot(out[:-1], out[1:]))
        assert abs(turn) < 0.0001
        assert np.std(out) / np.abs(np.mean(out)) < 0.01

    def test_refused(self):
        good = self.write_wav("good.wav", [1, 2, 3, 4], 1).read_bytes()
        header, data = good[:44], good[44:]

        def patched(offset, kind, value):
            head = bytearray(header)
            struct.pack_into(kind, head, offset, value)
            return bytes(head) + data

        for what, content in {
            "cut short": good[:-3],
            "no data": header[:40],
            "not a wav": b"RIFFxxxxAVI " + data,
            "a-law": patched(20, "<H", 6),
            "12 bits": patched(34, "<H", 12),
            "4 channels": patched(22, "<H", 4),
            "rate 0": patched(24, "<I", 0),
            "sample size": patched(32, "<H", 3),
            "no samples": patched(40, "<I", 0),
            "odd": patched(40, "<I", 3),
        }.items():
            with self.subTest(what):
                path = self.folder / "bad.wav"
                path.write_bytes(content)
                with pytest.raises(InputError):
                    open_file(path, None, None, None)


class TestSigmfReader(WithFolder):
    """SigMF by its metadata."""

    def test_captures_become_segments(self):
        captures = [
            {"core:sample_start": 0, "core:frequency": 1e8},
            {
                "core:sample_start": 400,
                "core:frequency": 2e8,
                "core:datetime": "2020-01-01T00:00:00.123456789Z",
            },
        ]
        source = open_file(self.write_sigmf(captures=captures), None, None, None)
        first, second = source.segments
        assert (first.start, first.count, first.freq_hz) == (0, 400, 1e8)
        assert (second.start, second.count, second.freq_hz) == (400, 600, 2e8)
        assert second.time[0] == 1577836800
        assert second.time[1] == pytest.approx(0.123456789, abs=1e-12)
        assert second.seconds_at(900) == pytest.approx(1577836800.623456789, abs=1e-5)
        np.testing.assert_array_equal(read_all(source, second), np.arange(400, 1000))

    def test_data_before_the_first_capture_and_offset(self):
        path = self.write_sigmf(captures=[{"core:sample_start": 1100}], **{"core:offset": 1000})
        starts = [(s.start, s.count) for s in open_file(path, None, None, None).segments]
        assert starts == [(0, 100), (100, 900)]

    def test_refused(self):
        for what, arguments in {
            "capture beyond the end": {"captures": [{"core:sample_start": 1000}]},
            "annotation beyond the end": {
                "annotations": [{"core:sample_start": 900, "core:sample_count": 101}]
            },
            "hash": {"core:sha512": "0" * 128},
            "rate 0": {"core:sample_rate": 0},
            "channels": {"core:num_channels": 2},
            "datatype": {"datatype": "cf64_le"},
            "schema": {"core:sample_rate": "fast"},
            "no data": {"core:dataset": "elsewhere"},
            "unreadable time": {
                "captures": [{"core:sample_start": 0, "core:datetime": "yesterday"}]
            },
        }.items():
            with self.subTest(what), pytest.raises(InputError):
                open_file(self.write_sigmf(**arguments), None, None, None)
        path = self.write_sigmf()
        with (self.folder / "r.sigmf-data").open("ab") as file:
            file.write(b"x")
        with pytest.raises(InputError, match="whole number"):
            open_file(path, None, None, None)


class TestFrontEnd(gr_unittest.TestCase):
    """Ratio, positions, and what does not fit."""

    def test_burst_keeps_its_place(self):
        for rate, is_complex, tune, symbol_rate in (
            (48000, True, 3000, 1200),
            (48000, False, 12000, 9600),
            (48000, False, 1455, 1200),
            (1e6, True, 1e5, 9600),
            (100e3, True, 1000, 7777),
            (20e3, True, -100, 19e3),
        ):
            with self.subTest(rate=rate, symbol_rate=symbol_rate):
                plan = plan_front_end(rate, is_complex, tune, symbol_rate, 8)
                assert plan.output_rate / symbol_rate == pytest.approx(8, abs=8.1e-4)
                count, start, length = 60000, 23456, 7890
                samples = np.zeros(count, complex)
                inside = np.arange(start, start + length)
                samples[inside] = np.exp(2j * np.pi * tune / rate * inside)
                out = through_front_end(samples if is_complex else samples.real, plan)
                assert len(out) == plan.output_count(count)
                level = np.median(np.abs(out[np.abs(out) > 0.1 * np.abs(out).max()]))
                loud = np.flatnonzero(np.abs(out) > level / 2)
                first, length_found = plan.source_range(loud[0], loud[-1] + 1 - loud[0], count)
                step = rate / plan.output_rate
                assert abs(first - start) <= 1 + step
                assert abs(first + length_found - start - length) <= 1 + 2 * step

    @settings(max_examples=50, deadline=None)
    @given(
        st.floats(1e3, 1e8),
        st.floats(1e-3, 0.9),
        st.floats(2, 16),
        st.booleans(),
        st.integers(1, 10**12),
    )
    def test_positions(self, rate, share, wanted, is_complex, count):
        symbol_rate = rate * share * (1 if is_complex else 0.5)
        tune = 0 if is_complex else rate / 4
        plan = plan_front_end(rate, is_complex, tune, symbol_rate, wanted)
        ratio = plan.output_rate / plan.sample_rate
        assert plan.output_rate / symbol_rate / wanted == pytest.approx(1, abs=1.01e-4)
        # The outputs cover the source from end to end, each for its share of it.
        outputs = plan.output_count(count)
        assert abs(outputs - count * ratio) < 2
        assert 0 <= plan.source_position(0) < 1 / ratio
        first, length = plan.source_range(0, outputs, count)
        assert abs(first) <= 1 + 1 / ratio
        assert abs(first + length - count) <= 1 + 2 / ratio

    @settings(max_examples=200, deadline=None)
    @given(st.floats(1e-3, 1e3))
    def test_simple_ratio(self, wanted):
        ratio = simple_ratio(wanted)
        assert abs(float(ratio) / wanted - 1) <= 0.0001001
        assert min(ratio.numerator, ratio.denominator) < 1000

    def test_transparent(self):
        assert plan_front_end(200000.0, True, 0, 25000.0, 8).is_transparent

    def test_bandwidth_removes_a_neighbour(self):
        rate, at = 48000, np.arange(48000)
        both = 1 + np.exp(2j * np.pi * 6000 / rate * at)
        out = through_front_end(both, plan_front_end(rate, True, 0, 2400, 8, 3000))[500:-500]
        assert np.std(out) < 0.002
        assert abs(np.mean(out)) == pytest.approx(1, abs=1e-3)

    def test_refused(self):
        for what, arguments in {
            "rate 0": (0,),
            "rate nan": (float("nan"),),
            "tune above": (48000, True, 24001),
            "tune below 0 of a real signal": (48000, False, -1),
            "symbol rate 0": (48000, True, 0, 0, 8),
            "symbol rate above the band": (48000, True, 0, 48001, 8),
            "symbol rate beside the carrier": (48000, False, 1000, 2400, 8),
            "model without samples a symbol": (48000, True, 0, 1200, None),
            "resampling by a million": (1e9, True, 0, 100, 8),
            "bandwidth 0": (48000, True, 0, 1200, 8, 0),
            "bandwidth above the band": (48000, True, 0, 1200, 8, 9601),
        }.items():
            with self.subTest(what), pytest.raises(InputError):
                plan_front_end(*arguments)


class TestGate(gr_unittest.TestCase):
    """Noise and signal are told apart where there are both."""

    def test_two_heaps(self):
        rng = np.random.default_rng(1)
        for signal_db in (-10, -20, -30):
            powers = np.concatenate([rng.normal(-40, 0.5, 300), rng.normal(signal_db, 1, 700)])
            found = gate.gate_from_powers(powers)
            assert -38.5 < found < signal_db - 3, found

    def test_one_heap(self):
        rng = np.random.default_rng(1)
        for powers in (
            rng.normal(-40, 0.5, 1000),
            rng.normal(-10, 1.5, 1000),
            np.full(10, -20.0),
            np.array([-np.inf, -np.inf]),
            np.array([]),
        ):
            assert gate.gate_from_powers(powers) == gate.OPEN_DB

    def test_noise_of_two_levels_under_a_signal(self):
        rng = np.random.default_rng(1)
        powers = np.concatenate([rng.normal(level, 0.5, 300) for level in (-60, -45, -30)])
        kurtosis = np.repeat([2.0, 2.0, 1.3], 300)
        assert -43.5 < gate.gate_over_noise(powers, kurtosis) < -33
        # A weaker signal is no noise, nor is what lies above it.
        kurtosis = np.repeat([2.0, 1.4, 2.0], 300)
        assert -58.5 < gate.gate_over_noise(powers, kurtosis) < -46
        assert gate.gate_over_noise(powers, np.repeat([1.3, 2.0, 2.0], 300)) == gate.OPEN_DB
        assert gate.gate_over_noise(np.array([]), np.array([])) == gate.OPEN_DB

    def test_simulated_radio(self):
        plan = plan_front_end(200e3)
        packets = SimulatedSource("BPSK:.2,noise:.2", 200e3, 15)
        assert -15 < gate.look_for_gate(packets, plan, 128) < -3
        for steady in ("QAM64:.2", "noise:.2", "AM-DSB:.2"):
            source = SimulatedSource(steady, 200e3, 15)
            assert gate.look_for_gate(source, plan, 128) == gate.OPEN_DB


class TestSimulatedRadio(gr_unittest.TestCase):
    """The simulated radio keeps its schedule, its level and its word."""

    def test_schedule(self):
        schedule = simulated.parse_schedule("bpsk:0.5, Noise:1,GFSK", 1000)
        assert [(p.label, p.samples) for p in schedule] == [
            ("BPSK", 500),
            ("noise", 1000),
            ("GFSK", 1000),
        ]
        assert simulated.true_label(schedule, 0, 500) == "BPSK"
        assert simulated.true_label(schedule, 1, 500) is None
        assert simulated.true_label(schedule, 2500 + 500, 1000) == "noise"
        for text in ("BPSK:0", "BPSK:-1", "BPSK:x", "MSK:1", "", "BPSK:inf", "BPSK:nan"):
            with self.subTest(text), pytest.raises(InputError):
                simulated.parse_schedule(text, 1000)

    def test_same_seed_same_samples(self):
        schedule = simulated.parse_schedule("BPSK:.05,WBFM:.05,noise:.02", 200e3)
        first, again, other = (simulated.simulate(schedule, 10, seed) for seed in (3, 3, 4))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_level_and_noise(self):
        for label in simulated.MODULATORS:
            with self.subTest(label):
                schedule = simulated.parse_schedule(f"{label}:.2", 200e3)
                power = np.mean(np.abs(simulated.simulate(schedule, 20)) ** 2)
                expected = 0.01 if label == labels.NOISE else 1.01
                assert power / expected == pytest.approx(1, abs=0.05)

    def test_switch(self):
        schedule = simulated.parse_schedule("BPSK:.05,noise:.05", 200e3)
        samples = np.abs(simulated.simulate(schedule, 60))
        # The channel model's interpolator is a few samples early.
        assert samples[9900:9990].mean() > 0.5
        assert samples[10000:19990].max() < 0.01


class TestRecords(gr_unittest.TestCase):
    """What is reported can be read."""

    def test_finite(self):
        value = {"a": np.float32("nan"), "b": [float("inf"), 1, np.int64(2)], "c": ("x", None)}
        assert records.finite(value) == {"a": None, "b": [None, 1, 2], "c": ["x", None]}

    def test_right_and_wrong(self):
        assert record().is_right is None
        assert record(label="16QAM", truth="QAM16").is_right
        assert not record(label="QAM64", truth="QAM16").is_right
        assert record(label="unknown", truth="noise").is_right
        assert record(label="noise", truth="noise").is_right
        assert not record(label="unknown", truth="BPSK").is_right
        assert not record(label="BPSK", truth="noise").is_right

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
    def test_median(self, values):
        tally = records.ConfidenceTally()
        for value in values:
            tally.add(value)
        lower_median = sorted(values)[(len(values) - 1) // 2]
        assert tally.median() == pytest.approx(lower_median, abs=5.1e-4)

    def test_summary(self):
        summary = records.Summary("s", "m", 1e3, -20.0)
        assert summary.as_json()["labels"] == {}
        for label in ("A", "B", "B"):
            summary.add(record(label=label, truth="B"))
        assert [row[:2] for row in summary.labels()] == [("B", 2), ("A", 1)]
        assert (summary.judged, summary.right, summary.decisions) == (3, 2, 3)
        assert "66.7%" in "\n".join(summary_lines(summary))

    def test_signal_detail(self):
        assert labels.signal_detail("16QAM")["order"] == 16
        assert labels.signal_detail("QAM16")["mod_class"] == "qam"
        assert labels.signal_detail("WBFM")["type"] == "analog"
        assert labels.signal_detail("unknown") is None


class TestReports(WithFolder):
    """JSON lines and SigMF."""

    def test_json(self):
        path = self.folder / "out.jsonl"
        report = JsonReport(path)
        report.decision(record(snr_db=None, entropy=float("nan")))
        lines = path.read_text().splitlines()  # there before the next
        assert len(lines) == 1
        report.stats({"latency_p50_ms": float("nan"), "classified": np.int64(3)})
        report.summary(records.Summary("s", "m", 1e3, -20.0))
        first, second, last = (json.loads(line) for line in path.read_text().splitlines())
        keys = "type label confidence entropy snr_db time sample_start sample_count freq_hz model"
        assert list(first)[:10] == keys.split(" ")
        assert first["entropy"] is None
        assert second == {"type": "stats", "latency_p50_ms": None, "classified": 3}
        assert last["type"] == "summary"

    def sources(self):
        """One of each kind that is described in its own way."""
        raw = self.folder / "a.cs16"
        raw.write_bytes(bytes(4000))
        yield open_file(raw, None, 1e3, 1e8)
        yield open_file(self.write_wav("b.wav", range(1000), 1), None, None, None)
        yield open_file(self.write_wav("c.wav", range(1000), 2), None, None, None)
        yield open_file(self.write_sigmf(**{"core:offset": 77}), None, None, None)
        yield SimulatedSource("BPSK:1", 200e3, 10)

    def test_sigmf_is_valid(self):
        import sigmf

        for source in self.sources():
            with self.subTest(source.name):
                path = self.folder / "out.sigmf-meta"
                report = SigmfReport(path, source, 100.0)
                report.decision(record(sample_start=300, label="X" * 30))
                report.decision(record(sample_start=100, snr_db=None))
                report.summary(records.Summary("s", "m", 1e3, -20.0))
                metadata = json.loads(path.read_text())
                sigmf.SigMFFile(metadata=metadata).validate()
                offset = metadata["global"].get("core:offset", 0)
                first, second = metadata["annotations"]
                assert first["core:sample_start"] == 100 + offset
                assert second["core:sample_start"] == 300 + offset
                assert second["core:label"] == "X" * 20
                assert second["kdamc:label"] == "X" * 30
                assert first["core:freq_upper_edge"] == 1000000.0 + 50
                assert "kdamc:snr_db" not in first
                assert first["signal:detail"]["mod_class"] == "psk"

    def test_sigmf_of_a_wav_reads_back(self):
        import sigmf

        source = open_file(self.write_wav("c.wav", range(1000), 2), None, None, None)
        path = self.folder / "c.sigmf-meta"
        SigmfReport(path, source, 1.0).summary(records.Summary("s", "m", 1e3, -20.0))
        again = sigmf.sigmffile.fromfile(str(path))
        np.testing.assert_allclose(again.read_samples() * 32768, read_all(source) * 32768)

    def test_sigmf_whole_or_not_at_all(self):
        path = self.folder / "out.sigmf-meta"
        path.write_text("old")
        report = SigmfReport(path, SimulatedSource("BPSK:1", 200e3, 10), 100.0)
        report.decision(record(sample_start=-5))
        with pytest.raises(InputError):
            report.summary(records.Summary("s", "m", 1e3, -20.0))
        assert path.read_text() == "old"
        assert list(self.folder.iterdir()) == [path]
        with pytest.raises(InputError):
            SigmfReport(self.folder / "no" / "where", SimulatedSource("BPSK", 1, 1), 1.0)


class LoudFrames(gr.sync_block):
    """A classifier for tests: frames of 100 samples are "loud" or nothing."""

    def __init__(self, on_decision, fail_after=None):
        gr.sync_block.__init__(self, "loud_frames", [np.complex64], [])
        self.set_output_multiple(100)
        self.error = None
        self._on_decision = on_decision
        self._fail_after = fail_after

    def stats(self):
        return {"frames_in": self.nitems_read(0) // 100, "classified": 0, "x": float("nan")}

    def work(self, input_items, output_items):
        if self._fail_after is not None and self.nitems_read(0) >= self._fail_after:
            self.error = RuntimeError("the network fell over")
            time.sleep(0.01)
            return 0
        n = len(input_items[0]) // 100
        for index in range(n):
            frame = input_items[0][100 * index : 100 * index + 100]
            if np.mean(np.abs(frame) ** 2) > 0.25:
                self._on_decision(
                    SimpleNamespace(
                        label="loud", confidence=1.0, entropy=0.0, snr_db=None, model="m",
                        sample_start=self.nitems_read(0) + 100 * index, sample_count=100,
                        frames_used=1, frames_gated=0, frames_dropped=0,
                        symbol_rate_hz=None, bandwidth_hz=None,
                    )
                )  # fmt: skip
        return 100 * n


class Kept:
    """A report that keeps everything."""

    def __init__(self):
        self.records, self.signals, self.counters, self.end = [], [], [], None

    def decision(self, record):
        self.records.append(record)

    def signal(self, record):
        self.signals.append(record)

    def stats(self, stats):
        self.counters.append(stats)

    def summary(self, summary):
        self.end = summary


class TestReceiver(WithFolder):
    """The run as a whole, with a classifier that needs no network."""

    def receive(self, source, plan, throttle=False, **classifier):
        kept = Kept()
        summary = records.Summary(source.name, "m", plan.sample_rate, -200.0)
        self.seen = []

        def make(segment, on_decision):
            self.seen.append(segment)
            return LoudFrames(on_decision, **classifier)

        receiver = Receiver(source, source.segments, plan, make, [kept], summary, throttle)
        return receiver, kept

    def test_positions_and_frequencies_of_a_retuned_recording(self):
        # A burst in each of two captures; the second is at another frequency and time.
        rate, count = 10e3, 40000
        samples = np.zeros(count, "<c8")
        for start in (5000, 30000):
            samples[start : start + 4000] = np.exp(2j * np.pi * 0.1 * np.arange(4000))
        captures = [
            {"core:sample_start": 0, "core:frequency": 1e8},
            {
                "core:sample_start": 20000,
                "core:frequency": 2e8,
                "core:datetime": "2020-01-01T00:00:00Z",
            },
        ]
        path = self.write_sigmf(captures=captures, **{"core:sample_rate": rate})
        (self.folder / "r.sigmf-data").write_bytes(samples.tobytes())
        source = open_file(path, None, None, None)
        plan = plan_front_end(rate, True, 1000.0, 500, 8)
        receiver, kept = self.receive(source, plan)
        receiver.run()
        assert [segment.freq_hz for segment in self.seen] == [
            1e8 + 1000,
            2e8 + 1000,
        ]
        assert {segment.sample_rate for segment in self.seen} == {4000.0}
        frame = 100 * rate / 4000
        for start, freq, epoch in ((5000, 1e8, 0.0), (30000, 2e8, 1577836800 - 2.0)):
            found = [r for r in kept.records if r.freq_hz == freq + 1000]
            assert abs(found[0].sample_start - start) <= frame
            last = found[-1]
            assert abs(last.sample_start + last.sample_count - start - 4000) <= frame
            for r in found:
                assert r.time == pytest.approx(epoch + r.sample_start / rate, abs=1e-4)
        assert kept.end.frames_in == 2 * plan.output_count(20000) // 100
        assert kept.end.duration_s == pytest.approx(4.0, abs=0.05)
        assert kept.end.ended == "end of input"

    def test_error_ends_the_run(self):
        receiver, kept = self.receive(
            SimulatedSource("BPSK:1", 200e3, 10), plan_front_end(200e3), fail_after=1000
        )
        began = time.monotonic()
        with pytest.raises(RuntimeError, match="fell over"):
            receiver.run()
        assert time.monotonic() - began < 2.0
        assert kept.end.ended == "error"

    def test_failing_report_ends_the_run(self):
        receiver, kept = self.receive(SimulatedSource("BPSK:1", 200e3, 10), plan_front_end(200e3))
        kept.decision = lambda record: (_ for _ in ()).throw(OSError("disk full"))
        with pytest.raises(OSError, match="disk full"):
            receiver.run()
        assert kept.end.ended == "error"

    def test_stop(self):
        source = SimulatedSource("BPSK:1", 200e3, 10, endless=True)
        receiver, kept = self.receive(source, plan_front_end(200e3), throttle=True)
        threading.Timer(0.5, receiver.stop).start()
        receiver.run()
        assert kept.end.ended == "interrupted"
        assert kept.counters
        assert kept.end.duration_s < 2.0

    def test_duration(self):
        parts = [segments.Segment(0, 1000, 1e3), segments.Segment(1000, 1000, 1e3)]
        limit = segments.limit_duration
        assert [s.count for s in limit(parts, 1.5)] == [1000, 500]
        assert [s.count for s in limit(parts, 1.0)] == [1000]
        assert [s.count for s in limit(parts, 9)] == [1000, 1000]
        assert limit(parts, 1e-09) == []
        assert limit([segments.Segment(0, None, 1000.0)], 2)[0].count == 2000

    def test_plain_lines(self):
        path = self.folder / "out.txt"
        with path.open("w") as stream:
            console = PlainConsole(stream)
            console.decision(record(time=1577836800.5, truth="QPSK"))
            console.summary(records.Summary("s", "m", 1e3, -20.0))
        text = path.read_text()
        for part in ("00:00:00.500", "1.000000 MHz", "BPSK", "0.90", "12.0 dB", "QPSK WRONG"):
            assert part in text


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
