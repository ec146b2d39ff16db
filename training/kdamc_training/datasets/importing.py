# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Importing: which reader takes a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from . import genuine
from .genuine import Part
from .import_2018 import NAME as NAME_2018
from .import_2018 import import_2018
from .import_pickle import import_pickle
from .import_sigmf import Cutting, import_sigmf

SIGMF = "sigmf"
FORMATS = (*genuine.SETS, SIGMF)
_SIGMF_SUFFIXES = (".sigmf-meta", ".sigmf-data")


def import_files(
    sources: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    name: str = "",
    part: Part | None = None,
    cutting: Cutting | None = None,
) -> tuple[str, int]:
    """Write ``sources`` to the data set file ``out``; returns the format and the frames' number.

    ``name`` is one of FORMATS; it is told from the suffix or the content if not given. ``part``
    belongs to a genuine set, which is one file, and ``cutting`` to recordings, of which there may
    be several.
    Raises UserError for a file that cannot be used or an argument that does not belong.
    """
    paths, target = [Path(source) for source in sources], Path(out)
    # A forgotten OUT would make the last source the output.
    if target.suffix != ".h5":
        raise UserError(f"{target}: the output's name must end in .h5")
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        if target.exists() and target.samefile(path):
            raise UserError(f"{path}: is both source and output")
    if not name:
        name = _tell(paths[0])
    elif name not in FORMATS:
        raise UserError(f"no format {name!r}; known: {', '.join(FORMATS)}")
    if name == SIGMF:
        if cutting is None:
            raise UserError("recordings need --frame-length")
        if part is not None:
            raise UserError("--snr and --frames-per-cell belong to genuine sets, not to recordings")
        return SIGMF, import_sigmf(paths, target, cutting)
    if len(paths) > 1:
        raise UserError("a genuine set is one file; only recordings may be several")
    if cutting is not None:
        raise UserError("--frame-length belongs to recordings; a genuine set has its own")
    if name == NAME_2018:
        return name, import_2018(paths[0], target, part or Part())
    return import_pickle(paths[0], target, part or Part(), "" if name == "pickle" else name)


def _tell(path: Path) -> str:
    """The format of a file, or "pickle" where its content must be read to tell more."""
    if path.suffix.lower() in _SIGMF_SUFFIXES:
        return SIGMF
    if not genuine.is_hdf5(path):
        return "pickle"
    if not genuine.is_2018(path):
        raise UserError(f"{path}: an HDF5 file, but not that of RadioML 2018.01A")
    return NAME_2018
