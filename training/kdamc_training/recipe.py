# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: one YAML file says everything that an experiment needs.

Unknown keys and impossible values are refused by name. A recipe may define budgets: named sets of
overrides in the dotted form of ``--set`` (``train.epochs: 2``).
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import UserError

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
BUDGETS = ("smoke", "reduced", "paper")


@dataclass(frozen=True)
class DataPart:
    """What to generate: see ``kdamc-train data generate``."""

    frames_per_cell: int
    seed: int
    speech: str
    run_length: int = 0


@dataclass(frozen=True)
class DataSection:
    """``validation_share`` of the training passes is held out to watch the training.

    ``runs`` are for fitting temperature and fusion exponent; ``test`` and ``test_runs`` are only
    ever measured on.
    """

    generator: str
    train: DataPart
    runs: DataPart
    test: DataPart
    test_runs: DataPart
    validation_share: float = 0.05


@dataclass(frozen=True)
class NetworkSection:
    """``options`` go to the network by keyword."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AugmentSection:
    """Each frame anew: any rotation, conjugation every other time, a carrier offset drawn from
    ``±carrier_offset`` (cycles a sample), a receiver's low-pass filter in a share
    ``receiver_filter`` of the frames."""

    rotation: bool = True
    conjugation: bool = True
    carrier_offset: float = 0.0
    receiver_filter: float = 0.0


@dataclass(frozen=True)
class TrainSection:
    """AdamW with a linear warm-up and a cosine to zero; ``ema_decay`` 0 turns averaging off."""

    epochs: int
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup_epochs: float = 1.0
    ema_decay: float = 0.999
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class Recipe:
    """One experiment. ``model_name`` names the exported file; ``about`` opens the model card."""

    name: str
    model_name: str
    about: str
    data: DataSection
    network: NetworkSection
    train: TrainSection
    augment: AugmentSection = AugmentSection()
    budget: str = "paper"


def find(name: str) -> Path:
    """The file of a recipe given by path or by its name under ``training/recipes``."""
    for candidate in (Path(name), RECIPES / name, RECIPES / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    raise UserError(f"no recipe {name!r}: neither a file nor one of {', '.join(names()) or 'none'}")


def names() -> list[str]:
    """Names of the recipes that come with the package, sorted."""
    return sorted(
        path.relative_to(RECIPES).with_suffix("").as_posix() for path in RECIPES.rglob("*.yaml")
    )


def load(path: str | Path, budget: str = "paper", overrides: list[str] | None = None) -> Recipe:
    """Read a recipe file, apply the overrides of ``budget`` and then ``key=value`` texts.

    Raises UserError, naming the file and the key, for whatever cannot be used.
    """
    path = Path(path)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise UserError(f"{path}: is not a mapping")
    budgets = document.pop("budgets", {})
    if budget not in BUDGETS:
        raise UserError(f"budget {budget!r} is not one of {', '.join(BUDGETS)}")
    if budget != "paper" and budget not in budgets:
        raise UserError(f"{path}: has no budget {budget}")
    changes = dict(budgets.get(budget, {}))
    for text in overrides or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text!r} is not of the form key=value")
        changes[key.strip()] = yaml.safe_load(value)
    for key, value in changes.items():
        _set(document, key, value)
    document["budget"] = budget
    recipe = _build(Recipe, document, "")
    _check(recipe)
    return recipe


def as_yaml(recipe: Recipe) -> str:
    """The recipe with everything filled in, as YAML text."""
    return yaml.safe_dump(dataclasses.asdict(recipe), sort_keys=False)


def _set(document: dict, dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
        if not isinstance(document, dict):
            raise UserError(f"recipe key {dotted!r}: {parent} is not a section")
    document[last] = value


def _build(kind: type, values: Any, where: str) -> Any:
    """Turn a mapping into the dataclass ``kind``, checking names and types all the way down."""
    if not isinstance(values, Mapping):
        raise UserError(f"recipe key {where!r} is not a section")
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    types = typing.get_type_hints(kind)
    for key in values:
        if key not in fields:
            raise UserError(
                f"recipe key {_join(where, key)!r} is unknown; known here: {', '.join(fields)}"
            )
    made = {}
    for name, entry in fields.items():
        full = _join(where, name)
        if name not in values:
            if (
                entry.default is dataclasses.MISSING
                and entry.default_factory is dataclasses.MISSING
            ):
                raise UserError(f"recipe key {full!r} is missing")
            continue
        made[name] = _convert(types[name], values[name], full)
    return kind(**made)


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, where)
    if typing.get_origin(kind) is dict:
        kind = dict
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # YAML 1.1 reads 2e-3 as text.
    if kind is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"recipe key {where!r} is {value!r}, which is not a {kind.__name__}")
    return value


def _join(where: str, name: Any) -> str:
    return f"{where}.{name}" if where else str(name)


def _check(recipe: Recipe) -> None:
    train, data = recipe.train, recipe.data
    limits = [
        ("train.epochs", train.epochs, 1, 100000),
        ("train.batch_size", train.batch_size, 2, 1 << 20),
        ("train.learning_rate", train.learning_rate, 1e-8, 10.0),
        ("train.weight_decay", train.weight_decay, 0.0, 10.0),
        ("train.warmup_epochs", train.warmup_epochs, 0.0, float(train.epochs)),
        ("train.ema_decay", train.ema_decay, 0.0, 0.999999),
        ("train.seed", train.seed, 0, 2**31 - 1),
        ("train.threads", train.threads, 1, 1024),
        ("augment.carrier_offset", recipe.augment.carrier_offset, 0.0, 0.5),
        ("augment.receiver_filter", recipe.augment.receiver_filter, 0.0, 1.0),
        ("data.validation_share", data.validation_share, 0.001, 0.9),
        ("data.runs.run_length", data.runs.run_length, 1, 128),
        ("data.test_runs.run_length", data.test_runs.run_length, 1, 128),
    ]
    for key, value, low, high in limits:
        if not low <= value <= high:
            raise UserError(f"recipe key {key!r} is {value}; it must lie in {low} to {high}")
