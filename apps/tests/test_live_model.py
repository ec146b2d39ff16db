# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""amc_rx as it is by default, the model `live` on signals that it finds by itself."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from make_band import RATE, ROLL_OFF, BandSignal, make_band
from receiver_command import APP, ROOT

OFF_AIR = ROOT.parent / "shared" / "data" / "ota_satellite_bpsk"
#: Symbols a second, as the satellites' operators say.
PASSES = {
    "ao73": 1200,
    "entrysat": 9600,
    "kr01": 1200,
    "lilacsat1": 9600,
    "picsat_9k6": 9600,
    "pwsat2": 1200,
}
#: A tenth of a second a decision, and frames that overlap by three quarters: passes are short.
SHORT = ("--decision-interval", "0.1", "--hop", "256")


def decisions(out, *arguments):
    """The decisions of amc_rx, none of them "noise"."""
    done = subprocess.run(
        [*APP, *SHORT, "--quiet", "--json", str(out), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert records[-1]["model"] == "live"
    return [r for r in records if r["type"] == "decision" and r["label"] != "noise"]


@pytest.mark.skipif(
    not OFF_AIR.is_dir(), reason=f"needs {OFF_AIR.name}, recordings beside the repository"
)
def test_satellites_off_the_air_are_bpsk(tmp_path):
    """Given the files alone: label and symbol rate of the strongest signal.

    ao73 came through a receiver that limited it, with as much noise as to make transitions go
    around zero.
    """
    right = {}
    for name, symbol_rate in PASSES.items():
        found = decisions(tmp_path / f"{name}.jsonl", "--file", OFF_AIR / f"{name}.wav")
        assert len(found) >= 10
        rates = [d["symbol_rate_hz"] for d in found if "symbol_rate_hz" in d]
        assert statistics.median(rates) == pytest.approx(symbol_rate, rel=0.02)
        right[name] = np.mean([d["label"] == "BPSK" for d in found])
    assert min(right.values()) >= 0.8, right


@pytest.mark.parametrize(
    "signal",
    [
        BandSignal("WBFM", 210e3, 180e3, None, 15.0, ((0.0, 2.0),)),
        BandSignal("GMSK", -400e3, 14.4e3, 9600.0, 15.0, ((0.0, 2.0),)),
        BandSignal("2FSK", 310e3, 40e3, 20e3, 15.0, ((0.0, 2.0),)),
        BandSignal("QPSK", -150e3, 30e3 * (1 + ROLL_OFF), 30e3, 15.0, ((0.0, 2.0),)),
    ],
    ids=lambda signal: signal.label,
)
def test_nothing_else_is_bpsk(tmp_path, signal):
    band = tmp_path / "band.cf32"
    make_band([signal], 2.0, seed=11).tofile(band)
    found = decisions(tmp_path / "out.jsonl", "--file", band, "--samp-rate", RATE)
    assert len(found) >= 10
    assert np.mean([d["label"] == "BPSK" for d in found]) < 0.05


def test_noise_is_nothing(tmp_path):
    band = tmp_path / "noise.cf32"
    make_band([], 2.0, seed=12).tofile(band)
    assert decisions(tmp_path / "out.jsonl", "--file", band, "--samp-rate", RATE) == []
    # Nor is it BPSK to the model, taken as it is.
    found = decisions(tmp_path / "as_is.jsonl", "--as-is", "--file", band, "--samp-rate", RATE)
    assert not any(d["label"] == "BPSK" for d in found)
