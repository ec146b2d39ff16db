# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a recipe from data to a measured model: generate, train, export, calibrate, measure.

Every step leaves its result in the run's folder and is not done again, so a killed run goes on
where it was.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .datasets import registry as generators
from .datasets.dataset_file import DataSetFile
from .datasets.generate import generate
from .errors import UserError
from .files import replacing
from .recipe import RECIPES, DataPart, Recipe, as_yaml

WORK = RECIPES.parent / "runs"
RESULTS = RECIPES.parent / "results"
MODELS = RECIPES.parents[1] / "models"


def run(
    recipe: Recipe, command: str, *, work: Path = WORK, jobs: int = 1, publish: bool = False
) -> dict[str, Any]:
    """Do everything ``recipe`` says; returns the record, which also stands in ``record.json``.

    ``command`` is how the run was asked for, kept in model and record. With ``publish`` the model
    and its card are copied to ``models/`` and the record to ``training/results/``.
    Raises UserError if the folder holds a run of a recipe that differs.
    """
    folder = work / f"{recipe.name}-{recipe.budget}"
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, recipe)
    data = {
        part: _data_file(work / "data", recipe.data.generator, getattr(recipe.data, part), jobs)
        for part in ("train", "runs", "test", "test_runs")
    }

    from . import calibration, evaluate, export, training
    from .onnx_models import frames_per_second, open_model

    started = time.monotonic()
    checkpoint = training.fit(recipe, data["train"], folder, command)
    seconds = time.monotonic() - started
    module = export.load_checkpoint(checkpoint)
    onnx_file = folder / f"{recipe.model_name}.onnx"
    export.export(module, onnx_file)

    fitted = calibration.fit(open_model(str(onnx_file)), data["runs"])
    write_json(folder / "calibration.json", dataclasses.asdict(fitted))
    export.export(module, onnx_file, fitted)
    test = evaluate.evaluate(open_model(str(onnx_file)), data["test"])
    accuracy = {key: test[key] for key in ("overall", "by_snr")}
    export.export(module, onnx_file, fitted, accuracy)
    model = open_model(str(onnx_file))
    test["model"] = evaluate.describe_model(model)

    with DataSetFile(data["train"]) as file:
        train_frames, described = len(file), evaluate.describe_data(file)
    record = {
        "recipe": recipe.name,
        "budget": recipe.budget,
        "command": command,
        "settings": dataclasses.asdict(recipe),
        "train_data": f"{described['generator']} seed {described['seed']} speech "
        f"{described['speech']}",
        "train_frames": train_frames,
        "parameters": sum(p.numel() for p in module.network.parameters()),
        "bytes": onnx_file.stat().st_size,
        "frame_length": model.input_size,
        "samples_per_symbol": list(model.samples_per_symbol),
        "calibration": dataclasses.asdict(fitted),
        "test": test,
        "decisions": evaluate.evaluate_runs(model, data["test_runs"])["decisions"],
        "frames_per_second": frames_per_second(model),
        "train_seconds_last_start": round(seconds, 1),
        "hardware": hardware(),
        "versions": {
            name: version(name) for name in ("torch", "lightning", "onnx", "onnxruntime", "numpy")
        },
        "git_rev": export.git_revision(),
    }
    write_json(folder / "record.json", record)
    from .model_card import model_card

    card = folder / f"{recipe.model_name}.md"
    limits = generators.create(recipe.data.generator).limits
    with replacing(card) as temporary:
        temporary.write_text(model_card(record, recipe.about, limits), encoding="utf-8")
    if publish:
        for source, target in (
            (onnx_file, MODELS / onnx_file.name),
            (card, MODELS / card.name),
            (folder / "record.json", RESULTS / f"{recipe.model_name}.json"),
        ):
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)
    return record


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def hardware() -> str:
    """The processor's name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _claim(folder: Path, recipe: Recipe) -> None:
    """Note the recipe in the folder, or refuse a folder that another recipe has filled."""
    note = folder / "recipe.yaml"
    text = as_yaml(recipe)
    if note.is_file() and note.read_text(encoding="utf-8") != text:
        raise UserError(
            f"{folder} holds a run with other settings (see its recipe.yaml); "
            "remove it or choose another folder with --work"
        )
    with replacing(note) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _data_file(folder: Path, name: str, part: DataPart, jobs: int) -> Path:
    """The data set file for ``part``, generated unless it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    number = generators.create(name).version
    path = folder / (
        f"{name}-v{number}-{part.speech}-s{part.seed}-n{part.frames_per_cell}-r{part.run_length}.h5"
    )
    if not path.is_file():
        generate(
            name,
            path,
            frames_per_cell=part.frames_per_cell,
            seed=part.seed,
            split=part.speech,
            run_length=part.run_length,
            jobs=jobs,
        )
    return path
