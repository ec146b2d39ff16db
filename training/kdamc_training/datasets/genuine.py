# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the genuine RadioML files are, and how a file is told to be one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import UserError
from ..files import sha256_of
from . import registry
from .dataset_file import DataSetInfo

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LARGEST_HASHED = 1 << 32
"""Bytes. A hash of more would take longer than importing a part of the file."""


@dataclass(frozen=True)
class GenuineSet:
    """One published set: its classes in our order, its frame length, its nominal rates.

    ``sample_rate`` in Hz; none was published for 2018.01A.
    """

    title: str
    classes: tuple[str, ...]
    frame_length: int
    sample_rate: float
    samples_per_symbol: tuple[float, float] = (8.0, 8.0)


def _set(name: str, title: str) -> GenuineSet:
    """A set as the generator that makes it again describes it, so that both have one order."""
    again = registry.create(name)
    return GenuineSet(title, again.classes, again.frame_length, again.sample_rate)


SETS = {
    name: _set(name, title)
    for name, title in (
        ("rml2016.10a", "RML2016.10A"),
        ("rml2016.10b", "RML2016.10B"),
        ("rml2016.04c", "RML2016.04C"),
        # Classes in the order of the one-hot columns. The ``classes.txt`` that came with the file
        # has another one, which is wrong.
        ("rml2018.01a", "RadioML 2018.01A"),
    )
}

_MARKS_IN_NAMES = {"2016.10a": "rml2016.10a", "2016.10b": "rml2016.10b", "2016.04c": "rml2016.04c"}


@dataclass(frozen=True)
class Part:
    """Which part of a genuine file is wanted; all of it unless said.

    ``snr`` is the lowest and the highest label wanted (dB), ``classes`` are names in any order,
    ``frames_per_cell`` takes that many first frames of every class at every label.
    """

    snr: tuple[int, int] | None = None
    classes: Sequence[str] = ()
    frames_per_cell: int | None = None

    def __post_init__(self) -> None:
        if self.frames_per_cell is not None and self.frames_per_cell < 1:
            raise UserError(f"frames-per-cell is {self.frames_per_cell}; it must be at least 1")

    def chosen_classes(self, published: Sequence[str]) -> tuple[str, ...]:
        """The wanted ones of the ``published`` classes, in their order.

        Raises UserError for a name that is not among them.
        """
        unknown = [name for name in self.classes if name not in published]
        if unknown:
            raise UserError(f"no class {unknown[0]!r} in this set; it has {', '.join(published)}")
        return tuple(name for name in published if not self.classes or name in self.classes)

    def wants_snr(self, label: np.ndarray | int) -> np.ndarray | bool:
        """Whether SNR labels (dB) are wanted."""
        if self.snr is None:
            return np.full(np.shape(label), True)
        return (label >= self.snr[0]) & (label <= self.snr[1])

    def described(self) -> dict[str, Any]:
        """What was asked for, as it goes into the file's ``options``."""
        wanted = {
            "snr": list(self.snr) if self.snr else None,
            "classes_chosen": list(self.classes),
            "frames_per_cell": self.frames_per_cell,
        }
        return {name: value for name, value in wanted.items() if value}


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does. Raises UserError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def tell_pickled_set(path: Path, frames: dict[tuple[str, int], int]) -> str:
    """Which of the three sets of 2016 a pickle is; ``frames`` counts them by (class, label).

    The file's name decides; where it says nothing, ten classes are 10B, equal numbers in all cells
    10A, and anything else 04C.
    """
    for mark, name in _MARKS_IN_NAMES.items():
        if mark in path.name.lower():
            return name
    if {name for name, _ in frames} == set(SETS["rml2016.10b"].classes):
        return "rml2016.10b"
    return "rml2016.10a" if len(set(frames.values())) == 1 else "rml2016.04c"


def is_2018(path: Path) -> bool:
    """Whether an HDF5 file has the datasets of RadioML 2018.01A, as far as their shapes tell."""
    try:
        with h5py.File(path, "r") as file:
            shapes = [getattr(file.get(name), "shape", ()) for name in "XYZ"]
    except OSError as error:
        raise UserError(f"{path}: not a readable HDF5 file ({error})") from error
    return [len(shape) for shape in shapes] == [3, 2, 2] and shapes[0][2] == 2


def describe(path: Path, name: str, classes: Sequence[str], part: Part) -> DataSetInfo:
    """The attributes of a data set file made from the genuine file ``path`` of the set ``name``.

    There is no seed (-1) and no date: equal sources give equal bytes. The source is known by its
    size and, up to 4 GiB, by its SHA-256.
    """
    size = path.stat().st_size
    source = {"source": path.name, "source_bytes": size}
    if size <= _LARGEST_HASHED:
        source["source_sha256"] = sha256_of(path)
    published = SETS[name]
    return DataSetInfo(
        classes=tuple(classes),
        sample_rate=published.sample_rate,
        samples_per_symbol=published.samples_per_symbol,
        generator=f"genuine {published.title}",
        seed=-1,
        created="",
        options={**source, **part.described()},
    )
