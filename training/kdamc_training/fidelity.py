# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fidelity of a regenerated set: what a network trained on genuine data makes of it."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np

from .calibration import log_softmax
from .datasets.dataset_file import DataSetFile
from .errors import UserError
from .onnx_models import logits_of, open_model

LEAST_OVERALL = 0.60
LARGEST_DIFFERENCE = 0.05


def read_reference(path: str | os.PathLike) -> tuple[list[str], list[int], np.ndarray]:
    """Classes, SNR labels and accuracies ``(classes, labels)`` of a table of genuine data.

    CSV: a header with the labels, then a row a class. Raises UserError if it is anything else.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            head, *rows = list(csv.reader(file))
        labels = [int(label) for label in head[1:]]
        table = np.array([[float(value) for value in row[1:]] for row in rows])
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a table of accuracies by class and SNR: {error}") from error
    if table.ndim != 2 or table.shape[1] != len(labels):
        raise UserError(f"{path}: rows and header differ in length")
    return [row[0] for row in rows], labels, table


def compare(
    data_path: str | os.PathLike, yardstick: str | os.PathLike, reference: str | os.PathLike
) -> dict[str, Any]:
    """Accuracy of ``yardstick`` on a data set file beside the ``reference`` table.

    The yardstick knows the classes in the data set's order, takes ``(n, L, 2)`` frames whose
    magnitudes sum to 1, and gives probabilities. ``faithful`` is true when it scores at least 0.60
    overall and differs by at most 0.05 from the reference's mean at every SNR label.
    """
    classes, labels, genuine = read_reference(reference)
    with DataSetFile(data_path) as data:
        if list(data.info.classes) != classes:
            raise UserError(f"{reference}: classes are not those of {data_path}")
        model = open_model(
            str(Path(yardstick)),
            classes=data.info.classes,
            input_size=data.frame_length,
            layout="nlc",
            normalise_mode="l1",
            output="probabilities",
        )
        called = log_softmax(logits_of(model, data)).argmax(axis=1)
        truth, snr = data.y[:], data.z[:]
    if sorted(set(snr.tolist())) != labels:
        raise UserError(f"{reference}: SNR labels are not those of {data_path}")
    correct = called == truth
    by_snr = [float(correct[snr == label].mean()) for label in labels]
    difference = float(np.max(np.abs(np.array(by_snr) - genuine.mean(axis=0))))
    overall = float(correct.mean())
    return {
        "frames": len(truth),
        "overall": overall,
        "snr_labels": labels,
        "by_snr": by_snr,
        "reference_by_snr": genuine.mean(axis=0).tolist(),
        "largest_difference": difference,
        "by_class": {
            name: [float(correct[(truth == index) & (snr == label)].mean()) for label in labels]
            for index, name in enumerate(classes)
        },
        "faithful": overall >= LEAST_OVERALL and difference <= LARGEST_DIFFERENCE,
    }
