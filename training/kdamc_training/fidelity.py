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

from .datasets.dataset_file import DataSetFile, rms_normalised
from .errors import UserError
from .onnx_models import open_model

LARGEST_SHORTFALL = 0.02
LARGEST_DIFFERENCE = 0.05
_BATCH = 512

HIGH_LABEL = 4
"""Weaknesses are compared over the SNR labels from here on."""
PAUSE_CLASSES = ("AM-DSB", "WBFM")
"""The same bare carrier in a pause of speech; how networks split it is arbitrary."""
PAUSE_RANGE = (0.66, 0.76)
LARGEST_CLASS_DIFFERENCE = 0.10


def read_reference(path: str | os.PathLike) -> tuple[list[str], list[int], np.ndarray]:
    """Classes, SNR labels and accuracies ``(classes, labels)`` of a table of genuine data.

    CSV: a header with the labels, then a row a class; a first column named ``index`` is
    passed over. Raises UserError if it is anything else.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        if rows and rows[0][:1] == ["index"]:
            rows = [row[1:] for row in rows]
        head, *rows = rows
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

    The yardstick knows the classes of the reference in its order, takes ``(n, L, 2)`` frames whose
    magnitudes sum to 1, and gives probabilities. The data set may lack some of the classes: then
    the reference's other rows count, and the yardstick may still name what is lacking.
    ``faithful`` is true when it scores at most 0.02 below the reference overall and differs by at
    most 0.05 from the reference's mean at every SNR label.
    """
    known, labels, genuine = read_reference(reference)
    with DataSetFile(data_path) as data:
        classes = list(data.info.classes)
        _check_same(data, [name for name in known if name in classes], labels, reference)
        chosen = np.array([known.index(name) for name in classes])
        genuine = genuine[chosen]
        called = _called(yardstick, known, "l1", data)
        truth, snr = chosen[data.y[:]], data.z[:]
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
        "by_class": dict(
            zip(classes, _cells(correct, truth, snr, chosen, labels).tolist(), strict=True)
        ),
        "faithful": overall >= float(genuine.mean()) - LARGEST_SHORTFALL
        and difference <= LARGEST_DIFFERENCE,
    }


def compare_cells(
    data_path: str | os.PathLike, yardstick: str | os.PathLike, reference: str | os.PathLike
) -> dict[str, Any]:
    """Accuracy of ``yardstick`` in every cell of a data set file beside the ``reference`` table.

    The yardstick knows the classes in the data set's order, takes ``(n, L, 2)`` frames at the data
    set's own scale (RadioML 2018.01A), and gives probabilities. ``faithful`` is true when the means
    over all cells differ by at most 0.05; ``mean_absolute_difference`` says how far cells do.
    """
    classes, labels, genuine = read_reference(reference)
    with DataSetFile(data_path) as data:
        _check_same(data, classes, labels, reference)
        called = _called(yardstick, classes, "none", data)
        truth, snr = data.y[:], data.z[:]
    table = _cells(called == truth, truth, snr, np.arange(len(classes)), labels)
    difference = np.abs(table - genuine)
    overall, genuine_overall = float(table.mean()), float(genuine.mean())
    return {
        "frames": len(truth),
        "overall": overall,
        "reference_overall": genuine_overall,
        "mean_absolute_difference": float(difference.mean()),
        "snr_labels": labels,
        "by_snr": table.mean(axis=0).tolist(),
        "reference_by_snr": genuine.mean(axis=0).tolist(),
        "by_class": dict(zip(classes, table.tolist(), strict=True)),
        "difference_by_class": dict(zip(classes, difference.mean(axis=1).tolist(), strict=True)),
        "faithful": abs(overall - genuine_overall) <= LARGEST_DIFFERENCE,
    }


def _check_same(
    data: DataSetFile, classes: list[str], labels: list[int], reference: str | os.PathLike
) -> None:
    """Raise UserError unless ``data`` has the classes and SNR labels of the ``reference``."""
    if list(data.info.classes) != classes:
        raise UserError(f"{reference}: classes are not those of {data.path}")
    if sorted(set(data.z[:].tolist())) != labels:
        raise UserError(f"{reference}: SNR labels are not those of {data.path}")


def _called(
    yardstick: str | os.PathLike, classes: list[str], normalise_mode: str, data: DataSetFile
) -> np.ndarray:
    """What ``yardstick``, which knows ``classes``, calls each frame: ``(n)`` int64 indices."""
    model = open_model(
        str(Path(yardstick)),
        classes=classes,
        input_size=data.frame_length,
        layout="nlc",
        normalise_mode=normalise_mode,
        output="probabilities",
    )
    pieces = []
    for first in range(0, len(data), _BATCH):
        frames = data.x[first : first + _BATCH].astype(np.float32)
        power = np.mean(np.square(frames, dtype=np.float64).sum(axis=1), axis=1)
        pieces.append(model.run(rms_normalised(frames), power).logits.argmax(axis=1))
    return np.concatenate(pieces)


def _cells(
    correct: np.ndarray, truth: np.ndarray, snr: np.ndarray, classes: np.ndarray, labels: list[int]
) -> np.ndarray:
    """Share of ``correct`` frames by class index and SNR label, ``(classes, labels)`` float64."""
    return np.array(
        [
            [correct[(truth == index) & (snr == label)].mean() for label in labels]
            for index in classes
        ]
    )


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
