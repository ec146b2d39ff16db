# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the genuine RadioML 2018.01A (``GOLD_XYZ_OSC.0001_1024.hdf5``) in slices."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import h5py
import numpy as np

from ..errors import UserError
from .dataset_file import DataSetWriter
from .genuine import SETS, Part, describe

NAME = "rml2018.01a"
_FRAMES = 4096
"""Frames read at a time: 32 MiB."""
_LABELS = 1 << 16


def import_2018(source: str | os.PathLike, out: str | os.PathLike, part: Part) -> int:
    """Write the frames of a genuine file to a data set file; returns their number.

    In the file: X ``(n, 1024, 2)``, Y ``(n, 24)`` one-hot, Z ``(n, 1)`` SNR label in dB. Frames
    keep their scale and their order; each counts as a pass of its own, for the file does not tell.
    Memory: the labels, 3 bytes a frame, and slices of 32 MiB; slices of which nothing is wanted
    are not read.
    Raises UserError if the file is anything else, or holds samples that are not finite.
    """
    path = Path(source)
    try:
        with h5py.File(path, "r") as file:
            return _import(path, file, out, part)
    except OSError as error:
        # A failing write to ``out`` also ends here; only the reader knows no errno.
        if error.errno:
            raise
        raise UserError(f"{path}: not a readable HDF5 file ({error})") from error


def _import(path: Path, file: h5py.File, out: str | os.PathLike, part: Part) -> int:
    published = SETS[NAME]
    x = _dataset(path, file, "X", (published.frame_length, 2))
    y, z = _labels(path, file, len(x))
    classes = part.chosen_classes(published.classes)
    # Published index to index among the chosen ones; -1 for those not wanted.
    renumbered = np.array(
        [classes.index(name) if name in classes else -1 for name in published.classes]
    )
    chosen = np.flatnonzero((renumbered[y] >= 0) & part.wants_snr(z))
    if part.frames_per_cell:
        chosen = _first_of_each(chosen, y[chosen].astype(int) * 256 + z[chosen], part)
    if not len(chosen):
        raise UserError(f"{path}: has no frames of what was asked for")

    info = describe(path, NAME, classes, part)
    with DataSetWriter(out, info, len(chosen), published.frame_length) as writer:
        for start in _progress(range(0, len(x), _FRAMES)):
            low, high = np.searchsorted(chosen, [start, start + _FRAMES])
            if low == high:
                continue
            rows = chosen[low:high]
            frames = x[rows[0] : rows[-1] + 1][rows - rows[0]]
            if not np.isfinite(frames).all():
                raise UserError(
                    f"{path}: a sample of frames {rows[0]} to {rows[-1]} is not a finite number"
                )
            writer.append(
                frames.transpose(0, 2, 1).astype(np.float32),
                renumbered[y[rows]].astype(np.uint8),
                z[rows],
                np.arange(low, high, dtype=np.uint32),
            )
    return len(chosen)


def _dataset(path: Path, file: h5py.File, name: str, rest: tuple[int, ...]) -> h5py.Dataset:
    """The numeric dataset ``name``, whose shape must be (any number, *rest)."""
    found = file.get(name)
    if (
        not isinstance(found, h5py.Dataset)
        or found.shape[1:] != rest
        or found.dtype.kind not in "fiu"
    ):
        raise UserError(
            f"{path}: not {SETS[NAME].title}: it has no numbers {name} of shape "
            f"(n, {', '.join(map(str, rest))})"
        )
    return found


def _labels(path: Path, file: h5py.File, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Class index uint8 and SNR label int8 of all frames, each ``(frames)``."""
    one_hot = _dataset(path, file, "Y", (len(SETS[NAME].classes),))
    snr = _dataset(path, file, "Z", (1,))
    if not len(one_hot) == len(snr) == frames:
        raise UserError(f"{path}: X, Y and Z do not have the same number of frames")
    y, z = np.empty(frames, np.uint8), np.empty(frames, np.int8)
    for start in range(0, frames, _LABELS):
        block = one_hot[start : start + _LABELS]
        if not ((block == 1).sum(axis=1) == 1).all() or np.count_nonzero(block) != len(block):
            raise UserError(f"{path}: Y is not one-hot")
        y[start : start + _LABELS] = block.argmax(axis=1)
        labels = snr[start : start + _LABELS, 0]
        if not ((labels >= -128) & (labels <= 126) & (labels == np.round(labels))).all():
            raise UserError(f"{path}: Z holds something that is no SNR label in whole decibels")
        z[start : start + _LABELS] = labels
    return y, z


def _first_of_each(chosen: np.ndarray, cell: np.ndarray, part: Part) -> np.ndarray:
    """The first ``part.frames_per_cell`` of ``chosen (n)`` in each ``cell (n)``, in order."""
    kept = [chosen[cell == number][: part.frames_per_cell] for number in np.unique(cell)]
    return np.sort(np.concatenate([chosen[:0], *kept]))


def _progress(blocks: range):
    from rich.console import Console
    from rich.progress import track

    shown = sys.stderr.isatty()
    return track(blocks, "importing", console=Console(stderr=True), disable=not shown)
