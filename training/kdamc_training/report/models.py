# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The models that are shipped, from the records beside which their cards were written."""

from __future__ import annotations

from pathlib import Path

from ..records import read_record
from .collect import accuracy_from_0_db
from .markdown import percent, table
from .pictures import Pictures

_HEADER = (
    "model|recipe|parameters|bytes|overall|SNR >= 0|ECE|temperature|fusion exponent|test frames"
)


def section(results: Path, pictures: Pictures) -> list[str]:
    """A table of the shipped models, and one of decisions fused from several frames."""
    records = {path.stem: read_record(path) for path in sorted(results.glob("*.json"))}
    if not records:
        return []
    rows, fused = [], []
    sizes = sorted({int(n) for record in records.values() for n in record["decisions"]})
    for name, record in records.items():
        test, made = record["test"], record["calibration"]
        rows.append(
            [
                f"[`{name}`](../models/{name}.md)",
                f"{record['recipe']}, {record['budget']}",
                f"{record['parameters']:,}",
                f"{record['bytes']:,}",
                percent(test["overall"]),
                percent(accuracy_from_0_db(record)),
                percent(test["ece"]),
                f"{made['temperature']:.2f}",
                f"{made['fusion_exponent']:.2f}",
                f"{test['frames']:,} of {test['data']['generator']} seed {test['data']['seed']}",
            ]
        )
        decisions = [record["decisions"].get(str(n)) for n in sizes]
        fused.append([f"`{name}`", *(percent(one and one["accuracy"]) for one in decisions)])
    return [
        "## Shipped models",
        "",
        "Measured as ONNX files, on regenerated frames (generator, version and seed in the last "
        "column).",
        "",
        *table(
            _HEADER.split("|"),
            rows,
        ),
        "Accuracy of decisions fused from so many consecutive frames, percent, all SNR labels:",
        "",
        *table(["model", *(f"{n} frame{'s' * (n > 1)}" for n in sizes)], fused),
    ]
