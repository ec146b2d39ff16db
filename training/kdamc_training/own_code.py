# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which registered networks and losses are a user's own, and what their code was when they came.

A training is known by its settings. What this package computes is told by its revision; what a
user's file computes changes as it is written, so that its content belongs to the settings.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

from . import own_files
from .files import sha256_of

_digests: dict[tuple[str, str], str] = {}


def note(kind: str, name: str, factory: Callable) -> None:
    """Remember the file of a ``factory`` from outside of this package, registered as ``name``.

    What was typed into an interactive session is in no file and not remembered.
    """
    module = getattr(factory, "__module__", "")
    own = module.startswith(f"{own_files.__name__}.")
    if module.partition(".")[0] == __package__ and not own:
        return
    try:
        file = inspect.getsourcefile(factory)
    except TypeError:
        return
    if file and Path(file).is_file():
        _digests[kind, name] = sha256_of(Path(file))


def digest(kind: str, name: str) -> str | None:
    """SHA-256 of the file that ``name`` is from; None if it is this package's or unknown."""
    return _digests.get((kind, name))
