# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fidelity of a regenerated set, both ways.

A network trained on genuine data should do on the set what it does on genuine data, and a network
trained on the set should have the weaknesses that networks trained on genuine data have: a set
that is too easy is at fault as well.
"""

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

HIGH_LABEL = 4
"""Weaknesses are compared over the SNR labels from here on."""
PAUSE_CLASSES = ("AM-DSB", "WBFM")
"""The same bare carrier in a pause of speech; how networks split it is arbitrary."""
PAUSE_RANGE = (0.66, 0.76)
LARGEST_CLASS_DIFFERENCE = 0.10


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


def compare_weaknesses(record: dict[str, Any], reference: str | os.PathLike) -> dict[str, Any]:
    """Accuracy by class of a network trained on a regenerated set beside ``reference``.

    ``record`` is what ``evaluate.evaluate`` gives. ``faithful`` is true when, over the SNR labels
    from 4 dB, the mean of AM-DSB and WBFM lies in 0.66 to 0.76 (genuine 0.72) and every other class
    differs from the table by at most 0.10.
    """
    classes, labels, genuine = read_reference(reference)
    if record["classes"] != classes or record["snr_labels"] != labels:
        raise UserError(f"{reference}: classes or SNR labels are not those of the record")
    high = np.array(labels) >= HIGH_LABEL
    here = {name: float(np.mean(np.array(record["by_class"][name])[high])) for name in classes}
    there = dict(zip(classes, genuine[:, high].mean(axis=1).tolist(), strict=True))
    pause_mean = float(np.mean([here[name] for name in PAUSE_CLASSES]))
    differences = [abs(here[name] - there[name]) for name in classes if name not in PAUSE_CLASSES]
    return {
        "by_class": here,
        "reference_by_class": there,
        "pause_mean": pause_mean,
        "reference_pause_mean": float(np.mean([there[name] for name in PAUSE_CLASSES])),
        "largest_difference": max(differences),
        "faithful": PAUSE_RANGE[0] <= pause_mean <= PAUSE_RANGE[1]
        and max(differences) <= LARGEST_CLASS_DIFFERENCE,
    }
