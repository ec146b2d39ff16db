# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""amc_rx that finds its signal by itself, on recordings whose truth is known."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from make_band import RATE, ROLL_OFF, BandSignal, make_band
from receiver_command import amc_rx_command

MODEL = "rml2016_10a_plain"
FREQ = 433e6
SECONDS = 2.0
QPSK = BandSignal("QPSK", -310e3, 60e3 * (1 + ROLL_OFF), 60e3, 18.0, ((0.3, 1.1),))
BPSK = BandSignal("BPSK", 440e3, 30e3 * (1 + ROLL_OFF), 30e3, 18.0, ((1.3, SECONDS),))


def run(*arguments, status=0):
    """What amc_rx printed."""
    done = subprocess.run(
        amc_rx_command("--model", MODEL, *arguments), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stderr
    return done


def decisions_of(path):
    """The decisions and the summary among JSON lines."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [r for r in records if r["type"] == "decision"], records[-1]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Two bursts at unlike places, the second up to the very end."""
    path = tmp_path_factory.mktemp("follow") / "two.cf32"
    make_band([QPSK, BPSK], SECONDS, seed=3).tofile(path)
    return path


def test_two_signals_are_found_followed_and_placed(recording, tmp_path):
    out, marks = tmp_path / "out.jsonl", tmp_path / "out.sigmf-meta"
    run(
        *("--follow", "--file", recording, "--samp-rate", RATE, "--freq", FREQ),
        *("--json", out, "--sigmf", marks),
    )
    decisions, summary = decisions_of(out)
    assert summary["duration_s"] == pytest.approx(SECONDS, abs=0.01)
    for signal in (QPSK, BPSK):
        ((start, stop),) = signal.bursts
        mine = [
            d
            for d in decisions
            if abs(d["freq_hz"] - FREQ - signal.centre_hz) < 0.1 * QPSK.bandwidth_hz
        ]
        # Decisions of 32 frames of 128 samples, at 8 samples a symbol.
        seconds = 32 * 128 / 8 / signal.symbol_rate_hz
        assert len(mine) == pytest.approx((stop - start) / seconds, rel=0.05, abs=1)
        assert min(d["time"] for d in mine) == pytest.approx(start, abs=0.02)
        last = max(d["sample_start"] + d["sample_count"] for d in mine) / RATE
        assert last == pytest.approx(stop, abs=0.02)
        assert last <= SECONDS
        for d in mine:
            assert d["symbol_rate_hz"] == pytest.approx(signal.symbol_rate_hz, rel=0.01)
            assert d["bandwidth_hz"] == pytest.approx(signal.bandwidth_hz, rel=0.35)
            assert d["time"] == pytest.approx(d["sample_start"] / RATE, abs=1e-6)
        assert np.mean([d["label"] == signal.label for d in mine]) >= 0.9
    annotations = json.loads(marks.read_text())["annotations"]
    assert len(annotations) == len(decisions)
    for mark in annotations:
        assert 10e3 < mark["core:freq_upper_edge"] - mark["core:freq_lower_edge"] < 120e3


def test_following_is_the_default_for_recordings(recording, tmp_path):
    command = amc_rx_command(
        "--file", recording, "--samp-rate", RATE, "--model", MODEL, "--json", tmp_path / "a.jsonl"
    )
    command.remove("--as-is")
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    run("--follow", "--file", recording, "--samp-rate", RATE, "--json", tmp_path / "b.jsonl")
    one, _ = decisions_of(tmp_path / "a.jsonl")
    other, _ = decisions_of(tmp_path / "b.jsonl")
    assert one == other
    assert one


def test_what_is_told_is_obeyed(recording, tmp_path):
    out = tmp_path / "out.jsonl"
    run(
        *("--follow", "--file", recording, "--samp-rate", RATE, "--json", out),
        *("--tune", QPSK.centre_hz, "--symbol-rate", QPSK.symbol_rate_hz),
    )
    decisions, _ = decisions_of(out)
    assert {d["freq_hz"] for d in decisions} == {QPSK.centre_hz}
    assert {d["symbol_rate_hz"] for d in decisions} == {QPSK.symbol_rate_hz}
    inside = [d for d in decisions if d["time"] >= 0.3 and d["time"] + 0.01 <= 1.1]
    assert np.mean([d["label"] == "QPSK" for d in inside]) >= 0.9


def test_audio_of_a_receiver(tmp_path):
    """A real recording: frequencies are those of the audio."""
    # Made at the band's rate and read at the audio's: times stretch, and rates shrink with them.
    rate, tone, baud = 48000, 9000.0, 2400.0
    band = BandSignal("BPSK", 0.0, baud * (1 + ROLL_OFF) * RATE / rate, baud * RATE / rate, 25.0,
                      ((0.0, 4.0 * rate / RATE),))  # fmt: skip
    samples = make_band([band], 4.0 * rate / RATE, seed=5)
    turns = tone / rate * np.arange(len(samples))
    audio = (samples * np.exp(2j * np.pi * turns)).real
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((audio / np.abs(audio).max() * 30000).astype("<i2").tobytes())
    out = tmp_path / "out.jsonl"
    run("--follow", "--file", tmp_path / "a.wav", "--json", out)
    decisions, summary = decisions_of(out)
    assert summary["duration_s"] == pytest.approx(4.0, abs=0.01)
    assert len(decisions) >= 10
    for d in decisions:
        assert d["freq_hz"] == pytest.approx(tone, abs=0.05 * baud)
        assert d["symbol_rate_hz"] == pytest.approx(baud, rel=0.01)
    assert np.mean([d["label"] == "BPSK" for d in decisions]) >= 0.9


def test_noise_alone_gives_no_decision(tmp_path):
    make_band([], 1.0, seed=8).tofile(tmp_path / "noise.cf32")
    done = run("--follow", "--file", tmp_path / "noise.cf32", "--samp-rate", RATE)
    assert done.stdout.startswith("0 decisions")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--follow", "--as-is"), "--as-is"),
        (("--follow", "--bandwidth", "1e4"), "--bandwidth"),
        (("--as-is", "--tune", "1e4"), "--as-is"),
        (("--scan", "--follow"), "--follow"),
    ],
)
def test_what_contradicts_is_refused(recording, options, named):
    done = run("--file", recording, "--samp-rate", RATE, *options, status=2)
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1
