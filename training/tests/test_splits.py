# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Splits: no pass in two parts, no frame lost, every cell in the named ratio."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kdamc_training.cli import main
from kdamc_training.datasets.dataset_file import DataSetFile, DataSetInfo, DataSetWriter
from kdamc_training.datasets.splits import PRESETS, split, split_arrays
from kdamc_training.errors import UserError


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(PRESETS)),
    st.lists(st.integers(20, 45), min_size=1, max_size=6),
    st.integers(1, 7),
    st.integers(0, 99),
)
def test_presets_by_pass_and_by_cell(name, passes, longest, seed):
    """``passes`` in each cell, each of 1 to ``longest`` frames."""
    rng = np.random.default_rng(seed)
    cell_of_pass = np.repeat(np.arange(len(passes)), passes)
    sizes = rng.integers(1, longest + 1, len(cell_of_pass))
    pass_id = np.repeat(rng.permutation(len(cell_of_pass)), sizes)
    cell = np.repeat(cell_of_pass, sizes)
    y, z = (cell % 2).astype(np.uint8), (cell * 2 - 6).astype(np.int8)
    try:
        found = split_arrays(pass_id, y, z, name, seed)
    except UserError:
        # The smallest share may give a small cell nothing, and then a small set nothing.
        assert min(passes) * 0.05 < 3
        return
    parts = [found.training, found.validation, found.test]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(pass_id)))
    in_parts = [set(pass_id[part]) for part in parts]
    assert sum(map(len, in_parts)) == len(set(pass_id))
    preset = PRESETS[name]
    for number, count in enumerate(passes):
        for part, share in zip(
            parts, (preset.training, preset.validation, preset.test), strict=True
        ):
            taken = len(set(pass_id[part][cell[part] == number]))
            assert abs(taken - share * count) < 1 + 1e-9
    again = split_arrays(pass_id, y, z, name, seed)
    np.testing.assert_array_equal(again.test, found.test)


def test_the_usual_split_of_a_genuine_set():
    """Each frame its own pass: exactly 600, 200 and 200 of the 1,000 frames of a cell."""
    cell = np.repeat(np.arange(6), 1000)
    found = split_arrays(np.arange(6000), cell % 3, cell // 3 * 2, "600-200-200")
    for part, count in ((found.training, 600), (found.validation, 200), (found.test, 200)):
        np.testing.assert_array_equal(np.bincount(cell[part]), count)


@pytest.mark.parametrize("name", PRESETS)
def test_shares_sum_to_one_and_say_where_they_come_from(name):
    preset = PRESETS[name]
    assert preset.training + preset.validation + preset.test == pytest.approx(1)
    assert preset.source


def test_a_file(toy_file):
    with DataSetFile(toy_file) as data:
        found, pass_id = split(data, "crosstlnet"), data.pass_id[:]
    assert len(found.training) / len(pass_id) == pytest.approx(0.6, abs=0.01)
    assert not set(pass_id[found.training]) & set(pass_id[found.test])
    assert not set(pass_id[found.training]) & set(pass_id[found.validation])


def test_recordings_stay_whole_and_too_few_are_refused():
    pass_id = np.repeat(np.arange(40), 10)
    y = np.tile(np.arange(2), 200)
    found = split_arrays(pass_id, y, np.full(400, 127), "sbcnn")
    for part in (found.training, found.validation, found.test):
        np.testing.assert_array_equal(np.unique(pass_id[part], return_counts=True)[1], 10)
    with pytest.raises(UserError, match="1 passes are too few"):
        split_arrays(np.zeros(10), y[:10], y[:10], "sbcnn")


def test_an_unknown_name_or_seed():
    with pytest.raises(UserError, match="seed of the split is -1"):
        split_arrays(np.arange(9), np.zeros(9), np.zeros(9), "edge", -1)
    with pytest.raises(UserError, match=r"'mld-net'; known: sbcnn"):
        split_arrays(np.arange(3), np.zeros(3), np.zeros(3), "mld-net")


def test_parts_as_files(tmp_path, capsys):
    """The command writes three files that hold every frame once, with its labels and draws."""
    n = 600
    random = np.random.default_rng(3)
    info = DataSetInfo(("a", "b"), 1e6, (8.0, 8.0), "test 1", 1, "2026-01-01")
    x = random.standard_normal((n, 2, 16)).astype(np.float32)
    y, z = np.arange(n) % 2, np.arange(n) // 2 % 3 * 2
    drawn = random.random(n).astype(np.float32)
    pass_id = np.arange(n) // 6 * 6 + np.arange(n) % 6
    source = tmp_path / "all.h5"
    with DataSetWriter(source, info, n, 16, draw_types={"snr_db": "float32"}) as writer:
        writer.append(
            x, y.astype(np.uint8), z.astype(np.int8), pass_id.astype(np.uint32), {"snr_db": drawn}
        )
    arguments = ["data", "split", str(source), str(tmp_path / "parts"), "--preset"]
    assert main([*arguments, "crosstlnet"]) == 0
    assert "360 frames" in capsys.readouterr().out
    found = []
    for part in ("training", "validation", "test"):
        with DataSetFile(tmp_path / "parts" / f"{part}.h5") as data:
            assert data.info.options["part"] == part
            where = np.searchsorted(pass_id, data.pass_id[:])
            np.testing.assert_array_equal(data.x[:], x[where])
            np.testing.assert_array_equal(data.y[:], y[where])
            np.testing.assert_array_equal(data.z[:], z[where])
            np.testing.assert_array_equal(data.draws["snr_db"][:], drawn[where])
            found.append(where)
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(n))
    assert main([*arguments, "halves"]) == 1
    assert "no split named 'halves'" in capsys.readouterr().err
