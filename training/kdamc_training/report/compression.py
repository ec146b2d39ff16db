# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pruning and product quantization cost and save, from the records of ``compress``."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import plots
from .. import recipe as recipes
from ..compression.compress import settings_of
from ..compression.recipe import CompressionRecipe, load
from ..errors import UserError
from ..records import read_record
from ..run_settings import same
from . import published
from .collect import BUDGETS, check_keys
from .experiments import PAPER_COLUMN, beside, not_comparable, published_tables
from .markdown import NOTHING, band, percent, table
from .pictures import Pictures
from .published import Published

_TITLE = "## Smaller still"

_INTRODUCTION = """\
The first dense layer of trained networks, pruned by Net-Trim or stored by product quantization, by
`kdamc-train compress`. p_e is the share of the layer's weights that are zero. Of a pruned layer the
file holds every other weight with its row and its column, and the bytes count both; of a quantized
one codebook and codes. "Times smaller" is bytes in float32 over bytes: of the layer; of the whole
file, as the layer's factor would make it of the network's parameters (claimed), and as the two ONNX
files are. C_Q is the paper's formula, at its 64 bits a weight and at the 32 that a file holds.
Accuracies are those of the ONNX files on the same frames as the original's; points are their
differences. A row "retrained" goes on from the one before it. All begin from the first seed of a
member of the recipe above; seeds differ by more than most of these points."""

_SPEED = """\
Frames a second with ONNX Runtime on one thread of the processor named: medians over {turns} turns
of the row's files, and medians of the turns' ratios to the original, which need not be the ratios
of the medians. Compare speeds within a row alone. ONNX Runtime makes a dense layer of coordinates
and of codes when it opens a file: it multiplies with the zeros. "Cut" is the pruned network without
the outputs, channels and inputs that its layer no longer uses."""

_FASTER = 1.05
"""A smaller ratio is no difference that would be seen."""

_NEEDED = ("recipe", "budget", "row", "member", "seed", "settings", "method", "layer", "file")
_NEEDED += ("cut", "test", "original", "difference", "data", "speed", "hardware")


@dataclass(frozen=True)
class _Results:
    """Records of one recipe and budget, in the recipe's order."""

    recipe: CompressionRecipe
    records: list[dict[str, Any]]

    def of(self, method: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["method"] == method]

    @property
    def title(self) -> str:
        return f"{self.recipe.name}, {self.recipe.budget}"

    @property
    def file_name(self) -> str:
        return f"{self.recipe.name.replace('/', '-')}-{self.recipe.budget}"


def section(results: Path, pictures: Pictures) -> list[str]:
    """All compression recipes, each with its budgets."""
    found = {name: _read(name, results) for name in recipes.names(compression=True)}
    lines = [_TITLE, "", *_INTRODUCTION.splitlines(), ""]
    for name, budgets in found.items():
        paper = published.read(_system(name))
        if not budgets:
            lines += [f"No records of `{name}` yet.", ""]
            lines += published_tables(paper, name) if paper else []
        for one in budgets:
            lines += _part(one, paper, pictures)
    return lines


def _system(name: str) -> str:
    return load(recipes.find(name)).of.partition("/")[0]


def _read(name: str, results: Path) -> list[_Results]:
    """The records of a recipe, by budget; raises UserError for what is not one of its own now."""
    found = []
    for budget in BUDGETS:
        recipe = load(recipes.find(name), budget)
        training = recipes.load(recipes.find(recipe.of), budget)
        folder = results / name / budget
        of_row: dict[str, dict[str, Any]] = {}
        for path in sorted(folder.glob("*.json")):
            record = read_record(path)
            check_keys(path, record, _NEEDED)
            row = record["row"]
            if (record["recipe"], record["budget"], row) != (name, budget, path.stem):
                raise UserError(f"{path}: is the record of another row, recipe or budget")
            if row not in recipe.rows:
                raise UserError(f"{path}: {name} has no row {row!r}")
            if not same(record["settings"], settings_of(recipe, training, row)):
                raise UserError(
                    f"{path}: was made with other settings than {name} and {recipe.of} have now; "
                    "run it again or undo the change"
                )
            of_row[row] = record
        if of_row:
            rows = [of_row[row] for row in recipe.rows if row in of_row]
            if any(_frames(record) != _frames(rows[0]) for record in rows):
                raise UserError(f"{folder}: rows were measured on different frames")
            found.append(_Results(recipe, rows))
    return found


def _frames(record: dict[str, Any]) -> list[Any]:
    described = {key: value for key, value in record["data"].items() if key != "created"}
    return [described, record["test"]["frames"], record["test"]["classes"]]


def _part(results: _Results, paper: Published | None, pictures: Pictures) -> list[str]:
    recipe, first = results.recipe, results.records[0]
    labels = [int(label) for label in first["test"]["by_snr"]]
    data = first["data"]
    lines = [f"### {results.title}", "", recipe.about, ""]
    lines += [
        f"From the networks of {recipe.of}, {recipe.budget}; measured on {data['generator']} seed "
        f"{data['seed']}: {first['test']['frames']:,} frames, {len(first['test']['classes'])} "
        f"classes, {band(min(labels), max(labels))}.",
        "",
    ]
    absent = [f"`{row}`" for row in recipe.rows if row not in _names(results.records)]
    if absent:
        lines += [f"No records yet of {', '.join(absent)}.", ""]
    lines += _several_runs(results)
    told = paper if recipe.budget == "paper" else None
    lines += _pruned(results, told)
    lines += _efficiency(results, pictures)
    lines += _quantized(results, told)
    lines += _cut(results)
    lines += _speeds(results)
    lines += _by_snr(results, pictures)
    if paper and recipe.budget != "paper" and paper.of(recipe.name):
        lines += not_comparable(paper, recipe.name)
    return lines


def _several_runs(results: _Results) -> list[str]:
    """Of which networks rows begin from more than one run: a training on another machine gives
    other weights."""
    lines = []
    for member in dict.fromkeys(record["member"] for record in results.records):
        found = dict.fromkeys(
            record["original"]["overall"]
            for record in results.records
            if record["member"] == member
        )
        if len(found) > 1:
            told = " and ".join(f"{percent(overall)} %" for overall in found)
            lines.append(
                f"Rows of `{member}` begin from {len(found)} runs of it with the same settings, of "
                f"{told}: what a row is compared with is its own original."
            )
    return [*lines, ""] if lines else []


def _names(records: list[dict[str, Any]]) -> list[str]:
    return [record["row"] for record in records]


def _sizes(record: dict[str, Any]) -> list[str]:
    layer, file = record["layer"], record["file"]
    return [
        f"{layer['bytes']:,}",
        f"{layer['factor']:.2f}",
        f"{file['bytes']:,}",
        f"{file['factor_claimed']:.2f}",
        f"{file['factor']:.2f}",
        f"{100 * file['difference']:+.1f} %",
    ]


_SIZES = (
    "layer's bytes",
    "times smaller",
    "file's bytes",
    "claimed",
    "measured",
    "measured over claimed",
)


def _accuracies(record: dict[str, Any]) -> list[str]:
    return [
        percent(record["original"]["overall"]),
        percent(record["test"]["overall"]),
        f"{100 * record['difference']['overall']:+.2f}",
        percent(record["difference"]["changed"]),
    ]


_ACCURACIES = ("original, %", "accuracy, %", "points", "frames called otherwise, %")


def _row(record: dict[str, Any]) -> list[str]:
    return [f"`{record['row']}`", f"`{record['member']}`", _again(record)]


_ROW = ("row", "network", "retrained")


def _again(record: dict[str, Any]) -> str:
    again = record.get("retrained")
    return f"epoch {again['best_epoch']} of {again['epochs']}" if again else "no"


def _beside(paper: Published | None, results: _Results, record: dict[str, Any]) -> list[str]:
    return [beside(paper, results.recipe.name, record["row"])] if paper else []


def _pruned(results: _Results, paper: Published | None) -> list[str]:
    header = [*_ROW, "allowed error (epsilon)", "p_e, %", "non-zero", *_SIZES, *_ACCURACIES]
    header += ["frames", "iterations", "residuals over tolerances", "converged"]
    header += [PAPER_COLUMN] if paper else []
    rows = []
    for record in results.of("net_trim"):
        layer, admm = record["layer"], record["admm"]
        rows.append(
            [
                *_row(record),
                f"{admm['gain']:g}",
                percent(layer["p_e"]),
                f"{layer['nonzero']:,}",
                *_sizes(record),
                *_accuracies(record),
                f"{admm['frames']:,}",
                f"{admm['iterations']:,}",
                f"{admm['primal']:.2g}, {admm['dual']:.2g}",
                "yes" if admm["converged"] else "no",
                *_beside(paper, results, record),
            ]
        )
    if not rows:
        return []
    return ["Pruned by Net-Trim (ADMM; residuals are primal and dual):", "", *table(header, rows)]


def _quantized(results: _Results, paper: Published | None) -> list[str]:
    header = [*_ROW, "blocks", "C_Q at 64 bits", "at 32 bits", *_SIZES, *_ACCURACIES]
    header += [PAPER_COLUMN] if paper else []
    rows = [
        [
            *_row(record),
            str(record["layer"]["blocks"]),
            f"{record['layer']['c_q']:.2f}",
            f"{record['layer']['c_q_stored']:.2f}",
            *_sizes(record),
            *_accuracies(record),
            *_beside(paper, results, record),
        ]
        for record in results.of("product_quantization")
    ]
    return ["Stored by product quantization:", "", *table(header, rows)] if rows else []


def _efficiency(results: _Results, pictures: Pictures) -> list[str]:
    """p_e against accuracy by gain, of networks (of one run) pruned at several gains."""
    lines = []
    again = {True: ", retrained", False: ""}
    pruned = results.of("net_trim")
    origins = [(record["member"], record["original"]["overall"]) for record in pruned]
    for member, overall in dict.fromkeys(origins):
        for retrained in again:
            points = sorted(
                (
                    (record["admm"]["gain"], record["layer"]["p_e"], record)
                    for record, origin in zip(pruned, origins, strict=True)
                    if origin == (member, overall) and ("retrained" in record) == retrained
                ),
                key=lambda point: point[0],
            )
            if len(points) > 1:
                lines.append(
                    {
                        "name": member + again[retrained],
                        "gain": [gain for gain, _, _ in points],
                        "p_e": [p_e for _, p_e, _ in points],
                        "accuracy": [record["test"]["overall"] for *_, record in points],
                        "original": overall,
                    }
                )
    if not lines:
        return []
    content = {"title": f"{results.title}: accuracy over pruning efficiency", "lines": lines}
    about = f"Accuracy over pruning efficiency, {results.title}"
    name = f"{results.file_name}-efficiency"
    shown = {line["name"].partition(",")[0] for line in lines}
    rest = [f"`{member}`" for member, _ in dict.fromkeys(origins) if member not in shown]
    left_out = (
        f"Of {', '.join(dict.fromkeys(rest))} no run was pruned at several allowed errors: it is "
        "not in the picture."
    )
    return [pictures.add(name, about, plots.pruning_efficiency, content), ""] + (
        [left_out, ""] if rest else []
    )


def _cut(results: _Results) -> list[str]:
    rows = []
    for record in results.of("net_trim"):
        cut, original = record["cut"], record["file"]["original_bytes"]
        if cut is None:
            rows.append([f"`{record['row']}`", *[NOTHING] * 6])
            continue
        rows.append(
            [
                f"`{record['row']}`",
                *(f"{cut[key]:,}" for key in ("outputs", "channels", "inputs", "parameters")),
                f"{cut['bytes']:,}",
                f"{original / cut['bytes']:.2f}",
            ]
        )
    if not rows:
        return []
    header = ["row", "outputs cut", "channels", "inputs", "parameters left", "file's bytes"]
    header += ["times smaller"]
    about = "What a pruned layer no longer uses, cut out of the network (its layer sparse, too):"
    return [about, "", *table(header, rows)]


def _speeds(results: _Results) -> list[str]:
    first = results.records[0]["speed"]
    sizes = [key for key in first if key.isdigit()]
    header = ["row", "processor"]
    for size in sizes:
        at = "one at a time" if size == "1" else f"batches of {size}"
        header += [f"original, {at}", "compressed", "ratio", "cut", "ratio"]
    header += ["faster on a CPU?"]
    rows = []
    for record in results.records:
        row = [f"`{record['row']}`", record["hardware"]]
        for size in sizes:
            speed = record["speed"][size]
            row += [f"{speed['original']:,.0f}", f"{speed['compressed']:,.0f}"]
            row += [f"{speed['ratio']:.2f}"]
            row += (
                [f"{speed['cut']:,.0f}", f"{speed['cut_ratio']:.2f}"]
                if "cut" in speed
                else [NOTHING, NOTHING]
            )
        rows.append([*row, _verdict(record["speed"], sizes)])
    about = _SPEED.format(turns=first["turns"])
    return [*about.splitlines(), "", *table(header, rows)]


def _verdict(speed: dict[str, Any], sizes: list[str]) -> str:
    """In words, whether the compressed file and the cut one are faster."""
    told = []
    for key, name in (("ratio", "the file"), ("cut_ratio", "cut")):
        ratios = [speed[size][key] for size in sizes if key in speed[size]]
        if not ratios:
            continue
        if min(ratios) > _FASTER:
            told.append(f"{name}: yes")
        elif max(ratios) > _FASTER:
            told.append(f"{name}: not at every batch size")
        else:
            told.append(f"{name}: not faster")
    return "; ".join(told)


def _by_snr(results: _Results, pictures: Pictures) -> list[str]:
    """Accuracy by SNR label of each network and of what was made of it."""
    lines = []
    methods = ("net_trim", "product_quantization")
    members = dict.fromkeys(record["member"] for record in results.records)
    for member, method in itertools.product(members, methods):
        records = [record for record in results.of(method) if record["member"] == member]
        if not records:
            continue
        shown = [_line(member, one) for one in _originals(records)]
        shown += [_line(record["row"], record["test"]) for record in records]
        short = method.replace("_", "-")
        content = {"title": f"{results.title}: {member}, {short}", "lines": shown[: plots.LINES]}
        about = f"Accuracy by SNR label, {member}, {short}, {results.title}"
        name = f"{results.file_name}-{member}-{short}"
        lines += [pictures.add(name, about, plots.accuracy_by_snr, content), ""]
    return lines


def _originals(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The different runs that ``records`` begin from."""
    return list({record["original"]["overall"]: record["original"] for record in records}.values())


def _line(name: str, test: dict[str, Any]) -> dict[str, Any]:
    by_snr = sorted((int(label), share) for label, share in test["by_snr"].items())
    return {
        "name": name,
        "snr": [label for label, _ in by_snr],
        "mean": [share for _, share in by_snr],
        "std": None,
    }
