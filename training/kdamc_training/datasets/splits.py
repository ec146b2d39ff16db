# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named splits into training, validation and test, with the ratios of the papers.

Every split is by pass and stratified: all frames of a pass go to one part, and the passes of each
class at each SNR label are dealt out in the named shares. The papers split frame by frame; where a
file tells no passes (genuine sets) the two are the same.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import UserError
from .dataset_file import DataSetFile, DataSetWriter, split_by_pass

#: Frames copied at once.
_BLOCK = 4096


@dataclass(frozen=True)
class Preset:
    """Shares of training, validation and test, and where they come from."""

    training: float
    validation: float
    test: float
    seed: int
    source: str


PRESETS = {
    "sbcnn": Preset(0.8, 0.1, 0.1, 0, "SBCNN: 80/10/10"),
    "crosstlnet": Preset(0.6, 0.2, 0.2, 0, "CrossTLNet: 60/20/20"),
    "edge": Preset(
        0.45,
        0.05,
        0.5,
        0,
        "Edge-efficient models: 50/50; a tenth of the training half for validation is our choice",
    ),
    "600-200-200": Preset(
        0.6,
        0.2,
        0.2,
        2016,
        "The usual split of RML2016.10A, 600, 200 and 200 frames a cell, with its usual seed; "
        "the frames chosen are not those of other programs",
    ),
}
"""MLD-Net's split is not known."""


@dataclass(frozen=True)
class Split:
    """Sorted frame indices of three parts that share no pass."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_arrays(
    pass_id: np.ndarray, y: np.ndarray, z: np.ndarray, name: str, seed: int | None = None
) -> Split:
    """Split frames of which ``pass_id``, class ``y`` and SNR label ``z`` are given, each ``(n)``.

    ``seed`` replaces the preset's. A pass that holds several cells, as a recording does, is dealt
    out by the cell of its first frame.
    Raises UserError for an unknown name, a negative seed, or if a part would be empty for want of
    passes.
    """
    if name not in PRESETS:
        raise UserError(f"no split named {name!r}; known: {', '.join(PRESETS)}")
    if seed is not None and seed < 0:
        raise UserError(f"seed of the split is {seed}; it must be at least 0")
    preset = PRESETS[name]
    parts = split_by_pass(
        np.asarray(pass_id),
        np.asarray(y).astype(int) * 256 + np.asarray(z),
        [preset.training, preset.validation, preset.test],
        preset.seed if seed is None else seed,
    )
    if not all(map(len, parts)):
        raise UserError(
            f"split {name!r} leaves a part empty: {len(np.unique(pass_id))} passes are too few"
        )
    return Split(*parts)


def split(data: DataSetFile, name: str, seed: int | None = None) -> Split:
    """``split_arrays`` for an open data set file."""
    return split_arrays(data.pass_id[:], data.y[:], data.z[:], name, seed)


def write_parts(
    data: DataSetFile, name: str, folder: str | os.PathLike, seed: int | None = None
) -> dict[str, int]:
    """Write ``training.h5``, ``validation.h5`` and ``test.h5`` of a split into ``folder``.

    Frames keep their order, labels, passes and draws; ``options`` says which part of which split
    a file is. Returns the number of frames of each part. Raises UserError as ``split_arrays``.
    """
    parts = split(data, name, seed)
    Path(folder).mkdir(parents=True, exist_ok=True)
    used = PRESETS[name].seed if seed is None else seed
    counts = {}
    for part, frames in vars(parts).items():
        options = {**data.info.options, "split": name, "split_seed": used, "part": part}
        with DataSetWriter(
            Path(folder) / f"{part}.h5",
            replace(data.info, options=options),
            len(frames),
            data.frame_length,
            str(data.x.dtype),
            {draw: str(values.dtype) for draw, values in data.draws.items()},
        ) as writer:
            for start in range(0, len(frames), _BLOCK):
                # Reading a run and picking from it is faster than HDF5's reading by index.
                chosen = frames[start : start + _BLOCK]
                run = slice(int(chosen[0]), int(chosen[-1]) + 1)
                pick = chosen - chosen[0]
                writer.append(
                    data.x[run][pick],
                    data.y[run][pick],
                    data.z[run][pick],
                    data.pass_id[run][pick],
                    {draw: values[run][pick] for draw, values in data.draws.items()},
                )
        counts[part] = len(frames)
    return counts
