# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""amc_rx through its command line, with a network whose answers are known.

The network (see qa_support) calls a frame of 16 samples I or Q, after the axis it lies on.
"""

from __future__ import annotations

import csv
import json
import os
import pty
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "python" / "kdamc")]

from make_recording import make_recording  # noqa: E402
from qa_support import axis_signal, write_model  # noqa: E402
from receiver_command import APP, amc_rx_command  # noqa: E402

FRAME = 16
RATE = 16000
OFF_AIR = ROOT.parent / "shared" / "data" / "ota_satellite_bpsk"
SHIPPED = ROOT / "models" / "rml2016_10a_plain.onnx"


def amc_rx(*arguments, status=0):
    """Run the app, check its exit status, and return what it printed."""
    done = subprocess.run(amc_rx_command(*arguments), capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done


def lines_of(path):
    """The records of a file of JSON lines, by type."""
    found = {"decision": [], "stats": [], "summary": []}
    for line in path.read_text().splitlines():
        record = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
        found[record["type"]].append(record)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models and recordings that the tests share."""
    path = tmp_path_factory.mktemp("amc_rx")
    write_model(path / "axis.onnx", FRAME)
    write_model(path / "foreign.onnx", FRAME, classes=None, layout="nlc", softmax=True)
    samples = axis_signal("IQI", 100 * FRAME) * 0.5
    samples.astype("<c8").tofile(path / "iqi.cf32")
    (samples.view("f4") * 32767).round().astype("<i2").tofile(path / "iqi.cs16")
    return path


def test_decisions_positions_and_records(folder, tmp_path):
    out, marks = tmp_path / "out.jsonl", tmp_path / "out.sigmf-meta"
    done = amc_rx(
        "--file", folder / "iqi.cf32", "--samp-rate", RATE, "--freq", 1e8, "--model",
        folder / "axis.onnx", "--decision-frames", 10, "--json", out, "--sigmf", marks,
    )  # fmt: skip
    assert done.stderr == ""
    found = lines_of(out)
    decisions = found["decision"]
    assert [d["label"] for d in decisions] == 10 * ["I"] + 10 * ["Q"] + 10 * ["I"]
    assert [d["sample_start"] for d in decisions] == list(range(0, 300 * FRAME, 10 * FRAME))
    for decision in decisions:
        assert set(decision) >= {
            "label", "confidence", "entropy", "snr_db", "time", "sample_start", "sample_count",
            "freq_hz", "model",
        }  # fmt: skip
        assert decision["sample_count"] == 10 * FRAME
        assert decision["freq_hz"] == 1e8
        assert decision["time"] == pytest.approx(decision["sample_start"] / RATE)
        assert decision["model"] == "axis"
    (summary,) = found["summary"]
    assert json.loads(out.read_text().splitlines()[-1])["type"] == "summary"
    assert summary["labels"]["I"]["count"] == 20
    assert summary["labels"]["Q"]["share"] == pytest.approx(1 / 3)
    assert (summary["frames_in"], summary["classified"], summary["dropped"]) == (300, 300, 0)
    assert summary["duration_s"] == pytest.approx(0.3)
    assert summary["ended"] == "end of input"
    assert len(done.stdout.splitlines()) >= 30

    import sigmf

    metadata = json.loads(marks.read_text())
    sigmf.SigMFFile(metadata=metadata).validate()
    assert metadata["global"]["core:dataset"] == "iqi.cf32"
    annotations = metadata["annotations"]
    assert [a["core:sample_start"] for a in annotations] == [d["sample_start"] for d in decisions]
    assert [a["core:label"] for a in annotations] == [d["label"] for d in decisions]


def test_formats_agree(folder, tmp_path):
    labels = []
    for name in ("iqi.cf32", "iqi.cs16"):
        out = tmp_path / "out.jsonl"
        done = amc_rx(
            "--file", folder / name, "--samp-rate", RATE, "--model", folder / "axis.onnx",
            "--json", out, "--quiet",
        )  # fmt: skip
        assert done.stdout == ""
        labels.append([d["label"] for d in lines_of(out)["decision"]])
    assert labels[0] == labels[1]


def test_trailing_decision_duration_and_hop(folder, tmp_path):
    out = tmp_path / "out.jsonl"
    amc_rx(
        "--file", folder / "iqi.cf32", "--samp-rate", RATE, "--model", folder / "axis.onnx",
        "--decision-frames", 64, "--hop", 2 * FRAME, "--duration", 0.07, "--json", out,
    )  # fmt: skip
    found = lines_of(out)
    # 0.07 s are 1120 samples: 35 frames, every other one of 70.
    assert [(d["sample_start"], d["frames_used"]) for d in found["decision"]] == [(0, 35)]


def test_gate_leaves_silence_out(folder, tmp_path):
    rng = np.random.default_rng(1)
    samples = 0.5 * axis_signal("I0Q0", 200 * FRAME)
    noise = 1e-3 * (rng.standard_normal((len(samples), 2)) @ [1, 1j])
    (samples + noise).astype("<c8").tofile(tmp_path / "bursts.cf32")
    out = tmp_path / "out.jsonl"
    for gate, labels in (("auto", {"I": 20, "Q": 20}), ("3", {})):
        amc_rx(
            "--file", tmp_path / "bursts.cf32", "--samp-rate", RATE, "--model",
            folder / "axis.onnx", "--decision-frames", 10, "--gate-db", gate, "--json", out,
        )  # fmt: skip
        assert Counter(d["label"] for d in lines_of(out)["decision"]) == labels


def test_third_party_model(folder, tmp_path):
    out = tmp_path / "out.jsonl"
    source = (
        "--file",
        folder / "iqi.cf32",
        "--samp-rate",
        RATE,
        "--model",
        folder / "foreign.onnx",
    )
    refused = amc_rx(*source, "--json", out, status=2)
    assert "classes" in refused.stderr
    amc_rx(
        *source, "--classes", "real,imaginary", "--layout", "nlc", "--normalise", "rms",
        "--output", "probabilities", "--decision-frames", 100, "--json", out,
    )  # fmt: skip
    labels = [d["label"] for d in lines_of(out)["decision"]]
    assert labels == ["real", "imaginary", "real"]


def test_list_models():
    done = amc_rx("--list-models")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines if "(default)" in line] == ["live (default)"]
    assert "live (default): 1024 samples, noise, carrier, OOK" in done.stdout
    assert "rml2016_10a_plain: 128 samples, 8PSK" in done.stdout


@pytest.fixture
def spoilt(folder, tmp_path):
    """Files that no run may accept."""
    model = (folder / "axis.onnx").read_bytes()
    for name, content in {
        "empty.cf32": b"",
        "three.cf32": bytes(24),
        "odd.cs16": bytes(1001),
        "some.iq": bytes(1000),
        "short.wav": b"RIFF",
        "cut.onnx": model[: len(model) // 2],
        "text.onnx": b"no model",
        "empty.onnx": b"",
        "ok.cf32": bytes(8000),
        "bad.sigmf-data": bytes(800),
        "bad.sigmf-meta": json.dumps(
            {
                "global": {
                    "core:datatype": "cf32_le", "core:version": "1.2.6", "core:sample_rate": 1e3,
                },
                "captures": [{"core:sample_start": 500}],
                "annotations": [],
            }
        ).encode(),
        "broken.sigmf-meta": b"{",
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
    return tmp_path


OK = ("--file", "ok.cf32", "--samp-rate", "1e3")
SHORT = ("--file", "three.cf32", "--samp-rate", "1e6")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "no source"),
        (("--sim", "--file", "ok.cf32"), "not allowed with"),
        (("--file", "absent.cf32", "--samp-rate", "1e3"), "no such file"),
        (("--file", ".", "--samp-rate", "1e3"), "not a file"),
        (("--file", "empty.cf32", "--samp-rate", "1e3"), "empty"),
        (("--file", "odd.cs16", "--samp-rate", "1e3"), "whole number"),
        (("--file", "some.iq", "--samp-rate", "1e3"), "sample format"),
        ((*OK, "--format", "cs12"), "cs12"),
        (("--file", "ok.cf32"), "sample rate"),
        (("--file", "ok.cf32", "--samp-rate", "0"), "sample rate of 0"),
        (("--file", "ok.cf32", "--samp-rate", "fast"), "fast"),
        (("--file", "short.wav"), "not a WAV"),
        (("--file", "bad.sigmf-meta"), "ends at sample 100"),
        (("--file", "bad.sigmf-data"), "ends at sample 100"),
        (("--file", "broken.sigmf-meta"), "not readable"),
        ((*OK, "--tune", "501"), "outside the band"),
        ((*OK, "--samples-per-symbol", "8", "--symbol-rate", "1001"), "symbol rate too high"),
        ((*OK, "--samples-per-symbol", "8", "--symbol-rate", "0"), "symbol rate of 0"),
        ((*OK, "--symbol-rate", "10"), "samples a symbol"),
        ((*OK, "--bandwidth", "2e3"), "bandwidth"),
        ((*OK, "--hop", "0"), "--hop"),
        ((*OK, "--hop", "-1"), "--hop"),
        ((*OK, "--decision-frames", "0"), "--decision-frames"),
        ((*OK, "--duration", "0"), "--duration"),
        ((*OK, "--duration", "1e-9"), "too few samples: 0"),
        ((*SHORT, "--symbol-rate", "1e3", "--samples-per-symbol", "8"), "too few samples: 3"),
        ((*OK, "--unknown-threshold", "2"), "--unknown-threshold"),
        ((*OK, "--gate-db", "loud"), "--gate-db"),
        ((*OK, "--model", "absent"), "absent"),
        ((*OK, "--model", "absent.onnx"), "absent.onnx"),
        ((*OK, "--model", "cut.onnx"), "cut.onnx"),
        ((*OK, "--model", "text.onnx"), "text.onnx"),
        ((*OK, "--model", "empty.onnx"), "empty"),
        ((*OK, "--classes", "A,B,C"), "classes"),
        ((*OK, "--json", "absent/out.jsonl"), "absent"),
        ((*OK, "--sigmf", "absent/out.sigmf-meta"), "absent"),
        ((*OK, "--json", "ok.cf32"), "being read"),
        (("--sim", "--sim-schedule", "BPSK:0"), "duration"),
        (("--sim", "--sim-schedule", "MORSE:1"), "MORSE"),
        (("--sim", "--samp-rate", "-1"), "sample rate"),
        (("--sim", "--sim-snr", "nan"), "SNR"),
    ],
)
def test_bad_input(folder, spoilt, arguments, reason):
    before = {path: path.read_bytes() for path in spoilt.iterdir()}
    outputs = [] if "--json" in arguments else ["--json", "out.jsonl"]
    model = [] if "--model" in arguments else ["--model", folder / "axis.onnx"]
    done = subprocess.run(
        amc_rx_command(*arguments, *model, *outputs),
        capture_output=True,
        text=True,
        cwd=spoilt,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("amc_rx: error: ")
    assert reason in done.stderr
    assert {path: path.read_bytes() for path in spoilt.iterdir()} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_writes_everything(folder, tmp_path, number):
    out, marks = tmp_path / "out.jsonl", tmp_path / "out.sigmf-meta"
    running = subprocess.Popen(
        [
            *APP, "--sim", "--throttle", "--model", folder / "axis.onnx", "--decision-frames",
            "500", "--json", out, "--sigmf", marks,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for _ in range(3):
        running.stdout.readline()
    running.send_signal(number)
    began = time.monotonic()
    printed, errors = running.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert (running.returncode, errors) == (0, "")
    found = lines_of(out)
    assert found["summary"][0]["ended"] == "interrupted"
    assert found["summary"][0]["decisions"] == len(found["decision"]) >= 3
    assert len(json.loads(marks.read_text())["annotations"]) == len(found["decision"])
    assert "interrupted" in printed


def test_real_time(folder, tmp_path):
    out = tmp_path / "out.jsonl"
    amc_rx(
        "--sim", "--throttle", "--duration", 2, "--model", folder / "axis.onnx", "--json", out,
    )  # fmt: skip
    (summary,) = lines_of(out)["summary"]
    assert summary["duration_s"] == pytest.approx(2, abs=0.01)
    assert 1.7 < summary["elapsed_s"] < 10
    assert lines_of(out)["stats"]


def test_full_disk(folder):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    began = time.monotonic()
    model = folder / "axis.onnx"
    done = amc_rx("--sim", "--model", model, "--json", "/dev/full", "--quiet", status=1)
    assert len(done.stderr.splitlines()) == 1
    assert "No space left" in done.stderr
    assert time.monotonic() - began < 10


def test_reader_of_the_lines_goes_away(folder):
    running = subprocess.Popen(
        [*APP, "--sim", "--throttle", "--model", folder / "axis.onnx"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    running.stdout.readline()
    running.stdout.close()
    assert running.wait(timeout=30) != 0
    assert running.stderr.read() == ""
    running.stderr.close()


def test_live_table(folder):
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [
            *APP, "--as-is", "--file", folder / "iqi.cf32", "--samp-rate", str(RATE), "--model",
            folder / "axis.onnx",
        ],
        stdout=theirs, stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert running.wait(timeout=30) == 0
    running.stderr.close()
    text = shown.decode()
    for word in ("time", "frequency", "label", "confidence", "SNR", "decisions by axis"):
        assert word in text


# The shipped model on what it was never trained on.


def off_air(path, tune, symbol_rate, out):
    """Labels of a recording's decisions, counted."""
    done = amc_rx(
        "--file", path, "--tune", tune, "--symbol-rate", symbol_rate, "--model", SHIPPED,
        "--json", out, "--quiet",
    )  # fmt: skip
    assert done.stderr == ""
    found = lines_of(out)
    assert found["summary"][0]["dropped"] == 0
    return Counter(d["label"] for d in found["decision"])


needs_model = pytest.mark.skipif(not SHIPPED.is_file(), reason=f"no {SHIPPED.name} in models/")


@needs_model
@pytest.mark.skipif(
    not OFF_AIR.is_dir(), reason="the off-air recordings are not beside this folder"
)
def test_off_air_bpsk(tmp_path):
    with (OFF_AIR / "labels.csv").open() as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    right = 0
    for name in ("lilacsat1", "picsat_9k6", "pwsat2", "entrysat"):
        row = rows[f"{name}.wav"]
        labels = off_air(
            OFF_AIR / row["file"],
            row["carrier_hz_in_48k_real_audio"],
            row["baud"],
            tmp_path / "out.jsonl",
        )
        assert labels.total() >= 10, name
        right += labels.most_common(1)[0][0] == "BPSK"
    assert right >= 3


@needs_model
@pytest.mark.parametrize("label", ["WBFM", "GFSK", "QPSK", "QAM16", "noise"])
@pytest.mark.parametrize("samples_per_symbol", [5, 40])
def test_nothing_else_is_bpsk(tmp_path, label, samples_per_symbol):
    path = tmp_path / "recording.wav"
    make_recording(path, label, 6.0, 15.0, samples_per_symbol)
    labels = off_air(path, 12000, 48000 / samples_per_symbol, tmp_path / "out.jsonl")
    if labels.total() == 0:
        warnings.warn("no decisions at all", stacklevel=1)
    assert labels["BPSK"] <= 0.05 * labels.total()


@needs_model
def test_simulated_radio_is_labelled_right(tmp_path):
    out = tmp_path / "out.jsonl"
    schedule = "BPSK:.5,QPSK:.5,8PSK:.5,QAM16:.5,GFSK:.5,noise:.3"
    amc_rx(
        "--sim", "--sim-schedule", schedule, "--duration", 2.8, "--model", SHIPPED, "--json", out,
        "--quiet",
    )  # fmt: skip
    (summary,) = lines_of(out)["summary"]
    assert summary["judged"] > 50
    assert summary["right"] >= 0.9 * summary["judged"]
