# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract between training and radio: what an ONNX model must say of itself.

A model takes ``iq`` ``(n, 2, L)`` float32 (row 0 I, row 1 Q, each frame of RMS 1, n free)
and gives ``logits`` ``(n, classes)`` float32, optionally ``snr_db (n)`` and
``unknown_score (n)``.  Everything else that a receiver needs stands in the file's
``metadata_props`` under the keys below.  An explicit setting beats metadata, metadata beats a
default, and what cannot be resolved is refused with the reason.

This module imports the standard library only, so that the exporter (training wing) and the
loader (radio wing) read one table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONTRACT_VERSION = "1"
MAX_OPSET = 17

INPUT_NAME = "iq"
LOGITS_NAME = "logits"
SNR_NAME = "snr_db"
UNKNOWN_SCORE_NAME = "unknown_score"

#: The label of a decision that no class deserves; no model may use it as a class.
UNKNOWN_LABEL = "unknown"

KEY_CONTRACT = "kdamc.contract"
KEY_CLASSES = "classes"
KEY_INPUT_SIZE = "input_size"
KEY_NORMALISE_MODE = "normalise_mode"
KEY_LAYOUT = "layout"
KEY_OUTPUT = "output"
KEY_HISTORY_DEPTH = "history_depth"
KEY_ARCHITECTURE = "architecture"
KEY_SAMPLES_PER_SYMBOL = "samples_per_symbol"
KEY_OVERSAMPLING = "oversampling"
KEY_TEMPERATURE = "temperature"
KEY_FUSION_EXPONENT = "fusion_exponent"
KEY_FUSION_EXPONENT_SURE = "fusion_exponent_sure"
KEY_FUSION_MEAN_SHARE = "fusion_mean_share"
KEY_UNKNOWN_THRESHOLD = "unknown_threshold"
KEY_DATASET = "dataset"
KEY_RECIPE = "recipe"
KEY_TEACHER = "teacher"
KEY_ACCURACY = "accuracy"
KEY_LICENSE = "license"
KEY_GENERATOR_CMD = "generator_cmd"
KEY_QUANTIZATION = "quantization"
KEY_GIT_REV = "git_rev"
KEY_CREATED = "created"

#: What a model made by this project must carry; third-party files may lack any of them.
REQUIRED_KEYS = (
    KEY_CONTRACT,
    KEY_CLASSES,
    KEY_INPUT_SIZE,
    KEY_NORMALISE_MODE,
    KEY_HISTORY_DEPTH,
    KEY_ARCHITECTURE,
    KEY_SAMPLES_PER_SYMBOL,
    KEY_TEMPERATURE,
    KEY_FUSION_EXPONENT,
    KEY_DATASET,
    KEY_RECIPE,
    KEY_TEACHER,
    KEY_ACCURACY,
    KEY_LICENSE,
    KEY_GENERATOR_CMD,
    KEY_GIT_REV,
    KEY_CREATED,
)

#: Frame scalings a network may ask for: RMS 1, sum of magnitudes 1, largest magnitude 1, as is.
NORMALISE_MODES = ("rms", "l1", "peak", "none")
#: Tensor layouts: (n, 2, L), (n, L, 2), and each with a trailing or leading singleton axis.
LAYOUTS = ("ncl", "nlc", "ncl1", "n1cl", "nlc1", "n1lc")
#: What the first output holds.
OUTPUTS = ("logits", "log_probabilities", "probabilities")


class ModelError(ValueError):
    """A model file, or what was said about it, cannot be used; the text says why."""


@dataclass(frozen=True)
class Fusion:
    """How n frames of one run make one posterior; see :func:`decision.fuse`.

    ``exponent`` and ``exponent_sure`` are for frames that on average say nothing and for ones that
    are sure (0: independent frames, 1: fully correlated ones); ``mean_share`` is the share of runs
    in which more frames add nothing.  All within 0..1.
    """

    exponent: float = 1.0
    exponent_sure: float = 1.0
    mean_share: float = 0.0


@dataclass(frozen=True)
class ModelInfo:
    """Everything about a model that is not in its weights.

    ``samples_per_symbol`` is the ``(low, high)`` range of the training data or ``None``, and so is
    ``oversampling``, their sample rate over the occupied bandwidth of the signals;
    ``unknown_threshold`` is the ``unknown_score`` above which a decision is ``unknown`` (a model
    with that output), else the confidence below which it is; ``None`` if the file does not say.
    """

    classes: tuple[str, ...]
    input_size: int
    normalise_mode: str = "rms"
    layout: str = "ncl"
    output: str = "logits"
    temperature: float = 1.0
    fusion: Fusion = Fusion()
    unknown_threshold: float | None = None
    samples_per_symbol: tuple[float, float] | None = None
    oversampling: tuple[float, float] | None = None
    architecture: str = ""
    dataset: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def resolve(metadata: Mapping[str, str], explicit: Mapping[str, Any], where: str) -> ModelInfo:
    """Resolve metadata and explicit settings into a :class:`ModelInfo`.

    ``metadata`` maps keys of this module to the strings found in the file; ``explicit`` maps
    the same keys to what the user set (``None``: not set), where ``fusion_exponent`` stands for all
    of the fusion; ``where`` names the model in messages.  Raises :class:`ModelError` for a value
    that is missing, unreadable or impossible.
    """
    version = metadata.get(KEY_CONTRACT)
    if version is not None and version != CONTRACT_VERSION:
        raise ModelError(
            f"{where}: made for contract version {version}, this module reads {CONTRACT_VERSION}"
        )

    def value(name: str, parse: Any, default: Any = None) -> Any:
        given = explicit.get(name)
        if given is not None:
            return given
        text = metadata.get(name)
        if text is None or text == "":
            return default
        try:
            return parse(text)
        except (ValueError, TypeError) as error:
            raise ModelError(f"{where}: metadata {name}={text!r} is unreadable: {error}") from None

    classes = value(KEY_CLASSES, json.loads)
    if classes is None:
        raise ModelError(f"{where}: the file does not name its classes; name them (classes=…)")
    if isinstance(classes, str):
        classes = [name.strip() for name in classes.split(",")]
    if not isinstance(classes, (list, tuple)):
        raise ModelError(f"{where}: classes must be a list of names, got {classes!r}")
    if not all(isinstance(name, str) and name for name in classes) or len(classes) < 2:
        raise ModelError(f"{where}: classes must be at least two non-empty names, got {classes!r}")
    if len(set(classes)) != len(classes):
        raise ModelError(f"{where}: a class is named twice: {', '.join(classes)}")
    if UNKNOWN_LABEL in classes:
        raise ModelError(f"{where}: {UNKNOWN_LABEL!r} is reserved and cannot be a class")

    input_size = value(KEY_INPUT_SIZE, int)
    if input_size is None:
        raise ModelError(f"{where}: the frame length is not known; name it (input_size=…)")
    if not 1 <= int(input_size) <= 1 << 20:
        raise ModelError(f"{where}: a frame length of {input_size} samples is impossible")

    history = value(KEY_HISTORY_DEPTH, int, 0)
    if history != 0:
        raise ModelError(f"{where}: history_depth={history} is not supported, only 0 is")

    def choice(name: str, allowed: tuple[str, ...], default: str) -> str:
        chosen = value(name, str, default)
        if chosen not in allowed:
            raise ModelError(f"{where}: {name}={chosen!r} is none of {', '.join(allowed)}")
        return str(chosen)

    def number(name: str, default: float | None, low: float, high: float) -> float | None:
        given = value(name, float, default)
        if given is None:
            return None
        if not (math.isfinite(given) and low <= given <= high):
            raise ModelError(f"{where}: {name}={given} is outside {low}..{high}")
        return float(given)

    def span(name: str) -> tuple[float, float] | None:
        given = value(name, json.loads)
        if given is None:
            return None
        try:
            low, high = (float(end) for end in given)
        except (TypeError, ValueError):
            raise ModelError(f"{where}: {name} must be a pair [low, high], got {given!r}") from None
        if not 0 < low <= high:
            raise ModelError(f"{where}: {name}={given!r} is no range")
        return low, high

    temperature = number(KEY_TEMPERATURE, 1.0, 1e-3, 1e3)
    exponent = number(KEY_FUSION_EXPONENT, 1.0, 0.0, 1.0)
    fusion = Fusion(exponent, exponent)
    if explicit.get(KEY_FUSION_EXPONENT) is None:
        fusion = Fusion(
            exponent,
            number(KEY_FUSION_EXPONENT_SURE, exponent, 0.0, 1.0),
            number(KEY_FUSION_MEAN_SHARE, 0.0, 0.0, 1.0),
        )
    return ModelInfo(
        classes=tuple(classes),
        input_size=int(input_size),
        normalise_mode=choice(KEY_NORMALISE_MODE, NORMALISE_MODES, "rms"),
        layout=choice(KEY_LAYOUT, LAYOUTS, "ncl"),
        output=choice(KEY_OUTPUT, OUTPUTS, "logits"),
        temperature=float(temperature),
        fusion=fusion,
        unknown_threshold=number(KEY_UNKNOWN_THRESHOLD, None, -1e9, 1e9),
        samples_per_symbol=span(KEY_SAMPLES_PER_SYMBOL),
        oversampling=span(KEY_OVERSAMPLING),
        architecture=metadata.get(KEY_ARCHITECTURE, ""),
        dataset=metadata.get(KEY_DATASET, ""),
        metadata=dict(metadata),
    )
