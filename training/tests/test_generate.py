# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generating: a seed fixes every byte, and nothing else that it should not."""

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
    ],
)
def test_impossible_arguments_are_named(tmp_path, changes, says):
    with pytest.raises(UserError, match=says):
        make(tmp_path / "a.h5", **changes)
    assert list(tmp_path.iterdir()) == []
