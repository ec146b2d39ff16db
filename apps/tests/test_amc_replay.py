# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""amc_replay from its command line: what it says of a data set is what the evaluator says."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pmt
import pytest
from gnuradio import gr

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "apps"), str(ROOT / "python" / "kdamc")]

import amc_replay  # noqa: E402
from kdamc_training.datasets.dataset_file import DataSetFile  # noqa: E402
from kdamc_training.evaluate import evaluate  # noqa: E402
from kdamc_training.onnx_models import logits_of, open_model  # noqa: E402
from qa_support import write_data_set, write_model  # noqa: E402

APP = [sys.executable, str(ROOT / "apps" / "amc_replay.py")]
SHIPPED = ROOT / "models" / "rml2016_10a_plain.onnx"
FRAME = 16
#: Logits nearer to one another than this are a tie.
TIE = 1e-5


def replay(*arguments, status=0, cwd=None):
    """Run the app, check its exit status, and return what it printed."""
    done = subprocess.run(
        [*APP, *map(str, arguments)], capture_output=True, text=True, timeout=300, cwd=cwd
    )
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model, and frames that it does not always get right."""
    path = tmp_path_factory.mktemp("amc_replay")
    write_model(path / "axes.onnx", FRAME, gain=1.5)
    write_model(path / "long.onnx", 2 * FRAME)
    random = np.random.default_rng(1)
    y, z = random.integers(0, 2, 4000), random.choice([-10, 0, 10, 127], 4000)
    x = random.standard_normal((4000, 2, FRAME)).astype(np.float32)
    x[np.arange(4000), y] *= 2
    write_data_set(path / "data.h5", x, y, z)
    write_data_set(path / "half.h5", x, y, z, dtype=np.float16)
    write_data_set(path / "other.h5", x, y, z, ("Q", "I"))
    x[7] = 0
    write_data_set(path / "silent.h5", x, y, z)
    return path


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The set that the shipped model knows, two frames a cell, in both precisions."""
    path = tmp_path_factory.mktemp("generated")
    subprocess.run(
        ["kdamc-train", "data", "generate", "rml2016.10a", path / "float32.h5",
         "--frames-per-cell", "2", "--seed", "3"],
        check=True, capture_output=True,
    )  # fmt: skip
    with h5py.File(path / "float32.h5") as whole, h5py.File(path / "float16.h5", "w") as half:
        for name in ("Y", "Z", "pass_id"):
            half[name] = whole[name][:]
        half["X"] = whole["X"][:].astype(np.float16)
        half.attrs.update(whole.attrs)
    return path


def check_same(record, expected):
    """Equal but for the calibration error, which single precision touches."""
    assert record["ece"] == pytest.approx(expected["ece"], abs=1e-5)
    assert {**record, "ece": 0} == {**expected, "ece": 0}


@pytest.mark.parametrize("name", ["float32.h5", "float16.h5"])
@pytest.mark.parametrize("order", [[], ["--shuffle"]])
def test_is_the_evaluators_result(generated, tmp_path, name, order):
    out = tmp_path / "record.json"
    done = replay(generated / name, "--model", SHIPPED, "--json", out, "--quiet", *order)
    assert (done.stdout, done.stderr) == ("", "")
    check_same(json.loads(out.read_text()), evaluate(open_model(str(SHIPPED)), generated / name))


class Collector(gr.basic_block):
    """Keeps what a classifier says of each frame."""

    def __init__(self):
        gr.basic_block.__init__(self, name="Collector", in_sig=None, out_sig=None)
        self.labels, self.starts = [], []
        self.message_port_register_in(pmt.intern("in"))
        self.set_msg_handler(pmt.intern("in"), self.take)

    def take(self, message):
        """Labels and positions."""
        meta = pmt.car(message)
        for name, kept, elements in (
            ("labels", self.labels, pmt.u8vector_elements),
            ("sample_start", self.starts, pmt.u64vector_elements),
        ):
            kept += elements(pmt.dict_ref(meta, pmt.intern(name), pmt.PMT_NIL))


@pytest.mark.parametrize("name", ["float32.h5", "float16.h5"])
def test_every_frame_gets_the_evaluators_label(generated, name):
    arguments = [str(generated / name), "--model", str(SHIPPED)]
    run = amc_replay.Replay(amc_replay.build_parser().parse_args(arguments))
    collector = Collector()
    run.graph.msg_connect(run.classifier, "frames", collector, "in")
    assert run.run(lambda frames: None)
    with DataSetFile(generated / name) as data:
        logits = logits_of(open_model(str(SHIPPED)), data)
        n, length = len(data), data.frame_length
    assert collector.starts == list(range(0, n * length, length))
    best = np.sort(logits, axis=1)
    clear = best[:, -1] - best[:, -2] > TIE
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(np.array(collector.labels)[clear], logits.argmax(axis=1)[clear])


def test_chosen_frames(folder, tmp_path):
    out, part = tmp_path / "record.json", tmp_path / "part.h5"
    with h5py.File(folder / "half.h5") as whole:
        chosen = (whole["Y"][:] == 1) & (whole["Z"][:] >= -10) & (whole["Z"][:] <= 0)
        write_data_set(part, *(whole[name][:][chosen] for name in ("X", "Y", "Z")))
    model = folder / "axes.onnx"
    replay(
        folder / "half.h5", "--model", model, "--classes", "Q", "--snr=-10:0", "--json", out,
        "--quiet",
    )  # fmt: skip
    record, expected = json.loads(out.read_text()), evaluate(open_model(str(model)), part)
    assert record["frames"] == chosen.sum()
    assert (record.pop("data")["snr"], expected.pop("data")["file"]) == ([-10, 0], "part.h5")
    check_same(record, expected)


def test_table_and_plots(folder, tmp_path):
    plots = tmp_path / "new" / "plots"
    done = replay(folder / "data.h5", "--model", folder / "axes.onnx", "--plots", plots)
    assert done.stderr == ""
    expected = evaluate(open_model(str(folder / "axes.onnx")), folder / "data.h5")
    assert f"overall {expected['overall']:.2%} of 4,000 frames" in done.stdout
    assert re.search(rf"-10 dB │ +{expected['by_snr']['-10']:.1%}", done.stdout)
    assert re.search(rf"unknown │ +{expected['by_snr']['127']:.1%}", done.stdout)
    assert re.search(rf"Q +│ .*{expected['scores']['Q']['precision']:.1%}", done.stdout)
    for name in (amc_replay.ACCURACY_PLOT, amc_replay.CONFUSION_PLOT):
        assert (plots / name).read_bytes().startswith(b"\x89PNG")


def test_silent_frames_are_a_failure(folder, tmp_path):
    out = tmp_path / "record.json"
    done = replay(folder / "silent.h5", "--model", folder / "axes.onnx", "--json", out, status=1)
    assert done.stderr == (
        "amc_replay: error: 1 of 4,000 frames were not classified: silent or not finite\n"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "required"),
        (("absent.h5",), "no such file"),
        (("axes.onnx",), "not a readable HDF5 file"),
        (("other.h5",), "other.h5 holds Q, I"),
        (("data.h5", "--model", "absent"), "absent"),
        (("data.h5", "--model", "long.onnx"), "takes frames of 32 samples"),
        (("data.h5", "--classes", "AM"), "no class 'AM'"),
        (("data.h5", "--snr", "20:30"), "no frame"),
        (("data.h5", "--snr", "3:1"), "lower end"),
        (("data.h5", "--snr", "3"), "LOW:HIGH"),
        (("data.h5", "--seed", "-1"), "--seed"),
        (("data.h5", "--json", "no/where.json"), "cannot be written"),
        (("data.h5", "--json", "data.h5"), "being read"),
        (("data.h5", "--plots", "data.h5"), "data.h5"),
    ],
)
def test_bad_input(folder, arguments, reason):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    model = [] if "--model" in arguments else ["--model", "axes.onnx"]
    done = replay(*arguments, *model, status=2, cwd=folder)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("amc_replay: error: ")
    assert reason in done.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_interrupted_writes_nothing_and_shows_progress(folder, tmp_path):
    big, out = tmp_path / "big.h5", tmp_path / "record.json"
    random = np.random.default_rng(1)
    n = 1_000_000
    x = np.resize(random.standard_normal((1000, 2, FRAME)).astype(np.float32), (n, 2, FRAME))
    write_data_set(big, x, np.zeros(n), np.zeros(n))
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [*APP, big, "--model", folder / "axes.onnx", "--json", out],
        stdout=theirs, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    while not re.search(rb"[1-9][\d,]* of 1,000,000 frames", seen):
        seen += os.read(ours, 1 << 12)
    running.send_signal(signal.SIGINT)
    while True:
        try:
            if not os.read(ours, 1 << 12):
                break
        except OSError:  # the other end is closed
            break
    assert running.wait(timeout=60) == 130
    said = running.stderr.read()
    running.stderr.close()
    os.close(ours)
    assert re.fullmatch(
        r"amc_replay: interrupted after [\d,]+ of 1,000,000 frames, nothing is written\n", said
    )
    assert not out.exists()
