# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def is_writable(path: Path) -> bool:
    """Whether :func:`write_whole` may put a file there."""
    return path.parent.is_dir() and os.access(path.parent, os.W_OK) and not path.is_dir()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text or bytes; an older file is replaced only when the new one is complete.

    Raises OSError.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
