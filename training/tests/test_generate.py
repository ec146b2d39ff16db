# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generating: a seed fixes every byte, and nothing else that it should not."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from kdamc_training import datasets as datasets
from kdamc_training.datasets import registry
from kdamc_training.datasets.dataset_file import DataSetFile
from kdamc_training.datasets.generate import CellRequest, cells, generate
from kdamc_training.errors import UserError


class Small(registry.create("rml2016.10a").__class__):
    """The same generator at two SNR labels, so that a whole file takes a second."""

    snr_labels = (0, 18)


if "small" not in registry.names():
    registry.register("small")(Small)


def make(path, **changes):
    arguments = {"frames_per_cell": 3, "seed": 5, "progress": False, **changes}
    generate("small", path, **arguments)
    return path.read_bytes()


def test_equal_arguments_give_equal_bytes(tmp_path):
    first = make(tmp_path / "a.h5")
    assert make(tmp_path / "b.h5") == first
    assert make(tmp_path / "c.h5", seed=6) != first


def test_the_number_of_jobs_changes_nothing():
    requests = [CellRequest("rml2016.10a", c, 18, 2, 5, "train", 0) for c in range(11)]
    with cells(requests, 1) as alone, cells(requests, 2) as together:
        for request, one, other in zip(requests, alone, together, strict=True):
            np.testing.assert_array_equal(one.frames, other.frames, str(request))
            np.testing.assert_array_equal(one.pass_number, other.pass_number)


def test_a_file_holds_what_was_asked_for(tmp_path):
    make(tmp_path / "a.h5", frames_per_cell=60)
    with DataSetFile(tmp_path / "a.h5") as data:
        cell = data.y[:].astype(int) * 100 + data.z[:]
        np.testing.assert_array_equal(np.unique(cell, return_counts=True)[1], 60)
        magnitude = np.abs(data.x[:, 0] + 1j * data.x[:, 1]).sum(axis=1)
        np.testing.assert_allclose(magnitude, 1.0, rtol=1e-5)
        # Some 38 frames a pass, so each of the 22 cells took two passes, none of them shared.
        assert len(np.unique(data.pass_id[:])) == 44
        assert len(np.unique(data.pass_id[:].astype(int) * 10000 + cell)) == 44
        assert data.info.generator == "small 1"


def test_test_speech_changes_bits_as_well(tmp_path):
    make(tmp_path / "a.h5")
    make(tmp_path / "b.h5", split="test")
    with DataSetFile(tmp_path / "a.h5") as a, DataSetFile(tmp_path / "b.h5") as b:
        assert not (a.x[:] == b.x[:]).all(axis=(1, 2)).any()


def test_runs_are_consecutive(tmp_path):
    make(tmp_path / "a.h5", frames_per_cell=8, run_length=4)
    with DataSetFile(tmp_path / "a.h5") as data:
        cpfsk = data.info.classes.index("CPFSK")
        chosen = np.flatnonzero((data.y[:] == cpfsk) & (data.z[:] == 18))
        signal = data.x[:, 0] + 1j * data.x[:, 1]
        pass_id = data.pass_id[:]
    assert len(np.unique(pass_id[chosen])) == 2
    for run in chosen.reshape(2, 4):
        step = np.angle(signal[run[1:], 0] * np.conj(signal[run[:-1], -1]))
        # CPFSK turns by pi / 16 a sample; the channel's echoes blur that a little.
        assert np.max(np.abs(step)) < 0.5


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"frames_per_cell": 0}, "frames-per-cell is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"jobs": 0}, "jobs is 0"),
        ({"run_length": 129}, "run-length is 129"),
        ({"split": "other"}, "'other' is not one of train, test"),
        ({"classes": ["BPSK", "16PSK"]}, "no class '16PSK' in small; known: 8PSK, AM-DSB"),
    ],
)
def test_impossible_arguments_are_named(tmp_path, changes, says):
    with pytest.raises(UserError, match=says):
        make(tmp_path / "a.h5", **changes)
    assert list(tmp_path.iterdir()) == []


NAME = "rml2016.10a"
COMMAND = (
    "import resource, sys; from kdamc_training.cli import main\n"
    "limit = int(sys.argv.pop(1))\n"
    "if limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
    "sys.exit(main())"
)


def command(path, *more, limit=0):
    """A process of its own that writes 150 frames of 2 classes at 20 labels to ``path``."""
    arguments = f"data generate {NAME} {path} --frames-per-cell 150 --seed 5 --classes BPSK,QPSK"
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(limit), *arguments.split(), *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def changed_at(file):
    """When a file last changed, in ns, or None where there is none."""
    # One question, not two: a run that ends removes its cells between them.
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_mtime_ns


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_killed_run_goes_on_where_it_was(tmp_path, jobs):
    whole = command(tmp_path / "whole.h5")
    path, kept = tmp_path / "a.h5", tmp_path / ".a.h5.cells"
    killed = command(path, "--jobs", jobs)
    deadline = time.monotonic() + 60
    while len(list(kept.glob("*.npz"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    # The parent alone: its workers must notice by themselves.
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    time.sleep(1.5)
    done = {file: changed_at(file) for file in kept.glob("*.npz")}
    assert 5 <= len(done) < 40 and not path.exists()
    time.sleep(0.5)
    assert done == {file: changed_at(file) for file in kept.glob("*.npz")}

    seen = set()
    again = command(path)
    while again.poll() is None:
        seen |= {file for file in done if changed_at(file) not in (None, done[file])}
        time.sleep(0.01)
    assert again.communicate() and again.returncode == 0
    assert not seen
    assert whole.communicate() and whole.returncode == 0
    assert path.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"a.h5", "whole.h5"}


def test_cells_of_another_command_are_not_used(tmp_path):
    kept = tmp_path / ".a.h5.cells"
    kept.mkdir()
    (kept / "made_for.json").write_text("[]")
    (kept / "0_0.npz").write_bytes(b"not even a cell")
    (tmp_path / ".a.h5.1.part").write_bytes(b"left by a kill")
    expected = make(tmp_path / "b.h5")
    assert make(tmp_path / "a.h5") == expected
    assert {file.name for file in tmp_path.iterdir()} == {"a.h5", "b.h5"}


def test_two_processes_do_not_write_one_file(tmp_path):
    from kdamc_training.datasets import kept_cells

    with (
        kept_cells.folder(tmp_path / "a.h5", []),
        pytest.raises(UserError, match="another process"),
    ):
        make(tmp_path / "a.h5")


# The first limit strikes while cells are kept, the second while the file is written.
@pytest.mark.parametrize("limit", [20_000, 500_000])
def test_a_full_disk_leaves_no_file(tmp_path, limit):
    run = command(tmp_path / "a.h5", limit=limit)
    lines = run.communicate()[1].strip().splitlines()
    assert run.returncode == 1
    assert "a.h5: cannot be written (" in lines[-1]
    assert "Traceback" not in "".join(lines)
    assert {file.name for file in tmp_path.iterdir()} <= {".a.h5.cells"}


def test_an_unwritable_folder_is_named():
    with pytest.raises(UserError, match=r"/proc/a\.h5: cannot be written"):
        generate(NAME, "/proc/a.h5", frames_per_cell=1, seed=1, progress=False)


def test_draws_are_recorded(tmp_path):
    class Drawing(Small):
        classes = ("BPSK", "QPSK")
        dtype = "float16"
        draw_types = {"level": "float32", "bits": "int32"}

        def cell(self, *arguments):
            made = super().cell(*arguments)
            n = len(made.frames)
            draws = {"level": np.full(n, 0.5), "bits": np.arange(n)}
            return registry.Cell(made.frames, made.pass_number, draws)

    if "drawing" not in registry.names():
        registry.register("drawing")(Drawing)
    generate("drawing", tmp_path / "a.h5", frames_per_cell=3, seed=1, progress=False)
    with DataSetFile(tmp_path / "a.h5") as data:
        assert data.x.dtype == np.float16
        assert {name: values.dtype for name, values in data.draws.items()} == {
            "level": np.float32,
            "bits": np.int32,
        }
        np.testing.assert_array_equal(data.draws["bits"][:], np.tile(np.arange(3), 4))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["draws/bits"]
        file["draws/bits"] = np.zeros(2)
    with pytest.raises(UserError, match="draws/bits does not have one entry"):
        DataSetFile(tmp_path / "a.h5")
