# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a recipe from data to measured networks: generate, train, distil, calibrate, measure.

Every step leaves its result in the run's folder and is not done again, so a killed run goes on
where it was.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import logging
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .datasets import registry as generators
from .datasets.dataset_file import DataSetFile, training_split
from .datasets.generate import generate
from .errors import UserError
from .files import alone_in, replacing, sha256_of
from .recipe import RECIPES, DataPart, DataSection, PublishSection, Recipe
from .records import read_record, write_record
from .run_settings import same, settings_of

_log = logging.getLogger(__name__)

WORK = RECIPES.parent / "runs"
RESULTS = RECIPES.parent / "results"
MODELS = RECIPES.parents[1] / "models"

RECORD = "record.json"
UNIT = "rml2016_10a_plain"
"""The shipped model whose speed in float32 is the unit for others of its frame length.

Its file stays as it was first exported, without ``planar`` convolutions: a unit must not move.
"""

_UNIT_SECONDS = 0.5
_NOTE = "settings.yaml"
_EVALUATION_BATCH = 512
UNKNOWN_FROM_DB = 5
"""SNR label from which scores are measured on classes left out."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """Frames to train on, to watch and calibrate on, to measure on; files of runs, if any."""

    training: Any
    validation: Any
    test: Any
    runs: Path | None = None
    test_runs: Path | None = None


def run(
    recipe: Recipe,
    command: str,
    *,
    work: Path = WORK,
    jobs: int = 1,
    only: Sequence[str] = (),
    publish: bool = False,
    missing: bool = False,
    tell: Callable[[dict[str, Any], bool], None] = lambda record, finished_before: None,
) -> list[dict[str, Any]]:
    """Do everything ``recipe`` says; returns the records, one a member and seed.

    ``command`` is how the run was asked for, kept in models and records. ``only`` limits the run to
    some members and to the teachers that they need; with ``missing`` those are left out whose
    record, with these settings, is published, and a teacher among them is trained again only where
    neither its run nor its published weights are at hand. With ``publish`` the records go to
    ``training/results/``, and the members that the recipe publishes to ``models/`` with their
    cards. ``tell`` is called with each record as it comes, and with whether its run was finished
    before. Raises UserError before anything is done for what a recipe asks for and cannot be had,
    and if a run or a published record with other settings would be in the way.
    """
    from .export import git_revision
    from .preflight import check

    asked = list(only or recipe.members)
    wanted = _with_teachers(recipe, asked)
    revision = git_revision()  # now: by the end of a long run the checkout may have moved on
    folder = recipe_folder(recipe, work)
    runs = [
        (name, seed) for name in recipe.members if name in wanted for seed in recipe.seeds_of(name)
    ]
    check(recipe, wanted)
    for member, seed in runs:
        _refuse_others(recipe, member, seed, member_folder(folder, member, seed), publish)
    if publish:
        _refuse_other_models(recipe, asked)
    published = {run for run in runs if missing and _is_published(recipe, *run)}
    todo = _lacking(recipe, runs, published, folder) if missing else runs
    parts = prepare_data(recipe.data, work / "data", jobs)
    held, cells = parts.validation.cells(), parts.test.cells()
    if held < cells and recipe.budget != "smoke":
        _log.warning(
            "held-out frames are of %d of %d cells (classes at SNR labels), as passes are not "
            "divided; a part of their own, as data.validation: {frames_per_cell: 20, seed: 12, "
            "speech: train}, is of all",
            held,
            cells,
        )
    records = []
    for member, seed in todo:
        own = member_folder(folder, member, seed)
        own.mkdir(parents=True, exist_ok=True)
        with alone_in(own, wait=False):
            _refuse_others(recipe, member, seed, own, publish)  # of a run that ended meanwhile
            finished = (own / RECORD).is_file()
            record = _run_member(recipe, member, seed, parts, work, folder, command, revision)
        records.append(record)
        tell(record, finished)
        if publish and (member, seed) not in published:
            write_record(results_path(recipe, member, seed), record)
    new = set(todo) - published
    for chosen in recipe.publish:
        if chosen.member in asked and (chosen.member, recipe.seeds_of(chosen.member)[0]) in new:
            _ship(recipe, chosen, parts, folder, command, revision, publish)
    return records


def results_path(recipe: Recipe, member: str, seed: int) -> Path:
    """Where the record of a run stands once it is published."""
    return RESULTS / recipe.name / recipe.budget / f"{member}-s{seed}.json"


def recipe_folder(recipe: Recipe, work: Path = WORK) -> Path:
    """The folder of all trainings of a recipe."""
    return work / f"{recipe.name}-{recipe.budget}"


def member_folder(folder: Path, member: str, seed: int) -> Path:
    """The folder of one training within its recipe's ``folder``."""
    return folder / f"{member}-s{seed}"


def _is_published(recipe: Recipe, member: str, seed: int) -> bool:
    """Whether the record of such a run, with these settings, is published."""
    path = results_path(recipe, member, seed)
    return path.is_file() and same(read_record(path)["settings"], settings_of(recipe, member, seed))


def _lacking(
    recipe: Recipe, runs: Sequence[tuple[str, int]], published: set[tuple[str, int]], folder: Path
) -> list[tuple[str, int]]:
    """Of ``runs`` those that are not ``published`` and the teachers that must be trained for them:
    published weights of a teacher are put into its folder instead, where they are at hand."""
    from . import checkpoints

    needed = {run for run in runs if run not in published}
    waiting = list(needed)
    while waiting:
        member, _ = waiting.pop()
        for name in recipe.members[member].teachers():
            teacher = (name, recipe.seeds_of(name)[0])
            if teacher in needed:
                continue
            own = member_folder(folder, *teacher)
            if teacher in published and checkpoints.restore(results_path(recipe, *teacher), own):
                with replacing(own / _NOTE) as temporary:
                    temporary.write_text(_as_text(settings_of(recipe, *teacher)), encoding="utf-8")
                continue
            needed.add(teacher)
            waiting.append(teacher)
    return [run for run in runs if run in needed]


def _with_teachers(recipe: Recipe, names: Sequence[str]) -> set[str]:
    wanted: set[str] = set()
    for name in names:
        if name not in recipe.members:
            raise UserError(
                f"{recipe.name} has no member {name!r}; it has {', '.join(recipe.members)}"
            )
        wanted.add(name)
        wanted |= _with_teachers(recipe, recipe.members[name].teachers())
    return wanted


def prepare_data(data: DataSection, folder: Path, jobs: int) -> Parts:
    """The parts of a recipe's data, generated in ``folder`` where they are not there yet."""
    from .datasets.splits import split
    from .training_data import Part, thinned

    if data.file:
        path = Path(data.file)
        if data.file_sha256 and sha256_of(path) != data.file_sha256:
            raise UserError(f"{path} has another content than its recipe or run says (SHA-256)")
        with DataSetFile(path) as file:
            chosen = split(file, data.split, data.split_seed)
            file.check_frames()
            labels = file.z[:].astype(int)
        kept = [_within(labels, part, data.snr) for part in vars(chosen).values()]
        training, validation, test = (Part(path, part).without(data.without) for part in kept)
        return Parts(thinned(training, data.train_share, 0), validation, test)

    def made(part: DataPart | None) -> Path | None:
        return part and data_file(folder, data, part, jobs)

    train, test = made(data.train), made(data.test)
    if data.validation:
        training, validation = _all_of(train), _all_of(made(data.validation))
    else:
        with DataSetFile(train) as file:
            kept, held = training_split(file, data.validation_share, data.split_seed or 0)
        if not len(held):
            raise UserError(
                f"recipe key 'data.validation_share' is {data.validation_share}; of {len(kept)} "
                "frames that holds out none"
            )
        training, validation = Part(train, kept), Part(train, held)
    for part in (training, validation):
        if part.class_names() != _all_of(test).class_names():
            raise UserError(f"{part.path} and {test} are of other classes")
    return Parts(
        thinned(training.without(data.without), data.train_share, 0),
        validation.without(data.without),
        _all_of(test).without(data.without),
        made(data.runs),
        made(data.test_runs),
    )


def _all_of(path: Path) -> Any:
    from .training_data import Part

    with DataSetFile(path) as file:
        return Part(path, np.arange(len(file)))


def _within(labels: np.ndarray, chosen: np.ndarray, snr: list[int]) -> np.ndarray:
    if not snr:
        return chosen
    chosen = chosen[(labels[chosen] >= snr[0]) & (labels[chosen] <= snr[1])]
    if not len(chosen):
        raise UserError(f"recipe key 'data.snr' is {snr}; no frame has such an SNR label")
    return chosen


def data_file(folder: Path, data: DataSection, part: DataPart, jobs: int) -> Path:
    """The file for ``part`` of generated ``data``, made in ``folder`` unless it is there.

    Of several runs at once one makes files in ``folder`` at a time; the others wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = part.generator or data.generator
    snr = None if part.generator or not data.snr else (data.snr[0], data.snr[1])
    number = generators.create(generator).version
    limits = f"-snr{snr[0]}to{snr[1]}" if snr else ""
    path = folder / (
        f"{generator}-v{number}-{part.speech}-s{part.seed}-n{part.frames_per_cell}"
        f"-r{part.run_length}{limits}.h5"
    )
    if path.is_file():
        return path
    with alone_in(folder, wait=True):
        if not path.is_file():  # made while this run waited
            generate(
                generator,
                path,
                frames_per_cell=part.frames_per_cell,
                seed=part.seed,
                split=part.speech,
                run_length=part.run_length,
                snr=snr,
                jobs=jobs,
            )
    return path


def _run_member(
    recipe: Recipe,
    member: str,
    seed: int,
    parts: Parts,
    work: Path,
    base: Path,
    command: str,
    revision: str,
) -> dict[str, Any]:
    """Train and measure one member with one seed, or read the record of having done so."""
    from . import bound, calibration, checkpoints, reuse, teacher_cache, training
    from .complexity import keras_parameters, macs, parameters
    from .evaluate import describe_data, measure
    from .export import load_checkpoint
    from .networks.ensemble import Ensemble
    from .training_data import describe, thinned

    folder = member_folder(base, member, seed)
    settings = settings_of(recipe, member, seed)
    with replacing(folder / _NOTE) as temporary:
        temporary.write_text(_as_text(settings), encoding="utf-8")
    if (folder / RECORD).is_file():
        return read_record(folder / RECORD)
    share = recipe.members[member].train_share
    parts = dataclasses.replace(parts, training=thinned(parts.training, share, 0))
    teacher, cache, teacher_record, taught_by = None, None, None, ""
    own = recipe.members[member]
    if own.teacher:
        homes = {
            name: member_folder(base, name, recipe.seeds_of(name)[0]) for name in own.teachers()
        }
        networks = [checkpoints.open_run(home, RESULTS)[0].network for home in homes.values()]
        teacher, turned = networks[0], ""
        if len(networks) > 1 or own.teacher_rotations > 1:
            teacher = Ensemble(networks, own.teacher_rotations)
            turned = f"_turned_{own.teacher_rotations}"
        taught_by = teacher_cache.digest(teacher)
        home = homes[own.teacher]
        teacher_record = read_record(home / RECORD)
        shown = f"{parts.training.path.stem}_{len(parts.training)}{turned}"
        cache = home / f"shows_{shown}_by_{taught_by[:12]}"
    names = {
        "recipe": recipe.name,
        "member": member,
        "teacher": own.teacher,
        "budget": recipe.budget,
        "command": command,
    }
    origin = reuse.adopt(folder, work, _NOTE, settings, names, taught_by)
    began = reuse.begin(folder, revision, taught_by)
    started = time.monotonic()
    checkpoint = training.fit(
        training.Job(
            recipe, member, seed, parts.training, parts.validation, command, teacher, cache
        ),
        folder,
    )
    seconds = time.monotonic() - started
    with DataSetFile(parts.training.path) as data:
        trained_on = describe(data.info)
    module = load_checkpoint(checkpoint)
    device = training.device_of(recipe.train_of(member))
    held, logits = (torch_logits(module, part, device) for part in (parts.validation, parts.test))
    if not (np.isfinite(held).all() and np.isfinite(logits).all()):
        raise UserError(
            f"{member} with seed {seed} gives logits that are not finite: remove {folder} and "
            "train it otherwise, with a lower rate say"
        )
    temperature = calibration.fit_temperature(held, parts.validation.labels()[0])
    # Exponent 1, no gain from a vote, is the cautious choice where there are no runs to fit it on.
    fitted = calibration.Calibration(
        temperature, 1.0, f"{len(parts.validation)} validation frames of {trained_on}"
    )
    write_record(folder / "calibration.json", dataclasses.asdict(fitted))
    labels, snr = parts.test.labels()
    with DataSetFile(parts.test.path) as data:
        tested_on = describe_data(data)
    network = module.network
    exact = parts.test.log_posterior()
    left_out = _left_out_scores(recipe.data, module, parts)
    maps = _feature_maps(recipe, member, network, parts.test)
    record = {
        **({"feature_maps": maps} if maps else {}),
        **({"left_out": left_out} if left_out else {}),
        "recipe": recipe.name,
        "budget": recipe.budget,
        "member": member,
        "seed": seed,
        **({"trained_as": origin} if origin else {}),
        "command": command,
        "settings": settings,
        "train_data": trained_on,
        "train_frames": len(parts.training),
        "validation_frames": len(parts.validation),
        "validation_cells": [parts.validation.cells(), parts.test.cells()],
        "parameters": parameters(network),
        "keras_parameters": keras_parameters(network),
        "macs": macs(network, module.hparams.frame_length),
        "epochs": _epochs(folder),
        "best_epoch": _best_epoch(checkpoint),
        **_loss_terms(folder, [term.name for term in own.loss]),
        "train_seconds_last_start": round(seconds, 1),
        "calibration": dataclasses.asdict(fitted),
        "test": {
            **measure(
                logits,
                labels,
                snr,
                module.hparams.classes,
                temperature,
                recipe.report.confusion_at,
            ),
            **(
                {}
                if exact is None
                else {"bound": bound.compare(logits / temperature, exact, labels, snr)}
            ),
            "data": tested_on,
        },
        "teacher": teacher_record
        and {
            "member": teacher_record["member"],
            "seed": teacher_record["seed"],
            "overall": teacher_record["test"]["overall"],
        },
        **surroundings(),
        "git_rev": revision,
        **({"trained_git_rev": began} if began not in ("", revision) else {}),
    }
    write_record(folder / RECORD, record)
    return record


def _feature_maps(recipe: Recipe, member: str, network: Any, test: Any) -> dict[str, Any]:
    """What the recipe wants to be shown of a member's maps, by SNR label; empty if nothing."""
    from . import feature_maps

    if member not in recipe.report.feature_maps_of:
        return {}
    return {
        str(label): feature_maps.measure(network, test, label, recipe.report.classes_of_interest)
        for label in recipe.report.confusion_at
    }


def _left_out_scores(data: DataSection, module: Any, parts: Parts) -> dict[str, Any]:
    """How well each score tells the classes left out, by its name; empty if none is."""
    if not data.without:
        return {}
    from . import unknown

    # Of the file to train on, so that the choice among scores touches no test data.
    with DataSetFile(parts.validation.path) as file:
        everything = np.arange(len(file))
    others = dataclasses.replace(parts.validation, chosen=everything, classes=()).only(data.without)
    found = {}
    for kind in unknown.kinds_of(module):
        score = unknown.fit(kind, module, parts.training, UNKNOWN_FROM_DB)
        scores = functools.partial(unknown.scores_of, module, score)
        found[kind] = {
            **unknown.measure(scores, parts.validation, others, UNKNOWN_FROM_DB),
            "frames_of": "training file, its validation part",
        }
    return found


def torch_logits(module: Any, part: Any, device: str = "cpu") -> np.ndarray:
    """Logits of a trained module for all frames of a part, ``(n, classes)`` float32.

    They are computed on ``device``; the module is on the CPU before and after.
    """
    import torch

    from .training_data import Frames

    frames = Frames(part)
    pieces = []
    module.to(device)
    with torch.inference_mode():
        for start in range(0, len(frames), _EVALUATION_BATCH):
            index = torch.arange(start, min(start + _EVALUATION_BATCH, len(frames)))
            pieces.append(module(frames[index][0].to(device)).float().cpu().numpy())
    module.to("cpu")
    return np.concatenate(pieces)


def _epochs(folder: Path) -> int:
    """How many epochs a finished training took."""
    import torch

    from .training import LAST_CHECKPOINT

    return torch.load(folder / LAST_CHECKPOINT, weights_only=False, map_location="cpu")["epoch"] + 1


def _best_epoch(checkpoint: Path) -> int:
    """The epoch, from 1, after which the weights that are used stood."""
    import torch

    return torch.load(checkpoint, weights_only=False, map_location="cpu")["epoch"] + 1


def _loss_terms(folder: Path, names: list[str]) -> dict[str, dict[str, list[float]]]:
    """``loss_terms`` of a record: by term, before its weight, the means over the first and the last
    epoch; nothing for a loss of one term, or where the first is not told any more."""
    from .training import METRICS

    if len(names) < 2 or not (folder / METRICS).is_file():
        return {}
    with (folder / METRICS).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if rows[0]["epoch"] != "0":
        return {}
    values = {name: [row.get(f"train_{name}") for row in rows] for name in names}
    told = {name: [float(text) for text in texts if text] for name, texts in values.items()}
    return {"loss_terms": {name: [of[0], of[-1]] for name, of in told.items() if of}}


def _as_text(settings: dict[str, Any]) -> str:
    return yaml.safe_dump(settings, sort_keys=False)


def _refuse_others(recipe: Recipe, member: str, seed: int, folder: Path, publish: bool) -> None:
    """Refuse a folder, or the place of the record to be published, that other settings have."""
    settings = settings_of(recipe, member, seed)
    note, published = folder / _NOTE, results_path(recipe, member, seed)
    if note.is_file() and not same(yaml.safe_load(note.read_text(encoding="utf-8")), settings):
        raise UserError(
            f"{folder} holds a run with other settings (see its {_NOTE}); "
            "remove it or choose another folder with --work"
        )
    if not publish:
        return
    if recipe.budget == "smoke":
        raise UserError("figures of the budget smoke mean nothing: they are not published")
    if published.is_file() and not same(read_record(published)["settings"], settings):
        raise UserError(f"{published} is the record of a run with other settings; remove it first")


def _refuse_other_models(recipe: Recipe, asked: list[str]) -> None:
    """Refuse the place of a shipped model that is another recipe's, or of other settings."""
    for chosen in recipe.publish:
        record = RESULTS / f"{chosen.model_name}.json"
        if chosen.member not in asked or not record.is_file():
            continue
        shipped, own = read_record(record), recipe.seeds_of(chosen.member)[0]
        if (shipped["recipe"], shipped["budget"]) != (recipe.name, recipe.budget) or not same(
            shipped["settings"], settings_of(recipe, chosen.member, own)
        ):
            raise UserError(
                f"{record} is the record of a model of {shipped['recipe']} at the budget "
                f"{shipped['budget']}, with other settings; remove it first"
            )


def _ship(
    recipe: Recipe,
    chosen: PublishSection,
    parts: Parts,
    base: Path,
    command: str,
    revision: str,
    publish: bool,
) -> None:
    """Export a member that the recipe publishes, calibrate it on runs, measure it as a user's
    machine would run it, and write its card."""
    from . import calibration, checkpoints, evaluate, export, unknown
    from .model_card import model_card
    from .onnx_models import frames_per_second, open_model

    folder = member_folder(base, chosen.member, recipe.seeds_of(chosen.member)[0])
    trained = read_record(folder / RECORD)
    module = checkpoints.open_run(folder, RESULTS)[0]
    onnx_file = folder / f"{chosen.model_name}.onnx"

    def write(*args: Any, **more: Any) -> None:
        export.export(module, onnx_file, *args, **more)
        if chosen.quantize:
            _round(module, onnx_file, parts)

    write()
    fitted = calibration.fit(open_model(str(onnx_file)), parts.validation, parts.runs)
    # A file in int8 has a calibration of its own, which is not that of the weights.
    if not chosen.quantize:
        write_record(folder / "calibration.json", dataclasses.asdict(fitted))
    output, told = None, {}
    if chosen.unknown is not None:
        score = unknown.fit(chosen.unknown.score, module, parts.training, chosen.unknown.from_db)
        # The threshold is of the scores that this file gives.
        write(fitted, unknown=export.UnknownOutput(score, 0.0))
        told = _unknown_measured(recipe, chosen, parts, base, open_model(str(onnx_file)))
        output = export.UnknownOutput(score, told["threshold"])
    write(fitted, unknown=output)
    test = evaluate.evaluate(open_model(str(onnx_file)), parts.test.path)
    accuracy = {key: test[key] for key in ("overall", "by_snr")}
    write(fitted, accuracy, output)
    model = open_model(str(onnx_file))
    test["model"] = evaluate.describe_model(model)
    record = {
        **{key: trained[key] for key in ("recipe", "budget", "member", "seed", "settings")},
        "command": command,
        "about": recipe.about,
        "train_data": trained["train_data"],
        "train_frames": trained["train_frames"],
        "parameters": trained["parameters"],
        "bytes": onnx_file.stat().st_size,
        "frame_length": model.input_size,
        "samples_per_symbol": list(model.samples_per_symbol),
        "calibration": dataclasses.asdict(fitted),
        **({"unknown": told} if told else {}),
        "test": test,
        "decisions": evaluate.evaluate_runs(model, parts.test_runs)["decisions"],
        "frames_per_second": frames_per_second(model),
        **_beside_unit(model, onnx_file),
        **({"quantization": _quantization(onnx_file)} if chosen.quantize else {}),
        **surroundings(),
        "git_rev": revision,
    }
    write_record(folder / f"{chosen.model_name}.json", record)
    card = folder / f"{chosen.model_name}.md"
    limits = generators.create(recipe.data.generator).limits
    with replacing(card) as temporary:
        temporary.write_text(model_card(record, recipe.about, limits), encoding="utf-8")
    if publish:
        for source, target in (
            (onnx_file, MODELS / onnx_file.name),
            (card, MODELS / card.name),
            (folder / f"{chosen.model_name}.json", RESULTS / f"{chosen.model_name}.json"),
        ):
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)


def _round(module: Any, path: Path, parts: Parts) -> None:
    """Write the exported model ``path`` anew in int8."""
    import onnx
    from gnuradio.kdamc import contract

    from .compression import int8, qat

    model = onnx.load(path)
    ranges = qat.ranges_by_node(module.network, model.graph, module.hparams.frame_length)
    scheme = int8.Scheme(ranges=ranges)
    frames, told = int8.calibration_part(parts.validation, int8.CALIBRATION_FRAMES)
    rounded, nodes = int8.quantize(model, frames, scheme)
    props = {entry.key: entry.value for entry in rounded.metadata_props}
    props[contract.KEY_QUANTIZATION] = json.dumps(int8.describe(model, scheme, nodes, told))
    onnx.helper.set_model_props(rounded, props)
    with replacing(path) as temporary:
        onnx.save(rounded, temporary)


def _quantization(path: Path) -> dict[str, Any]:
    """What the file ``path`` says of how it was quantized."""
    import onnx
    from gnuradio.kdamc import contract

    props = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    return json.loads(props[contract.KEY_QUANTIZATION])


def _beside_unit(model: Any, path: Path) -> dict[str, Any]:
    """How many times as fast as the model ``UNIT`` it is, by batch size, both timed in turns;
    nothing for frames of another length."""
    from .compression.int8 import speeds_in_turns
    from .onnx_models import open_model

    unit = MODELS / f"{UNIT}.onnx"
    if not unit.is_file() or open_model(str(unit)).input_size != model.input_size:
        return {}
    speeds = speeds_in_turns({UNIT: unit, "own": path}, _UNIT_SECONDS)
    ratio = {size: own / speeds[UNIT][size] for size, own in speeds["own"].items()}
    return {"speed_ratio": {"to": UNIT, "by_batch": ratio}}


def _unknown_measured(
    recipe: Recipe, chosen: PublishSection, parts: Parts, base: Path, model: Any
) -> dict[str, Any]:
    """The threshold of the score that the recipe publishes and ``model`` gives; how good it is."""
    from . import unknown
    from .onnx_models import outputs_of_any
    from .training_data import Part

    asked = chosen.unknown

    def scores(part: Part) -> np.ndarray:
        with DataSetFile(part.path) as file:
            return outputs_of_any(model, file, part.chosen).unknown_score

    section = DataSection(generator=asked.generator, snr=recipe.data.snr)
    path = data_file(base.parents[1] / "data", section, asked.frames, 1)
    with DataSetFile(path) as file:
        others = Part(path, np.arange(len(file)))
    threshold = float(np.quantile(scores(parts.validation), 1 - asked.false_rejection))
    return {
        "score": asked.score,
        "threshold": threshold,
        "false_rejection_wanted": asked.false_rejection,
        "false_rejection_on_test": float((scores(parts.test) > threshold).mean()),
        **unknown.measure(scores, parts.test, others, asked.from_db),
        "data": asked.generator,
    }


def surroundings() -> dict[str, Any]:
    """The hardware and the versions that a record names."""
    names = ("torch", "lightning", "onnx", "onnxruntime", "numpy")
    return {"hardware": hardware(), "versions": {name: version(name) for name in names}}


def hardware() -> str:
    """The processor's name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
