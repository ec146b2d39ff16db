# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The models that are shipped, from the records beside which their cards were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..pipeline import UNIT
from ..records import read_record
from .collect import accuracy_from_0_db
from .markdown import NOTHING, percent, table
from .pictures import Pictures

_HEADER = (
    "model|recipe|parameters|bytes|overall|SNR >= 0|ECE|temperature|frames/s|"
    "times the unit's|test frames"
)
_RATIO = _HEADER.split("|").index("times the unit's")
_BATCH = "256"


def _ratio(record: dict[str, Any]) -> str:
    ratio = record.get("speed_ratio")
    return f"{ratio['by_batch'][_BATCH]:.2f}" if ratio else NOTHING


def _fusion(calibration: dict[str, Any]) -> tuple[float, float, float]:
    one, sure = calibration["fusion_exponent"], calibration.get("fusion_exponent_sure")
    return one, one if sure is None else sure, calibration.get("fusion_mean_share", 0.0)


def _old_unit(results: Path) -> str:
    """A remark if the unit's file is as the exporter no longer writes them."""
    record = results / "int8" / f"{UNIT}.json"
    if not record.is_file() or read_record(record).get("float32_planar"):
        return ""
    return (
        " The unit's file has convolutions over one dimension: one that is exported now, with "
        "planes, would be faster."
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
                f"{record['frames_per_second'][_BATCH]:,.0f}",
                _ratio(record),
                f"{test['frames']:,} of {test['data']['generator']} seed {test['data']['seed']}",
            ]
        )
        decisions = [record["decisions"].get(str(n)) for n in sizes]
        fused.append(
            [
                f"`{name}`",
                *(percent(one and one[what]) for what in ("accuracy", "ece") for one in decisions),
                *(f"{value:.2f}" for value in _fusion(made)),
            ]
        )
    header = _HEADER.split("|")
    if all(row[_RATIO] == NOTHING for row in rows):
        header = header[:_RATIO] + header[_RATIO + 1 :]
        rows = [row[:_RATIO] + row[_RATIO + 1 :] for row in rows]
    return [
        "## Shipped models",
        "",
        "Measured as ONNX files, on generated frames (generator, version and seed in the last "
        f"column). Frames a second are those of one thread in batches of {_BATCH}, each model's at "
        "its own time; beside them how many times as fast a model is as the unit, "
        f"`{UNIT}` in float32, timed in turns with it, for frames of its length."
        + _old_unit(results),
        "",
        *table(header, rows),
        "Accuracy and expected calibration error of decisions fused from so many consecutive "
        "frames, percent, all SNR labels; the runs of frames for this are a set of their own. The "
        "exponents and the share of the fusion are explained in "
        "[architecture.md](architecture.md#fusion):",
        "",
        *table(
            [
                "model",
                *(f"{n} frame{'s' * (n > 1)}" for n in sizes),
                *(f"ECE, {n}" for n in sizes),
                *("exponent", "exponent if sure", "mean share"),
            ],
            fused,
        ),
    ]
