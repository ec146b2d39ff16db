# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data set file: what goes in comes out, and what is no data set file is refused."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kdamc_training.datasets import dataset_file
from kdamc_training.datasets.dataset_file import (
    DataSetFile,
    DataSetInfo,
    DataSetWriter,
    rms_normalised,
    split_by_pass,
)
from kdamc_training.errors import UserError

INFO = DataSetInfo(("A", "B"), 2e5, (8.0, 8.0), "made 1", 3, "2026-01-01", "train", {"k": 1})


def write(path, frames=6, **changes):
    x = np.random.default_rng(1).normal(size=(frames, 2, 16)).astype(np.float32)
    y, z = np.arange(frames) % 2, np.full(frames, -4)
    with DataSetWriter(path, INFO, changes.get("announced", frames), 16) as writer:
        half = frames // 2
        writer.append(x[:half], y[:half], z[:half], np.zeros(half))
        writer.append(x[half:], y[half:], z[half:], np.ones(frames - half))
    return x, y, z


def test_round_trip(tmp_path):
    x, y, z = write(tmp_path / "a.h5")
    with DataSetFile(tmp_path / "a.h5") as data:
        np.testing.assert_array_equal(data.x[:], x)
        np.testing.assert_array_equal(data.y[:], y)
        np.testing.assert_array_equal(data.z[:], z)
        np.testing.assert_array_equal(data.pass_id[:], [0, 0, 0, 1, 1, 1])
        assert data.info == INFO
        assert data.frame_length == 16 and len(data) == 6


def test_the_types_are_those_of_the_format(tmp_path):
    write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        types = {name: file[name].dtype for name in file}
    assert types == {"X": np.float32, "Y": np.uint8, "Z": np.int8, "pass_id": np.uint32}


@pytest.mark.parametrize("announced", [5, 7])
def test_a_wrong_number_of_frames_leaves_no_file(tmp_path, announced):
    with pytest.raises(ValueError, match="frames"):
        write(tmp_path / "a.h5", announced=announced)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_body_leaves_an_older_file_alone(tmp_path):
    write(tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()
    with (
        pytest.raises(ValueError, match="not finite"),
        DataSetWriter(tmp_path / "a.h5", INFO, 1, 16) as writer,
    ):
        writer.append(np.full((1, 2, 16), np.nan), np.zeros(1), np.zeros(1), np.zeros(1))
    assert (tmp_path / "a.h5").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def break_shape(file):
    del file["Z"]
    file["Z"] = np.zeros(2, np.int8)


def break_class(file):
    file["Y"][0] = 9


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda file: file.__delitem__("X"), "no dataset X"),
        (lambda file: file.attrs.__delitem__("classes"), "no attribute classes"),
        (break_shape, "one entry for each frame"),
        (break_class, "beyond the 2 listed"),
    ],
)
def test_damage_is_named(tmp_path, damage, says):
    path = tmp_path / "a.h5"
    write(path)
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(UserError, match=says):
        DataSetFile(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    write(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="HDF5"):
        DataSetFile(path)


def test_rms_normalised():
    frames = np.random.default_rng(2).normal(size=(5, 2, 16)) * 1e-5
    power = np.square(rms_normalised(frames)).sum(axis=1).mean(axis=1)
    np.testing.assert_allclose(power, 1.0, rtol=1e-5)
    for bad in (0.0, np.nan, np.inf):
        with pytest.raises(UserError, match="a frame is all zeros or holds a sample that is not"):
            rms_normalised(np.full((1, 2, 16), bad))


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_frames_that_cannot_be_used_are_named(tmp_path, bad, monkeypatch):
    monkeypatch.setattr(dataset_file, "_BLOCK", 2)
    path = tmp_path / "a.h5"
    write(path)
    with h5py.File(path, "r+") as file:
        file["X"][3] = bad
    with DataSetFile(path) as data, pytest.raises(UserError, match=r"a\.h5: frame 3, counted"):
        data.check_frames()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=60),
    st.floats(0.05, 0.95),
    st.integers(0, 99),
)
def test_a_split_never_parts_a_pass(sizes, share, seed):
    pass_id = np.repeat(np.arange(len(sizes)), sizes)
    strata = pass_id % 3
    kept, held = split_by_pass(pass_id, strata, [1 - share, share], seed)
    assert sorted([*kept, *held]) == list(range(len(pass_id)))
    assert not set(pass_id[kept]) & set(pass_id[held])
    for stratum in np.unique(strata):
        members = len(np.unique(pass_id[strata == stratum]))
        taken = len(np.unique(pass_id[held[strata[held] == stratum]]))
        assert abs(taken - share * members) < 1.0 + 1e-9
