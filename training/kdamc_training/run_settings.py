# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides the result of a training, and whether two trainings are the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from . import own_code
from .datasets import registry as generators
from .files import sha256_of
from .recipe import AugmentSection, DataSection, Member, Recipe

_LATER_KEYS = {
    "train_share": 1.0,
    "more_teachers": [],
    "teacher_rotations": 1,
    "teacher_sees": "augmented",
}
"""Keys of a member with their defaults, which folders of runs that were before them do not have."""


def settings_of(recipe: Recipe, member: str, seed: int) -> dict[str, Any]:
    """What decides the result of one training, its teacher's settings included.

    A data set file counts by its content, and so does the code of networks and losses that are
    not of this package; generators count by their versions.
    """
    own = dataclasses.asdict(recipe.members[member])
    del own["seeds"], own["train"], own["about"]
    for key, default in _LATER_KEYS.items():
        if own[key] == default:
            del own[key]
    train = dataclasses.asdict(recipe.train_of(member))
    if not train["quantize"]:
        del train["quantize"]  # as in folders of runs that were before there was such training
    settings = {
        "member": own,
        "train": train,
        "seed": seed,
        "data": _data_settings(recipe.data),
        "augment": _augment_settings(recipe.augment),
    }
    if versions := _versions(recipe.data):
        settings["generators"] = versions
    if code := _code(recipe.members[member]):
        settings["code"] = code
    if name := recipe.members[member].teacher:
        settings["teacher"] = settings_of(recipe, name, recipe.seeds_of(name)[0])
    if others := recipe.members[member].more_teachers:
        settings["more_teachers"] = [
            settings_of(recipe, name, recipe.seeds_of(name)[0]) for name in others
        ]
    return settings


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two trainings' settings are the same, wherever their data set file lies."""
    return comparable(first) == comparable(second)


def comparable(settings: dict[str, Any], *more: str) -> dict[str, Any]:
    """``settings``, those of teachers and of what was compressed too, without the path of a file
    that is known by its content, and without the sections ``more``."""

    def of(key: str, value: Any) -> Any:
        if key == "data" and value.get("file_sha256"):
            return {**value, "file": ""}
        if key in ("teacher", "trained") and isinstance(value, dict):
            return comparable(value, *more)
        if key == "more_teachers":
            return [comparable(one, *more) for one in value]
        return value

    return {key: of(key, value) for key, value in settings.items() if key not in more}


def drifted(settings: dict[str, Any], recipe: Recipe, member: str, seed: int) -> bool:
    """Whether a run's settings are not those of its recipe; a data set file may stand for data."""
    # Code of others may be gone by now, as this package's of the revision that a record names.
    left_out = ["code", *(["data", "generators"] if settings["data"]["file"] else [])]
    own = settings_of(recipe, member, seed)
    return comparable(own, *left_out) != comparable(settings, *left_out)


def _code(member: Member) -> dict[str, str]:
    """SHA-256 of the files that a member's network and losses are from, of those of others."""
    used = [("network", member.network), *(("loss", term.name) for term in member.loss)]
    found = {f"{kind} {name}": own_code.digest(kind, name) for kind, name in used}
    return {name: digest for name, digest in found.items() if digest}


def _versions(data: DataSection) -> dict[str, str]:
    """Versions of the generators of ``data``, but for "1", as in folders of runs that were before
    there was another."""
    parts = (data.train, data.validation, data.test, data.runs, data.test_runs)
    names = {data.generator, *(part.generator for part in parts if part)} - {""}
    found = {name: generators.create(name).version for name in sorted(names)}
    return {name: version for name, version in found.items() if version != "1"}


def _augment_settings(augment: AugmentSection) -> dict[str, Any]:
    """As in folders of runs that were before frames could be reversed, limited, given noise, or
    made strange."""
    settings = dataclasses.asdict(augment)
    for key in ("reversal", "limiting", "noise", "noise_rise", "strangers"):
        if not settings[key]:
            del settings[key]
    if augment.limiting_drive == AugmentSection().limiting_drive:
        del settings["limiting_drive"]
    return settings


def _data_settings(data: DataSection) -> dict[str, Any]:
    """As in folders of runs that were before classes could be left out and parts could come from
    elsewhere."""
    settings = dataclasses.asdict(data)
    if data.file:
        path = Path(data.file).resolve()
        settings |= {"file": str(path), "file_sha256": data.file_sha256 or sha256_of(path)}
    else:
        del settings["file_sha256"]
    if not data.validation:
        del settings["validation"]
    for part in settings.values():
        if isinstance(part, dict) and not part["generator"]:
            del part["generator"]
    if not data.without:
        del settings["without"]
    return settings
