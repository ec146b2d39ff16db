# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON lines: one record a line, each whole on the disk before the next begins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import InputError
from .records import DecisionRecord, Summary, finite


class JsonReport:
    """Writes ``decision``, ``stats`` and one ``summary`` record to a file.

    Raises :class:`InputError` if the file cannot be opened, OSError if it cannot be written.
    """

    def __init__(self, path: Path):
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None

    def decision(self, record: DecisionRecord) -> None:
        """Write a decision."""
        self._write(record.as_json())

    def stats(self, stats: Mapping[str, Any]) -> None:
        """Write the classifier's counters."""
        self._write({"type": "stats", **stats})

    def summary(self, summary: Summary) -> None:
        """Write the last line and close the file."""
        self._write(summary.as_json())
        self._file.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(finite(record), allow_nan=False, ensure_ascii=False)
        self._file.write(line + "\n")
        self._file.flush()
