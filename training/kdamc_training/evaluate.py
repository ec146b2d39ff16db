# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring a model on a data set file; the record that ``kdamc-train evaluate`` writes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
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
    """``measure`` for a model on a data set file, with what model and data are."""
    with DataSetFile(data_path) as data:
        logits = logits_of(model, data)
        labels, snr = data.y[:].astype(int), data.z[:].astype(int)
        described = describe_data(data)
    return {
        **measure(logits, labels, snr, model.info.classes, model.info.temperature),
        "model": describe_model(model),
        "data": described,
    }


def measure(
    logits: np.ndarray,
    labels: np.ndarray,
    snr: np.ndarray,
    classes: Sequence[str],
    temperature: float,
    confusion_at: Sequence[int] = (),
) -> dict[str, Any]:
    """Accuracy, by SNR label and by class, confusion and calibration of a classifier's logits.

    ``logits (n, classes)``, ``labels (n)`` class indices, ``snr (n)`` SNR labels in dB.
    ``confusion[i][j]`` counts frames of class i called class j, ``confusion_from_0_db`` those with
    an SNR label of at least 0, ``confusion_at_db`` those at each SNR label of ``confusion_at``.
    ``by_class`` gives the accuracy by class at each SNR label of ``snr_labels``, ``f1_by_snr`` the
    mean of the classes' F1 there, ``scores`` precision, recall and F1 by class over all frames.
    ``ece`` uses 15 bins of equal mass. Frames whose SNR is not known stand under their label,
    SNR_UNKNOWN, and in everything but ``confusion_from_0_db``.
    """
    posteriors = np.exp(log_softmax(logits, temperature))
    called = posteriors.argmax(axis=1)
    correct = called == labels
    count = len(classes)
    pairs = labels * count + called

    def confusion(chosen: np.ndarray) -> np.ndarray:
        return np.bincount(chosen, minlength=count * count).reshape(count, count)

    snr_labels = sorted(set(snr.tolist()))
    whole = confusion(pairs)
    scores = np.stack(precision_recall_f1(whole), axis=1)
    return {
        "frames": len(labels),
        "overall": float(correct.mean()),
        "by_snr": {str(value): float(correct[snr == value].mean()) for value in snr_labels},
        "classes": list(classes),
        "confusion": whole.tolist(),
        "confusion_from_0_db": confusion(pairs[(snr >= 0) & (snr != SNR_UNKNOWN)]).tolist(),
        "confusion_at_db": {
            str(value): confusion(pairs[snr == value]).tolist() for value in confusion_at
        },
        "ece": expected_calibration_error(posteriors.max(axis=1), correct),
        "snr_labels": snr_labels,
        "by_class": {
            name: [_mean(correct[(labels == index) & (snr == value)]) for value in snr_labels]
            for index, name in enumerate(classes)
        },
        "scores": {
            name: dict(zip(("precision", "recall", "f1"), row, strict=True))
            for name, row in zip(classes, scores.tolist(), strict=True)
        },
        "f1_by_snr": {
            str(value): float(precision_recall_f1(confusion(pairs[snr == value]))[2].mean())
            for value in snr_labels
        },
    }


def precision_recall_f1(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 by class of a ``confusion (classes, classes)``; 0 where 0/0."""
    right = np.diag(confusion).astype(float)
    precision = right / np.maximum(confusion.sum(axis=0), 1)
    recall = right / np.maximum(confusion.sum(axis=1), 1)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return precision, recall, f1


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
