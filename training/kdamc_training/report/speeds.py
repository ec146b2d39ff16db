# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes and speeds of the networks, from the records of ``kdamc-train speed``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..records import read_record
from .markdown import table
from .pictures import Pictures

_HEADER = (
    "network|recipe|classes|frame|parameters|as Keras counts|MACs|ONNX bytes|"
    "ms a frame, one at a time|frames/s in batches"
)


def section(results: Path, pictures: Pictures) -> list[str]:
    """A table a record: every machine's speeds stand for themselves."""
    records = [read_record(path) for path in sorted((results / "speed").glob("*.json"))]
    if not records:
        return []
    lines = ["## Sizes and speeds", ""]
    for record in records:
        lines += [
            f"{record['runtime']}, {record['threads']} thread(s), on {record['hardware']}; weights "
            f"{record['weights']}. MACs are for one frame.",
            "",
            *table(_HEADER.split("|"), [_row(row) for row in record["rows"]]),
        ]
    return lines


def _row(row: dict[str, Any]) -> list[str]:
    options = ", ".join(f"{key} {value}" for key, value in row["options"].items())
    return [
        f"`{row['network']}`" + (f" ({options})" if options else ""),
        row["recipe"],
        str(row["classes"]),
        str(row["frame_length"]),
        *(f"{row[key]:,}" for key in ("parameters", "keras_parameters", "macs", "onnx_bytes")),
        f"{row['ms_per_frame']:.3f}",
        f"{row['frames_per_second']:,.0f}",
    ]
