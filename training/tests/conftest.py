# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures shared by the tests of the training wing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kdamc_training import own_files
from kdamc_training.datasets.dataset_file import DataSetInfo, DataSetWriter

YARDSTICKS = Path(__file__).resolve().parents[3] / "shared" / "yardsticks"


@pytest.fixture(autouse=True)
def nothing_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test imports, and may remove, no process of another looks for."""
    monkeypatch.setattr(own_files, "imported", [])


@pytest.fixture
def yardsticks() -> Path:
    """Folder of networks and tables from genuine data, which are not part of this project."""
    if not YARDSTICKS.is_dir():
        pytest.skip(f"no yardsticks: {YARDSTICKS} does not exist")
    return YARDSTICKS


@pytest.fixture
def toy_file(tmp_path: Path) -> Path:
    """Three easily told classes of 32-sample frames: 40 passes of 12 frames in each of 2 labels."""
    rng = np.random.default_rng(7)
    info = DataSetInfo(("low", "high", "noise"), 1e3, (4.0, 4.0), "toy 1", 7, "2026-01-01")
    path = tmp_path / "toy.h5"
    passes, frames, length = 40, 12, 32
    with DataSetWriter(path, info, 3 * 2 * passes * frames, length) as writer:
        number = 0
        for label in range(3):
            for snr in (0, 10):
                for _ in range(passes):
                    time = np.arange(frames * length) + rng.random()
                    tone = np.exp(2j * np.pi * (0.02, 0.2, 0.0)[label] * time)
                    noise = rng.normal(size=(2, len(time))) * 10 ** (-snr / 20)
                    signal = (label < 2) * tone + noise[0] + 1j * noise[1]
                    x = np.stack([signal.real, signal.imag]).reshape(2, frames, length)
                    writer.append(
                        x.transpose(1, 0, 2).astype(np.float32),
                        np.full(frames, label),
                        np.full(frames, snr),
                        np.full(frames, number),
                    )
                    number += 1
    return path
