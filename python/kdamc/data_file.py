# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data set file as it is read: one HDF5 layout for trainers, evaluators and flowgraphs.

Datasets: ``X (n, 2, L)`` float32 or float16 (row 0 I, row 1 Q), ``Y (n)`` uint8 class index,
``Z (n)`` int8 SNR label in dB, ``pass_id (n)`` uint32 (may be missing), a group ``draws`` (may be
missing).  Attributes: ``classes``, ``sample_rate`` (Hz), ``samples_per_symbol`` (lowest, highest),
and what its maker says of it.

Imports neither GNU Radio nor torch; h5py only when a file is opened.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

#: Stands in ``Z`` where the SNR of a frame is not known, as with recordings.
SNR_UNKNOWN = 127


class DataFileError(ValueError):
    """A data set file, or what was asked of it, cannot be used; the text says why in one line."""


@dataclass(frozen=True)
class DataSetInfo:
    """What a data set file says of itself; see the module's docstring for the fields."""

    classes: tuple[str, ...]
    sample_rate: float
    samples_per_symbol: tuple[float, float]
    generator: str
    seed: int
    created: str
    speech: str = ""
    options: dict[str, Any] = field(default_factory=dict)


class DataSetFile:
    """A data set file opened for reading and checked; a context manager.

    ``x``, ``y``, ``z`` and ``pass_id`` are h5py datasets (slice them to read), ``draws`` maps the
    names of what was drawn for each frame to such datasets, ``info`` holds the attributes. Files of
    others may lack ``pass_id``: then each frame counts as a pass of its own.
    Raises :class:`DataFileError`, naming the file and the fault, for anything that is not a data
    set file; a subclass may name another ``fault``.
    """

    fault: type[ValueError] = DataFileError

    def __init__(self, path: str | os.PathLike) -> None:
        try:
            import h5py
        except ImportError:
            raise self.fault(
                "data set files need the Python package h5py (pip install h5py)"
            ) from None
        self.path = Path(path)
        if not self.path.is_file():
            raise self.fault(f"{self.path}: no such file")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise self.fault(f"{self.path}: not a readable HDF5 file ({error})") from error
        try:
            self._check(h5py.Dataset)
        except self.fault:
            self._file.close()
            raise
        except (KeyError, TypeError, ValueError) as error:
            self._file.close()
            raise self.fault(f"{self.path}: its attributes are unreadable ({error})") from error

    def _check(self, dataset: type) -> None:
        def refuse(reason: str) -> None:
            raise self.fault(f"{self.path}: {reason}")

        for name in ("X", "Y", "Z"):
            if not isinstance(self._file.get(name), dataset):
                refuse(f"has no dataset {name}")
        attributes = self._file.attrs
        for name in ("classes", "sample_rate", "samples_per_symbol"):
            if name not in attributes:
                refuse(f"has no attribute {name}")
        self.x, self.y, self.z = self._file["X"], self._file["Y"], self._file["Z"]
        n = self.x.shape[0] if self.x.ndim else 0
        if self.x.ndim != 3 or self.x.shape[1] != 2 or n == 0:
            refuse(f"X has shape {self.x.shape}, not (n, 2, L)")
        if self.x.dtype not in (np.float32, np.float16):
            refuse(f"X is {self.x.dtype}, not float32 or float16")
        if self.y.shape != (n,) or self.z.shape != (n,):
            refuse("Y and Z do not have one entry for each frame")
        self.pass_id = self._file["pass_id"] if "pass_id" in self._file else np.arange(n)
        if self.pass_id.shape != (n,):
            refuse("pass_id does not have one entry for each frame")
        drawn = self._file.get("draws", {})
        if isinstance(drawn, dataset):
            refuse("draws is not a group")
        self.draws: dict[str, Any] = dict(drawn)
        for name, values in self.draws.items():
            if getattr(values, "shape", None) != (n,):
                refuse(f"draws/{name} does not have one entry for each frame")
        classes = tuple(
            name.decode() if isinstance(name, bytes) else str(name)
            for name in np.atleast_1d(attributes["classes"])
        )
        named = self.y[:]
        if not 0 <= int(named.min()) <= int(named.max()) < len(classes):
            refuse(f"Y names a class beyond the {len(classes)} listed")
        rates = np.atleast_1d(attributes["samples_per_symbol"]).astype(float)
        self.info = DataSetInfo(
            classes=classes,
            sample_rate=float(attributes["sample_rate"]),
            samples_per_symbol=(float(rates[0]), float(rates[-1])),
            generator=str(attributes.get("generator", "")),
            seed=int(attributes.get("seed", -1)),
            created=str(attributes.get("created", "")),
            speech=str(attributes.get("speech", "")),
            options=json.loads(attributes.get("options", "{}")),
        )

    def __len__(self) -> int:
        return self.x.shape[0]

    @property
    def frame_length(self) -> int:
        """Samples a frame."""
        return self.x.shape[2]

    def mapped_frames(self) -> np.ndarray | None:
        """``X`` as an array mapped from the file, or None where it does not lie there in one piece.

        Frames in any order are read from it far faster than through HDF5.
        """
        offset = self.x.id.get_offset()
        if self.x.chunks is not None or self.x.external or offset is None:
            return None
        return np.memmap(self.path, self.x.dtype, "r", offset, self.x.shape)

    def select(
        self, classes: Sequence[str] = (), snr: tuple[float, float] | None = None
    ) -> np.ndarray:
        """Indices of the frames of ``classes`` (none: all) with an SNR label in ``snr``, sorted.

        ``snr`` is (lowest, highest) in dB, both included; None takes frames of unknown SNR too.
        Raises the file's ``fault`` for a class that it does not name and if nothing is left.
        """
        known = self.info.classes
        for name in classes:
            if name not in known:
                raise self.fault(f"{self.path}: has no class {name!r}, only {', '.join(known)}")
        chosen = np.ones(len(self), bool)
        if classes:
            chosen &= np.isin(self.y[:], [known.index(name) for name in classes])
        if snr is not None:
            labels = self.z[:]
            chosen &= (labels >= snr[0]) & (labels <= snr[1]) & (labels != SNR_UNKNOWN)
        found = np.flatnonzero(chosen)
        if not len(found):
            raise self.fault(f"{self.path}: no frame is of the classes and SNR labels asked for")
        return found

    def __enter__(self) -> DataSetFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was mapped stays."""
        self._file.close()


def describe_data(data: DataSetFile) -> dict[str, Any]:
    """What a record says of a data set."""
    info = data.info
    return {
        "file": data.path.name,
        "generator": info.generator,
        "seed": info.seed,
        "speech": info.speech,
        "created": info.created,
        **info.options,
    }
