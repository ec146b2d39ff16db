# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""amc_rx --scan through its command line, on a band whose truth is known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gnuradio import analog, blocks, gr
from gnuradio.kdamc.signal_scanner import signal_scanner

sys.path.insert(0, str(Path(__file__).parent))

from make_band import RATE, eight_signals, make_band
from receiver_command import APP

SECONDS = 10.0
CENTRE = 433e6


def scan(*arguments, status=0):
    """Run a scan and return what it printed."""
    done = subprocess.run(
        [*APP, "--scan", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The band, scanned once: ``band.cf32`` and ``found`` as lines, SigMF and picture."""
    path = tmp_path_factory.mktemp("scan")
    make_band(eight_signals(SECONDS), SECONDS, seed=7).tofile(path / "band.cf32")
    scan(
        *("--file", path / "band.cf32", "--samp-rate", RATE, "--freq", CENTRE),
        *("--json", path / "found.jsonl", "--sigmf", path / "found.sigmf-meta"),
        *("--report", path / "found.png"),
    )
    return path


@pytest.fixture(scope="module")
def found(folder):
    """The signals that were listed."""
    records = [json.loads(line) for line in (folder / "found.jsonl").read_text().splitlines()]
    return [record for record in records if record["type"] == "signal"]


def truth():
    """Every burst: (signal, start, stop)."""
    return [
        (signal, start, stop) for signal in eight_signals(SECONDS) for start, stop in signal.bursts
    ]


def matching(found, signal, start, stop):
    """The listed signals that overlap a burst in time and frequency."""
    return [
        record
        for record in found
        if abs(record["freq_hz"] - CENTRE - signal.centre_hz) < signal.bandwidth_hz / 2
        and record["start"] < stop
        and start < record["stop"]
    ]


def test_every_burst_is_found_in_its_place(found):
    """Start and stop within 50 ms, centre within 5 % of the bandwidth; nothing else is listed."""
    assert len(found) == len(truth())
    for signal, start, stop in truth():
        (record,) = matching(found, signal, start, stop)
        assert record["start"] == pytest.approx(start, abs=0.05)
        assert record["stop"] == pytest.approx(stop, abs=0.05)
        offset = record["freq_hz"] - CENTRE - signal.centre_hz
        assert abs(offset) < 0.05 * signal.bandwidth_hz
        assert record["snr_db"] == pytest.approx(signal.snr_db, abs=3.0)
        assert record["symbol_rate_hz"] == pytest.approx(signal.symbol_rate_hz, rel=0.02)


def test_labels_from_10_db_on(found):
    """At least 80 % are right."""
    judged = [
        record["label"] == signal.label
        for signal, start, stop in truth()
        if signal.snr_db >= 10
        for record in matching(found, signal, start, stop)
    ]
    assert len(judged) >= 6
    assert np.mean(judged) >= 0.8


def test_what_is_written_agrees(folder, found):
    """An annotation a signal, edges around its centre; a picture."""
    meta = json.loads((folder / "found.sigmf-meta").read_text())
    annotations = meta["annotations"]
    assert len(annotations) == len(found)
    for record in found:
        (mark,) = [
            mark
            for mark in annotations
            if mark["core:sample_start"] == record["sample_start"]
            and mark["core:freq_lower_edge"] < record["freq_hz"] < mark["core:freq_upper_edge"]
        ]
        assert mark["core:label"] == record["label"]
        assert mark["core:sample_count"] == record["sample_count"]
    assert (folder / "found.png").read_bytes()[:4] == b"\x89PNG"


def test_a_minute_of_noise_holds_no_signal():
    """At 2 MS/s; the block alone, so that no file of a gigabyte is needed."""
    found = []
    scanner = signal_scanner("", RATE, "offline", on_signal=found.append)
    graph = gr.top_block()
    noise = analog.fastnoise_source_c(analog.GR_GAUSSIAN, 1.0, 5, 1 << 22)
    graph.connect(noise, blocks.head(gr.sizeof_gr_complex, round(60 * RATE)), scanner)
    graph.run()
    assert scanner.error is None
    assert scanner.stats()["samples"] == 60 * RATE
    assert found == []


@pytest.mark.parametrize("option", ["--tune", "--symbol-rate", "--bandwidth", "--hop"])
def test_what_a_scan_finds_by_itself_cannot_be_told(option):
    """Refused by name."""
    done = scan("--sim", option, "1000", status=2)
    assert option in done.stderr
    assert len(done.stderr.splitlines()) == 1
