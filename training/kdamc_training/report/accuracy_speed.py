# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy against speed: networks trained alike and timed in one run of ``kdamc-train speed``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import plots
from ..errors import UserError
from ..records import read_record
from .collect import Experiment, accuracy_from_0_db, check_keys, read_experiments
from .markdown import percent, table
from .pictures import Pictures

OWN = ("plain_conv", "live_conv", "symbol_moments", "kd_cnn", "kd_mobilenet")
"""Networks of this project; all others are of papers, as far as those describe them."""

FOLDER = "accuracy_speed"

_NEEDED = ("runtime", "threads", "hardware", "weights", "rows")
_NEEDED_OF_ROW = ("network", "recipe", "budget", "member", "seed", "frames_per_second", "batch")

_INTRODUCTION = """\
Networks that learnt from the same frames for as many epochs, and were measured on the same test
frames; their speeds are of one run of `kdamc-train speed`, in float32 with {runtime} on {threads}
thread(s) of {hardware}. A network is on the frontier if none beside it is both as fast in batches
and as accurate. `kd_cnn` and `kd_mobilenet` are ours, too: of ClST's students no more than these
names are known. Those of papers stand there in the one size that their recipes have, those of this
project in sizes that were made for this comparison, one of them picked among trials on other passes
of frames. All have one rate and schedule. The accuracies are of one seed each: differences of a
point can be chance. Few epochs favour networks that learn in few steps; what has hardly begun to
learn may become better later."""


def section(results: Path, pictures: Pictures) -> list[str]:
    """A part for each record of speeds of runs."""
    paths = sorted((results / FOLDER).glob("*.json"))
    if not paths:
        return []
    experiments = {(one.recipe.name, one.budget): one for one in read_experiments(results)}
    lines = ["## Accuracy against speed", ""]
    for path in paths:
        record = read_record(path)
        check_keys(path, record, _NEEDED)
        lines += [*_INTRODUCTION.format(**record).splitlines(), ""]
        panels = _panels(path, record["rows"], experiments)
        for panel in panels:
            lines += [f"{panel['title']}:", "", *table(_HEADER, _rows(panel["points"]))]
        content = {"panels": panels}
        about = "Accuracy over frames a second"
        name = f"accuracy-speed-{path.stem}"
        lines += [pictures.add(name, about, plots.accuracy_by_speed, content), ""]
    return lines


_HEADER = (
    *(
        "network",
        "member",
        "parameters",
        "MACs",
        "frames/s in batches",
        "ms a frame, one at a time",
    ),
    *("overall", "SNR >= 0", "on the frontier"),
)


def _panels(
    path: Path, rows: Sequence[dict[str, Any]], experiments: dict[tuple[str, str], Experiment]
) -> list[dict[str, Any]]:
    """Rows trained alike together: from scratch on the same data for as long, or under the same
    teachers. Teachers themselves count as trained from scratch."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        check_keys(path, row, _NEEDED_OF_ROW)
        record = _record_of(path, row, experiments)
        settings = record["settings"]
        test = record["test"]
        member = settings["member"]
        teachers = [name for name in [member["teacher"], *member.get("more_teachers", [])] if name]
        alike = [settings["data"], settings["augment"], test["frames"], record["epochs"], teachers]
        alike += [record["train_frames"], settings["train"].get("batch_size")]
        groups.setdefault(json.dumps(alike, sort_keys=True), []).append(
            row
            | {
                "own": row["network"] in OWN,
                "overall": test["overall"],
                "from_0_db": accuracy_from_0_db(record),
                "teachers": teachers,
                "train_frames": record["train_frames"],
                "epochs": record["epochs"],
            }
        )
    panels = []
    for points in groups.values():
        first = points[0]
        taught = f"taught by {' and '.join(first['teachers'])}" if first["teachers"] else ""
        title = f"{taught or 'From scratch'}, {first['train_frames']:,} training frames, "
        title += f"{first['epochs']} epochs"
        title = title[0].upper() + title[1:]
        points.sort(key=lambda point: -point["frames_per_second"])
        for point in points:
            point["frontier"] = not any(_beats(other, point) for other in points)
        panels.append({"title": title, "points": points})
    return panels


def _beats(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether ``one`` is as good as ``other`` in both measures and better in one."""
    keys = ("frames_per_second", "overall")
    return all(one[key] >= other[key] for key in keys) and any(one[k] > other[k] for k in keys)


def _record_of(
    path: Path, row: dict[str, Any], experiments: dict[tuple[str, str], Experiment]
) -> dict[str, Any]:
    experiment = experiments.get((row["recipe"], row["budget"]))
    records = experiment.members.get(row["member"], []) if experiment else []
    for record in records:
        if record["seed"] == row["seed"]:
            return record
    raise UserError(
        f"{path}: there is no record of {row['recipe']}, {row['budget']}, {row['member']}, "
        f"seed {row['seed']}"
    )


def _rows(points: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [
        [
            f"`{point['network']}`" + (", ours" if point["own"] else ""),
            f"`{point['member']}`",
            f"{point['parameters']:,}",
            f"{point['macs']:,}",
            f"{point['frames_per_second']:,.0f}",
            f"{point['ms_per_frame']:.3f}",
            percent(point["overall"]),
            percent(point["from_0_db"]),
            "yes" if point["frontier"] else "no",
        ]
        for point in points
    ]
