# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the recipes gave: a section a system, a part a recipe and budget."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from .. import feature_maps, plots
from .. import recipe as recipes
from . import published
from .collect import (
    Experiment,
    accuracy_from_0_db,
    accuracy_in,
    by_snr,
    gain,
    mean_and_std,
    of_system,
    read_experiments,
)
from .markdown import NOTHING, band, link, percent, spread, table, whole
from .pictures import Pictures
from .published import Published

_INTRODUCTION = """\
# Results

Written by `kdamc-train report` from the records in `training/results`; `kdamc-train report --check`
tells whether it still is what they give. A part here is a recipe at one budget. `paper` is the full
one: for a published system it trains as the paper did, as far as that says how. `reduced` is what a
small machine can do: less data, fewer epochs and a schedule that fits them, some smaller networks,
some training in bfloat16; teachers may train for longer than their students. Every recipe in
`training/recipes` says what it changes. What a paper itself states is at the end of its parts, on
its own data.

Frames are held out by whole passes of the modulator, so that a small share leaves cells (a class at
an SNR label) of which no frame is held out; a part says so as "of N of M cells". Records made
before it was noted do not: the older ones of CrossTLNet and of the edge networks have held-out
frames of about two fifths of the cells, those of ClST, baselines and frontier of four fifths.

No training, temperature or choice of epochs saw test frames. But where a note tells what was tried
before, the same test frames had judged that, too.
"""

_FIGURES = """\
Accuracies are in percent of the frames; those of a band are means over its SNR labels. Figures of
several seeds are means ± their sample standard deviation. ECE is the expected calibration error
(15 bins of equal mass), in percent, at the calibration temperature beside it, which was fitted on
held-out frames; it is not the temperature of a loss. MACs are for one frame. Keras counts the
statistics of batch norms as parameters, and one bias a gate of an LSTM instead of two. Beside the
epochs stands, where it is another, the one whose weights were the best on held-out frames and are
used.

Gains are differences of overall accuracy in percentage points, paired by seed, with the 95 %
interval of Student's t. "gain" and "loss" stand where the interval leaves 0 out, "undecided"
elsewhere. The interval covers what the student's seed changes, not the teacher's (one teacher
serves all, or several runs of one where that is said) nor the choice of test frames, and is not
corrected for the number of pairs. The teacher's lead is its accuracy over that of the second
network of the pair, in points."""

_IN_SHORT = """\
The gains of taught students over untaught ones in the parts below, and of label smoothing, the
control, over plain training: of the papers' methods as they are rebuilt here, at these budgets, on
regenerated data. A gain over a control that is a loss itself may be no more than what that lost.
Where a teacher's lead is small, or none, there is little to be learnt from it: a missing gain then
says nothing of the method, and a gain cannot be told from what any regularisation would give. One
teacher is one draw: what the same training gave on another machine stands in
clst/by-accuracy-rml2016.10a-5pct, beside clst/rml2016.10a-5pct. Pairs of one seed, which decide
nothing, stand in their parts alone. Counted by system, of pairs in which a teacher taught the first
and none the second:"""

_SCORES = """\
Energy is that of the logits, mahalanobis the distance of the features from the nearest class;
stranger is learnt beside the finished network from made-up signals of no class, own is the
network's own output, learnt together with it from such signals."""

_VERDICTS = {"gain": "gains", "undecided": "undecided", "loss": "losses"}

_BETWEEN_TWO = 1.96 * math.sqrt(2)
"""Standard deviations of one value between two, in 95 of 100 cases."""

PAPER_COLUMN = "paper, genuine data, full size"


def introduction(results: Path, pictures: Pictures) -> list[str]:
    """What holds for the whole page."""
    return [*_INTRODUCTION.splitlines(), "", *_FIGURES.splitlines(), ""]


def own_page(experiment: Experiment, pictures: Pictures) -> list[str]:
    """A page of one recipe's runs alone."""
    title, *part = _part(experiment, None, [experiment], pictures)
    return [title.replace("###", "#"), "", *_FIGURES.splitlines(), *part]


def section(results: Path, pictures: Pictures) -> list[str]:
    """The systems, each with its recipes and budgets; the papers' first, others by name."""
    found: dict[str, list[Experiment]] = {system: [] for system in recipes.SYSTEMS}
    for experiment in read_experiments(results):
        found.setdefault(experiment.recipe.name.partition("/")[0], []).append(experiment)
    lines = _in_short([one for system in recipes.SYSTEMS for one in found[system]])
    for system, experiments in found.items():
        paper = published.read(system)
        measured = {one.recipe.name for one in experiments}
        lines += [f"## {paper.title if paper else system}", ""]
        if paper:
            lines += [f"{paper.citation}.", ""]
            lines += [paper.note, ""] if paper.note else []
        for experiment in experiments:
            lines += _part(experiment, paper, experiments, pictures)
        if system in recipes.SYSTEMS:
            lines += _not_run([name for name in of_system(system) if name not in measured], paper)
        if paper and paper.of(""):
            lines += ["### Further figures of the paper, on genuine data", ""]
            lines += published_tables(paper, "")
    return lines


def _in_short(experiments: list[Experiment]) -> list[str]:
    """What teaching gave, over all systems."""
    rows, verdicts = [], {}
    for experiment in experiments:
        anchor = link(_title(experiment))
        for pair in experiment.recipe.report.gains:
            first, second = (experiment.members.get(name, []) for name in pair)
            found = gain(first, second)
            if found is None or found.half_width is None:
                continue
            rows.append([anchor, *_gain(experiment, *pair)])
            if first[0]["teacher"] and not second[0]["teacher"]:
                of = verdicts.setdefault(experiment.recipe.name.partition("/")[0], Counter())
                of[found.verdict] += 1
    if not rows:
        return []
    counts = []
    for system, of in verdicts.items():
        paper = published.read(system)
        told = ", ".join(f"{of[verdict]} {words}" for verdict, words in _VERDICTS.items())
        counts.append(f"- {paper.title if paper else system}: {told}")
    lines = ["## In short", "", *_IN_SHORT.splitlines(), "", *counts, ""]
    return lines + table(["part", *_GAINS], rows)


def _not_run(names: list[str], paper: Published | None) -> list[str]:
    """Recipes of a system that have no record at all, each with the paper's figures."""
    lines = []
    for name in names:
        lines += [
            f"### {name}",
            "",
            recipes.load(recipes.find(name)).about,
            "",
            "No records yet.",
            "",
        ]
        if paper and paper.of(name):
            lines += [
                "#### The paper's figures",
                "",
                "They are for its full networks on genuine data.",
                "",
            ]
            lines += published_tables(paper, name)
    return lines


def _title(experiment: Experiment) -> str:
    return f"{experiment.recipe.name}, {experiment.budget}"


def _part(
    experiment: Experiment,
    paper: Published | None,
    others: list[Experiment],
    pictures: Pictures,
) -> list[str]:
    recipe = experiment.recipe
    lines = [f"### {_title(experiment)}", "", recipe.about, ""]
    lines += [f"{_data(experiment)}.", ""]
    lines += _members(experiment)
    lines += _accuracies(experiment, paper)
    absent = [name for name in recipe.members if name not in experiment.members]
    if absent:
        lines += [f"No records yet of {', '.join(f'`{name}`' for name in absent)}.", ""]
    lines += _other_runs(experiment)
    lines += _gains(experiment)
    lines += _loss_terms(experiment)
    lines += [recipe.report.note, ""] if recipe.report.note else []
    lines += _scatter(experiment, others)
    lines += _lines_by_snr(experiment, pictures)
    lines += _table_by_snr(experiment)
    lines += _classes_of_interest(experiment)
    lines += _class_report(experiment)
    lines += _confusions(experiment, pictures)
    lines += _feature_maps(experiment, pictures)
    lines += _left_out(experiment)
    if paper and experiment.budget != "paper" and paper.of(recipe.name):
        lines += not_comparable(paper, recipe.name)
    return lines


def not_comparable(paper: Published, recipe: str) -> list[str]:
    """A paper's tables, below figures of a budget that is not its own."""
    return [
        "#### The paper's figures, not comparable with those above",
        "",
        "They are for the paper's full networks on genuine data.",
        "",
        *published_tables(paper, recipe),
    ]


def _held_out(record: dict[str, Any]) -> str:
    """Which frames chose the temperature and, where it was the best that was kept, the epoch."""
    chosen = "epochs and " * (record["settings"]["train"]["keep"] == "best") + "temperatures"
    told = f"{chosen} chosen on {record['validation_frames']:,} held-out frames"
    held, cells = record.get("validation_cells", (0, 0))
    return told + (f" of {held} of {cells} cells" if held < cells else "")


def _data(experiment: Experiment) -> str:
    """On which data a part was trained and measured."""
    record = experiment.any_record
    held = _held_out(record)
    test, tested = record["test"], record["test"]["data"]
    source = record["settings"]["data"]
    snr = [int(label) for label in test["snr_labels"]]
    measured = (
        f"{test['frames']:,} frames, {len(test['classes'])} classes, {band(min(snr), max(snr))}"
    )
    if not source["generator"]:
        return (
            f"Data set file of {tested['generator']}, parted as `{source['split']}`; "
            f"{held}; measured on {measured}"
        )
    name, _, version = tested["generator"].rpartition(" ")
    train = source["train"]
    return (
        f"{_kind(name)} data: generator `{name}`, version {version}; trained on seed "
        f"{train['seed']} (speech `{train['speech']}`), {held}; measured on seed {tested['seed']} "
        f"(speech `{tested['speech']}`): {measured}"
    )


def _kind(generator: str) -> str:
    """Whether a generator rebuilds a published data set."""
    return "Regenerated" if generator.startswith("rml") else "Generated"


def _members(experiment: Experiment) -> list[str]:
    """A line a member: the network and how it was trained, as its records say."""
    lines = []
    for name, records in experiment.members.items():
        settings = records[0]["settings"]["member"]
        network = settings["network"] + _options(settings["options"])
        loss = " + ".join(
            ("" if term["weight"] == 1 else f"{term['weight']:g} ")
            + term["name"]
            + _options(term["options"])
            for term in settings["loss"]
        )
        teachers = [settings["teacher"], *settings.get("more_teachers", [])]
        taught = f", taught by {' and '.join(f'`{one}`' for one in teachers)}" * bool(teachers[0])
        about = experiment.recipe.members[name].about
        lines.append(f"- `{name}`: {network}, {loss}{taught}.{' ' + about if about else ''}")
    return [*lines, ""]


def _options(options: dict[str, Any]) -> str:
    return f" ({', '.join(f'{key} {value}' for key, value in options.items())})" if options else ""


def _accuracies(experiment: Experiment, paper: Published | None) -> list[str]:
    labels = list(by_snr(experiment.any_record))
    bands = [tuple(edges) for edges in experiment.recipe.report.bands]
    measures = [(band(*edges), lambda r, e=edges: accuracy_in(r, *e)) for edges in bands]
    from_0 = [label for label in labels if label >= 0]
    # A column that would repeat another one is left out.
    if from_0 != labels and from_0 not in [
        [label for label in labels if low <= label <= high] for low, high in bands
    ]:
        measures.append(("SNR >= 0", accuracy_from_0_db))
    told = experiment.budget == "paper" and paper and paper.of(experiment.recipe.name)
    keras = any(r[0]["keras_parameters"] != r[0]["parameters"] for r in experiment.members.values())
    header = ["member", "network", "parameters"]
    header += ["as Keras counts"] if keras else []
    header += ["MACs", "seeds", f"overall, {band(labels[0], labels[-1])}"]
    header += [name for name, _ in measures]
    header += ["ECE", "calibration temperature", "epochs", "training frames"]
    header += [PAPER_COLUMN] if told else []
    rows = []
    for name, records in experiment.members.items():
        first = records[0]
        row = [f"`{name}`", first["settings"]["member"]["network"], f"{first['parameters']:,}"]
        row += [f"{first['keras_parameters']:,}"] if keras else []
        row += [f"{first['macs']:,}", ", ".join(str(record["seed"]) for record in records)]
        row += [spread(*mean_and_std([record["test"]["overall"] for record in records]))]
        for _, measure in measures:
            values = [measure(record) for record in records]
            row.append(NOTHING if None in values else spread(*mean_and_std(values)))
        row += [spread(*mean_and_std([record["test"]["ece"] for record in records]))]
        row += [f"{np.mean([r['calibration']['temperature'] for r in records]):.2f}"]
        row += [_epochs(records), whole([r["train_frames"] for r in records])]
        row += [beside(paper, experiment.recipe.name, name)] if told else []
        rows.append(row)
    return table(header, rows)


def _epochs(records: list[dict[str, Any]]) -> str:
    last, best = ([record[key] for record in records] for key in ("epochs", "best_epoch"))
    return whole(last) + ("" if last == best else f" ({whole(best)})")


def beside(paper: Published, recipe: str, member: str) -> str:
    """What a paper states of one member: overall and bands, from the first table that has it."""
    for one in paper.of(recipe):
        for row in one.rows:
            if row.member == member:
                figures = [row.overall] if row.overall else []
                more = (row.bands | row.others).items()
                return "; ".join([*figures, *(f"{name}: {value}" for name, value in more)])
    return NOTHING


def _other_runs(experiment: Experiment) -> list[str]:
    """Which students learnt from another run of their teacher than the one in the table: on another
    machine the same training gives other weights."""
    shown = {
        (name, record["seed"]): record["test"]["overall"]
        for name, records in experiment.members.items()
        for record in records
    }
    lines = []
    for name, records in experiment.members.items():
        seeds: dict[tuple[str, float], list[str]] = {}
        for record in records:
            told = record["teacher"]
            if told and shown.get((told["member"], told["seed"])) not in (None, told["overall"]):
                of = seeds.setdefault((told["member"], told["overall"]), [])
                of.append(str(record["seed"]))
        lines += [
            f"- `{name}`, seed{'s' * (len(of) > 1)} {', '.join(of)}: a `{teacher}` of "
            f"{percent(overall)} %"
            for (teacher, overall), of in seeds.items()
        ]
    if not lines:
        return []
    about = (
        "Taught by another run of their teacher, with the same settings and seed, than that above:"
    )
    return [about, "", *lines, ""]


def _scatter(experiment: Experiment, others: list[Experiment]) -> list[str]:
    """Below members of one seed: how much networks of the system differ from seed to seed."""
    members = experiment.recipe.members
    teachers = {name for one in members.values() for name in (one.teacher, *one.more_teachers)}
    single = [
        name
        for name, records in experiment.members.items()
        if len(records) == 1 and name not in teachers
    ]
    if not single or len(experiment.members) < 2:
        return []
    all_of_them = len(single) == len(set(experiment.members) - teachers)
    whose = "" if all_of_them else f" of {', '.join(f'`{name}`' for name in single)}"
    found = [
        (mean_and_std([record["test"]["overall"] for record in records])[1], name, other)
        for other in others
        if other.budget == experiment.budget
        for name, records in other.members.items()
        if len(records) > 2
    ]
    if not found:
        return [f"One seed each{whose}: small differences can be chance.", ""]
    std, name, other = max(found, key=lambda one: one[0])
    return [
        f"One seed each{whose}. Of this system's networks `{name}` of {other.recipe.name} varies "
        f"most from seed to seed, with a standard deviation of {percent(std)} points. Single runs "
        f"of networks that vary as much differ by up to {percent(_BETWEEN_TWO * std)} points in 95 "
        "of 100 cases, by chance alone.",
        "",
    ]


_GAINS = (
    "gain",
    "seeds",
    "percentage points",
    "95 % interval",
    "verdict",
    "teacher's lead",
)


def _gains(experiment: Experiment) -> list[str]:
    found = [_gain(experiment, *pair) for pair in experiment.recipe.report.gains]
    rows = [row for row in found if row]
    return [*table(list(_GAINS), rows), *_machines(experiment)] if rows else []


def _machines(experiment: Experiment) -> list[str]:
    """Below the gains: of which pairs two networks of one seed had processors that differ, on which
    the same training gives other weights."""
    lines = []
    for pair in experiment.recipe.report.gains:
        first, second = (
            {record["seed"]: record["hardware"] for record in experiment.members.get(name, [])}
            for name in pair
        )
        apart = [seed for seed in first if first[seed] != second.get(seed, first[seed])]
        if apart:
            lines.append(f"- `{pair[0]}` over `{pair[1]}`: {', '.join(map(str, apart))}")
    if not lines:
        return []
    about = (
        "Seeds whose two networks were trained on different processors, so that pairing takes away "
        "less of what chance does:"
    )
    return [about, "", *lines, ""]


def _gain(experiment: Experiment, first: str, second: str) -> list[str] | None:
    """Cells of ``_GAINS``; None without records of both."""
    taught, other = (experiment.members.get(name, []) for name in (first, second))
    found = gain(taught, other)
    if found is None:
        return None
    points, half = 100 * found.mean, found.half_width
    interval = "one seed, no interval"
    if half is not None:
        interval = f"{points - 100 * half:+.2f} to {points + 100 * half:+.2f}"
    ahead = NOTHING
    if taught[0]["teacher"] and not other[0]["teacher"]:
        teacher = np.mean([record["teacher"]["overall"] for record in taught])
        mean = np.mean([record["test"]["overall"] for record in other])
        ahead = f"{100 * (teacher - mean):+.2f}"
    seeds = ", ".join(map(str, found.seeds))
    return [
        f"`{first}` over `{second}`", seeds, f"{points:+.2f}", interval, found.verdict, ahead,
    ]  # fmt: skip


def _loss_terms(experiment: Experiment) -> list[str]:
    """What each term of the loss came to while students were taught: one that stays where it was
    taught nothing."""
    told = [
        (f"`{name}`, seed {record['seed']}", record["loss_terms"])
        for name, records in experiment.members.items()
        for record in [one for one in records if "loss_terms" in one][:1]
    ]
    terms = list(dict.fromkeys(name for _, of in told for name in of))
    rows = [
        [member, *(_from_to(of[term]) if term in of else NOTHING for term in terms)]
        for member, of in told
    ]
    if not rows:
        return []
    about = (
        "The terms of the loss, before their weights: means over the first and over the last "
        "epoch, of the first seed that was asked:"
    )
    return [about, "", *table(["member", *terms], rows)]


def _from_to(values: list[float]) -> str:
    return " to ".join(f"{value:.4g}" for value in values)


def _lines_by_snr(experiment: Experiment, pictures: Pictures) -> list[str]:
    shown = []
    for name, records in experiment.members.items():
        shares = np.array([list(by_snr(record).values()) for record in records])
        std = shares.std(axis=0, ddof=1).tolist() if len(records) > 1 else None
        snr = list(by_snr(records[0]))
        shown.append({"name": name, "snr": snr, "mean": shares.mean(axis=0).tolist(), "std": std})
    title = _title(experiment)
    several = any(line["std"] for line in shown)
    about = f"Accuracy by SNR label, {title}"
    lines = []
    for number, start in enumerate(range(0, len(shown), plots.LINES)):
        content = {
            "title": f"{title}: mean over seeds" + (", ± one standard deviation" * several),
            "lines": shown[start : start + plots.LINES],
        }
        name = _file_name(experiment, f"snr{number + 1 if number else ''}")
        lines += [pictures.add(name, about, plots.accuracy_by_snr, content), ""]
    return lines


def _file_name(experiment: Experiment, what: str) -> str:
    return f"{experiment.recipe.name.replace('/', '-')}-{experiment.budget}-{what}"


def _measured(experiment: Experiment, names: list[str]) -> list[str]:
    return [name for name in names if name in experiment.members]


def _table_by_snr(experiment: Experiment) -> list[str]:
    names = _measured(experiment, experiment.recipe.report.by_snr)
    if not names:
        return []
    header = ["SNR label (dB)"]
    header += itertools.chain(*([f"`{name}` accuracy", "macro F1"] for name in names))
    rows = []
    for label in by_snr(experiment.any_record):
        row = [str(label)]
        for name, key in itertools.product(names, ("by_snr", "f1_by_snr")):
            records = experiment.members[name]
            row.append(percent(np.mean([r["test"][key][str(label)] for r in records]), 1))
        rows.append(row)
    about = "Accuracy and the mean of the classes' F1, percent, means over seeds:"
    return [about, "", *table(header, rows)]


def _classes_of_interest(experiment: Experiment) -> list[str]:
    wanted = experiment.recipe.report.classes_of_interest
    names = [name for name in wanted if name in experiment.any_record["test"]["classes"]]
    labels = [
        label
        for label in experiment.recipe.report.confusion_at
        if label in experiment.any_record["test"]["snr_labels"]
    ]
    if not names:
        return []
    where = [f"{label} dB" for label in labels] + ["SNR >= 0"]
    header = ["member"]
    header += [f"{name}, {at}" for at in where for name in [*names, "mean"]]
    header += ["told apart, SNR >= 0"] if len(names) == 2 else []
    rows = []
    for member, records in experiment.members.items():
        row = [f"`{member}`"]
        for label in [*labels, None]:
            of_all = [[_recall(record, name, label) for name in names] for record in records]
            shares = np.array(of_all, float)  # nan where there are no frames
            columns = [*shares.T, shares.mean(axis=1)]
            row += [spread(*mean_and_std(column.tolist())) for column in columns]
        if len(names) == 2:
            row += [spread(*mean_and_std([_told_apart(record, *names) for record in records]))]
        rows.append(row)
    about = f"Accuracy on {' and '.join(names)}, percent"
    if len(names) == 2:
        about += (
            "; told apart is how many of their frames that were called one of the two were called "
            "rightly, and guessing gives 50"
        )
    return [f"{about}:", "", *table(header, rows)]


def _told_apart(record: dict[str, Any], first: str, second: str) -> float:
    """Of the frames of two classes that were called either, the share of those called rightly."""
    test = record["test"]
    both = [test["classes"].index(name) for name in (first, second)]
    counts = np.array(test["confusion_from_0_db"])[np.ix_(both, both)]
    return float(np.trace(counts) / counts.sum()) if counts.sum() else math.nan


def _recall(record: dict[str, Any], name: str, label: int | None) -> float | None:
    """Accuracy on one class, at one SNR label or, with None, over those of at least 0 dB; None
    without a frame."""
    test = record["test"]
    if label is not None:
        return test["by_class"][name][test["snr_labels"].index(label)]
    index = test["classes"].index(name)
    counts = test["confusion_from_0_db"][index]
    return counts[index] / sum(counts) if sum(counts) else None


def _class_report(experiment: Experiment) -> list[str]:
    names = _measured(experiment, experiment.recipe.report.class_report)
    if not names:
        return []
    kinds = ("precision", "recall", "f1")
    tests = [experiment.members[name][0]["test"] for name in names]
    header = ["class"]
    for name in names:
        header += [f"`{name}` precision", "recall", "F1"]
    rows = [
        [of] + [percent(test["scores"][of][kind], 1) for test in tests for kind in kinds]
        for of in tests[0]["classes"]
    ]
    means = [
        np.mean([scores[kind] for scores in test["scores"].values()])
        for test in tests
        for kind in kinds
    ]
    rows.append(["mean of the classes", *(percent(mean, 1) for mean in means)])
    return ["By class over all SNR labels, percent, first seed:", "", *table(header, rows)]


def _confusions(experiment: Experiment, pictures: Pictures) -> list[str]:
    report = experiment.recipe.report
    lines = []
    for label in report.confusion_at:
        panels = []
        for name in _measured(experiment, report.confusion_of):
            first = experiment.members[name][0]
            counts = first["test"]["confusion_at_db"].get(str(label))
            if counts is not None and np.sum(counts):
                panels.append({"name": f"{name}, seed {first['seed']}", "confusion": counts})
        if panels:
            title = f"{experiment.recipe.name}, {experiment.budget}: confusion at {label} dB"
            classes = experiment.any_record["test"]["classes"]
            content = {"title": title, "classes": classes, "panels": panels}
            name = _file_name(experiment, f"confusion-{label}dB")
            about = f"Confusion matrices at {label} dB"
            lines += [pictures.add(name, about, plots.confusions, content), ""]
    return lines


def _feature_maps(experiment: Experiment, pictures: Pictures) -> list[str]:
    report = experiment.recipe.report
    lines = []
    for label in report.confusion_at:
        panels, separations = [], []
        for name in _measured(experiment, report.feature_maps_of):
            # None of a run that was made before they were asked for.
            maps = experiment.members[name][0].get("feature_maps", {}).get(str(label), {})
            if set(maps) != set(report.classes_of_interest):
                continue
            panels += [{"name": f"{name}, {of}", "map": maps[of]["mean"]} for of in maps]
            apart = feature_maps.separation(*maps.values())
            separations.append(f"{apart:.2f} with `{name}`")
        if panels:
            title = f"{experiment.recipe.name}, {experiment.budget}: feature maps at {label} dB"
            about = f"Feature maps at {label} dB"
            content = {"title": title, "across": len(report.classes_of_interest), "panels": panels}
            lines += [
                f"Means of the maps that the last layer sees at {label} dB, first seed. Those of "
                f"{' and '.join(report.classes_of_interest)} lie {', '.join(separations)} apart, "
                "in units of the spread of a class's frames:",
                "",
                pictures.add(
                    _file_name(experiment, f"maps-{label}dB"), about, plots.feature_maps, content
                ),
                "",
            ]
    return lines


def _left_out(experiment: Experiment) -> list[str]:
    """How each score tells classes that training did not see."""
    rows = []
    for name, records in experiment.members.items():
        for kind, told in records[0].get("left_out", {}).items():
            by_class = [f"{of} {value:.3f}" for of, value in told["auroc_by_class"].items()]
            frames = f"{told['known_frames']:,} and {told['unknown_frames']:,}"
            source = told.get("frames_of", "test file")
            row = [f"`{name}`", kind, f"{told['auroc']:.3f}", ", ".join(by_class), frames, source]
            rows.append(row)
    if not rows:
        return []
    low = next(iter(experiment.any_record["left_out"].values()))["from_db"]
    header = ["member", "score", "AUROC", "by class", "known and left-out frames", "of"]
    about = (
        f"How often a frame of a class left out of training scores above one of a known class, at "
        f"SNR labels from {low} dB, first seed:"
    )
    return [about, "", *table(header, rows), *_SCORES.splitlines(), ""]


def published_tables(paper: Published, recipe: str) -> list[str]:
    """What a paper states of what ``recipe`` repeats."""
    lines = []
    for one in paper.of(recipe):
        figures = [
            ({"overall": row.overall} if row.overall else {}) | row.bands | row.others
            for row in one.rows
        ]
        columns = list(dict.fromkeys(name for of_row in figures for name in of_row))
        rows = [
            [row.name, *(of_row.get(name, NOTHING) for name in columns)]
            for row, of_row in zip(one.rows, figures, strict=True)
        ]
        lines += [f"{one.source}, {one.data or paper.data}:", ""]
        lines += table(["network in the paper", *columns], rows)
    return lines
