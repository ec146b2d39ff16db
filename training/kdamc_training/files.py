# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files: written whole or not at all, known by their content, a folder by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
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


@contextlib.contextmanager
def alone_in(folder: Path, *, wait: bool) -> Iterator[None]:
    """Hold the existing ``folder`` for this process while the body runs.

    Another process that asks for it then waits for the end, or without ``wait`` gets a UserError.
    The system lets go of it when a process ends, however it does.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise UserError(f"{folder} is in use by another process") from None
        yield
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; a file that was not changed is read once only."""
    found = path.stat()
    return _sha256(path, found.st_size, found.st_mtime_ns)


@functools.lru_cache
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
