# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finished cells kept beside a data set file until it is complete, so that a killed run can go on.

They lie in the folder ``.NAME.cells`` beside the file ``NAME``, one ``.npz`` a cell, with a note of
what they were made for: cells of another command or another version are thrown away.
"""

from __future__ import annotations

import fcntl
import glob
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import replacing
from .registry import Cell

_NOTE = "made_for.json"


@contextmanager
def folder(path: str | os.PathLike, made_for: Any) -> Iterator[Path]:
    """Give the folder of kept cells for the file ``path``; remove it if the body succeeds.

    ``made_for`` (what JSON can hold) says what the cells depend on. An empty folder is removed
    whatever happens. Raises UserError if the folder of ``path`` is missing or another process is
    writing the same file, OSError if nothing can be written there.
    """
    final = Path(path)
    if final.is_dir():
        raise UserError(f"{final} is a folder, not a file")
    if not final.parent.is_dir():
        raise UserError(f"folder {final.parent} does not exist")
    kept = final.with_name(f".{final.name}.cells")
    kept.mkdir(exist_ok=True)
    handle = os.open(kept, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{final} is being written by another process") from None
        for left in final.parent.glob(f".{glob.escape(final.name)}.*.part"):
            left.unlink()
        try:
            _drop_unless(kept, json.dumps(made_for, sort_keys=True))
            yield kept
        except BaseException:
            if {file.name for file in kept.iterdir()} <= {_NOTE}:
                shutil.rmtree(kept)
            raise
        shutil.rmtree(kept)
    finally:
        os.close(handle)


def _drop_unless(kept: Path, text: str) -> None:
    """Empty the folder unless its note reads ``text``; unfinished files go in any case."""
    note = kept / _NOTE
    fits = note.is_file() and note.read_text(encoding="utf-8") == text
    for file in kept.iterdir():
        if not fits or file.suffix == ".part":
            file.unlink()
    with replacing(note) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write(path: Path, cell: Cell) -> None:
    """Keep ``cell`` in the file ``path``, which appears only when it is whole."""
    draws = {f"draws_{name}": values for name, values in cell.draws.items()}
    # Through memory: the zip writer of a file that could not be written complains again later.
    buffer = io.BytesIO()
    np.savez(buffer, frames=cell.frames, pass_number=cell.pass_number, **draws)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read(path: Path) -> Cell:
    """The cell kept in the file ``path``."""
    with np.load(path, allow_pickle=False) as stored:
        draws = {
            name.removeprefix("draws_"): stored[name]
            for name in stored.files
            if name.startswith("draws_")
        }
        return Cell(stored["frames"], stored["pass_number"], draws)
