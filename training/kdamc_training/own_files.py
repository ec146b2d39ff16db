# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``--import`` imports. A user's file is a module of this one, named by where it lies.

So files of one name, or of the name of a module of Python's, do not stand for each other, and a
spawned process, which is told the names of modules alone, finds the file.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

from .errors import UserError

__path__: list[str] = []  # makes this module one that has modules

imported: list[str] = []
"""Names of the modules imported so far, which processes for data must import as well."""


def import_first(name: str) -> None:
    """Import a module, of the current folder too, or a file of Python; raises UserError if there is
    none, or none of what it imports."""
    file = Path(name)
    own = file.suffix == ".py"
    if own and not file.is_file():
        raise UserError(f"--import {name}: no such file")
    # Left there for what it imports later, in spawned processes too; a file's folder stands last,
    # so that the names in it hide no module of Python's.
    if own:
        sys.path.append(str(file.resolve().parent))
    elif "" not in sys.path:
        sys.path.insert(0, "")
    module = module_name(file) if own else name
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"--import {name}: {error}") from None
    imported.append(module)


def module_name(file: Path) -> str:
    """The name of the module that a user's file is."""
    return f"{__name__}.{str(file.resolve()).encode().hex()}"


class _Finder:
    """Finds a file by the name of its module."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        parent, _, own = name.rpartition(".")
        if parent != __name__:
            return None
        return spec_from_file_location(name, bytes.fromhex(own).decode())


sys.meta_path.append(_Finder)
