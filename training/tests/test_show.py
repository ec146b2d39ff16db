# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Showing a data set file: what the table counts, and that pictures have what they should."""

import io
from pathlib import Path

import h5py
import numpy as np
import pytest
from kdamc_training.cli import main
from kdamc_training.datasets.dataset_file import (
    SNR_UNKNOWN,
    DataSetFile,
    DataSetInfo,
    DataSetWriter,
)
from kdamc_training.datasets.show import draw, frames_to_show, spectrum, table
from rich.console import Console


def text(path: Path) -> str:
    with DataSetFile(path) as data:
        console = Console(file=io.StringIO(), width=200)
        console.print(table(data))
    return console.file.getvalue()


def rows(shown: str) -> dict[str, list[str]]:
    """The table's body: cells by first cell."""
    lines = [line.strip()[1:-1].split("│") for line in shown.splitlines() if line.startswith("│")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def write(path: Path, classes: int, labels: list[int], length: int = 64) -> Path:
    """Two frames of a tone in each cell; class k turns k / 100 cycles a sample, amplitude 0.1."""
    names = tuple(f"class {index}" for index in range(classes))
    n = 2 * classes * len(labels)
    y, z = np.repeat(np.arange(classes), 2 * len(labels)), np.tile(np.repeat(labels, 2), classes)
    tone = 0.1 * np.exp(2j * np.pi * y[:, None] / 100 * np.arange(length))
    info = DataSetInfo(names, 1e6, (2.0, 4.0), "made 1", 1, "2026-01-01")
    with DataSetWriter(path, info, n, length) as writer:
        writer.append(np.stack([tone.real, tone.imag], 1), y, z, np.arange(n) // 2)
    return path


def test_the_table_counts(tmp_path):
    path = write(tmp_path / "a.h5", 3, [-2, 0, 2])
    with h5py.File(path, "r+") as file:
        file["draws/snr_db"] = np.repeat([4.0, 5.0, 6.5], 6).astype(np.float32)
        file["Z"][0] = 2
    shown = text(path)
    assert "at each of 3 labels" not in shown and "0 dB" in shown
    found = rows(shown)
    assert found["class 0"] == ["1", "2", "3", "6", "3", "-20.0", "4.0"]
    assert found["class 2"] == ["2", "2", "2", "6", "3", "-20.0", "6.5"]
    assert found["all"] == ["5", "6", "7", "18", "9", "", ""]


def test_labels_of_equal_counts_share_a_column(toy_file):
    shown = text(toy_file)
    assert "at each of 2 labels, 0 to 10 dB" in shown and "true SNR" not in shown
    assert rows(shown)["low"][:3] == ["480", "960", "80"]


def test_frames_are_shown_at_the_highest_known_label(tmp_path):
    path = write(tmp_path / "a.h5", 2, [10, SNR_UNKNOWN])
    with h5py.File(path, "r+") as file:
        file["Z"][4:] = SNR_UNKNOWN
    assert "SNR not known" in text(path)
    with DataSetFile(path) as data:
        shown = frames_to_show(data)
    assert [(one.label, len(one.signal)) for one in shown] == [(10, 2), (SNR_UNKNOWN, 4)]


def test_the_spectrum_is_over_its_mean():
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(2000, 64)) + 1j * rng.normal(size=(2000, 64))
    assert np.max(np.abs(spectrum(3 * noise))) < 0.5
    tone = np.exp(2j * np.pi * 0.25 * np.arange(64))[None]
    assert np.argmax(spectrum(tone)) == 48
    assert np.isfinite(spectrum(0 * tone + 1e-30)).all()


@pytest.mark.parametrize("classes", [1, 26])
def test_pictures(tmp_path, classes):
    path = write(tmp_path / "a.h5", classes, [0, 10])
    with DataSetFile(path) as data:
        paths = draw(data, tmp_path / "new" / "folder")
    assert [p.name for p in paths] == [
        f"a-{kind}.png" for kind in ("constellations", "spectra", "envelopes")
    ]
    from matplotlib.image import imread

    for picture in paths:
        pixels = imread(picture)
        assert min(pixels.shape[:2]) > 200 and pixels[..., :3].std() > 0.02


def test_the_command(capsys, tmp_path, toy_file):
    before = sorted(tmp_path.iterdir())
    assert main(["data", "show", str(toy_file), "--no-pictures"]) == 0
    assert sorted(tmp_path.iterdir()) == before
    assert main(["data", "show", str(toy_file), "--out", str(tmp_path / "p")]) == 0
    out = capsys.readouterr().out
    assert "noise" in out and "toy-spectra.png" in out
    assert len(list((tmp_path / "p").iterdir())) == 3
    assert main(["data", "show", str(tmp_path / "none.h5")]) == 1
    assert main(["data", "show", str(toy_file), "--out", str(toy_file)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 2
