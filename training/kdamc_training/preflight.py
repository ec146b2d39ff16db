# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recipe asks for, tried before data are made: what cannot be had is refused at once."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from . import feature_maps, own_code, unknown
from .datasets import registry as generators
from .datasets.dataset_file import DataSetFile
from .datasets.splits import PRESETS
from .distillation import registry as losses
from .errors import UserError
from .lightning_module import ClassifierModule
from .networks.ensemble import Ensemble
from .networks.outputs import outputs_of
from .pipeline import UNKNOWN_FROM_DB
from .recipe import (
    AugmentSection,
    DataPart,
    DataSection,
    Member,
    PublishSection,
    Recipe,
    ReportSection,
)
from .training import gpu
from .training_data import LOG_POSTERIOR, NOISE_POWER, TRUE_SNR

_OF_STRANGERS = ("outlier_exposure", "stranger")
"""Losses that look at frames of no class."""


def check(recipe: Recipe, wanted: Collection[str]) -> None:
    """Make the networks and losses of the members ``wanted`` once, for the data's classes.

    Raises UserError, naming the recipe's key, for a generator, network, loss, option, split or
    speech that does not exist, options that make nothing, a network that gives no logits, a loss
    that gives no scalar, GPUs that are not there, a loss that lacks a teacher or what one shows, a
    teacher that no loss heeds, augmentation by which a stored posterior would not hold any more,
    what the data must tell of each frame and do not, classes and SNR labels to be shown that the
    data do not have, and feature maps that a network has not.
    """
    classes, frame_length, labels = _shape(recipe.data)
    known = _known(recipe.data, classes)
    _check_shown(recipe.report, classes, labels)
    low, high = recipe.data.snr or (min(labels), max(labels))
    if not any(low <= at <= high for at in labels):
        raise UserError(
            f"recipe key 'data.snr' is {recipe.data.snr}; the data have no SNR label within, but "
            f"{', '.join(map(str, labels))}"
        )
    loud = [at for at in labels if max(low, UNKNOWN_FROM_DB) <= at <= high]
    if recipe.data.without and not loud:
        raise UserError(
            "recipe key 'data.without': classes left out are measured at SNR labels from "
            f"{UNKNOWN_FROM_DB} dB on, and the data have none"
        )
    _check_noise(recipe.augment, known)
    teachers = {teacher for name in wanted for teacher in recipe.members[name].teachers()}
    made: dict[str, nn.Module] = {}
    for name, member in recipe.members.items():
        if name not in wanted:
            continue
        key = f"recipe key 'members.{name}'"
        train = recipe.train_of(name)
        if train.accelerator == "gpu" and gpu() is None:
            raise UserError(f"{key}: train.accelerator is gpu, but PyTorch finds none")
        if train.accelerator != "cpu" and gpu():
            there = max(1, torch.cuda.device_count())
            if train.devices > there:
                raise UserError(f"{key}: train.devices is {train.devices}, but GPUs are {there}")
        try:
            taught = any(losses.known(term.name).needs_teacher for term in member.loss)
            for term in member.loss:
                _check_told(losses.known(term.name), term.name, known)
            if any(losses.known(term.name).needs_posterior for term in member.loss):
                _check_kept(recipe.augment)
            exposed = any(term.name in _OF_STRANGERS for term in member.loss)
            if exposed != (recipe.augment.strangers > 0.0):
                losses_named = " or ".join(_OF_STRANGERS)
                raise UserError(f"loss {losses_named} and augment.strangers go together")
            if exposed and member.teacher:
                raise UserError("its teacher would teach what strangers are called")
            if taught and not member.teacher:
                raise UserError("its loss needs a teacher")
            if member.teacher and not taught:
                raise UserError(f"no term of its loss heeds its teacher {member.teacher!r}")
            module = ClassifierModule(
                network=member.network,
                network_options=member.options,
                classes=classes,
                frame_length=frame_length,
                loss=[dataclasses.asdict(term) for term in member.loss],
                train=dataclasses.asdict(train),
                seed=0,
                augment=dataclasses.asdict(recipe.augment),
                describes={},
                teacher=_teacher(member, made),
            )
            _check_terms(module)
        except UserError as error:
            raise UserError(f"{key}: {error}") from error
        except Exception as error:
            named = [("network", member.network), *(("loss", term.name) for term in member.loss)]
            if any(own_code.digest(*one) for one in named):
                raise  # whoever wrote it wants to see where
            reason = f"{type(error).__name__}: {error}"
            raise UserError(f"{key}: its network or loss cannot be made: {reason}") from error
        if name in teachers:
            made[name] = module.network
        for at, chosen in enumerate(recipe.publish):
            if chosen.member == name:
                _check_published(recipe.data, chosen, f"recipe key 'publish.{at}", module)
        if name in recipe.report.feature_maps_of:
            feature_maps.check(module.network, f"recipe key 'report.feature_maps_of': {name}")


def _check_terms(module: ClassifierModule) -> None:
    """Refuse a term of the loss that gives no scalar."""
    n, classes = 4, len(module.hparams.classes)
    generator = torch.Generator().manual_seed(0)
    iq = torch.randn(n, 2, module.hparams.frame_length, generator=generator)
    with torch.no_grad():
        shown = [outputs_of(network.eval(), iq, attention=True) for network in module.pair()]
        student, teacher = (*shown, None)[:2]
        for settings, term in zip(module.hparams.loss, module.terms, strict=True):
            target = torch.zeros(n, dtype=torch.int64)
            if term.needs_snr:
                target = torch.zeros(n)
            if term.needs_posterior:
                target = torch.full((n, classes), -math.log(classes))
            value = term(student, teacher, target)
            if not isinstance(value, torch.Tensor) or value.dim() > 0:
                given = tuple(value.shape) if isinstance(value, torch.Tensor) else repr(value)
                raise UserError(f"loss {settings['name']}: it gives {given}, not a scalar tensor")


def _teacher(member: Member, made: Mapping[str, nn.Module]) -> nn.Module | None:
    """What teaches a member, of the networks ``made``."""
    networks = [made[name] for name in member.teachers()]
    if len(networks) > 1 or member.teacher_rotations > 1:
        return Ensemble(networks, member.teacher_rotations)
    return networks[0] if networks else None


def _known(data: DataSection, classes: Sequence[str]) -> set[str]:
    """What is known of each frame to train on: its "SNR", its share of "noise", its "posterior"."""
    if data.file:
        with DataSetFile(Path(data.file)) as file:
            drawn = set(file.draws)
    else:
        drawn = set(generators.create(data.train.generator or data.generator).draw_types)
    found = {"posterior"} if {f"{LOG_POSTERIOR}{name}" for name in classes} <= drawn else set()
    if TRUE_SNR in drawn:
        found |= {"SNR", "noise"}
    return found | ({"noise"} if NOISE_POWER in drawn else set())


def _check_noise(augment: AugmentSection, known: Collection[str]) -> None:
    for key, needed in (("noise", "SNR"), ("strangers", "SNR"), ("noise_rise", "noise")):
        if getattr(augment, key) > 0.0 and needed not in known:
            told = "frame's SNR" if needed == "SNR" else "frame's SNR or share of noise"
            raise UserError(f"recipe key 'augment.{key}' needs a data set that tells each {told}")


def _check_told(loss: type[losses.Loss], name: str, known: Collection[str]) -> None:
    if loss.needs_snr and "SNR" not in known:
        raise UserError(f"loss {name} needs a data set that holds each frame's true SNR")
    if loss.needs_posterior and "posterior" not in known:
        raise UserError(f"loss {name} needs a data set that holds each frame's exact posterior")


def _check_shown(report: ReportSection, classes: Sequence[str], labels: Sequence[int]) -> None:
    """Refuse what the data's ``classes`` and SNR ``labels`` do not have. A budget may leave some of
    the data's out: of these the report has nothing."""
    for name in report.classes_of_interest:
        if name not in classes:
            raise UserError(f"recipe key 'report.classes_of_interest' names {name!r}, no class")
    for label in report.confusion_at:
        if label not in labels:
            raise UserError(
                f"recipe key 'report.confusion_at': the data have no label {label} dB; "
                "--set 'report.confusion_at=[]' --set 'report.confusion_of=[]' leaves such out"
            )
    for at, (low, high) in enumerate(report.bands):
        if not any(low <= label <= high for label in labels):
            raise UserError(
                f"recipe key 'report.bands.{at}': no label is in {low} to {high} dB; "
                "--set 'report.bands=[]' leaves bands out"
            )


def _check_published(
    data: DataSection, chosen: PublishSection, key: str, module: ClassifierModule
) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", chosen.model_name):
        raise UserError(f"{key}.model_name' is {chosen.model_name!r}, no name of a file")
    if data.without:
        raise UserError(f"{key}': runs for calibration hold the classes of 'data.without', too")
    if (asked := chosen.unknown) is None:
        return
    if asked.score not in (kinds := unknown.kinds_of(module)):
        raise UserError(
            f"{key}.unknown.score' is {asked.score!r}; of {chosen.member} can be had: "
            f"{', '.join(kinds)}"
        )
    if not 0.0 < asked.false_rejection < 1.0:
        raise UserError(
            f"{key}.unknown.false_rejection' is {asked.false_rejection}; it must lie between 0 "
            "and 1"
        )
    _check_speech(generators.create(asked.generator), f"{key}.unknown.frames", asked.frames)


def _check_speech(generator: Any, key: str, part: DataPart) -> None:
    if part.speech not in generator.splits:
        raise UserError(
            f"{key}.speech' is {part.speech!r}; it must be one of {', '.join(generator.splits)}"
        )


def _check_kept(augment: AugmentSection) -> None:
    kept = dataclasses.replace(augment, rotation=False, conjugation=False, reversal=False)
    if kept != AugmentSection():
        raise UserError("its loss posterior allows no augmentation but turns and mirror images")


def _shape(data: DataSection) -> tuple[list[str], int, Sequence[int]]:
    """Class names, frame length and SNR labels of a recipe's data."""
    if data.file:
        if data.split not in PRESETS:
            raise UserError(
                f"recipe key 'data.split' is {data.split!r}; known: {', '.join(PRESETS)}"
            )
        with DataSetFile(Path(data.file)) as file:
            labels = np.unique(file.z[:]).tolist()
            return _left(file.info.classes, data.without), file.frame_length, labels
    generator = generators.create(data.generator)
    for key in ("train", "validation", "test", "runs", "test_runs"):
        if part := getattr(data, key):
            own = generators.create(part.generator) if part.generator else generator
            _check_speech(own, f"recipe key 'data.{key}", part)
    left = _left(generator.classes, data.without)
    return left, generator.frame_length, generator.snr_labels


def _left(classes: Sequence[str], without: Sequence[str]) -> list[str]:
    if unknown := sorted(set(without) - set(classes)):
        raise UserError(f"recipe key 'data.without': the data have no class {unknown[0]!r}")
    left = [name for name in classes if name not in without]
    if len(left) < 2:
        which = "recipe key 'data.without' leaves" if without else "the data have"
        raise UserError(f"{which} fewer than two classes")
    return left
