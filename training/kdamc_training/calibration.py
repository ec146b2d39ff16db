# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration: a temperature for single frames, an exponent for frames fused over time.

Both are fitted by negative log-likelihood on validation data and never on test data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gnuradio.kdamc.accuracy import (
    expected_calibration_error as expected_calibration_error,
)
from gnuradio.kdamc.accuracy import log_softmax
from gnuradio.kdamc.model import Model

from .datasets.dataset_file import DataSetFile
from .errors import UserError
from .onnx_models import logits_of

FUSION_SIZES = (1, 4, 16, 64)


@dataclass(frozen=True)
class Calibration:
    """What the fits gave, and on what."""

    temperature: float
    fusion_exponent: float
    fitted_on: str


def fit(model: Model, runs_file: Path) -> Calibration:
    """Fit temperature and exponent of ``model`` on a data set of runs that no training saw."""
    with DataSetFile(runs_file) as data:
        logits, labels, pass_id = logits_of(model, data), data.y[:].astype(int), data.pass_id[:]
        fitted_on = f"{len(data)} frames in runs of {data.info.generator} seed {data.info.seed}"
    temperature = fit_temperature(logits, labels)
    exponent = fit_fusion_exponent(log_softmax(logits, temperature), labels, pass_id)
    return Calibration(temperature, exponent, fitted_on)


def mean_nll(log_posteriors: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of ``labels (n)`` under ``log_posteriors (n, classes)``."""
    return float(-np.mean(log_posteriors[np.arange(len(labels)), labels]))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature in 0.05 to 20 that makes ``logits (n, classes)`` most likely."""
    from scipy.optimize import minimize_scalar

    fit = minimize_scalar(
        lambda log_t: mean_nll(log_softmax(logits, np.exp(log_t)), labels),
        bounds=(np.log(0.05), np.log(20.0)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(np.exp(fit.x))


def fuse(log_posteriors: np.ndarray, exponent: float) -> np.ndarray:
    """Log posteriors of runs, ``(runs, n, classes)`` to ``(runs, classes)``.

    The sum over the n frames of a run divided by ``n**exponent`` and normalised: exponent 0 takes
    the frames for independent, 1 for copies of one another.
    """
    n = log_posteriors.shape[1]
    return log_softmax(log_posteriors.sum(axis=1) / n**exponent)


def cut_runs(
    log_posteriors: np.ndarray, labels: np.ndarray, pass_id: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut each pass into runs of ``n`` frames: ``(runs, n, classes)`` and labels ``(runs)``.

    Frames must lie in order of time; what is left at the end of a pass is not used.
    """
    _, first, count = np.unique(pass_id, return_index=True, return_counts=True)
    starts = np.concatenate(
        [begin + n * np.arange(many // n) for begin, many in zip(first, count, strict=True)]
    ).astype(int)
    return log_posteriors[starts[:, None] + np.arange(n)], labels[starts]


def fit_fusion_exponent(
    log_posteriors: np.ndarray,
    labels: np.ndarray,
    pass_id: np.ndarray,
    sizes: Sequence[int] = FUSION_SIZES,
) -> float:
    """The exponent in 0 to 1 that makes fused runs of ``sizes`` frames most likely, on average.

    ``log_posteriors (n, classes)`` are calibrated ones of consecutive frames; sizes longer than
    every pass are left out.
    """
    from scipy.optimize import minimize_scalar

    runs = [cut_runs(log_posteriors, labels, pass_id, n) for n in sizes]
    runs = [(cut, run_labels) for cut, run_labels in runs if len(cut)]
    fit = minimize_scalar(
        lambda g: np.mean([mean_nll(fuse(cut, g), run_labels) for cut, run_labels in runs]),
        bounds=(0.0, 1.0),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(fit.x)


def read_calibration(path: Path) -> Calibration:
    """A calibration from the JSON file that a run wrote; raises UserError if it is not one."""
    try:
        return Calibration(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a calibration: {error}") from error
