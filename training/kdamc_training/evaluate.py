# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring a model on a data set file; the record that ``kdamc-train evaluate`` writes."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
from gnuradio.kdamc import contract
from gnuradio.kdamc.model import Model

from .calibration import (
    FUSION_SIZES,
    cut_runs,
    expected_calibration_error,
    fuse,
    log_softmax,
)
from .datasets.dataset_file import SNR_UNKNOWN, DataSetFile
from .onnx_models import logits_of


def evaluate(model: Model, data_path: str | os.PathLike) -> dict[str, Any]:
    """Accuracy, by SNR label and by class, confusion and calibration of a model on a data set.

    ``confusion[i][j]`` counts frames of class i called class j, ``confusion_from_0_db`` those with
    an SNR label of at least 0; ``by_class`` gives the accuracy by class at each SNR label of
    ``snr_labels``; ``ece`` uses 15 bins of equal mass. Frames whose SNR is not known stand under
    their label, SNR_UNKNOWN, and in everything but ``confusion_from_0_db``.
    """
    info = model.info
    with DataSetFile(data_path) as data:
        logits = logits_of(model, data)
        labels, snr = data.y[:].astype(int), data.z[:].astype(int)
        described = describe_data(data)
    posteriors = np.exp(log_softmax(logits, info.temperature))
    called = posteriors.argmax(axis=1)
    correct = called == labels
    count = len(info.classes)
    pairs = labels * count + called

    def confusion(chosen: np.ndarray) -> list[list[int]]:
        return np.bincount(chosen, minlength=count * count).reshape(count, count).tolist()

    snr_labels = sorted(set(snr.tolist()))
    return {
        "frames": len(labels),
        "overall": float(correct.mean()),
        "by_snr": {str(value): float(correct[snr == value].mean()) for value in snr_labels},
        "classes": list(info.classes),
        "confusion": confusion(pairs),
        "confusion_from_0_db": confusion(pairs[(snr >= 0) & (snr != SNR_UNKNOWN)]),
        "ece": expected_calibration_error(posteriors.max(axis=1), correct),
        "snr_labels": snr_labels,
        "by_class": {
            name: [_mean(correct[(labels == index) & (snr == value)]) for value in snr_labels]
            for index, name in enumerate(info.classes)
        },
        "model": describe_model(model),
        "data": described,
    }


def evaluate_runs(model: Model, data_path: str | os.PathLike) -> dict[str, Any]:
    """Decisions fused from n consecutive frames: accuracy and calibration error by n.

    The data set must hold runs (``kdamc-train data generate … --run-length``).
    """
    info = model.info
    with DataSetFile(data_path) as data:
        logits = logits_of(model, data)
        labels, pass_id = data.y[:].astype(int), data.pass_id[:]
        described = describe_data(data)
    log_posteriors = log_softmax(logits, info.temperature)
    decisions = {}
    for n in FUSION_SIZES:
        runs, run_labels = cut_runs(log_posteriors, labels, pass_id, n)
        if not len(runs):
            continue
        posteriors = np.exp(fuse(runs, info.fusion_exponent))
        correct = posteriors.argmax(axis=1) == run_labels
        decisions[str(n)] = {
            "decisions": len(runs),
            "accuracy": float(correct.mean()),
            "ece": expected_calibration_error(posteriors.max(axis=1), correct),
        }
    return {"decisions": decisions, "data": described}


def describe_data(data: DataSetFile) -> dict[str, Any]:
    """What a record says of a data set."""
    info = data.info
    return {
        "file": data.path.name,
        "generator": info.generator,
        "seed": info.seed,
        "speech": info.speech,
        "created": info.created,
        **info.options,
    }


def describe_model(model: Model) -> dict[str, Any]:
    """What a record says of a model: name, hash and the metadata that is not long."""
    info = model.info
    return {
        "file": model.path.name,
        "sha256": hashlib.sha256(model.path.read_bytes()).hexdigest(),
        "architecture": info.architecture,
        "recipe": info.metadata.get(contract.KEY_RECIPE, ""),
        "temperature": info.temperature,
        "fusion_exponent": info.fusion_exponent,
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
