# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published weights: what a run trained, as a safetensors file that its record vouches for.

``training/checkpoints/<recipe>/<budget>/<member>-s<seed>.safetensors`` holds the network's tensors
and, as JSON under the key ``kdamc`` of its metadata, what it takes to build the network and to
export it: ``recipe``, ``budget``, ``member``, ``seed``, ``network``, ``network_options``,
``classes``, ``frame_length``, ``describes`` (see ``ClassifierModule``) and ``calibration``. The
published record of the run has an entry ``weights``: ``sha256`` and ``bytes`` of that file, and its
place ``file`` below ``training/checkpoints``, "" for weights that are too large to be kept there.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from . import recipe as recipes
from .calibration import Calibration, read_calibration
from .compression.qat import finished
from .errors import UserError
from .export import load_checkpoint
from .files import alone_in, replacing, sha256_of
from .lightning_module import ClassifierModule
from .pipeline import RECORD, RESULTS
from .records import read_record, write_record
from .reuse import same_weights
from .run_settings import drifted, same

CHECKPOINTS = recipes.RECIPES.parent / "checkpoints"
SUFFIX = ".safetensors"
MOST_BYTES_OF_A_SYSTEM = 8_000_000
README = "README.md"

_KEY = "kdamc"
_OF_RECORD = ("recipe", "budget", "member", "seed")
_OF_MODULE = ("network", "network_options", "classes", "frame_length", "describes")
_RUN_FILE = "weights" + SUFFIX


def bare_module(
    network: str,
    network_options: dict[str, Any],
    classes: Sequence[str],
    frame_length: int,
    describes: dict[str, Any],
) -> ClassifierModule:
    """A network with new weights in what an export takes; it is not meant to be trained."""
    return ClassifierModule(
        network=network,
        network_options=network_options,
        classes=list(classes),
        frame_length=frame_length,
        loss=[dataclasses.asdict(recipes.LossTerm("cross_entropy"))],
        train=dataclasses.asdict(recipes.TrainSection(epochs=1)),
        seed=0,
        augment=dataclasses.asdict(recipes.AugmentSection()),
        describes=describes,
    ).eval()


def open_run(folder: Path, results: Path = RESULTS) -> tuple[ClassifierModule, dict[str, Any]]:
    """The trained module of a run's folder and its record; raises UserError if it has none.

    A folder that ``restore`` made has published weights, vouched for in ``results``.
    """
    record = read_record(folder / RECORD)
    file = _weights_of(folder, record)
    return load(file, results)[0] if file.suffix == SUFFIX else load_checkpoint(file), record


def _weights_of(folder: Path, record: dict[str, Any]) -> Path:
    """The file of a run's folder that has its weights, or should have them."""
    from .training import BEST_CHECKPOINT, LAST_CHECKPOINT

    try:
        keep = record["settings"]["train"]["keep"]
    except KeyError as error:
        raise UserError(f"{folder / RECORD}: says nothing of {error}") from error
    checkpoint = folder / (BEST_CHECKPOINT if keep == "best" else LAST_CHECKPOINT)
    published = folder / _RUN_FILE
    return published if published.is_file() and not checkpoint.is_file() else checkpoint


def open_trained(path: Path) -> tuple[ClassifierModule, Calibration | None]:
    """The module of a run's folder, of a checkpoint or of published weights, ready for inference,
    and its calibration if there is one; raises UserError if it is none of these."""
    if path.suffix == SUFFIX:
        return load(path)
    beside = calibration_of(path)
    module = open_run(path)[0] if path.is_dir() else load_checkpoint(path)
    return module, read_calibration(beside) if beside.is_file() else None


def calibration_of(path: Path) -> Path:
    """Where the calibration of a run lies, given its folder or its checkpoint."""
    return (path if path.is_dir() else path.parent) / "calibration.json"


def check_publishable(folder: Path) -> None:
    """Raise UserError if a run's folder is of the budget smoke, or of other settings than its
    recipe has."""
    record = read_record(folder / RECORD)
    budget, member = record["budget"], record["member"]
    if budget == "smoke":
        raise UserError(f"{folder}: figures of the budget smoke mean nothing: not published")
    recipe = recipes.load(recipes.find(record["recipe"]), budget)
    settings, seed = record["settings"], record["seed"]
    if member not in recipe.members or drifted(settings, recipe, member, seed):
        raise UserError(
            f"{folder}: {member} was trained with other settings than {recipe.name} has: write a "
            "recipe that says so"
        )


def publish(
    folder: Path, results: Path = RESULTS, checkpoints: Path = CHECKPOINTS
) -> dict[str, Any]:
    """Publish the weights of a run's folder with their hash; returns the entry ``weights``.

    The record goes to ``results`` with the entry, and the list of all published weights is written
    anew. Weights by which the files of their system would be over ``MOST_BYTES_OF_A_SYSTEM`` stay
    in the run's folder. Raises UserError if the record there is of a run with other settings.
    """
    module, record = open_run(folder)
    published = _record_path(record, results)
    if published.is_file() and not same(read_record(published)["settings"], record["settings"]):
        raise UserError(f"{published} is the record of a run with other settings; remove it first")
    about = {key: record[key] for key in _OF_RECORD}
    about |= {key: module.hparams[key] for key in _OF_MODULE}
    about["calibration"] = dataclasses.asdict(read_calibration(folder / "calibration.json"))
    own = folder / _RUN_FILE
    network = finished(module.network)
    # Weights of convolutions may lie in another order than their shape says.
    tensors = {name: value.clone().contiguous() for name, value in network.state_dict().items()}
    with replacing(own) as temporary:
        # One key, as the order of several would not be the same each time.
        save_file(tensors, temporary, {_KEY: json.dumps(about, sort_keys=True)})
    place = Path(record["recipe"], record["budget"], f"{record['member']}-s{record['seed']}")
    target = checkpoints / place.with_name(place.name + SUFFIX)
    others = sum(
        path.stat().st_size
        for path in (checkpoints / place.parts[0]).rglob("*" + SUFFIX)
        if path != target
    )
    size = own.stat().st_size
    kept = others + size <= MOST_BYTES_OF_A_SYSTEM
    if kept:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            shutil.copyfile(own, temporary)
    else:
        target.unlink(missing_ok=True)
    record["weights"] = {
        "file": target.relative_to(checkpoints).as_posix() if kept else "",
        "sha256": sha256_of(own),
        "bytes": size,
    }
    write_record(folder / RECORD, record)
    write_record(published, record)
    checkpoints.mkdir(parents=True, exist_ok=True)
    with replacing(checkpoints / README) as temporary:
        temporary.write_text(readme(results), encoding="utf-8")
    return record["weights"]


def load(path: Path, results: Path = RESULTS) -> tuple[ClassifierModule, Calibration]:
    """The module of a published file, ready for inference, and its calibration.

    Raises UserError if the file is none, and if its hash is not the one in the published record.
    """
    about = _about(path)
    try:
        vouched = _record_path(about, results)
        settings = {key: about[key] for key in _OF_MODULE}
        calibration = Calibration(**about["calibration"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: no weights of this package: {error}") from error
    expected = read_record(vouched).get("weights", {}).get("sha256")
    if expected is None:
        raise UserError(f"{path}: {vouched} gives no hash of these weights")
    if sha256_of(path) != expected:
        raise UserError(f"{path}: its SHA-256 is not the one in {vouched}")
    module = bare_module(**settings)
    module.network.load_state_dict(load_file(path))
    return module.eval(), calibration


def restore(published: Path, folder: Path, checkpoints: Path = CHECKPOINTS) -> bool:
    """Put published weights, their record and calibration into the ``folder`` of a run, to learn
    from; what a run has left there is not touched.

    ``published`` is the record below ``training/results``; of a training that was another recipe's
    first the weights may be published there. Returns whether the folder holds a finished run now:
    not if the weights are not kept or a training was begun there. Raises UserError if they are not
    those of the record, or if another process uses the folder.
    """
    own = folder / RECORD
    if own.is_file() and _weights_of(folder, read_record(own)).is_file():
        return True
    record, results = read_record(published), published.parents[3]
    place = _kept_place(record, results)
    if not place or any(folder.glob("*.ckpt")):
        return False
    file = checkpoints / place
    if not file.is_file():
        return False
    load(file, results)
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder, wait=False):
        with replacing(folder / _RUN_FILE) as temporary:
            shutil.copyfile(file, temporary)
        write_record(calibration_of(folder), record["calibration"])
        write_record(own, record)
    return True


def _kept_place(record: dict[str, Any], results: Path) -> str:
    """Where the weights of a published record lie below ``training/checkpoints``, "" if they are
    not kept: as it says itself, or as the record does of the run that it was trained as."""
    first, seen = record, []
    while "weights" not in record and record.get("trained_as") not in (None, *seen):
        seen.append(record["trained_as"])
        name, member = record["trained_as"].rsplit(" ", 1)
        path = results / name / record["budget"] / f"{member}-s{record['seed']}.json"
        if not path.is_file():
            return ""
        record = read_record(path)
        if not same_weights(record, first):
            return ""
    return record.get("weights", {}).get("file", "")


def readme(results: Path = RESULTS) -> str:
    """The list of all weights that records in ``results`` vouch for, as Markdown."""
    rows = []
    for path in sorted(results.glob("*/*/*/*.json")):
        record = read_record(path)
        if "weights" not in record:
            continue
        weights = record["weights"]
        cells = [
            weights["file"] or "not kept here",
            f"{record['recipe']} {record['budget']}, {record['member']}, seed {record['seed']}",
            record["settings"]["member"]["network"],
            f"{record['parameters']:,}",
            f"{100 * record['test']['overall']:.2f} %",
            f"{weights['bytes']:,}",
            f"`{weights['sha256']}`",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(
        [
            "# Weights of trained networks",
            "",
            "Written by `kdamc-train checkpoint` from the records in `training/results/`.",
            "`kdamc-train export FILE OUT.onnx` compares the SHA-256 of a file with that of its",
            "record and makes a model for the radio of it. Weights that are too large to be kept",
            "here, such as those of the edge paper's networks, come from the run again: its record",
            "says how it was started.",
            "",
            "| file | run | network | parameters | test accuracy | bytes | SHA-256 |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def record_of(path: Path, results: Path = RESULTS) -> dict[str, Any]:
    """The published record that vouches for the published weights ``path``."""
    return read_record(_record_path(_about(path), results))


def _about(path: Path) -> dict[str, Any]:
    """What a published file says of itself; raises UserError if it is none."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[_KEY])
        if missing := [key for key in _OF_RECORD if key not in about]:
            raise KeyError(missing[0])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: no weights of this package: {error}") from error
    return about


def _record_path(about: dict[str, Any], results: Path) -> Path:
    name = f"{about['member']}-s{about['seed']}.json"
    return results / str(about["recipe"]) / str(about["budget"]) / name
