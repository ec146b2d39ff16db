# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records: what a run wrote about itself, as JSON that a person can read and git can diff."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import replacing

_NUMBERS = re.compile(r"\[\s+((?:-?[\d.eE+-]+|null)(?:,\s+(?:-?[\d.eE+-]+|null))*)\s+\]")


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as JSON, whole or not at all; a list of numbers takes one line.

    Raises ValueError for a number that is not finite, which JSON has not.
    """
    text = json.dumps(content, indent=1, allow_nan=False)
    text = _NUMBERS.sub(lambda found: "[" + re.sub(r",\s+", ", ", found[1]) + "]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_record(path: Path) -> dict[str, Any]:
    """A record from its file; raises UserError if it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a record: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a record")
    return content
