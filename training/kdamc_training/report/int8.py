# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What int8 costs and gains, from the records of ``kdamc-train quantize``."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..records import read_record
from .collect import check_keys
from .markdown import percent, table
from .pictures import Pictures

_INTRODUCTION = """\
The convolutions of trained networks with int8 weights and uint8 activations (static, a scale an
output channel; in the QDQ form of ONNX), by `kdamc-train quantize`. Ranges, temperature and fusion
come from validation frames and runs; accuracies are those of both ONNX files on the same
test frames, and speeds of ONNX Runtime on one thread, timed in turns. Processors without VNNI may
gain less."""

_NEEDED = ("recipe", "budget", "quantization", "float32", "int8", "difference", "test_data")
_NEEDED += ("bytes_ratio", "speed_ratio", "faster", "cpu_features", "hardware")

_HEADER = "network|recipe|trained for int8|float32, %|int8, %|points|frames called otherwise, %|"
_HEADER += "ECE, %|temperature|bytes|times smaller|processor|frames/s, one at a time|times as fast|"
_HEADER += "frames/s, batches of 256|times as fast|faster?"


def section(results: Path, pictures: Pictures) -> list[str]:
    """A row for each record in the folder ``int8``."""
    paths = sorted((results / "int8").glob("*.json"))
    if not paths:
        return []
    records = {path: read_record(path) for path in paths}
    for path, record in records.items():
        check_keys(path, record, _NEEDED)
    data = {_words(record["test_data"], record["float32"]["test"]) for record in records.values()}
    machines = list(dict.fromkeys(_machine(record) for record in records.values()))
    letters = dict(zip(machines, string.ascii_uppercase, strict=False))
    return [
        "## int8",
        "",
        *_INTRODUCTION.splitlines(),
        "",
        f"Measured on {' and '.join(sorted(data))}; on these processors, whose speeds are not to "
        "be compared with one another's:",
        "",
        *(f"- {letter}: {machine}" for machine, letter in letters.items()),
        "",
        *table(
            _HEADER.split("|"),
            [
                _row(path.stem, record, letters[_machine(record)])
                for path, record in records.items()
            ],
        ),
        *_before_planes(records),
        *_elsewhere(results / "int8" / "elsewhere", records),
    ]


def _machine(record: dict[str, Any]) -> str:
    return f"{record['hardware']} ({', '.join(record['cpu_features'])})"


def _before_planes(records: dict[Path, dict[str, Any]]) -> list[str]:
    """Which files were timed in float32 as the exporter no longer writes them."""
    names = [
        f"`{path.stem}`" for path, record in records.items() if not record.get("float32_planar")
    ]
    if not names:
        return []
    return [
        f"The float32 files of {', '.join(names)} have convolutions over one dimension. Newer",
        "exports write them as planes of height 1, which run faster; int8 gains less beside those.",
        "",
    ]


def _elsewhere(folder: Path, records: dict[Path, dict[str, Any]]) -> list[str]:
    """What ``kdamc-train evaluate`` gave for the int8 files on emulated processors: files
    ``<record>-<processor>.json`` of ``folder``."""
    of_name = {path.stem: record for path, record in records.items()}
    rows = []
    for path in sorted(folder.glob("*.json")):
        name, _, processor = path.stem.rpartition("-")
        found = read_record(path)
        check_keys(path, found, ("model", "overall", "confusion"))
        if name not in of_name:
            raise UserError(f"{path}: there is no record of {name!r}")
        here = of_name[name]["int8"]
        if found["model"]["sha256"] != here["model"]["sha256"]:
            raise UserError(f"{path}: is of another file than the record of {name}")
        same = found["confusion"] == here["test"]["confusion"]
        row = [f"`{name}`", processor, percent(found["overall"]), percent(here["test"]["overall"])]
        rows.append([*row, "yes" if same else "no"])
    if not rows:
        return []
    header = ["network", "processor", "int8 there, %", "int8 here, %", "same confusion matrix"]
    about = "The same int8 files and test frames on other processors, emulated by qemu-user:"
    return [about, "", *table(header, rows)]


def _words(data: dict[str, Any], test: dict[str, Any]) -> str:
    return f"{test['frames']:,} frames of {data['generator']} seed {data['seed']}"


def _row(name: str, record: dict[str, Any], processor: str) -> list[str]:
    before, after, speed = record["float32"], record["int8"], record["speed_ratio"]
    row = [
        f"`{name}`",
        f"{record['recipe']}, {record['budget']}",
        "yes" if record["quantization"]["trained_for_it"] else "no",
        percent(before["test"]["overall"]),
        percent(after["test"]["overall"]),
        f"{100 * record['difference']['overall']:+.2f}",
        percent(record["difference"]["changed"]),
        percent(after["test"]["ece"]),
        f"{after['calibration']['temperature']:.2f}",
        f"{before['bytes']:,} to {after['bytes']:,}",
        f"{record['bytes_ratio']:.2f}",
        processor,
    ]
    for size in ("1", "256"):
        speeds = [kind["frames_per_second"][size] for kind in (before, after)]
        row += [" to ".join(f"{value:,.0f}" for value in speeds), f"{speed[size]:.2f}"]
    return [*row, "yes" if record["faster"] else "not at every batch size"]
