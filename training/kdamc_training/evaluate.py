# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring a model on a data set file; the record that ``kdamc-train evaluate`` writes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gnuradio.kdamc.accuracy import (
    describe_model,
    expected_calibration_error,
    log_softmax,
    measure,
)
from gnuradio.kdamc.data_file import describe_data
from gnuradio.kdamc.decision import fuse
from gnuradio.kdamc.model import Model, Outputs

from .calibration import FUSION_SIZES, cut_runs
from .datasets.dataset_file import DataSetFile
from .onnx_models import logits_of, outputs_for

NOISE = "noise"
"""The class of frames with nothing on the air, in sets that have one."""

OVERSAMPLING_EDGES = (1.5, 2.5, 4.0, 6.0, 8.5, 12.0)
"""Limits of the ranges of oversampling (rate over occupied bandwidth) that are told apart."""

CLEAR_FROM_DB = 10
"""From this true SNR on what is confused is counted apart: noise is no excuse any more."""

_DRAWS = ("snr_db", "oversampling")
_CHANCE_DRAWS = 20


def evaluate(model: Model, data_path: str | os.PathLike) -> dict[str, Any]:
    """``measure`` for a model on a data set file, with what model and data are.

    Of files that hold each frame's draws also ``received``: see ``received``.
    """
    with DataSetFile(data_path) as data:
        data.check_frames()
        outputs = outputs_for(model, data)
        labels, snr = data.y[:].astype(int), data.z[:].astype(int)
        draws = {name: data.draws[name][:] for name in _DRAWS if name in data.draws}
        described = describe_data(data)
    info = model.info
    details = {}
    if len(draws) == len(_DRAWS):
        details = {"received": received(outputs, labels, info.classes, info.temperature, draws)}
    return {
        **measure(outputs.logits, labels, snr, info.classes, info.temperature),
        **details,
        "model": describe_model(model),
        "data": described,
    }


def received(
    outputs: Outputs,
    labels: np.ndarray,
    classes: Sequence[str],
    temperature: float,
    draws: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """What a receiver's user asks, of frames with true SNR and oversampling in ``draws (n)`` each.

    Of frames with a signal, if there are any: accuracy overall, by true SNR (rounded, in dB) and by
    oversampling, the calibration error overall and by SNR, there beside what few frames alone would
    make it if every confidence were right; what was confused from 10 dB on; the mean magnitude in
    dB of the error of the model's own estimate of the SNR, if it makes one; of noise alone, how
    often it was called so, and how often a signal was, by its SNR.
    """
    posteriors = np.exp(log_softmax(outputs.logits, temperature))
    called, confidence = posteriors.argmax(axis=1), posteriors.max(axis=1)
    right = called == labels
    noise = list(classes).index(NOISE) if NOISE in classes else -1
    signal = labels != noise
    true_snr, rate = draws["snr_db"], draws["oversampling"]
    rounded = np.where(signal, np.rint(np.nan_to_num(true_snr)), 0).astype(int)
    values = np.unique(rounded[signal])

    def by_snr(of: Callable[[np.ndarray], float]) -> dict[str, float]:
        return {str(value): of(signal & (rounded == value)) for value in values}

    # The highest is drawn in float32, which may round it up.
    ranges = {
        f"{low:g} to {high:g}": signal
        & (rate >= low)
        & ((rate < high) | (high == OVERSAMPLING_EDGES[-1]))
        for low, high in itertools.pairwise(OVERSAMPLING_EDGES)
    }
    record: dict[str, Any] = {
        **_of_all(right[signal], confidence[signal]),
        "by_snr": by_snr(lambda chosen: float(right[chosen].mean())),
        "by_oversampling": {
            name: float(right[chosen].mean()) for name, chosen in ranges.items() if chosen.any()
        },
        "ece_by_snr": by_snr(
            lambda chosen: expected_calibration_error(confidence[chosen], right[chosen])
        ),
        "ece_by_chance_by_snr": by_snr(lambda chosen: _chance_error(confidence[chosen])),
        f"confusion_from_{CLEAR_FROM_DB}_db": _confusion(
            *(of[signal & (rounded >= CLEAR_FROM_DB)] for of in (labels, called)),
            len(classes),
        ),
    }
    if noise >= 0:
        record["noise_called_noise"] = float(right[~signal].mean())
        record["signal_called_noise_by_snr"] = by_snr(
            lambda chosen: float((called[chosen] == noise).mean())
        )
    if outputs.snr_db is not None:
        error = np.abs(outputs.snr_db - true_snr)
        record["snr_error_db_by_snr"] = by_snr(lambda chosen: float(error[chosen].mean()))
    return record


def _of_all(right: np.ndarray, confidence: np.ndarray) -> dict[str, float]:
    """Accuracy and calibration error of frames with a signal; empty if there are none."""
    if not len(right):
        return {}
    ece = expected_calibration_error(confidence, right)
    return {"overall": float(right.mean()), "ece": ece}


def _chance_error(confidence: np.ndarray) -> float:
    """The calibration error to be expected of ``confidence (n)`` that are all right: its bins are
    small, so that it is not 0."""
    rng = np.random.default_rng(0)
    draws = [rng.random(len(confidence)) < confidence for _ in range(_CHANCE_DRAWS)]
    return float(np.mean([expected_calibration_error(confidence, drawn) for drawn in draws]))


def _confusion(labels: np.ndarray, called: np.ndarray, classes: int) -> list[list[int]]:
    """``[i][j]``: frames of class i that were called class j."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, called), 1)
    return counts.tolist()


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
        posteriors = np.exp(fuse(runs.sum(axis=1), n, info.fusion))
        correct = posteriors.argmax(axis=1) == run_labels
        decisions[str(n)] = {
            "decisions": len(runs),
            "accuracy": float(correct.mean()),
            "ece": expected_calibration_error(posteriors.max(axis=1), correct),
        }
    return {"decisions": decisions, "data": described}
