# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of data set generators: what ``kdamc-train data generate NAME`` can make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..errors import UserError


@dataclass(frozen=True)
class Cell:
    """Frames of one class at one SNR label.

    ``frames (n, 2, L)`` float32 or float16; ``pass_number (n)`` counts the passes of this cell from
    0; ``draws`` holds an array ``(n)`` for each of the generator's ``draw_types``.
    """

    frames: np.ndarray
    pass_number: np.ndarray
    draws: dict[str, np.ndarray] = field(default_factory=dict)


class Generator(ABC):
    """Makes a labelled set cell by cell (a cell: one class at one SNR label).

    A cell depends on nothing but the arguments of ``cell``, so cells can be made in any order and
    in any process. Subclasses set the attributes and register themselves with ``@register``.
    """

    version: str
    """Changed, with ``date``, whenever the same seed gives other bytes than before."""
    date: str
    classes: tuple[str, ...]
    snr_labels: tuple[int, ...]
    frame_length: int
    sample_rate: float
    samples_per_symbol: tuple[float, float]
    oversampling: tuple[float, float] | None = None
    """Sample rate over the occupied bandwidth, lowest and highest, where it is what was drawn."""
    limits: tuple[str, ...]
    """What the set lacks, one sentence each; model cards repeat it."""
    splits: tuple[str, ...]
    """Names of the disjoint stocks of source material (speech): "train" first."""
    dtype: str = "float32"
    """Of the frames in the file; float16 suits frames of RMS near 1."""
    draw_types: Mapping[str, str] = {}
    """What is drawn for each frame and recorded: names and dtypes (float32 or int32)."""

    @abstractmethod
    def cell(
        self, class_index: int, snr_label: int, frames: int, seed: int, split: str, run_length: int
    ) -> Cell:
        """``frames`` frames of one cell.

        With ``run_length`` 0 frames are cut as the original set's were; above 0 every pass gives
        one run of so many frames, each starting where the one before ended.
        """


_generators: dict[str, type[Generator]] = {}


def register(name: str) -> Callable[[type[Generator]], type[Generator]]:
    """Class decorator: make a generator known under ``name``. Works from outside the package."""

    def add(generator: type[Generator]) -> type[Generator]:
        if name in _generators:
            raise ValueError(f"a generator named {name} exists already")
        _generators[name] = generator
        return generator

    return add


def names() -> list[str]:
    """Names of all known generators, sorted."""
    return sorted(_generators)


def create(name: str) -> Generator:
    """The generator called ``name``; raises UserError with the known names if there is none."""
    if name not in _generators:
        raise UserError(f"no data set named {name!r}; known: {', '.join(names())}")
    return _generators[name]()
