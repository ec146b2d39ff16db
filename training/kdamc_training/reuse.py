# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same training asked for by two recipes is done once: the second takes what the first made.

So that nothing is said of it that was not so, a run's folder keeps in ``began.json`` of which
revision its training is, ``git_rev``, and which weights teach it, ``teacher_sha256``, "" for none.
"""

from __future__ import annotations

import copy
import math
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml

from .errors import UserError
from .files import replacing
from .records import read_record, write_record
from .run_settings import comparable
from .training import BEST_CHECKPOINT, FINISHED, LAST_CHECKPOINT, METRICS

BEGAN = "began.json"

_NOT_TRAINED_ON = ("test", "runs", "test_runs")
"""Of a recipe's data."""
_NAMES = ("teacher", "more_teachers")
"""Of a member: what other members are called there; their settings stand beside."""


def begin(folder: Path, revision: str, teacher: str) -> str:
    """Note that a training begins in ``folder``, unless it began there before.

    ``teacher`` is what ``teacher_cache.digest`` gives of the weights that teach, "" for none.
    Returns the revision that the training is of, "" for one that began before such notes were.
    Raises UserError if it began with other weights to teach it.
    """
    note = folder / BEGAN
    if note.is_file():
        began = read_record(note)
        if began["teacher_sha256"] != teacher:
            raise UserError(f"{folder}: began with other weights of its teacher; remove it first")
        return began["git_rev"]
    if (folder / LAST_CHECKPOINT).exists():
        return ""
    write_record(note, {"git_rev": revision, "teacher_sha256": teacher})
    return revision


def adopt(
    folder: Path,
    work: Path,
    settings_file: str,
    settings: dict[str, Any],
    names: dict[str, str],
    teacher: str,
) -> str | None:
    """Copy a finished training with the same ``settings`` from elsewhere under ``work``.

    ``folder`` gets its checkpoints, if none is there yet; they say ``names`` (recipe, member and so
    on) from now on. ``teacher`` is as for ``begin``: what other weights of the same training taught
    does not fit. Returns "RECIPE MEMBER" of the first that fits, None if none does.
    """
    if (folder / LAST_CHECKPOINT).exists():
        return None
    wanted = training_of(settings)
    used = BEST_CHECKPOINT if settings["train"]["keep"] == "best" else LAST_CHECKPOINT
    for mark in sorted(work.rglob(FINISHED)):
        note = mark.parent / settings_file
        files = (note, mark.parent / LAST_CHECKPOINT, mark.parent / used)
        if mark.parent == folder or not all(file.is_file() for file in files):
            continue
        began = mark.parent / BEGAN
        if began.is_file() and read_record(began)["teacher_sha256"] != teacher:
            continue
        found = yaml.safe_load(note.read_text(encoding="utf-8"))
        # A fine-tuned network's note has no member.
        if "member" in found and training_of(found) == wanted:
            return _copy(mark.parent, folder, names)
    return None


def same_weights(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two records are of the same training, done once: with the same settings it may have
    been done twice, on two machines say, and then their validation frames tell the weights apart.
    """
    one, other = (record["calibration"]["temperature"] for record in (first, second))
    return (
        training_of(first["settings"]) == training_of(second["settings"])
        and first["best_epoch"] == second["best_epoch"]
        # What is measured anew may differ in the last digits of float32.
        and math.isclose(one, other, rel_tol=1e-5)
    )


def training_of(settings: dict[str, Any]) -> dict[str, Any]:
    """What of a run's settings decides its weights."""
    kept = copy.deepcopy(comparable(settings))
    for key in _NOT_TRAINED_ON:
        kept.get("data", {}).pop(key, None)
    for name in _NAMES:
        kept.get("member", {}).pop(name, None)
    if "teacher" in kept:
        kept["teacher"] = training_of(kept["teacher"])
    if "more_teachers" in kept:
        kept["more_teachers"] = [training_of(one) for one in kept["more_teachers"]]
    return kept


def _copy(source: Path, folder: Path, names: dict[str, str]) -> str:
    origin = ""
    for name in (BEST_CHECKPOINT, LAST_CHECKPOINT):
        if not (source / name).is_file():
            continue
        checkpoint = torch.load(source / name, weights_only=False, map_location="cpu")
        describes = checkpoint["hyper_parameters"]["describes"]
        origin = f"{describes['recipe']} {describes['member']}"
        describes.update(names)
        with replacing(folder / name) as temporary:
            torch.save(checkpoint, temporary)
    for name in (METRICS, BEGAN):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    (folder / FINISHED).touch()
    return origin
