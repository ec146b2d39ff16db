# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the papers state, from ``training/published/<system>.yaml``: facts with their source."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError
from ..pipeline import RESULTS

PUBLISHED = RESULTS.parent / "published"


@dataclass(frozen=True)
class Row:
    """One row of a paper's table.

    ``member`` is the recipe's member that stands for it, if one does. All figures are texts, with
    the digits that the paper gives: ``overall`` and ``bands`` (by the band's name, "0..18 dB") are
    accuracies in percent, ``others`` what else there is, by name.
    """

    name: str
    member: str = ""
    overall: str = ""
    bands: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table of a paper, and the recipe that repeats it, if one does."""

    source: str
    rows: list[Row]
    recipe: str = ""
    data: str = ""


@dataclass(frozen=True)
class Published:
    """What a paper states. ``data`` is what it measured on; ``note`` what to know of the source."""

    title: str
    citation: str
    data: str
    tables: list[Table]
    note: str = ""

    def of(self, recipe: str) -> list[Table]:
        """The tables that a recipe repeats; "" for those that none does."""
        return [table for table in self.tables if table.recipe == recipe]


def read(system: str, folder: Path = PUBLISHED) -> Published | None:
    """What is published of a system, None if nothing is noted.

    Raises UserError, naming file and key, for what does not fit.
    """
    path = folder / f"{system}.yaml"
    if not path.is_file():
        return None
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    try:
        return _made(Published, document, "")
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from error


def _made(kind: Any, value: Any, where: str) -> Any:
    """``value`` as ``kind``; raises ValueError, or TypeError for a key too many or too few."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind in (Row, Table, Published) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        known = {
            key: _made(hints[key], item, f"{where}.{key}") if key in hints else item
            for key, item in value.items()
        }
        try:
            return kind(**known)
        except TypeError as error:
            raise TypeError(f"{where or 'the file'}: {error}") from error
    if origin is list and isinstance(value, list):
        return [_made(inner[0], item, f"{where}[{at}]") for at, item in enumerate(value)]
    if origin is dict and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _made(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is str and isinstance(value, str):
        return value
    raise ValueError(f"{where or 'the file'} is {value!r}")
