# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a teacher shows of the training frames, computed once and kept in files.

Of use where nothing is augmented: then a teacher shows the same in every epoch and to every
student, and running it is most of what a step of distillation costs.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .distillation.registry import Loss
from .errors import UserError
from .files import alone_in
from .networks.outputs import Outputs, outputs_of
from .training_data import Frames

DISK_LIMIT = 16 << 30
"""Bytes above which a teacher is run at each step instead."""

_BATCH = 256


@dataclass(frozen=True)
class Needed:
    """Which of a teacher's features and attention maps are looked at, by place."""

    features: tuple[int, ...] = ()
    attention: tuple[int, ...] = ()

    @staticmethod
    def by(terms: Iterable[Loss], example: Outputs) -> Needed:
        """What some loss terms look at, of a teacher that shows as much as ``example``."""
        terms = list(terms)
        features = [term.teacher_features() for term in terms]
        attention = [term.teacher_attention() for term in terms]
        return Needed(
            _places(features, len(example.features)), _places(attention, len(example.attention))
        )


def _places(asked: Iterable[tuple[int, ...] | None], count: int) -> tuple[int, ...]:
    """All places that are ``asked`` for, sorted; None asks for all ``count``."""
    return tuple(sorted({place for of in asked for place in (range(count) if of is None else of)}))


class TeacherCache:
    """Outputs of a teacher for all frames of a part, to be asked for by position.

    Made in ``folder`` on first use; logits are float32, features and maps float16, which costs
    them a relative 5e-4, or float32 if float16 does not hold them all. Files are mapped, so that
    what does not fit into memory is paged.
    """

    def __init__(self, folder: Path, teacher: nn.Module, frames: Frames, needed: Needed) -> None:
        self._folder, self._needed = folder, needed
        folder.mkdir(parents=True, exist_ok=True)
        names = [
            "logits",
            *(f"features{place}" for place in needed.features),
            *(f"attention{place}" for place in needed.attention),
        ]
        # One fills it, and students that train beside each other wait for the result.
        with alone_in(folder, wait=True):
            missing = [name for name in names if not (folder / f"{name}.npy").is_file()]
            if missing:
                _fill(folder, teacher, frames, missing)
        self._arrays: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict:
        """Another process maps the files itself."""
        return self.__dict__ | {"_arrays": {}}

    def __getitem__(self, positions: Tensor) -> Outputs:
        """Outputs ``(n, …)`` for positions ``(n)``; places that nobody needs are empty tensors."""
        rows = positions.cpu().numpy()

        def read(name: str) -> Tensor:
            if name not in self._arrays:
                self._arrays[name] = np.load(self._folder / f"{name}.npy", mmap_mode="r")
            return torch.from_numpy(self._arrays[name][rows]).float().to(positions.device)

        def row(kind: str, places: tuple[int, ...]) -> tuple[Tensor, ...]:
            empty = torch.empty(0)
            return tuple(
                read(f"{kind}{place}") if place in places else empty
                for place in range(max(places, default=-1) + 1)
            )

        return Outputs(
            read("logits"),
            row("features", self._needed.features),
            row("attention", self._needed.attention),
        )


def digest(teacher: nn.Module) -> str:
    """SHA-256 of a network's weights, in hexadecimal: what it shows is of these alone."""
    found = hashlib.sha256()
    for name, values in sorted(teacher.state_dict().items()):
        found.update(name.encode())
        found.update(values.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def size(teacher: nn.Module, frames: Frames, needed: Needed) -> int:
    """Bytes that a cache would take if float16 holds all features and maps."""
    shown = _show(teacher, frames, slice(0, 1), bool(needed.attention))
    one = 4 * shown["logits"].numel() + sum(
        2 * shown[f"{kind}{place}"].numel()
        for kind in ("features", "attention")
        for place in getattr(needed, kind)
    )
    return one * len(frames)


def _show(teacher: nn.Module, frames: Frames, rows: slice, attention: bool) -> dict[str, Tensor]:
    positions = torch.arange(rows.start, rows.stop)
    with torch.inference_mode():
        outputs = outputs_of(teacher, frames[positions][0], attention=attention)
    shown = {"logits": outputs.logits}
    for kind in ("features", "attention"):
        shown |= {f"{kind}{place}": x for place, x in enumerate(getattr(outputs, kind))}
    return shown


def _fill(
    folder: Path,
    teacher: nn.Module,
    frames: Frames,
    names: list[str],
    wide: tuple[str, ...] = ("logits",),
) -> None:
    """Write the files ``names``, whole or not at all; those in ``wide`` are float32.

    Raises UserError for outputs that are not finite, and if the disk has no room.
    """
    teacher.eval()
    attention = any(name.startswith("attention") for name in names)
    making = folder / "unfinished"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    arrays: dict[str, np.ndarray] = {}
    for start in range(0, len(frames), _BATCH):
        rows = slice(start, min(start + _BATCH, len(frames)))
        shown = _show(teacher, frames, rows, attention)
        if not arrays:
            arrays = _begin(
                making,
                {name: (len(frames), *shown[name].shape[1:]) for name in names},
                {name: np.dtype("f4" if name in wide else "f2") for name in names},
            )
        for name, array in arrays.items():
            with np.errstate(over="ignore"):  # found below
                array[rows] = shown[name].float().numpy()
            if np.isfinite(array[rows]).all():
                continue
            if name in wide:
                raise UserError(f"{folder.parent}: the teacher's {name} are not finite")
            return _fill(folder, teacher, frames, names, (*wide, name))
    for name, array in arrays.items():
        array.flush()
        (making / f"{name}.npy").rename(folder / f"{name}.npy")
    making.rmdir()


def _begin(
    making: Path, shapes: dict[str, tuple[int, ...]], types: dict[str, np.dtype]
) -> dict[str, np.ndarray]:
    """Arrays in new files, by name; raises UserError if the disk has no room.

    To write to a mapped file of which the disk does not hold all ends the process.
    """
    try:
        arrays = {}
        for name, shape in shapes.items():
            path = making / f"{name}.npy"
            arrays[name] = np.lib.format.open_memmap(path, "w+", types[name], shape)
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return arrays
    except OSError as error:
        shutil.rmtree(making)
        size = sum(types[name].itemsize * math.prod(shape) for name, shape in shapes.items())
        raise UserError(
            f"{making.parent}: what the teacher shows needs {size} bytes ({error.strerror})"
        ) from error
