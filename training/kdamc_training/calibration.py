# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration: a temperature for single frames, exponents for frames fused over time.

Both are fitted by negative log-likelihood on validation data and never on test data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gnuradio.kdamc.accuracy import (
    expected_calibration_error as expected_calibration_error,
)
from gnuradio.kdamc.accuracy import log_softmax
from gnuradio.kdamc.contract import Fusion
from gnuradio.kdamc.decision import fuse
from gnuradio.kdamc.model import Model

from .datasets.dataset_file import DataSetFile
from .errors import UserError
from .onnx_models import logits_of

if TYPE_CHECKING:
    from .training_data import Part

FUSION_SIZES = (1, 4, 16, 64)


@dataclass(frozen=True)
class Calibration:
    """What the fits gave, and on what.

    Files from before frames were told apart by what they say have one exponent for all.
    """

    temperature: float
    fusion_exponent: float
    fitted_on: str
    fusion_exponent_sure: float | None = None
    fusion_mean_share: float = 0.0

    @property
    def fusion(self) -> Fusion:
        """What ``fuse`` takes."""
        sure = self.fusion_exponent_sure
        return Fusion(
            self.fusion_exponent,
            self.fusion_exponent if sure is None else sure,
            self.fusion_mean_share,
        )


def fit(model: Model, validation: Part, runs_file: Path | None) -> Calibration:
    """Fit ``model``'s temperature on ``validation`` and its fusion on a data set of runs; without
    runs, frames of one run count as copies of one another.

    No network learnt from either, though the epoch whose weights are used may have been chosen on
    ``validation``.

    Runs are many frames of few signals: for a temperature they are too few.
    """
    with DataSetFile(validation.path) as data:
        logits = logits_of(model, data, validation.chosen, validation.classes)
        fitted_on = f"{len(logits)} validation frames"
    temperature = fit_temperature(logits, validation.labels()[0])
    if runs_file is None:
        return Calibration(temperature, 1.0, fitted_on)
    with DataSetFile(runs_file) as data:
        logits, labels, pass_id = logits_of(model, data), data.y[:].astype(int), data.pass_id[:]
        runs = f"{len(data)} frames in runs of {data.info.generator} seed {data.info.seed}"
    fusion = fit_fusion(log_softmax(logits, temperature), labels, pass_id)
    return Calibration(
        temperature,
        fusion.exponent,
        f"{fitted_on}, fusion on {runs}",
        fusion.exponent_sure,
        fusion.mean_share,
    )


def mean_nll(log_posteriors: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of ``labels (n)`` under ``log_posteriors (n, classes)``."""
    return float(-np.mean(log_posteriors[np.arange(len(labels)), labels]))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature in 0.05 to 1,000 that makes ``logits (n, classes)`` most likely."""
    from scipy.optimize import minimize_scalar

    fit = minimize_scalar(
        lambda log_t: mean_nll(log_softmax(logits, np.exp(log_t)), labels),
        bounds=(np.log(0.05), np.log(1000.0)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(np.exp(fit.x))


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


def fit_fusion(
    log_posteriors: np.ndarray,
    labels: np.ndarray,
    pass_id: np.ndarray,
    sizes: Sequence[int] = FUSION_SIZES,
) -> Fusion:
    """The fusion that makes fused runs of ``sizes`` frames most likely, on average.

    ``log_posteriors (n, classes)`` are calibrated ones of consecutive frames; sizes longer than
    every pass are left out.
    """
    from scipy.optimize import minimize

    sums = []
    for n in sizes:
        runs, run_labels = cut_runs(log_posteriors, labels, pass_id, n)
        if len(runs):
            sums.append((runs.sum(axis=1), n, run_labels))

    def loss(values: Sequence[float]) -> float:
        fusion = Fusion(*values)
        return float(np.mean([mean_nll(fuse(total, n, fusion), y) for total, n, y in sums]))

    # Without gradients: they are 0 where the share is.
    fit = minimize(
        loss,
        (0.8, 0.8, 0.05),
        method="Nelder-Mead",
        bounds=((0.0, 1.0),) * 3,
        options={"xatol": 1e-4, "fatol": 1e-6, "maxfev": 1000},
    )
    return Fusion(*(float(value) for value in fit.x))


def read_calibration(path: Path) -> Calibration:
    """A calibration from the JSON file that a run wrote; raises UserError if it is not one."""
    try:
        return Calibration(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a calibration: {error}") from error
