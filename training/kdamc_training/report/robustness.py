# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""How networks bear offsets and other sets, from the records of ``kdamc-train robustness``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..records import read_record
from .markdown import NOTHING, percent, table
from .pictures import Pictures

_TITLES = {
    "carrier_offset": "Carrier offset",
    "timing_offset": "Timing offset",
    "samples_per_symbol": "Samples a symbol",
}


def section(results: Path, pictures: Pictures) -> list[str]:
    """Tables of sweeps and of other sets, for all records together."""
    rows = [
        row
        for path in sorted((results / "robustness").glob("*.json"))
        for row in read_record(path)["rows"]
    ]
    if not rows:
        return []
    data = sorted({f"{row['data']['generator']} seed {row['data']['seed']}" for row in rows})
    lines = [
        "## Robustness",
        "",
        "Accuracy over SNR labels from 0 dB, in percent, of trained networks on frames that are "
        f"changed as said. Frames: {', '.join(data)} and sets of the same seeds. Each sweep has "
        "its own frames, counted at all SNR labels in the second column, and often fewer than the "
        "tables above rest on: where nothing is changed its figure may differ from theirs. For "
        "other numbers of samples a symbol the noise is resampled with the signal: above ratio 1 "
        "it no longer fills the band, as a receiver's would.",
        "",
    ]
    for kind, title in _TITLES.items():
        lines += _sweep(title, [row for row in rows if kind in row["sweeps"]], kind)
    return [*lines, *_sets(rows)]


def _sweep(title: str, rows: list[dict[str, Any]], kind: str) -> list[str]:
    """One table for each list of values that networks were measured at."""
    lines: list[str] = []
    grids = dict.fromkeys(
        (tuple(row["sweeps"][kind]["at"]), row["sweeps"][kind]["unit"]) for row in rows
    )
    for at, unit in grids:
        sweeps = [
            (row, row["sweeps"][kind])
            for row in rows
            if (tuple(row["sweeps"][kind]["at"]), row["sweeps"][kind]["unit"]) == (at, unit)
        ]
        lines += [
            f"{title}, {unit}:",
            "",
            *table(
                ["network", "frames, all labels", *(f"{value:g}" for value in at)],
                [
                    [
                        row["model"],
                        f"{sweep['frames']:,}",
                        *(percent(value, 1) for value in sweep["from_0_db"]),
                    ]
                    for row, sweep in sweeps
                ],
            ),
        ]
    return lines


def _sets(rows: list[dict[str, Any]]) -> list[str]:
    names = sorted({name for row in rows for name in row["sets"]})
    if not names:
        return []
    return [
        "On other sets, the best of the classes that both have:",
        "",
        *table(
            ["network", "its own set", *names],
            [
                [
                    row["model"],
                    percent(row["test"]["from_0_db"], 1),
                    *(
                        percent(row["sets"][name]["from_0_db"], 1)
                        if name in row["sets"]
                        else NOTHING
                        for name in names
                    ),
                ]
                for row in rows
                if row["sets"]
            ],
        ),
    ]
