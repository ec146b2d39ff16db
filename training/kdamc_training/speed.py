# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large and how fast networks are on one thread: those of the recipes, or those of runs.

The record of ``kdamc-train speed`` (``training/results/speed/``) holds, besides ``command``,
``hardware``, ``versions`` and ``git_rev``: ``runtime`` and ``threads`` (what ran the networks),
``weights`` ("untrained": speed does not depend on them), ``seconds`` (how long each batch size was
repeated; the best run counts) and ``rows``, one a network:

- ``network``, ``options``, and the ``recipe`` and ``member`` where they were found;
- ``classes`` (how many) and ``frame_length`` (samples);
- ``parameters``, ``keras_parameters`` and ``macs`` (see ``complexity``), ``onnx_bytes``;
- ``ms_per_frame``: one frame at a time;
- ``frames_per_second``: in batches of ``batch`` frames, 256 but for networks that would take
  longer than ``LONGEST_BATCH`` seconds for that.

That of ``kdamc-train speed RUN…`` (``training/results/accuracy_speed/``) is of what these runs have
trained: its ``weights`` are "trained", and each row has the run's ``budget`` and ``seed`` too. All
are timed in ``ROUNDS`` turns, so that what else the machine does meets them alike; the best counts.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import datasets as datasets
from . import recipe
from .checkpoints import bare_module, open_run
from .complexity import keras_parameters, macs, parameters
from .datasets import registry as generators
from .errors import UserError
from .export import export
from .lightning_module import ClassifierModule
from .networks import registry
from .onnx_models import Model, frames_per_second, open_model
from .pipeline import RESULTS

BATCH = 256
LONGEST_BATCH = 10.0
"""Seconds."""
ROUNDS = 6


@dataclass(frozen=True)
class Subject:
    """A network at one size, and the member of a recipe that has it."""

    network: str
    options: dict[str, Any]
    recipe: str
    member: str
    classes: tuple[str, ...]
    frame_length: int


def subjects(names: Sequence[str] = ()) -> list[Subject]:
    """The networks of all recipes at the budget "paper", each size once, or only ``names`` of them.

    The same network with the same options (its own where none are named) at the same frame length
    stands for one, whichever the number of classes: the first recipe counts, those of the papers'
    systems before others, main ones before others, those with records before others. Recipes of
    imported files have no generator to tell classes and frame length and are left out, as are
    those that leave out classes.
    """
    found: dict[str, Subject] = {}
    for name in sorted(recipe.names(), key=_papers_first):
        chosen = recipe.load(recipe.find(name))
        if not chosen.data.generator or chosen.data.without:
            continue
        generator = generators.create(chosen.data.generator)
        for title, member in chosen.members.items():
            options = registry.with_defaults(member.network, member.options)
            key = json.dumps([member.network, options, generator.frame_length], sort_keys=True)
            subject = Subject(
                member.network,
                member.options,
                chosen.name,
                title,
                generator.classes,
                generator.frame_length,
            )
            found.setdefault(key, subject)
    for name in names:
        if name not in {subject.network for subject in found.values()}:
            raise UserError(f"no recipe has a network {name!r}")
    return [subject for subject in found.values() if not names or subject.network in names]


def _papers_first(name: str) -> tuple:
    system, main, own = recipe.main_first(name)
    return system not in recipe.SYSTEMS, system, main, not (RESULTS / name).is_dir(), own


def untrained(
    network: str, options: dict[str, Any], classes: Sequence[str], frame_length: int
) -> ClassifierModule:
    """A network as it is before training, in what an export takes."""
    unknown = dict.fromkeys(("recipe", "member", "teacher", "budget", "command"), "")
    describes = {"dataset": "none: untrained", "samples_per_symbol": [1.0, 1.0], **unknown}
    return bare_module(network, options, classes, frame_length, describes)


def measure(subject: Subject, seconds: float) -> dict[str, Any]:
    """One row of the record; see the module's docstring."""
    module = untrained(subject.network, subject.options, subject.classes, subject.frame_length)
    row, model = _described(module)
    names = {"recipe": subject.recipe, "member": subject.member}
    return {**row, **names, **_timed(model, seconds)}


def _described(module: ClassifierModule) -> tuple[dict[str, Any], Model]:
    """What of a row is known without timing, and the network as an ONNX model."""
    settings = module.hparams
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export(module, path)
        size = path.stat().st_size
        model = open_model(str(path))
    row = {
        "network": settings.network,
        "options": settings.network_options,
        "classes": len(settings.classes),
        "frame_length": settings.frame_length,
        "parameters": parameters(module.network),
        "keras_parameters": keras_parameters(module.network),
        "macs": macs(module.network, settings.frame_length),
        "onnx_bytes": size,
    }
    return row, model


def _timed(model: Model, seconds: float) -> dict[str, Any]:
    one_by_one = frames_per_second(model, (1,), seconds)["1"]
    batch = max(1, min(BATCH, int(LONGEST_BATCH * one_by_one)))
    return {
        "ms_per_frame": 1e3 / one_by_one,
        "batch": batch,
        "frames_per_second": frames_per_second(model, (batch,), seconds)[str(batch)],
    }


def measure_runs(folders: Sequence[Path], seconds: float) -> list[dict[str, Any]]:
    """A row for what each run has trained, all timed in turns; raises UserError for a folder that
    holds no finished run."""
    rows, models = [], []
    for folder in folders:
        module, about = open_run(folder)
        row, model = _described(module)
        rows.append(row | {key: about[key] for key in ("recipe", "budget", "member", "seed")})
        models.append(model)
    for turn in range(ROUNDS):
        for row, model in zip(rows, models, strict=True):
            timed = _timed(model, seconds / ROUNDS)
            if turn == 0 or timed["frames_per_second"] > row["frames_per_second"]:
                row |= {key: timed[key] for key in ("batch", "frames_per_second")}
            row["ms_per_frame"] = min(timed["ms_per_frame"], row.get("ms_per_frame", math.inf))
    return rows


def record(
    command: str,
    seconds: float = 1.0,
    names: Sequence[str] = (),
    tell: Callable[[dict[str, Any]], None] = lambda row: None,
    runs: Sequence[Path] = (),
) -> dict[str, Any]:
    """The record of all ``subjects(names)``, or of ``runs`` if there are any; ``tell`` is called
    with each row as it comes."""
    from .export import git_revision
    from .pipeline import surroundings

    if not 0 < seconds <= 3600:
        raise UserError(f"seconds is {seconds}; it must lie over 0 and up to 3600")
    revision = git_revision()
    if runs and names:
        raise UserError("runs are named by their folders alone, not by networks, too")
    rows = measure_runs(runs, seconds) if runs else []
    for row in rows:
        tell(row)
    for subject in subjects(names) if not runs else ():
        rows.append(measure(subject, seconds))
        tell(rows[-1])
    return {
        "command": command,
        "runtime": "onnxruntime",
        "threads": 1,
        "weights": "trained" if runs else "untrained",
        "seconds": seconds,
        "rows": rows,
        **surroundings(),
        "git_rev": revision,
    }
