# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data set file: one HDF5 layout that every generator writes and everything else reads.

Datasets: ``X (n, 2, L)`` float32 or float16 (row 0 I, row 1 Q), ``Y (n)`` uint8 class index,
``Z (n)`` int8 SNR label in dB, ``pass_id (n)`` uint32: frames of one number were cut, in order of
time, from one run of the modulator and channel, so a split must keep them together. A set may have
a group ``draws``: what was drawn for each frame, a dataset ``(n)`` of float32 or int32 a quantity.
Attributes: ``classes`` (names), ``sample_rate`` (Hz), ``samples_per_symbol`` (lowest, highest),
``generator`` (name and version), ``seed``, ``created``, ``speech`` (which texts and voices),
``options`` (JSON: what else was asked for).

``created`` is the date of the generator's version and not the time of the run, so that equal
commands give equal bytes.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from gnuradio.kdamc import data_file
from gnuradio.kdamc.data_file import SNR_UNKNOWN as SNR_UNKNOWN
from gnuradio.kdamc.data_file import DataSetInfo

from ..errors import UserError
from ..files import replacing

_BLOCK = 4096
_UNUSABLE = "is all zeros or holds a sample that is not finite"

_OVERHEAD = 1 << 16
"""Bytes that suffice for what a file holds besides its frames and labels."""


class DataSetWriter:
    """Writes a data set file of a known number of frames, piece by piece; a context manager.

    ``draw_types`` names the quantities of ``draws`` and gives their dtypes. The file appears under
    its name only when the body of the ``with`` ends without an exception and all frames have been
    written.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        info: DataSetInfo,
        frames: int,
        frame_length: int,
        dtype: str = "float32",
        draw_types: Mapping[str, str] | None = None,
    ) -> None:
        self._replacing = replacing(path)
        self._info = info
        self._shape = (frames, 2, frame_length)
        self._dtype = np.dtype(dtype)
        self._draw_types = dict(draw_types or {})
        self._written = 0
        self._file: h5py.File | None = None

    def __enter__(self) -> DataSetWriter:
        temporary = self._replacing.__enter__()
        try:
            self._reserve(temporary)
            self._file = h5py.File(temporary, "w", libver=("v108", "v108"))
        except OSError as error:
            self._replacing.__exit__(type(error), error, None)
            raise
        n = self._shape[0]
        for name, shape, dtype in (
            ("X", self._shape, self._dtype),
            ("Y", (n,), np.uint8),
            ("Z", (n,), np.int8),
            ("pass_id", (n,), np.uint32),
            *((f"draws/{name}", (n,), dtype) for name, dtype in self._draw_types.items()),
        ):
            self._file.create_dataset(name, shape, dtype, track_times=False)
        attributes = self._file.attrs
        attributes["classes"] = np.array(self._info.classes, dtype=h5py.string_dtype())
        attributes["sample_rate"] = float(self._info.sample_rate)
        attributes["samples_per_symbol"] = np.array(self._info.samples_per_symbol, np.float64)
        attributes["generator"] = self._info.generator
        attributes["seed"] = np.int64(self._info.seed)
        attributes["created"] = self._info.created
        attributes["speech"] = self._info.speech
        attributes["options"] = json.dumps(self._info.options, sort_keys=True)
        return self

    def _reserve(self, temporary: Path) -> None:
        """Raise OSError now if the disk has no room: HDF5 crashes when a write fails."""
        frames, rows, length = self._shape
        labels = 1 + 1 + 4 + sum(np.dtype(dtype).itemsize for dtype in self._draw_types.values())
        with temporary.open("wb") as file:
            size = frames * (rows * length * self._dtype.itemsize + labels) + _OVERHEAD
            os.posix_fallocate(file.fileno(), 0, size)

    def append(
        self,
        x: np.ndarray,
        y: np.ndarray,
        z: np.ndarray,
        pass_id: np.ndarray,
        draws: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Add frames: ``x (m, 2, L)``; ``y``, ``z``, ``pass_id`` and each of ``draws`` ``(m)``.

        Raises ValueError when shapes disagree, a class index is out of range, a sample is not
        finite (in the type of the file), draws are not those announced, or there are more frames
        than announced.
        """
        draws = dict(draws or {})
        start, stop = self._written, self._written + len(x)
        if x.shape[1:] != self._shape[1:] or not len(x) == len(y) == len(z) == len(pass_id):
            raise ValueError("frames and labels do not have matching shapes")
        if stop > self._shape[0]:
            raise ValueError(f"more than the {self._shape[0]} frames announced")
        if len(y) and int(np.max(y)) >= len(self._info.classes):
            raise ValueError("class index out of range")
        if draws.keys() != self._draw_types.keys():
            raise ValueError("draws are not those announced")
        if any(np.shape(values) != (len(x),) for values in draws.values()):
            raise ValueError("draws do not have one entry for each frame")
        with np.errstate(over="ignore"):
            x = np.asarray(x).astype(self._dtype, copy=False)
        if not np.isfinite(x).all():
            raise ValueError("a frame holds a sample that is not finite")
        labels = {"X": x, "Y": y, "Z": z, "pass_id": pass_id}
        for name, values in (labels | {f"draws/{k}": v for k, v in draws.items()}).items():
            self._file[name][start:stop] = values
        self._written = stop

    def __exit__(self, kind, error, trace) -> None:
        try:
            self._file.close()
        except (OSError, RuntimeError) as failure:
            # What HDF5 had kept back did not fit on the disk.
            kind, error = kind or type(failure), error or failure
            self._replacing.__exit__(kind, error, trace)
            raise error from failure
        if kind is None and self._written != self._shape[0]:
            error = ValueError(f"{self._written} of {self._shape[0]} frames were written")
            self._replacing.__exit__(ValueError, error, None)
            raise error
        self._replacing.__exit__(kind, error, trace)


class DataSetFile(data_file.DataSetFile):
    """The radio wing's reader, which checks the file; raises UserError for what is not one."""

    fault = UserError

    def check_frames(self) -> None:
        """Raise UserError, naming the first, for frames that cannot be scaled to RMS 1."""
        for start in range(0, len(self), _BLOCK):
            usable = _usable(_rms(self.x[start : start + _BLOCK]))
            if not usable.all():
                raise UserError(
                    f"{self.path}: frame {start + int(np.argmin(usable))}, counted from 0, "
                    f"{_UNUSABLE}"
                )


def rms_normalised(frames: np.ndarray) -> np.ndarray:
    """``frames (n, 2, L)`` scaled so that each has RMS 1, float32: what networks are given.

    RMS is that of the complex samples. Raises UserError for a frame that is all zeros or holds a
    sample that is not finite.
    """
    frames = np.asarray(frames, np.float32)
    rms = _rms(frames)
    if not _usable(rms).all():
        raise UserError(f"a frame {_UNUSABLE}")
    return frames / rms[:, None, None].astype(np.float32)


def _rms(frames: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(np.square(frames, dtype=np.float64).sum(axis=1), axis=1))


def _usable(rms: np.ndarray) -> np.ndarray:
    return np.isfinite(rms) & (rms > 0)


def split_by_pass(
    pass_id: np.ndarray, strata: np.ndarray, shares: Sequence[float], seed: int
) -> list[np.ndarray]:
    """Split frames into parts of about ``shares``, keeping every pass in one part.

    ``pass_id (n)`` and ``strata (n)`` are integers, ``strata`` the same in all frames of a pass:
    the passes of a stratum (a class at an SNR label) are dealt out evenly. Returns for each share
    a sorted index array. The shares must be positive and sum to at most 1 (ValueError).
    """
    if min(shares) <= 0 or sum(shares) > 1.0 + 1e-9:
        raise ValueError("shares must be positive and sum to at most 1")
    passes, first, which = np.unique(pass_id, return_index=True, return_inverse=True)
    rng = np.random.default_rng(seed)
    place = np.empty(len(passes))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata[first] == stratum)
        # The random start makes the expected share right even where a stratum has one pass.
        place[members] = (rng.permutation(len(members)) + rng.random()) / len(members)
    edges = np.concatenate([[0.0], np.cumsum(shares)])
    return [
        np.flatnonzero((place[which] >= low) & (place[which] < high))
        for low, high in itertools.pairwise(edges)
    ]


def training_split(
    data: DataSetFile, validation_share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the frames to train on and of those held out, split by pass in every cell."""
    cells = data.y[:].astype(int) * 256 + data.z[:]
    shares = [1.0 - validation_share, validation_share]
    kept, held = split_by_pass(data.pass_id[:], cells, shares, seed)
    return kept, held
