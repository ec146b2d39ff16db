# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON lines: one record a line, each whole in the file before the next begins."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import InputError
from .records import DecisionRecord, SignalRecord, Summary, json_text


class JsonReport:
    """Writes ``decision``, ``signal``, ``stats`` and one ``summary`` record to a file.

    A line goes to the system in one piece, so that a process that is killed leaves whole lines;
    where the disk is full the part of a line that went in is taken back.
    Raises :class:`InputError` if the file cannot be opened, OSError if it cannot be written.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        self._is_regular = stat.S_ISREG(os.fstat(self._file).st_mode)
        self._whole = 0
        self._is_broken = False

    def decision(self, record: DecisionRecord) -> None:
        """Write a decision."""
        self._write(record.as_json())

    def signal(self, record: SignalRecord) -> None:
        """Write a signal when it has ended."""
        if not record.ongoing:
            self._write(record.as_json())

    def stats(self, stats: Mapping[str, Any]) -> None:
        """Write the classifier's counters."""
        self._write({"type": "stats", **stats})

    def summary(self, summary: Summary) -> None:
        """Write the last line and close the file."""
        try:
            self._write(summary.as_json())
        finally:
            os.close(self._file)

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._is_broken:
            return
        line = memoryview(json_text(record).encode() + b"\n")
        size = len(line)
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            self._is_broken = True
            if self._is_regular:
                os.ftruncate(self._file, self._whole)
            raise OSError(f"{self._path}: {error.strerror or error}") from None
        self._whole += size
