# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""``kdamc-train compress``: the rows of a compression recipe, from trained networks to records.

Every step leaves its result in the row's folder and is not done again, so a killed run goes on
where it was; Net-Trim and retraining leave their state on the way. A record, one a row, holds
besides ``command``, ``hardware``, ``versions`` and ``git_rev``:

- ``recipe``, ``budget``, ``row``, ``settings`` (what decides the result), ``member``, ``seed``;
- ``method``: "net_trim" or "product_quantization"; ``retrained`` if the row comes after another:
  ``epochs``, ``frames``, ``accuracy`` (validation, by epoch), ``best_epoch``;
- ``layer``: ``inputs``, ``outputs``, ``weights``, ``nonzero`` and ``p_e`` (Net-Trim; the bias is
  not counted), ``bytes`` (of coordinates, or of codebook and codes), ``factor`` (float32 weights
  over that), and of product quantization ``c_q``, the paper's formula at 64 bits, and
  ``c_q_stored``, that at the 32 bits of the file;
- ``admm`` (Net-Trim): ``frames``, ``gain``, ``rho``, ``tolerance``, ``iterations``, ``converged``,
  ``primal`` and ``dual`` (last residuals over their tolerances), ``distance`` and ``leak`` (see
  ``NetTrimResult``), ``seconds_per_iteration`` since the last start, preparations included;
- ``file``: ``bytes`` and ``original_bytes`` of the ONNX files, ``factor``, ``factor_claimed`` (what
  the layer's factor makes of all float32 parameters) and ``difference`` (factor over claimed less
  1), ``torch_difference`` (largest magnitude, of logits, between ONNX Runtime and torch);
- ``cut`` (Net-Trim): the network without what the pruned layer does not use (see ``structured``):
  ``outputs``, ``channels`` and ``inputs`` cut, ``parameters``, ``bytes`` of a file with its layer
  sparse, ``torch_difference``; None if there is nothing to cut;
- ``test`` and ``original``: ``frames``, ``overall``, ``by_snr``, ``ece``, ``classes`` of the ONNX
  files on the same frames; ``difference``: ``overall`` and ``by_snr`` of these, and ``changed``,
  the share of frames called something else; ``data``;
- ``speed``: by batch size frames a second of ``original``, ``compressed`` and ``cut``, on one
  thread, in turns, the median of so many ``turns``; ``ratio`` and ``cut_ratio`` are medians of the
  ratios of a turn.
"""

from __future__ import annotations

import dataclasses
import hashlib
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from .. import calibration, pipeline, run_settings, teacher_cache
from .. import recipe as recipes
from ..checkpoints import open_run
from ..complexity import parameters
from ..datasets.dataset_file import DataSetFile
from ..errors import UserError
from ..evaluate import describe_data, measure
from ..export import export, git_revision
from ..files import alone_in, replacing
from ..lightning_module import ClassifierModule
from ..networks import registry
from ..networks.vtcnn2 import HiddenLayerClassifier
from ..onnx_models import frames_per_second, open_model, outputs_for
from ..pipeline import Parts
from ..records import read_record, write_record
from ..training_data import Frames, thinned
from .coo import Coo
from .net_trim import NotConverged, Progress, net_trim
from .product_quantization import (
    ProductQuantized,
    ProductQuantizedLinear,
    compression_rate,
    file_rate,
    quantize,
)
from .recipe import CompressionRecipe
from .retrain import retrain
from .sparse_onnx import store_sparse
from .structured import cut

LAYER = "hidden"
BATCH_SIZES = (1, 256)
TOLERANCE = 1e-3
"""Of logits, relative to the largest, if that is over 1."""

_TURNS = 5
_SECONDS_A_TURN = 0.3
_SECONDS_AT_SMOKE = 0.003
_NOTE = "settings.json"
_BEGAN = "began.json"
_WEIGHT = f"{LAYER}.weight"
_BATCH = 512
_COMPARED = 512
_KEPT = ("frames", "overall", "by_snr", "ece", "classes")


@dataclass(frozen=True)
class _Row:
    """One row in work: its names, where its results lie, and the trained network it begins from.

    ``original`` is a folder that all rows of a member share.
    """

    recipe: CompressionRecipe
    name: str
    folder: Path
    original: Path
    trained: Path
    parts: Parts

    def module(self) -> ClassifierModule:
        """The trained module as it was, a new copy each time."""
        return open_run(self.trained)[0]


def run(
    recipe: CompressionRecipe,
    command: str,
    *,
    work: Path = pipeline.WORK,
    jobs: int = 1,
    only: Sequence[str] = (),
    publish: bool = False,
    tell: Callable[[dict[str, Any]], None] = lambda record: None,
) -> list[dict[str, Any]]:
    """Do the rows of ``recipe``, or ``only`` some and those that they come after; the records.

    The recipe ``recipe.of`` must have been run in ``work`` at the same budget. ``tell`` is called
    with each record as it comes; with ``publish`` it goes to ``training/results/``. Raises
    UserError before anything is done for what cannot be had: rows, runs that are missing or have
    other settings than their recipe now, networks without such a layer, other results in the way.
    """
    revision = git_revision()
    training = recipes.load(recipes.find(recipe.of), recipe.budget)
    wanted = _with_origins(recipe, only)
    folder = work / f"{recipe.name}-{recipe.budget}"
    for name in wanted:
        _check(recipe, training, name, work)
        _refuse_others(recipe, training, name, folder / name, publish)
    parts = pipeline.prepare_data(training.data, work / "data", jobs)
    if recipe.net_trim.frames > len(parts.training) and any(
        recipe.origin(name).gain is not None for name in wanted
    ):
        raise UserError(
            f"recipe key 'net_trim.frames' is {recipe.net_trim.frames}; there are "
            f"{len(parts.training)} training frames"
        )
    torch.set_num_threads(training.train.threads)
    records = []
    for name in wanted:
        member = recipe.origin(name).member
        row = _Row(
            recipe,
            name,
            folder / name,
            folder / f"original-{member}",
            _trained(training, member, work),
            parts,
        )
        row.folder.mkdir(parents=True, exist_ok=True)
        with alone_in(row.folder, wait=False):
            record = _run_row(row, settings_of(recipe, training, name), command, revision)
        if publish:
            write_record(results_path(recipe, name), record)
        records.append(record)
        tell(record)
    return records


def results_path(recipe: CompressionRecipe, row: str) -> Path:
    """Where the record of a row stands once it is published."""
    return pipeline.RESULTS / recipe.name / recipe.budget / f"{row}.json"


def settings_of(recipe: CompressionRecipe, training: recipes.Recipe, row: str) -> dict[str, Any]:
    """What decides the result of a row, the training that it begins from included."""
    own, origin = recipe.rows[row], recipe.origin(row)
    settings: dict[str, Any] = {
        "trained": run_settings.settings_of(
            training, origin.member, training.seeds_of(origin.member)[0]
        ),
        "seed": recipe.seed,
    }
    if origin.gain is not None:
        trim = dataclasses.asdict(recipe.net_trim)
        del trim["keep_every"]
        settings["net_trim"] = {"gain": origin.gain, **trim}
    else:
        settings["product_quantization"] = {
            "blocks": origin.blocks,
            **dataclasses.asdict(recipe.product_quantization),
        }
    if own.after:
        settings["retrain"] = dataclasses.asdict(recipe.retrain)
    return settings


def _with_origins(recipe: CompressionRecipe, only: Sequence[str]) -> list[str]:
    for name in only:
        if name not in recipe.rows:
            raise UserError(f"{recipe.name} has no row {name!r}; it has {', '.join(recipe.rows)}")
    chosen = set(only or recipe.rows)
    chosen |= {recipe.rows[name].after for name in chosen} - {""}
    return [name for name in recipe.rows if name in chosen]


def _trained(training: recipes.Recipe, member: str, work: Path) -> Path:
    folder = pipeline.recipe_folder(training, work)
    return pipeline.member_folder(folder, member, training.seeds_of(member)[0])


def _check(recipe: CompressionRecipe, training: recipes.Recipe, name: str, work: Path) -> None:
    """Refuse a row that cannot be done, or not yet."""
    origin, title = recipe.origin(name), recipe.rows[name].after or name
    if origin.member not in training.members:
        raise UserError(
            f"recipe key 'rows.{title}.member' is {origin.member!r}; {training.name} has "
            f"{', '.join(training.members)}"
        )
    own = training.members[origin.member]
    with torch.device("meta"):
        network = registry.create(own.network, classes=2, frame_length=128, **own.options)
    if not isinstance(network, HiddenLayerClassifier):
        raise UserError(
            f"recipe key 'rows.{title}.member' is {origin.member!r}, a {own.network}, which has "
            f"no layer {LAYER!r}"
        )
    outputs = network.hidden.out_features
    if origin.blocks is not None and outputs % origin.blocks:
        raise UserError(
            f"recipe key 'rows.{title}.blocks' is {origin.blocks}; it must divide the layer's "
            f"{outputs} outputs"
        )
    trained = _trained(training, origin.member, work)
    if not (trained / pipeline.RECORD).is_file():
        raise UserError(
            f"{trained} holds no finished run; first: kdamc-train run {recipe.of} "
            f"--budget {recipe.budget} --only {origin.member}"
        )
    wanted = run_settings.settings_of(training, origin.member, training.seeds_of(origin.member)[0])
    if not run_settings.same(read_record(trained / pipeline.RECORD).get("settings", {}), wanted):
        raise UserError(f"{trained} is a run with other settings than {training.name} has now")


def _refuse_others(
    recipe: CompressionRecipe,
    training: recipes.Recipe,
    name: str,
    folder: Path,
    publish: bool,
) -> None:
    """Refuse a folder, or the place of the record to be published, that other settings have."""
    settings, published = settings_of(recipe, training, name), results_path(recipe, name)
    note = folder / _NOTE
    if note.is_file() and not run_settings.same(read_record(note), settings):
        raise UserError(
            f"{folder} holds a result of other settings (see its {_NOTE}); remove it or choose "
            "another folder with --work"
        )
    if not publish:
        return
    if recipe.budget == "smoke":
        raise UserError("figures of the budget smoke mean nothing: they are not published")
    if published.is_file() and not run_settings.same(read_record(published)["settings"], settings):
        raise UserError(f"{published} is the record of other settings; remove it first")


def _run_row(row: _Row, settings: dict[str, Any], command: str, revision: str) -> dict[str, Any]:
    """Compress, write the files and measure, or read the record of having done so."""
    write_record(row.folder / _NOTE, settings)
    if (row.folder / pipeline.RECORD).is_file():
        return read_record(row.folder / pipeline.RECORD)
    origin = row.recipe.origin(row.name)
    module, facts = _compressed(row)
    if row.recipe.rows[row.name].after:
        facts["retrained"] = _retrained(row, module)
    trained = read_record(row.trained / pipeline.RECORD)
    record = {
        "recipe": row.recipe.name,
        "budget": row.recipe.budget,
        "row": row.name,
        "member": origin.member,
        "seed": trained["seed"],
        "command": command,
        "settings": settings,
        "method": "net_trim" if origin.gain is not None else "product_quantization",
        **facts,
        **_measured(row, module, command),
        "trained_git_rev": trained.get("trained_git_rev", trained["git_rev"]),
        **pipeline.surroundings(),
        "git_rev": revision,
    }
    write_record(row.folder / pipeline.RECORD, record)
    return record


def _begin(folder: Path, trained: str) -> None:
    """Note in ``folder`` that what is made there is of the weights with the digest ``trained``.

    Raises UserError if it began with others. What began before such notes counts as of these.
    """
    note = folder / _BEGAN
    if not note.is_file():
        write_record(note, {"trained_sha256": trained})
    elif read_record(note)["trained_sha256"] != trained:
        raise UserError(
            f"{folder}: its member was trained anew since it began; remove the folder first"
        )


def _compressed(row: _Row) -> tuple[ClassifierModule, dict[str, Any]]:
    """The module with its layer pruned or quantized, not trained again; and ADMM's figures."""
    module = row.module()
    origin = row.recipe.origin(row.name)
    # Where the row that this one comes after has left it.
    folder = row.folder.with_name(row.recipe.rows[row.name].after or row.name)
    for made_in in (folder, row.folder):
        _begin(made_in, teacher_cache.digest(module.network))
    if origin.blocks is not None:
        return _quantized(row, module, origin.blocks, folder / "layer.npz"), {}
    if not (folder / "layer.npz").is_file():
        _trim(row, module, origin.gain, folder)
    layer = _arrays(folder / "layer.npz")
    with torch.no_grad():
        module.network.hidden.weight.copy_(torch.from_numpy(layer["weight"]))
        module.network.hidden.bias.copy_(torch.from_numpy(layer["bias"]))
    return module, {"admm": read_record(folder / "admm.json")}


def _trim(row: _Row, module: ClassifierModule, gain: float, folder: Path) -> None:
    """Prune by Net-Trim, going on from what a killed run left: ``layer.npz``, ``admm.json``."""
    section, saved = row.recipe.net_trim, folder / "admm.npz"
    resume = Progress.load(saved) if saved.is_file() else None
    done = 0 if resume is None else len(resume.primal)
    hidden = module.network.hidden
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConverged)  # the record says it
        found = net_trim(
            hidden_inputs(module.network, row.parts.training, section.frames, row.recipe.seed),
            hidden.weight.detach().numpy(),
            hidden.bias.detach().numpy(),
            gain,
            rho=section.rho,
            tolerance=section.tolerance,
            max_iterations=section.max_iterations,
            resume=resume,
            keep=lambda progress: progress.save(saved),
            keep_every=section.keep_every,
        )
    seconds = time.monotonic() - started
    write_record(
        folder / "admm.json",
        {
            "frames": section.frames,
            "gain": gain,
            "rho": section.rho,
            "tolerance": section.tolerance,
            "iterations": found.iterations,
            "converged": found.converged,
            "primal": float(found.primal[-1]),
            "dual": float(found.dual[-1]),
            "distance": found.distance,
            "leak": found.leak,
            "seconds_per_iteration": round(seconds / (found.iterations - done), 3),
        },
    )
    _save_arrays(
        folder / "layer.npz",
        weight=found.weight.astype(np.float32),
        bias=found.bias.astype(np.float32),
    )
    saved.unlink(missing_ok=True)


def hidden_inputs(
    network: HiddenLayerClassifier, training: Any, count: int, seed: int
) -> np.ndarray:
    """What the layer is given for ``count`` training frames, drawn with ``seed``: ``(count, N)``
    float32."""
    drawn = np.sort(np.random.default_rng(seed).permutation(len(training))[:count])
    frames, network = Frames(training), network.eval()
    with torch.inference_mode():
        return np.concatenate(
            [
                network.hidden_input(frames[torch.from_numpy(index)][0]).numpy()
                for index in np.array_split(drawn, -(-count // _BATCH))
            ]
        )


def _quantized(row: _Row, module: ClassifierModule, blocks: int, path: Path) -> ClassifierModule:
    hidden = module.network.hidden
    if not path.is_file():
        found = quantize(
            hidden.weight.detach().numpy().T,
            blocks,
            row.recipe.product_quantization.centroids,
            row.recipe.seed,
        )
        _save_arrays(path, codebook=found.codebook, codes=found.codes)
    module.network.hidden = ProductQuantizedLinear(ProductQuantized(**_arrays(path)), hidden.bias)
    return module


def _retrained(row: _Row, module: ClassifierModule) -> dict[str, Any]:
    """Train ``module`` again, in place; what the record says of it."""
    section = row.recipe.retrain
    part = thinned(row.parts.training, section.train_share, row.recipe.seed)
    found = retrain(
        module, part, row.parts.validation, section, row.recipe.seed, row.folder / "retraining"
    )
    return {"epochs": section.epochs, "frames": len(part), **dataclasses.asdict(found)}


def _measured(row: _Row, module: ClassifierModule, command: str) -> dict[str, Any]:
    """Write the ONNX files of ``module`` and measure them beside the original one."""
    parts = row.parts
    original_file, original_logits, original_temperature = _original(row)
    labels, snr = parts.test.labels()
    module.hparams.describes = {**module.hparams.describes, "command": command}
    temperature = calibration.fit_temperature(
        pipeline.torch_logits(module, parts.validation), parts.validation.labels()[0]
    )
    fitted = calibration.Calibration(temperature, 1.0, f"{len(parts.validation)} validation frames")
    made = row.folder / f"{row.name}.onnx"
    layer = _write(module, made, fitted)
    torch_difference = _agreement(module, made, parts)
    with DataSetFile(parts.test.path) as data:
        logits = outputs_for(
            open_model(str(made)), data, parts.test.chosen, parts.test.classes
        ).logits
        described = describe_data(data)
    classes = module.hparams.classes
    test, original = (
        {key: measure(of, labels, snr, classes, at)[key] for key in _KEPT}
        for of, at in ((logits, temperature), (original_logits, original_temperature))
    )
    accuracy = {key: test[key] for key in ("overall", "by_snr")}
    _write(module, made, fitted, accuracy)
    files = {"original": original_file, "compressed": made}
    cut_facts = None
    if isinstance(layer, Coo):
        cut_facts = _cut(row, module, fitted, accuracy, files)
    before = row.module().network
    weights = before.hidden.weight.numel()
    facts = _layer_facts(layer, weights, before.hidden)
    sizes = {kind: path.stat().st_size for kind, path in files.items()}
    factor = sizes["original"] / sizes["compressed"]
    claimed = file_rate(parameters(before), weights, facts["factor"])
    return {
        "layer": facts,
        "file": {
            "bytes": sizes["compressed"],
            "original_bytes": sizes["original"],
            "factor": factor,
            "factor_claimed": claimed,
            "difference": factor / claimed - 1.0,
            "torch_difference": torch_difference,
        },
        "cut": cut_facts,
        "calibration": dataclasses.asdict(fitted),
        "test": test,
        "original": original,
        "difference": {
            "overall": test["overall"] - original["overall"],
            "by_snr": {at: test["by_snr"][at] - share for at, share in original["by_snr"].items()},
            "changed": float((logits.argmax(axis=1) != original_logits.argmax(axis=1)).mean()),
        },
        "data": described,
        "speed": speeds(
            files,
            seconds=_SECONDS_AT_SMOKE if row.recipe.budget == "smoke" else _SECONDS_A_TURN,
        ),
    }


def _original(row: _Row) -> tuple[Path, np.ndarray, float]:
    """The ONNX file of the network as it was trained, its logits for the test frames, and its
    temperature."""
    row.original.mkdir(parents=True, exist_ok=True)
    fitted = calibration.read_calibration(row.trained / "calibration.json")
    file, logits = row.original / "original.onnx", row.original / "logits.npz"
    # The network may have been trained anew since.
    trained = hashlib.sha256((row.trained / pipeline.RECORD).read_bytes()).hexdigest()
    with alone_in(row.original, wait=True):
        if not logits.is_file() or str(_arrays(logits).get("of")) != trained:
            export(row.module(), file, fitted)
            with DataSetFile(row.parts.test.path) as data:
                test = row.parts.test
                shown = outputs_for(open_model(str(file)), data, test.chosen, test.classes)
            _save_arrays(logits, logits=shown.logits, of=np.array(trained))
    return file, _arrays(logits)["logits"], fitted.temperature


def _write(
    module: ClassifierModule,
    path: Path,
    fitted: calibration.Calibration,
    accuracy: dict[str, Any] | None = None,
) -> Coo | ProductQuantized:
    """Export with the layer as it is stored, which is given back."""
    export(module, path, fitted, accuracy)
    hidden = module.network.hidden
    if isinstance(hidden, ProductQuantizedLinear):
        return hidden.quantized()
    layer = Coo.of(hidden.weight.detach().numpy())
    stored = store_sparse(onnx.load(path), _WEIGHT, layer)
    with replacing(path) as temporary:
        onnx.save(stored, str(temporary))
    return layer


def _agreement(module: nn.Module, path: Path, parts: Parts) -> float:
    """``difference_from_torch`` over some of the test frames."""
    frames = Frames(parts.test)
    chosen = np.linspace(0, len(frames) - 1, min(_COMPARED, len(frames))).astype(int)
    return difference_from_torch(module, path, frames[torch.from_numpy(chosen)][0])


def difference_from_torch(module: nn.Module, path: Path, iq: torch.Tensor) -> float:
    """The largest difference of logits between ``module`` and the ONNX file at ``path``, for frames
    ``(n, 2, L)``; RuntimeError if it is over ``TOLERANCE``."""
    with torch.inference_mode():
        expected = module.eval()(iq).numpy()
    difference = float(np.abs(open_model(str(path)).run(iq.numpy()).logits - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise RuntimeError(f"{path}: logits are off by {difference:.3g} from torch")
    return difference


def _cut(
    row: _Row,
    module: ClassifierModule,
    fitted: calibration.Calibration,
    accuracy: dict[str, Any],
    files: dict[str, Path],
) -> dict[str, Any] | None:
    """What structured removal leaves, as a file that joins ``files``; None if that is all."""
    found = cut(module.network, module.hparams.frame_length)
    if not found.anything:
        return None
    path = row.folder / f"{row.name}-cut.onnx"
    whole, module.network = module.network, found.network
    try:
        _write(module, path, fitted, accuracy)
    finally:
        module.network = whole
    files["cut"] = path
    return {
        "outputs": found.outputs,
        "channels": found.channels,
        "inputs": found.inputs,
        "parameters": parameters(found.network),
        "bytes": path.stat().st_size,
        "torch_difference": _agreement(module, path, row.parts),
    }


def _layer_facts(layer: Coo | ProductQuantized, weights: int, before: nn.Linear) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "inputs": before.in_features,
        "outputs": before.out_features,
        "weights": weights,
        "bytes": layer.nbytes,
        "factor": 4 * weights / layer.nbytes if layer.nbytes else float(weights),
    }
    if isinstance(layer, Coo):
        nonzero = len(layer.values)
        return facts | {"nonzero": nonzero, "p_e": 1.0 - nonzero / weights}
    blocks, size, _ = layer.codebook.shape
    shape = (before.in_features, before.out_features, blocks, size)
    return facts | {
        "blocks": blocks,
        "centroids": size,
        "c_q": compression_rate(*shape),
        "c_q_stored": layer.stored_rate,
    }


def speeds(
    files: Mapping[str, Path],
    sizes: Sequence[int] = BATCH_SIZES,
    turns: int = _TURNS,
    seconds: float = _SECONDS_A_TURN,
) -> dict[str, Any]:
    """Frames a second of ``files`` in turns, so that what else the machine does meets all."""
    models = {kind: open_model(str(path)) for kind, path in files.items()}
    found: dict[str, Any] = {"turns": turns, "threads": 1}
    for size in sizes:
        rounds = [
            {
                kind: frames_per_second(model, (size,), seconds)[str(size)]
                for kind, model in models.items()
            }
            for _ in range(turns)
        ]
        found[str(size)] = {
            kind: statistics.median(of[kind] for of in rounds) for kind in models
        } | {
            ("ratio" if kind == "compressed" else f"{kind}_ratio"): statistics.median(
                of[kind] / of["original"] for of in rounds
            )
            for kind in models
            if kind != "original"
        }
    return found


def _save_arrays(path: Path, **arrays: np.ndarray) -> None:
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
