# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""How close networks come to the exact classifier, from its records and from theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import plots
from ..records import read_record
from .collect import Experiment, read_experiments
from .markdown import NOTHING, band, percent, table
from .pictures import Pictures

_INTRODUCTION = """\
## How close to the limit

No classifier of matched-filter symbols in white noise errs less often than the exact one, the
average-likelihood ratio test, which knows Es/N0 and takes classes, symbols and the carrier's phase
as what chance made them. Its posteriors are true, so their largest must on average be its accuracy,
and its ECE what chance alone makes of that many frames; differences are in standard errors."""

_GAP = """\
Networks against the exact classifier on the same frames, in percentage points. The gap is what was
counted, paired by frame, ± its standard error; the expected gap is what the exact posteriors of the
called classes say that it is in the mean over what was sent. The divergence is that of a network's
posterior from the exact one (Kullback-Leibler, nats). Of several seeds all are means."""

_BESIDE = """\
A model for real signals beside that limit: for each frame of a linear modulation the exact
classifier gets as many symbols at the same Es/N0. It knows Es/N0 and that the class is one of
{classes}. Nothing else of what frames suffer (fading, clock errors, offsets, neighbours) is
in its way, so that the gap is not the model's alone. Accuracies in percent, ± a standard error;
"among the same" takes the model's best of these classes, "among all" of the {known} it knows."""

_EXCESS = 2.0
"""Standard errors by which no network may be better."""


def section(results: Path, pictures: Pictures) -> list[str]:
    """The exact classifier's records, and the gaps of all networks that were measured beside it."""
    records = {path.stem: read_record(path) for path in sorted((results / "bound").glob("*.json"))}
    beside = [each for each in read_experiments(results) if "bound" in each.any_record["test"]]
    if not records and not beside:
        return []
    lines = [*_INTRODUCTION.splitlines(), ""]
    for name, record in records.items():
        if "by_oversampling" not in record:
            lines += _classifier(name, record)
    if beside:
        lines += [*_GAP.splitlines(), ""]
    for experiment in beside:
        lines += _gaps(experiment, pictures)
    for record in records.values():
        if "by_oversampling" in record:
            lines += _model_beside(record, pictures)
    return lines


def _model_beside(record: dict[str, Any], pictures: Pictures) -> list[str]:
    """What ``kdamc-train bound --beside`` recorded, by true SNR and by oversampling."""
    name = Path(record["model"]["file"]).stem
    classes = ", ".join(record["classes"])
    known = record["classes_known"]
    lines = [*_BESIDE.format(classes=classes, known=known).splitlines(), ""]
    test = record["data"]
    lines += [
        f"`{record['model']['file']}` on {record['overall']['frames']:,} frames of "
        f"{test['generator']}, seed {test['seed']}, speech `{test['speech']}`; the exact "
        f"classifier on what stands for {record['frames']} of each class at each SNR label.",
        "",
    ]
    for by, title in (("by_snr", "true SNR (dB)"), ("by_oversampling", "oversampling")):
        header = [title, "frames", "exact", "by its posteriors", "among the same", "among all"]
        rows = [
            _beside_row(where, at)
            for where, at in [
                *record[by].items(),
                *([("all", record["overall"])] * (by == "by_snr")),
            ]
        ]
        lines += table(header, rows)
    middles = [np.mean([float(edge) for edge in where.split(" to ")]) for where in record["by_snr"]]
    kinds = {"exact": "exact", "model_among": f"{name}, same classes", "model": f"{name}, all"}
    content = {
        "title": f"{name} beside the exact classifier",
        "across": "true SNR (dB), middle of a range",
        "lines": [
            {
                "name": title,
                "snr": middles,
                "mean": [at[kind] for at in record["by_snr"].values()],
                "std": None,
            }
            for kind, title in kinds.items()
        ],
    }
    about = f"{name} beside the exact classifier"
    return [*lines, pictures.add(f"bound-beside-{name}", about, plots.accuracy_by_snr, content), ""]


def _beside_row(where: str, at: dict[str, Any]) -> list[str]:
    return [
        where,
        f"{at['frames']:,}",
        f"{percent(at['exact'])} ± {percent(at['exact_standard_error'])}",
        percent(at["exact_own"]),
        f"{percent(at['model_among'])} ± {percent(at['model_standard_error'])}",
        percent(at["model"]),
    ]


def _classifier(name: str, record: dict[str, Any]) -> list[str]:
    header = ["Es/N0 (dB)", "accuracy", "mean largest posterior", "difference", "ECE", "by chance"]
    keys = ("mean_maximum_posterior", "difference_in_standard_errors", "ece", "ece_if_true")
    rows = [
        _row(str(label), record["by_snr"][label], *(record[f"{key}_by_snr"][label] for key in keys))
        for label in record["by_snr"]
    ]
    rows.append(_row("all", record["overall"], *(record[key] for key in keys)))
    about = (
        f"`{name}`: {record['symbols']} symbols, {', '.join(record['classes'])}; "
        f"{record['frames']:,} frames of seed {record['seed']}:"
    )
    return [about, "", *table(header, rows)]


def _row(
    label: str, accuracy: float, own: float, difference: float | None, ece: float, chance: float
) -> list[str]:
    apart = NOTHING if difference is None else f"{difference:+.2f}"
    return [label, percent(accuracy), percent(own), apart, percent(ece), percent(chance)]


def _gaps(experiment: Experiment, pictures: Pictures) -> list[str]:
    found = {
        name: [record["test"]["bound"] for record in records]
        for name, records in experiment.members.items()
    }
    exact = next(iter(found.values()))[0]
    labels = list(exact["by_snr"])
    title = f"{experiment.recipe.name}, {experiment.budget}"
    header = ["Es/N0 (dB)", "exact, %"]
    for name in found:
        header += [f"`{name}` gap", "expected gap", "divergence"]
    rows = [
        [label, percent(at["accuracy"])]
        + [cell for of in found.values() for cell in _cells([_at(one, label) for one in of])]
        for label, at in [*exact["by_snr"].items(), ("all", exact["overall"])]
    ]
    content = {
        "title": f"{title}: how far networks stay behind the exact classifier",
        "es_n0": [int(label) for label in labels],
        "exact": [exact["by_snr"][label]["accuracy"] for label in labels],
        "lines": [
            {"name": name}
            | {
                key: [_mean([_at(one, label) for one in of], key) for label in labels]
                for key in ("gap", "gap_standard_error", "expected_gap")
            }
            for name, of in found.items()
        ],
    }
    picture = f"{experiment.recipe.name.replace('/', '-')}-{experiment.budget}-gap"
    seeds = ", ".join(
        f"{', '.join(str(record['seed']) for record in records)} of `{name}`"
        for name, records in experiment.members.items()
    )
    own = exact["overall"]
    ece, chance = percent(own["ece"]), percent(own["ece_if_true"])
    return [
        f"{title}; {experiment.any_record['test']['frames']:,} frames, "
        f"{band(int(labels[0]), int(labels[-1]))}; seeds: {seeds}. The exact classifier's accuracy "
        f"on them differs from its mean largest posterior by "
        f"{own['difference_in_standard_errors']:+.2f} standard errors; its ECE is {ece} %, by "
        f"chance {chance} %. {_excess(experiment)}",
        "",
        *table(header, rows),
        pictures.add(picture, f"Gap to the exact classifier, {title}", plots.gaps, content),
        "",
    ]


def _at(found: dict[str, Any], label: str) -> dict[str, float]:
    return found["overall"] if label == "all" else found["by_snr"][label]


def _mean(parts: list[dict[str, float]], key: str) -> float:
    """Over seeds; of standard errors an upper limit, as all seeds see the same frames."""
    return float(np.mean([part[key] for part in parts]))


def _cells(parts: list[dict[str, float]]) -> list[str]:
    gap, error, expected = (
        100 * _mean(parts, key) for key in ("gap", "gap_standard_error", "expected_gap")
    )
    return [
        f"{gap:+.2f} ± {error:.2f}",
        f"{expected:.2f}",
        f"{_mean(parts, 'divergence'):.4f}",
    ]


def _excess(experiment: Experiment) -> str:
    """Which networks are better than the exact classifier by more than chance allows."""
    over = [
        f"`{name}` seed {record['seed']} ({'all' if label == 'all' else f'{label} dB'})"
        for name, records in experiment.members.items()
        for record in records
        for label in [*record["test"]["bound"]["by_snr"], "all"]
        if (at := _at(record["test"]["bound"], label))["gap"] < -_EXCESS * at["gap_standard_error"]
    ]
    if over:
        return f"Better than the exact one by more than two standard errors: {', '.join(over)}."
    return "No network is better than the exact one by more than two standard errors."
