# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing files so that an interrupted run never leaves half a file under its final name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` if the body succeeds.

    The temporary file is removed when the body raises. Raises UserError if the folder is missing.
    """
    final = Path(path)
    if final.is_dir():
        raise UserError(f"{final} is a folder, not a file")
    if not final.parent.is_dir():
        raise UserError(f"folder {final.parent} does not exist")
    temporary = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
