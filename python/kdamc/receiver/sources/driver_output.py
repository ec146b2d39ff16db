# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers print to the terminal what they like; here it is caught.

They write to the file descriptors, which Python's ``sys.stdout`` and ``sys.stderr`` do not see.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def caught() -> Iterator[list[str]]:
    """Fill a list, at the end of the context, with the lines that were printed in it."""
    lines: list[str] = []
    libc = ctypes.CDLL(None)
    sys.stdout.flush()
    sys.stderr.flush()
    libc.fflush(None)
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            libc.fflush(None)
            for descriptor, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)
            file.seek(0)
            text = file.read().decode(errors="replace")
            lines += [line.strip() for line in text.splitlines() if line.strip()]
            for line in lines:
                log.debug("driver: %s", line)


def silence() -> None:
    """From now on only Python writes to the standard error, unless everything is logged."""
    if log.isEnabledFor(logging.DEBUG) or sys.stderr.fileno() != 2:
        return
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
