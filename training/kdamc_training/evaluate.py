# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring a model on a data set file; the record that ``kdamc-train evaluate`` writes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from gnuradio.kdamc.accuracy import (
    describe_model,
    expected_calibration_error,
    log_softmax,
    measure,
)
from gnuradio.kdamc.data_file import describe_data
from gnuradio.kdamc.model import Model

from .calibration import FUSION_SIZES, cut_runs, fuse
from .datasets.dataset_file import DataSetFile
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
