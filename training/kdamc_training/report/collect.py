# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published records of recipes, gathered by recipe and budget, and the figures made from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import recipe as recipes
from ..errors import UserError
from ..pipeline import RECORD, member_folder
from ..recipe import Recipe
from ..records import read_record
from ..run_settings import comparable, drifted

BUDGETS = ("paper", "reduced")
"""The smoke budget only shows that everything runs: its figures mean nothing and are left out."""

_CONFIDENCE = 0.95
_NEEDED = (
    "recipe",
    "budget",
    "member",
    "seed",
    "settings",
    "train_frames",
    "validation_frames",
    "epochs",
    "calibration",
)
_NEEDED += ("parameters", "keras_parameters", "macs", "test", "hardware")
_NEEDED_OF_TEST = ("frames", "overall", "by_snr", "classes", "confusion_from_0_db", "ece", "data")
_NEEDED_OF_TEST += ("confusion_at_db", "snr_labels", "by_class", "scores", "f1_by_snr")


@dataclass(frozen=True)
class Experiment:
    """Records of one recipe and budget: ``members`` in the recipe's order, seeds ascending."""

    recipe: Recipe
    budget: str
    members: dict[str, list[dict[str, Any]]]

    @property
    def any_record(self) -> dict[str, Any]:
        """One of the records; what it says of the test data holds for all."""
        return next(iter(self.members.values()))[0]


@dataclass(frozen=True)
class Gain:
    """Differences of overall accuracy (shares), one a common seed.

    ``half_width`` is that of the 95 % t interval, None with fewer than two seeds.
    """

    seeds: list[int]
    mean: float
    half_width: float | None

    @property
    def verdict(self) -> str:
        """ "gain" or "loss" where the interval leaves 0 out, "undecided" elsewhere."""
        if self.half_width is None or abs(self.mean) <= self.half_width:
            return "undecided"
        return "gain" if self.mean > 0 else "loss"


def read_experiments(results: Path) -> list[Experiment]:
    """All records of training below ``results``, a recipe's budgets together, main recipes first.

    Raises UserError, naming the file, for a record of no known recipe or member, one in the wrong
    place, and for records that cannot stand in one table: measured on other data, seeds of one
    member trained with other settings, or with others than the recipe has now.
    """
    folders = sorted(
        {
            path.parent
            for path in results.glob("*/*/*/*.json")
            if path.parent.name in BUDGETS
            and path.relative_to(results).parts[0] != recipes.COMPRESSION
        },
        key=lambda path: _order(path.relative_to(results)),
    )
    return [_read_experiment(folder, results) for folder in folders]


def of_system(system: str) -> list[str]:
    """Names of the recipes of a system, main ones first."""
    own = (name for name in recipes.names() if name.startswith(f"{system}/"))
    return sorted(own, key=recipes.main_first)


def _order(folder: Path) -> tuple:
    return *recipes.main_first(folder.parent.as_posix()), BUDGETS.index(folder.name)


def read_runs(recipe: Recipe, folder: Path) -> Experiment:
    """Records of the finished runs of ``recipe`` in its ``folder``; raises UserError as
    ``read_experiments``, and if there are none."""
    paths = (
        member_folder(folder, member, seed) / RECORD
        for member in recipe.members
        for seed in recipe.seeds_of(member)
    )
    records = {path: read_record(path) for path in paths if path.is_file()}
    if not records:
        raise UserError(f"{folder} holds no finished run of {recipe.name}")
    return _experiment(recipe, records, folder)


def _read_experiment(folder: Path, results: Path) -> Experiment:
    name, budget = folder.parent.relative_to(results).as_posix(), folder.name
    recipe = recipes.load(recipes.find(name), budget)
    records = {path: read_record(path) for path in folder.glob("*.json")}
    for path, record in records.items():
        check_keys(path, record, _NEEDED)
        own = f"{record['recipe']}/{record['budget']}/{record['member']}-s{record['seed']}.json"
        if results / own != path:
            raise UserError(f"{path}: is the record of {own}")
    return _experiment(recipe, records, folder)


def _experiment(recipe: Recipe, records: dict[Path, dict[str, Any]], folder: Path) -> Experiment:
    name = recipe.name
    found: dict[str, list[dict[str, Any]]] = {member: [] for member in recipe.members}
    first: dict[str, Any] | None = None
    for path, record in records.items():
        check_keys(path, record, _NEEDED)
        check_keys(path, record["test"], _NEEDED_OF_TEST)
        member = record["member"]
        if member not in found:
            raise UserError(f"{path}: {name} has no member {member!r}")
        found[member].append(record)
        first = first or record
        if _data(record) != _data(first):
            raise UserError(f"{path}: trained or measured on other data than those beside it")
    members = {
        member: sorted(records, key=lambda record: record["seed"])
        for member, records in found.items()
        if records
    }
    for member, records in members.items():
        if any(_settings(record) != _settings(records[0]) for record in records):
            raise UserError(f"{folder}: the seeds of {member} were trained with other settings")
        if drifted(records[0]["settings"], recipe, member, records[0]["seed"]):
            raise UserError(
                f"{folder}: {member} was trained with other settings than {name} has now; run it "
                "again or undo the change"
            )
    return Experiment(recipe, recipe.budget, members)


def check_keys(path: Path, values: dict[str, Any], needed: tuple[str, ...]) -> None:
    """Raise UserError, naming the file, for the first key that ``values`` does not have."""
    for key in needed:
        if key not in values:
            raise UserError(f"{path}: the record has no {key!r}")


def _data(record: dict[str, Any]) -> list[Any]:
    test, data = record["test"], comparable(record["settings"])["data"]
    # A data set file is known by its content, wherever it lies and whatever it is called.
    left_out = ("created", "file") if data.get("file_sha256") else ("created",)
    described = {key: value for key, value in test["data"].items() if key not in left_out}
    return [data, described, test["frames"], test["classes"]]


def _settings(record: dict[str, Any]) -> dict[str, Any]:
    settings = comparable(record["settings"])
    return {key: value for key, value in settings.items() if key != "seed"}


def accuracy_in(record: dict[str, Any], low: int, high: int) -> float | None:
    """Mean of the accuracies at the SNR labels in ``low`` to ``high`` (dB), None without any."""
    inside = [share for label, share in by_snr(record).items() if low <= label <= high]
    return float(np.mean(inside)) if inside else None


def accuracy_from_0_db(record: dict[str, Any]) -> float | None:
    """Share of the frames with an SNR label of at least 0 that were called rightly."""
    counts = np.array(record["test"]["confusion_from_0_db"])
    return float(np.trace(counts) / counts.sum()) if counts.sum() else None


def by_snr(record: dict[str, Any]) -> dict[int, float]:
    """Accuracy by SNR label (dB), ascending."""
    return dict(sorted((int(label), share) for label, share in record["test"]["by_snr"].items()))


def mean_and_std(values: list[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation, None with one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def gain(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> Gain | None:
    """What ``first`` gains over ``second``, paired by seed; None without a common seed."""
    of_first, of_second = (
        {record["seed"]: record["test"]["overall"] for record in records}
        for records in (first, second)
    )
    seeds = sorted(of_first.keys() & of_second.keys())
    if not seeds:
        return None
    mean, std = mean_and_std([of_first[seed] - of_second[seed] for seed in seeds])
    if std is None:
        return Gain(seeds, mean, None)
    from scipy.stats import t

    quantile = float(t.ppf((1 + _CONFIDENCE) / 2, len(seeds) - 1))
    return Gain(seeds, mean, quantile * std / math.sqrt(len(seeds)))
