# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: one YAML file an experiment, read strictly, with budgets and overrides.

A recipe names its data, its members (one network trained in one way each: a teacher, a student from
scratch, distilled students) and the seeds that they are trained with. A misspelt key or an
impossible value is refused by name; there are no silent defaults for what is not understood.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import UserError

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
COMPRESSION = "compression"
"""Folder of recipes of another kind: see ``compression.recipe``."""
SYSTEMS = ("mldnet", "crosstlnet", "sbcnn", "clst", "edge")
"""Folders of the recipes of the papers' systems."""
BUDGETS = ("smoke", "reduced", "paper")
_PARTS = ("train", "test", "validation", "runs", "test_runs")
_IN_RUNS = ("runs", "test_runs")
_FITTED, _MEASURED = ("train", "validation", "runs"), ("test", "test_runs")
_MOST_SEED = 2**31 - 1
TEACHER_SEES = ("augmented", "original")


@dataclass(frozen=True)
class DataPart:
    """What to generate: see ``kdamc-train data generate``. ``generator``, if it is not that of the
    recipe's data, has the same classes; ``data.snr`` does not hold for it."""

    frames_per_cell: int
    seed: int
    speech: str
    run_length: int = 0
    generator: str = ""


@dataclass(frozen=True)
class DataSection:
    """Either ``generator`` with ``train`` and ``test``, or ``file`` with ``split``.

    A generated ``test`` part is another seed with other speech; ``validation_share`` of the
    training passes is held out, unless there is a part ``validation``, which of few frames a cell
    is the better choice: a pass of some 30 frames is not divided, so that a small share of few
    passes leaves many cells without a frame. ``split`` names one of the presets by which a data set
    file (an imported genuine one, say) is parted, with ``split_seed`` in place of the preset's, and
    ``file_sha256`` refuses a file of another content. ``snr`` is the lowest and highest SNR label
    used. ``without`` names classes left out of training and test, as what a network has never seen.
    ``train_share`` keeps so much of the training frames, evenly from all cells. Temperatures are
    fitted on the validation frames, fusion exponents on ``runs``, if there are any; ``test`` and
    ``test_runs`` are only ever measured on.
    """

    generator: str = ""
    file: str = ""
    file_sha256: str = ""
    split: str = ""
    split_seed: int | None = None
    snr: list[int] = field(default_factory=list)
    train: DataPart | None = None
    test: DataPart | None = None
    validation: DataPart | None = None
    runs: DataPart | None = None
    test_runs: DataPart | None = None
    without: list[str] = field(default_factory=list)
    validation_share: float = 0.05
    train_share: float = 1.0


@dataclass(frozen=True)
class AugmentSection:
    """Each frame anew: any rotation, conjugation and ``reversal`` in time every other time, a
    carrier offset drawn from ``±carrier_offset`` (cycles a sample), a receiver's low-pass filter in
    a share ``receiver_filter`` of the frames; an envelope limited as by a fast automatic gain in a
    share ``limiting``, up to one that saturates at an RMS over ``limiting_drive``; more white noise
    in a share ``noise`` of those whose SNR the data set knows, down to -10 dB; in all frames of
    which is known how much of them is noise, noise stronger by any of 0 to ``noise_rise`` dB. Of
    those that still have 5 dB a share ``strangers`` becomes signals of no class, for the losses
    outlier_exposure and stranger."""

    rotation: bool = False
    conjugation: bool = False
    carrier_offset: float = 0.0
    receiver_filter: float = 0.0
    reversal: bool = False
    limiting: float = 0.0
    limiting_drive: float = 2.5
    noise: float = 0.0
    noise_rise: float = 0.0
    strangers: float = 0.0


@dataclass(frozen=True)
class TrainSection:
    """How a network is trained; every member may override every key.

    ``schedule``: "cosine" to zero after a linear warm-up, "plateau" (times ``plateau_factor`` after
    ``plateau_patience`` epochs in which ``monitor`` did not improve) or "constant".
    ``early_stopping`` ends a run after so many such epochs, 0 never does. ``keep`` takes the "best"
    weights by ``monitor`` or the "last". ``ema_decay`` 0 turns the averaging of weights off.
    ``precision``, ``accelerator`` and ``devices`` are Lightning's; ``threads`` is PyTorch's.
    ``quantize`` "int8" trains the convolutions rounded as ``kdamc-train quantize`` rounds them.
    """

    epochs: int
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    optimizer: str = "adam"
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    plateau_patience: int = 5
    plateau_factor: float = 0.5
    early_stopping: int = 0
    monitor: str = "val_loss"
    keep: str = "best"
    ema_decay: float = 0.0
    precision: str = "32-true"
    accelerator: str = "cpu"
    devices: int = 1
    threads: int = 1
    quantize: str = ""


@dataclass(frozen=True)
class LossTerm:
    """One term of a loss; ``options`` go to it by keyword."""

    name: str
    weight: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Member:
    """A network and the way it is trained; ``options`` go to the network by keyword.

    ``teacher`` names the member that must be trained before and whose outputs the loss may use;
    its first seed serves all. ``seeds`` uses only so many of the recipe's seeds. ``train`` holds
    what differs from the recipe's section of that name. ``train_share`` keeps so much of the
    training frames that the recipe's data leave, the same frames for every seed and those of a
    lesser share among them.

    The posteriors of ``more_teachers`` are averaged with the teacher's, and so are those of
    ``teacher_rotations`` copies of each frame, turned by equal parts of a circle; then the teacher
    is no more than its logits. ``teacher_sees`` is "augmented", what the student sees, or
    "original", the frame before it was augmented: then what it shows is computed once.
    """

    network: str
    options: dict[str, Any] = field(default_factory=dict)
    teacher: str = ""
    loss: list[LossTerm] = field(default_factory=lambda: [LossTerm("cross_entropy")])
    train: dict[str, Any] = field(default_factory=dict)
    seeds: int | None = None
    train_share: float = 1.0
    about: str = ""
    more_teachers: list[str] = field(default_factory=list)
    teacher_rotations: int = 1
    teacher_sees: str = "augmented"

    def teachers(self) -> list[str]:
        """All its teachers, the first one first."""
        return [self.teacher, *self.more_teachers] if self.teacher else []


@dataclass(frozen=True)
class UnknownSection:
    """The output that tells what is none of the classes: which ``score`` (see ``unknown.py``), with
    a threshold that refuses the share ``false_rejection`` of frames of known classes; measured on
    frames of ``generator``, which no training has seen, at SNR labels from ``from_db`` on."""

    score: str
    generator: str
    frames: DataPart
    false_rejection: float = 0.05
    from_db: int = 5


@dataclass(frozen=True)
class PublishSection:
    """Which member, of the first seed, is shipped, and as what; ``quantize`` "int8" ships it in
    int8, as ``kdamc-train quantize`` makes it."""

    member: str
    model_name: str
    unknown: UnknownSection | None = None
    quantize: str = ""


@dataclass(frozen=True)
class ReportSection:
    """What the records are to show: ``gains`` are pairs of members (the gain of the first over the
    second, paired by seed), ``bands`` and ``confusion_at`` are SNR labels.

    ``confusion_of``, ``by_snr`` and ``class_report`` name the members whose confusion matrices at
    ``confusion_at``, accuracy and F1 by SNR label, and precision, recall and F1 by class are shown;
    ``classes_of_interest`` names classes whose accuracy is shown apart, and whose feature maps, of
    the members ``feature_maps_of``. ``note`` says in words, without figures, what to know of the
    results: what a gain that is not there may have to do with, what was tried.
    """

    gains: list[list[str]] = field(default_factory=list)
    bands: list[list] = field(default_factory=list)
    confusion_at: list[int] = field(default_factory=list)
    confusion_of: list[str] = field(default_factory=list)
    by_snr: list[str] = field(default_factory=list)
    class_report: list[str] = field(default_factory=list)
    classes_of_interest: list[str] = field(default_factory=list)
    feature_maps_of: list[str] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class Recipe:
    """One experiment. ``about`` says what it is; a model card opens with it."""

    name: str
    about: str
    data: DataSection
    train: TrainSection
    members: dict[str, Member]
    seeds: list[int]
    augment: AugmentSection = AugmentSection()
    report: ReportSection = ReportSection()
    publish: list[PublishSection] = field(default_factory=list)
    budget: str = "paper"

    def train_of(self, member: str) -> TrainSection:
        """The training settings of a member, its own over the recipe's."""
        own = self.members[member].train
        return build(TrainSection, dataclasses.asdict(self.train) | own, f"members.{member}.train")

    def seeds_of(self, member: str) -> list[int]:
        """The seeds that a member is trained with."""
        return self.seeds[: self.members[member].seeds]


def find(name: str, compression: bool = False) -> Path:
    """The file of a recipe given by path or by its name under ``training/recipes``.

    ``compression`` says which kind is asked for, to name those that there are.
    """
    for candidate in (Path(name), RECIPES / name, RECIPES / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    known = ", ".join(names(compression)) or "none"
    raise UserError(f"no recipe {name!r}: neither a file nor one of {known}")


def names(compression: bool = False) -> list[str]:
    """Names of the recipes that come with the package, sorted; or those for compression."""
    found = sorted(
        path.relative_to(RECIPES).with_suffix("").as_posix() for path in RECIPES.rglob("*.yaml")
    )
    return [name for name in found if name.startswith(f"{COMPRESSION}/") == compression]


def main_first(name: str) -> tuple:
    """What to sort names of recipes by, system by system: those named after their data alone are
    the main ones, "rml…" before "ablations-rml…"."""
    system, _, own = name.partition("/")
    return system, not own.startswith("rml"), own


def load(path: str | Path, budget: str = "paper", overrides: list[str] | None = None) -> Recipe:
    """Read a recipe file, apply the overrides of ``budget`` and then ``key=value`` texts.

    Raises UserError, naming the file and the key, for whatever cannot be used.
    """
    document = document_of(path, budget, overrides)
    with naming(path):
        recipe = build(Recipe, document, "")
        _check(recipe)
    return recipe


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Puts the file before what is told of a recipe's key."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def document_of(
    path: str | Path, budget: str, overrides: list[str] | None = None
) -> dict[str, Any]:
    """The sections of a recipe file as they are at ``budget``, its name among them, and after
    ``overrides``; raises UserError as ``load``."""
    path = Path(path)
    document = _read(path)
    budgets = document.pop("budgets", {})
    for name in (budget, *budgets):
        if name not in BUDGETS:
            raise UserError(f"budget {name!r} is not one of {', '.join(BUDGETS)}")
    if budget != "paper" and budget not in budgets:
        raise UserError(f"{path}: has no budget {budget}")
    changes = dict(budgets.get(budget, {}))
    for text in overrides or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text!r} is not of the form key=value")
        try:
            changes[key.strip()] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"--set {key}: {value!r} is no YAML: {reason}") from None
    with naming(path):
        for key, value in changes.items():
            _set(document, key, value)
        if "budget" in document:
            raise UserError("recipe key 'budget' is what --budget says")
    document["budget"] = budget
    return document


def for_file(path: str | Path, budget: str, file: Path, split: str) -> list[str]:
    """The overrides with which a recipe trains on a data set file, parted by the preset ``split``,
    in place of what it generates; its SNR labels and share of the training frames stay."""
    given: dict[str, Any] = dict.fromkeys(("generator", *_PARTS)) | {"generator": ""}
    given |= {"file": str(file), "split": split}
    if budget == "reduced":
        # Its own share is of what it generates: of ten times fewer frames ten times as many.
        given["train_share"] = load(path).data.train_share
    # What is shipped is calibrated on runs, and never learns from genuine RadioML.
    return [*(f"data.{key}={json.dumps(value)}" for key, value in given.items()), "publish=[]"]


def data_section(values: Any) -> DataSection:
    """The section ``data`` from the settings of a run; raises UserError if it is none."""
    return build(DataSection, values, "data")


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict:
    """The mapping in a recipe file; one that ``extends`` another is laid over it.

    Its sections take the place of the other's (budgets each for itself), and its ``changes`` are
    dotted keys set in the other, ``budgets.reduced.train.epochs`` in its budget. ``above`` are the
    files that extend this one.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise UserError(f"{path}: is not a mapping")
    document = _unshared(document)
    with naming(path):
        if "budgets" in document:
            _convert(dict[str, dict[str, Any]], document["budgets"], "budgets")
        if "extends" not in document:
            return document
        extended = find(_convert(str, document.pop("extends"), "extends"))
        if extended.resolve() in (chain := (*above, path.resolve())):
            raise UserError("recipe key 'extends' leads back to itself")
        changes = _convert(dict[str, Any], document.pop("changes", {}), "changes")
    base = _read(extended, chain)
    with naming(path):
        for key, value in changes.items():
            section, _, rest = key.partition(".")
            if section == "budgets":
                # A budget's block has dotted keys itself.
                budget, _, changed = rest.partition(".")
                base.setdefault("budgets", {}).setdefault(budget, {})[changed] = value
            else:
                _set(base, key, value)
    budgets = base.pop("budgets", {}) | document.pop("budgets", {})
    return base | document | {"budgets": budgets}


class _Loader(yaml.SafeLoader):
    """PyYAML takes the last of several entries with one key; here they are an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        merge = "tag:yaml.org,2002:merge"
        keys = [self.construct_object(key) for key, _ in node.value if key.tag != merge]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key!r} stands twice", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep)


def _unshared(value: Any) -> Any:
    """A copy in which places that share a section by a YAML alias have one each: what is set in one
    must not change the other."""
    if isinstance(value, dict):
        return {key: _unshared(entry) for key, entry in value.items()}
    return [_unshared(entry) for entry in value] if isinstance(value, list) else value


def _set(document: dict, dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        if document.get(parent) is None:
            document[parent] = {}
        document = document[parent]
        if not isinstance(document, dict):
            raise UserError(f"recipe key {dotted!r}: {parent} is not a section")
    document[last] = value


def build(kind: type, values: Any, where: str) -> Any:
    """Turn a mapping into the dataclass ``kind``, checking names and types all the way down.

    ``where`` is the key of the mapping, "" for a whole recipe. Raises UserError by name.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"recipe key {where!r} is not a section")
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in fields:
            known = [*fields]
            if kind is Recipe:
                known[known.index("budget") :] = ["extends", "changes", "budgets"]
            raise UserError(
                f"recipe key {_join(where, key)!r} is unknown; known here: {', '.join(known)}"
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
        made[name] = _convert(hints[name], values[name], full)
    return kind(**made)


def _convert(kind: Any, value: Any, where: str) -> Any:
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        (kind,) = (option for option in typing.get_args(kind) if option is not types.NoneType)
    if dataclasses.is_dataclass(kind):
        return build(kind, value, where)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        if not isinstance(value, list):
            raise UserError(f"recipe key {where!r} is {value!r}, which is not a list")
        return [_convert(inner[0], item, f"{where}.{at}") for at, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"recipe key {where!r} is not a section")
        for key in value:
            if not isinstance(key, str):
                raise UserError(f"recipe key {_join(where, key)!r} is no text: put it in quotes")
        if inner[1] is Any:
            return dict(value)
        return {key: _convert(inner[1], item, _join(where, key)) for key, item in value.items()}
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


def check_name(name: str) -> None:
    """Raise UserError for the name of a recipe that is not of the form system/name: it is where
    runs and records lie."""
    part = "[A-Za-z0-9][A-Za-z0-9._-]*"
    if not re.fullmatch(f"{part}/{part}", name):
        raise UserError(
            f"recipe key 'name' is {name!r}; it must be of the form system/name, of letters, "
            "digits, '.', '_' and '-'"
        )


def _check(recipe: Recipe) -> None:
    check_name(recipe.name)
    _check_data(recipe.data)
    limits = [
        ("augment.carrier_offset", recipe.augment.carrier_offset, 0.0, 0.5),
        ("augment.receiver_filter", recipe.augment.receiver_filter, 0.0, 1.0),
        ("augment.limiting", recipe.augment.limiting, 0.0, 1.0),
        ("augment.limiting_drive", recipe.augment.limiting_drive, 0.5, 100.0),
        ("augment.noise", recipe.augment.noise, 0.0, 1.0),
        ("augment.noise_rise", recipe.augment.noise_rise, 0.0, 200.0),
        ("augment.strangers", recipe.augment.strangers, 0.0, 0.9),
    ]
    check_limits(limits)
    _check_train(recipe.train, "train")
    if not recipe.members:
        raise UserError("recipe key 'members' names no network")
    if not recipe.seeds or len(set(recipe.seeds)) != len(recipe.seeds):
        raise UserError(f"recipe key 'seeds' is {recipe.seeds}; it must name different seeds")
    check_limits([("seeds", seed, 0, _MOST_SEED) for seed in recipe.seeds])
    before: list[str] = []
    for name, member in recipe.members.items():
        where = f"members.{name}"
        if not name.replace("_", "").replace("-", "").replace(".", "").isalnum():
            raise UserError(f"recipe key {where!r}: a name has letters, digits, '_', '-' and '.'")
        for key in ("more_teachers", "teacher_rotations", "teacher_sees"):
            if not member.teacher and getattr(member, key) != getattr(Member(""), key):
                raise UserError(f"recipe key '{where}.{key}' needs a teacher first")
        for teacher in member.teachers():
            if teacher not in before:
                raise UserError(
                    f"recipe key '{where}.teacher' is {teacher!r}, which is no member listed "
                    "before it"
                )
        check_limits([(f"{where}.teacher_rotations", member.teacher_rotations, 1, 64)])
        if member.teacher_sees not in TEACHER_SEES:
            raise UserError(
                f"recipe key '{where}.teacher_sees' is {member.teacher_sees!r}; it must be one of "
                f"{', '.join(TEACHER_SEES)}"
            )
        if not member.loss:
            raise UserError(f"recipe key '{where}.loss' is empty")
        check_limits(
            [(f"{where}.loss.{at}.weight", t.weight, 0.0, 1e12) for at, t in enumerate(member.loss)]
        )
        if member.seeds is not None:
            check_limits([(f"{where}.seeds", member.seeds, 1, len(recipe.seeds))])
        check_limits([(f"{where}.train_share", member.train_share, 1e-4, 1.0)])
        _check_train(recipe.train_of(name), f"{where}.train")
        before.append(name)
    _check_report(recipe)


def _check_data(data: DataSection) -> None:
    if bool(data.generator) == bool(data.file):
        raise UserError("recipe key 'data' needs one of generator and file")
    parts = {name: getattr(data, name) for name in _PARTS}
    if data.file:
        for name, part in parts.items():
            if part is not None:
                raise UserError(f"recipe key 'data.{name}' is for generated data, not for a file")
        if not data.split:
            raise UserError("recipe key 'data.split' is missing: a file must be parted")
    else:
        if data.split:
            raise UserError("recipe key 'data.split' is for a file, not for generated data")
        for name in ("train", "test"):
            if parts[name] is None:
                raise UserError(f"recipe key 'data.{name}' is missing")
        if (data.runs is None) != (data.test_runs is None):
            raise UserError("recipe keys 'data.runs' and 'data.test_runs' come together")
        _check_apart(parts)
    if data.snr and (len(data.snr) != 2 or data.snr[0] > data.snr[1]):
        raise UserError(f"recipe key 'data.snr' is {data.snr}; it must be [lowest, highest]")
    check_limits(
        [
            ("data.validation_share", data.validation_share, 0.001, 0.9),
            ("data.train_share", data.train_share, 1e-4, 1.0),
            ("data.split_seed", data.split_seed or 0, 0, _MOST_SEED),
            *(
                (f"data.{name}.seed", part.seed, 0, _MOST_SEED)
                for name, part in parts.items()
                if part is not None
            ),
            *(
                (f"data.{name}.run_length", part.run_length, int(name in _IN_RUNS), 128)
                for name, part in parts.items()
                if part is not None
            ),
            *(
                (f"data.{name}.frames_per_cell", part.frames_per_cell, 1, 10_000_000)
                for name, part in parts.items()
                if part is not None
            ),
        ]
    )


def _check_apart(parts: Mapping[str, DataPart | None]) -> None:
    """Refuse frames that are both learnt from and measured on, or held out: parts of one seed and
    speech are drawn alike, also by generators that differ in their noise alone."""
    drawn = {name: (part.seed, part.speech) for name, part in parts.items() if part is not None}
    pairs = [*itertools.product(_MEASURED, _FITTED), ("validation", "train")]
    for name, other in pairs:
        if name in drawn and drawn[name] == drawn.get(other):
            raise UserError(
                f"recipe keys 'data.{name}' and 'data.{other}' have one seed and speech, which "
                "gives them the same frames"
            )


def _check_train(train: TrainSection, where: str) -> None:
    check_limits(
        [
            (f"{where}.epochs", train.epochs, 1, 100000),
            (f"{where}.batch_size", train.batch_size, 2, 1 << 20),
            (f"{where}.learning_rate", train.learning_rate, 1e-8, 10.0),
            (f"{where}.weight_decay", train.weight_decay, 0.0, 10.0),
            (f"{where}.warmup_epochs", train.warmup_epochs, 0.0, float(train.epochs)),
            (f"{where}.plateau_patience", train.plateau_patience, 1, 100000),
            (f"{where}.plateau_factor", train.plateau_factor, 0.001, 0.999),
            (f"{where}.early_stopping", train.early_stopping, 0, 100000),
            (f"{where}.ema_decay", train.ema_decay, 0.0, 0.999999),
            (f"{where}.devices", train.devices, 1, 1024),
            (f"{where}.threads", train.threads, 1, 1024),
        ]
    )
    for key, value, known in (
        ("optimizer", train.optimizer, ("adam", "adamw")),
        ("schedule", train.schedule, ("cosine", "plateau", "constant")),
        ("monitor", train.monitor, ("val_loss", "val_accuracy")),
        ("keep", train.keep, ("best", "last")),
        ("precision", train.precision, ("32-true", "bf16-mixed", "16-mixed")),
        ("accelerator", train.accelerator, ("cpu", "gpu", "auto")),
        ("quantize", train.quantize, ("", "int8")),
    ):
        if value not in known:
            raise UserError(
                f"recipe key '{where}.{key}' is {value!r}; it must be one of {', '.join(known)}"
            )
    if train.warmup_epochs > 0 and train.schedule != "cosine":
        raise UserError(f"recipe key '{where}.warmup_epochs' goes with the cosine schedule only")


def _check_report(recipe: Recipe) -> None:
    for at, pair in enumerate(recipe.report.gains):
        if not len(pair) == len(set(pair)) == 2 or any(name not in recipe.members for name in pair):
            raise UserError(f"recipe key 'report.gains.{at}' is {pair}; it must name two members")
    for at, band in enumerate(recipe.report.bands):
        if len(band) != 2 or not all(isinstance(edge, int) for edge in band) or band[0] > band[1]:
            raise UserError(f"recipe key 'report.bands.{at}' is {band}; it must be [low, high]")
    for key in ("confusion_of", "by_snr", "class_report", "feature_maps_of"):
        for name in getattr(recipe.report, key):
            if name not in recipe.members:
                raise UserError(f"recipe key 'report.{key}' names {name!r}, no member")
    for key in ("confusion_of", "feature_maps_of"):
        if getattr(recipe.report, key) and not recipe.report.confusion_at:
            raise UserError(f"recipe key 'report.{key}' needs report.confusion_at")
    if recipe.report.feature_maps_of and len(recipe.report.classes_of_interest) != 2:
        raise UserError("recipe key 'report.feature_maps_of' needs two classes_of_interest")
    for at, chosen in enumerate(recipe.publish):
        where = f"publish.{at}"
        if chosen.member not in recipe.members:
            raise UserError(f"recipe key '{where}.member' is {chosen.member!r}, no member")
        if chosen.quantize not in ("", "int8"):
            raise UserError(f"recipe key '{where}.quantize' is {chosen.quantize!r}, not int8")
        if chosen.unknown is not None:
            check_limits(
                [(f"{where}.unknown.frames.seed", chosen.unknown.frames.seed, 0, _MOST_SEED)]
            )
    if recipe.publish and recipe.data.runs is None:
        raise UserError("recipe key 'publish' needs data.runs and data.test_runs to calibrate on")


def check_limits(limits: list[tuple[str, float, float, float]]) -> None:
    """Raise UserError for the first (key, value, low, high) whose value is not within."""
    for key, value, low, high in limits:
        if not low <= value <= high:
            raise UserError(f"recipe key {key!r} is {value}; it must lie in {low} to {high}")
