# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going on from a trained network with a user's own recordings.

A run is one of ``training.fit`` that begins with the trained weights. Three things keep the network
from forgetting what the recordings do not hold: a low learning rate; batch norms that keep their
statistics, as those of a few recordings are not those of what the network was trained on (our
choice); and rehearsal (Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection
Science 7, 1995), frames of the kind that it was trained on in as many steps as own ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
import yaml
from gnuradio.kdamc import contract
from gnuradio.kdamc.accuracy import measure
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from . import calibration, checkpoints, export, pipeline, training
from . import recipe as recipes
from .compression.qat import finished
from .datasets.dataset_file import (
    SNR_UNKNOWN,
    DataSetFile,
    DataSetInfo,
    DataSetWriter,
    training_split,
)
from .errors import UserError
from .evaluate import NOISE
from .files import alone_in, replacing, sha256_of
from .lightning_module import ClassifierModule
from .networks import registry
from .networks.outputs import outputs_of
from .records import write_record
from .training_data import Part, describe

FRAMES = "frames.h5"
_NOTE = "settings.yaml"
_BLOCK = 4096
_MEMBER = "student"
_DRAWS = {"snr_db": ("float32", np.nan), "neighbours": ("int32", 0), "burst_share": ("float32", 1)}
"""What is kept of the draws of frames, and what stands for it where a file has none."""
_IMPOSSIBLE = -1e9
_MOST_NAMES = 8


@dataclass(frozen=True)
class Settings:
    """How a run goes on; see ``finetune``."""

    epochs: int = 10
    learning_rate: float = 5e-4
    batch_size: int = 64
    hold_out: float = 0.2
    own_classes: bool = False
    trust_snr: bool = False
    seed: int = 0


@dataclass(frozen=True)
class _Start:
    """The trained network, its calibration (None: not known), and where they are from."""

    path: Path
    module: ClassifierModule
    fitted: calibration.Calibration | None

    @property
    def classes(self) -> list[str]:
        return list(self.module.hparams.classes)


@dataclass(frozen=True)
class _Source:
    """A data set file that goes in; ``sha256`` is that of the file."""

    path: Path
    info: DataSetInfo
    frames: int
    sha256: str

    def told(self) -> dict[str, Any]:
        return {
            "file": self.path.name,
            "sha256": self.sha256,
            "frames": self.frames,
            "made_of": self.described(),
        }

    def described(self) -> str:
        names = self.info.options.get("recordings")
        if not names:
            return describe(self.info)
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        return f"{self.info.generator} {', '.join(names[:_MOST_NAMES])}{more}"


def finetune(
    start: Path,
    data: Sequence[Path],
    out: Path,
    command: str,
    settings: Settings | None = None,
    rehearse: Path | None = None,
) -> dict[str, Any]:
    """Train the network of ``start`` further on the frames of ``data``; returns the record.

    ``start`` is a run's folder, its checkpoint or published weights. The network keeps its classes,
    those without own frames too, and gets those of the data that it has not; with
    ``settings.own_classes`` it knows the data's alone. ``rehearse`` is a data set file of the
    model's own classes; own frames and these are given equally often.

    A share ``hold_out`` of the recordings (passes) of every class that has several is not trained
    on: the temperature is fitted on them and accuracy before and after is told on them, so there is
    no third part that nothing was chosen by. The temperature never falls below the one before:
    few frames that are all right would make the network sure of anything. The fusion is
    that of ``start``.

    SNR labels of recordings are used only with ``trust_snr``: then they must be over the noise in
    the whole sampled band, the output ``snr_db`` learns from them, and half of the frames get more
    noise. Frames with a drawn SNR, as generated ones have, always are used so.

    ``out`` becomes a run's folder with a record, checkpoints and ``<name of out>.onnx``; a killed
    run goes on. Raises UserError for what cannot be used.
    """
    settings = settings or Settings()
    _check(settings, data, out)
    begun = _open(start)
    sources = [_source(path, begun) for path in data]
    rehearsed = _source(rehearse, begun) if rehearse else None
    own_names = list(dict.fromkeys(name for one in sources for name in _present(one)))
    classes = own_names if settings.own_classes else list(begun.classes)
    classes += [name for name in own_names if name not in classes]
    if len(classes) < 2:
        raise UserError(
            f"{data[0]} has only the class {classes[0]!r}: two are needed to tell apart"
        )
    if rehearsed:
        unknown = sorted(set(_present(rehearsed)) - set(classes))
        if unknown:
            raise UserError(
                f"{rehearsed.path} has the class {unknown[0]!r}, which the model is not to know"
            )
    weights = _transferred(begun.module, classes, settings.seed)

    note = {
        "settings": dataclasses.asdict(settings),
        "start": _hash_of_weights(begun.module),
        "classes": classes,
        "data": [one.sha256 for one in sources],
        "rehearsed": rehearsed and rehearsed.sha256,
    }
    out.mkdir(exist_ok=True)
    with alone_in(out, wait=False):
        _claim(out, note)
        frames = out / FRAMES
        if not frames.is_file():
            _write_frames(
                frames, [*sources, *([rehearsed] if rehearsed else [])], classes, settings
            )
        return _run(begun, sources, rehearsed, classes, weights, out, command, settings)


def _check(settings: Settings, data: Sequence[Path], out: Path) -> None:
    if out.suffix == ".h5" or (out.exists() and not out.is_dir()):
        raise UserError(f"{out}: the last argument is the folder to write to")
    if not out.absolute().parent.is_dir():
        raise UserError(f"folder {out.absolute().parent} does not exist")
    if len({path.resolve() for path in data}) != len(data):
        raise UserError("a data set file is named twice")
    for name, value, low, high in (
        ("epochs", settings.epochs, 1, 100000),
        ("learning rate", settings.learning_rate, 1e-8, 1.0),
        ("batch size", settings.batch_size, 2, 1 << 20),
        ("share held out", settings.hold_out, 0.01, 0.9),
        ("seed", settings.seed, 0, 2**31 - 1),
    ):
        if not low <= value <= high:
            raise UserError(f"{name} is {value}; it must lie in {low} to {high}")


def _open(path: Path) -> _Start:
    if path.suffix == ".onnx":
        raise UserError(
            f"{path}: an ONNX file cannot be trained further; give the run's folder, its "
            "checkpoint or published weights (.safetensors)"
        )
    module, fitted = checkpoints.open_trained(path)
    return _Start(path, module, fitted)


def _source(path: Path, begun: _Start) -> _Source:
    with DataSetFile(path) as data:
        wanted = begun.module.hparams.frame_length
        if data.frame_length != wanted:
            raise UserError(
                f"{path} has frames of {data.frame_length} samples, the model takes {wanted}: "
                f"import the recordings with --frame-length {wanted}"
            )
        data.check_frames()
        return _Source(path, data.info, len(data), sha256_of(path))


def _present(source: _Source) -> list[str]:
    """Names of the classes of which there are frames, in the file's order."""
    with DataSetFile(source.path) as data:
        return [source.info.classes[k] for k in np.unique(data.y[:])]


def _transferred(module: ClassifierModule, classes: list[str], seed: int) -> dict[str, Tensor]:
    """The trained weights for a network of ``classes``; what is new begins by chance.

    What depends on the classes has a row for each; which tensors these are is told by those that
    grow when there is one class more.
    """
    held = module.hparams
    trained = finished(module.network).state_dict()
    if classes == list(held.classes):
        return trained

    def shapes(count: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        network = registry.create(
            held.network, classes=count, frame_length=held.frame_length, **held.network_options
        )
        return network.state_dict()

    more, new = shapes(len(held.classes) + 1), shapes(len(classes))
    known = [at for at, name in enumerate(classes) if name in held.classes]
    rows = [list(held.classes).index(classes[at]) for at in known]
    weights = {}
    for name, old in trained.items():
        grown = more[name]
        if grown.shape == old.shape:
            weights[name] = old
        elif grown.shape[1:] == old.shape[1:] and len(grown) == len(old) + 1:
            weights[name] = new[name].clone()
            weights[name][known] = old[rows]
        else:
            raise UserError(f"network {held.network} cannot be given other classes: see {name}")
    return weights


def _hash_of_weights(module: ClassifierModule) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(finished(module.network).state_dict().items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _claim(out: Path, note: dict[str, Any]) -> None:
    """Write down in ``out`` what the run is; raises UserError if it holds something else."""
    text = yaml.safe_dump(note, sort_keys=False)
    path = out / _NOTE
    if path.is_file():
        if path.read_text(encoding="utf-8") != text:
            raise UserError(f"{out} holds a run with other settings (see its {_NOTE})")
        return
    if any(out.iterdir()):
        raise UserError(f"{out} is not empty")
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_frames(
    path: Path, sources: Sequence[_Source], classes: list[str], settings: Settings
) -> None:
    """One data set file of all sources one after the other, with the classes of the model."""
    info = DataSetInfo(
        classes=tuple(classes),
        sample_rate=sources[0].info.sample_rate,
        samples_per_symbol=_spanned([one.info.samples_per_symbol for one in sources]),
        generator="frames for kdamc-train finetune",
        seed=-1,
        created="",
    )
    count = sum(one.frames for one in sources)
    types = {name: kind for name, (kind, _) in _DRAWS.items()}
    passes = 0
    with DataSetFile(sources[0].path) as first:
        length = first.frame_length
    with DataSetWriter(path, info, count, length, draw_types=types) as writer:
        for source in sources:
            with DataSetFile(source.path) as data:
                number = np.unique(data.pass_id[:], return_inverse=True)[1] + passes
                passes = int(number.max()) + 1
                # Only classes that have frames need a place.
                place = np.array(
                    [classes.index(name) if name in classes else 0 for name in data.info.classes]
                )
                for at in range(0, len(data), _BLOCK):
                    part = slice(at, at + _BLOCK)
                    y = place[data.y[part]]
                    writer.append(
                        data.x[part],
                        y,
                        data.z[part],
                        number[part],
                        _draws(data, part, y, classes, settings),
                    )


def _draws(
    data: DataSetFile, part: slice, y: np.ndarray, classes: list[str], settings: Settings
) -> dict[str, np.ndarray]:
    draws = {}
    for name, (kind, usual) in _DRAWS.items():
        if name in data.draws:
            draws[name] = data.draws[name][part].astype(kind)
        else:
            draws[name] = np.full(len(y), usual, kind)
    if "snr_db" not in data.draws and settings.trust_snr:
        label = data.z[part].astype(np.float32)
        nothing = y == (classes.index(NOISE) if NOISE in classes else -1)
        draws["snr_db"] = np.where((label == SNR_UNKNOWN) | nothing, np.float32(np.nan), label)
    return draws


def _spanned(ranges: Sequence[Sequence[float]]) -> tuple[float, float]:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def hold_out(y: np.ndarray, pass_id: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which frames to hold out, ``(n)`` bool; ``y (n)`` are classes, ``pass_id (n)`` recordings.

    Whole recordings, until of every class at least ``share`` of the frames are held out; every
    class keeps a recording to train on, so one that is in a single recording is not held out.
    """
    held = np.zeros(len(y), bool)
    rng = np.random.default_rng(seed)
    in_pass = {number: np.unique(y[pass_id == number]) for number in np.unique(pass_id)}
    left = {label: sum(label in inside for inside in in_pass.values()) for label in np.unique(y)}
    for label, of_class in ((label, y == label) for label in np.unique(y)):
        candidates = [number for number, inside in in_pass.items() if label in inside]
        for number in rng.permutation(candidates):
            if held[of_class].mean() >= share:
                break
            if held[pass_id == number].any() or any(left[k] < 2 for k in in_pass[number]):
                continue
            held |= pass_id == number
            for k in in_pass[number]:
                left[k] -= 1
    return held


def _run(
    begun: _Start,
    sources: Sequence[_Source],
    rehearsed: _Source | None,
    classes: list[str],
    weights: Mapping[str, Tensor],
    out: Path,
    command: str,
    settings: Settings,
) -> dict[str, Any]:
    path = out / FRAMES
    own_count = sum(one.frames for one in sources)
    with DataSetFile(path) as file:
        y, number = file.y[:own_count].astype(int), file.pass_id[:own_count]
        known_snr = bool(np.isfinite(file.draws["snr_db"][:]).any())
    held = hold_out(y, number, settings.hold_out, settings.seed)
    if not held.any():
        raise UserError(
            "no recording can be held out, as every class is in one recording only: give at least "
            "two recordings of a class"
        )
    own = _Both(np.flatnonzero(~held), np.flatnonzero(held))
    old = _Both(np.array([], int), np.array([], int))
    if rehearsed:
        with DataSetFile(rehearsed.path) as file:
            kept, out_of = training_split(file, settings.hold_out, settings.seed)
        old = _Both(kept + own_count, out_of + own_count)
    training_part = Part(path, _balanced(own.kept, old.kept))
    validation = Part(path, _balanced(own.held, old.held))

    member = _member(begun.module, known_snr)
    recipe = recipes.Recipe(
        name=f"{begun.module.hparams.describes['recipe']}, finetuned",
        about="",
        data=recipes.DataSection(file=str(path)),
        train=recipes.TrainSection(
            epochs=settings.epochs,
            batch_size=min(settings.batch_size, len(training_part)),
            learning_rate=settings.learning_rate,
            weight_decay=0.01,
            optimizer="adamw",
            keep="last",
        ),
        members={_MEMBER: member},
        seeds=[settings.seed],
        # Not mirrored: own classes may differ by that.
        augment=recipes.AugmentSection(rotation=True, noise=0.5),
        budget="finetune",
    )
    describes = _describes(begun, sources, rehearsed, recipe, command)
    checkpoint = training.fit(
        training.Job(recipe, _MEMBER, settings.seed, training_part, validation, command),
        out,
        [_GoesOn(weights, describes)],
    )
    module = export.load_checkpoint(checkpoint)

    before = begun.fitted.temperature if begun.fitted else 1.0
    fusion = begun.fitted.fusion if begun.fitted else contract.Fusion()
    fitted = calibration.Calibration(
        max(
            before,
            calibration.fit_temperature(
                pipeline.torch_logits(module, validation), validation.labels()[0]
            ),
        ),
        fusion.exponent,
        f"{len(own.held)} frames of recordings that were held out"
        + (f" and {len(old.held)} rehearsed ones" if rehearsed else ""),
        fusion.exponent_sure,
        fusion.mean_share,
    )
    write_record(out / "calibration.json", dataclasses.asdict(fitted))
    results = {
        name: _before_and_after(begun, module, Part(path, both.held), fitted.temperature)
        for name, both in (("own", own), ("rehearsed", old))
        if len(both.held)
    }
    after = results["own"]["after"]
    model = out / f"{out.resolve().name}.onnx"
    export.export(module, model, fitted, {key: after[key] for key in ("overall", "by_snr")})
    record = {
        "recipe": recipe.name,
        "budget": recipe.budget,
        "member": _MEMBER,
        "seed": settings.seed,
        "command": command,
        "settings": {
            "member": dataclasses.asdict(member),
            "train": dataclasses.asdict(recipe.train),
            "augment": dataclasses.asdict(recipe.augment),
            **dataclasses.asdict(settings),
        },
        "started_from": {
            "file": begun.path.name,
            "weights_sha256": _hash_of_weights(begun.module),
            "recipe": begun.module.hparams.describes["recipe"],
            "train_data": begun.module.hparams.describes["dataset"],
        },
        "data": [one.told() for one in sources],
        "rehearse": rehearsed and rehearsed.told(),
        "classes_added": [name for name in classes if name not in begun.classes],
        "classes_dropped": [name for name in begun.classes if name not in classes],
        "classes_held_out": [classes[k] for k in np.unique(y[held])],
        "classes_not_held_out": [classes[k] for k in np.unique(y) if k not in y[held]],
        # None: the network does not tell it.
        "snr_trained": known_snr if _tells_snr(module) else None,
        "train_data": describes["dataset"],
        "train_frames": {"own": len(own.kept), "rehearsed": len(old.kept)},
        "parameters": sum(value.numel() for value in module.network.parameters()),
        "calibration": dataclasses.asdict(fitted),
        "before_and_after": results,
        "test": {**after, "data": "recordings held out, which the temperature was fitted on"},
        "model": model.name,
        **pipeline.surroundings(),
        "git_rev": export.git_revision(),
    }
    write_record(out / pipeline.RECORD, record)
    return record


@dataclass(frozen=True)
class _Both:
    """Places of frames to train on and of frames held out."""

    kept: np.ndarray
    held: np.ndarray


def _balanced(own: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Both, sorted, the fewer of them so often that there are about as many of each."""
    if not len(old) or not len(own):
        return np.concatenate([own, old])
    more = max(len(own), len(old))
    return np.concatenate([np.repeat(part, max(1, round(more / len(part)))) for part in (own, old)])


def _member(module: ClassifierModule, known_snr: bool) -> recipes.Member:
    held = module.hparams
    loss = [recipes.LossTerm("cross_entropy")]
    if known_snr and _tells_snr(module):
        loss.append(recipes.LossTerm("snr", weight=0.1))
    return recipes.Member(held.network, dict(held.network_options), loss=loss)


def _tells_snr(module: ClassifierModule) -> bool:
    with torch.no_grad():
        example = torch.ones(1, 2, module.hparams.frame_length)
        return outputs_of(module.network, example).snr_db is not None


def _describes(
    begun: _Start,
    sources: Sequence[_Source],
    rehearsed: _Source | None,
    recipe: recipes.Recipe,
    command: str,
) -> dict[str, Any]:
    before = begun.module.hparams.describes
    text = f"{before['dataset']}; then {', '.join(one.described() for one in sources)}"
    if rehearsed:
        text += f", with {rehearsed.described()}"
    spans = [before["samples_per_symbol"], *(one.info.samples_per_symbol for one in sources)]
    return {
        **before,
        "dataset": text,
        "samples_per_symbol": list(_spanned(spans)),
        "recipe": recipe.name,
        "member": _MEMBER,
        "teacher": "",
        "budget": recipe.budget,
        "command": command,
    }


class _GoesOn(Callback):
    """Puts the trained weights into the new module, before those of a run that was killed would
    come over them, and keeps the statistics of batch norms while it is trained."""

    def __init__(self, weights: Mapping[str, Tensor], describes: dict[str, Any]) -> None:
        self._weights, self._describes = weights, describes

    def setup(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, stage: str
    ) -> None:
        module.network.load_state_dict(self._weights)
        module.hparams.describes = self._describes

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        for layer in _batch_norms(module.network):
            layer.eval()


def _batch_norms(network: nn.Module) -> Iterator[nn.Module]:
    return (
        layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    )


def _before_and_after(
    begun: _Start, module: ClassifierModule, part: Part, temperature: float
) -> dict[str, Any]:
    """What the network before and the one after make of frames that neither was trained on.

    For the network before, classes that it does not know have no probability.
    """
    classes = list(module.hparams.classes)
    labels, snr = part.labels()
    shown = pipeline.torch_logits(begun.module, part)
    logits = np.full((len(part), len(classes)), _IMPOSSIBLE, np.float32)
    for at, name in enumerate(classes):
        if name in begun.classes:
            logits[:, at] = shown[:, begun.classes.index(name)]
    before = measure(
        logits, labels, snr, classes, begun.fitted.temperature if begun.fitted else 1.0
    )
    after = measure(pipeline.torch_logits(module, part), labels, snr, classes, temperature)
    return {"before": {key: before[key] for key in ("overall", "ece", "scores")}, "after": after}
