# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a classifier's results are worth: the record of a measurement, by whatever made it.

Imports neither GNU Radio nor torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from . import contract
from .data_file import SNR_UNKNOWN
from .model import Model

ECE_BINS = 15

# Frames whose confidence is kept for the calibration error, so that an endless run stays small.
_KEPT_CONFIDENCES = 1 << 24
# SNR labels are int8.
_LOWEST_SNR, _SNR_LABELS = -128, 256


class Tally:
    """Counts what frames are and what they were called, and makes the record of it.

    Memory does not grow with the frames, except 4 or 8 bytes each for the calibration error,
    which rests on the first 2^24 of them.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        count = len(self.classes)
        #: (SNR label + 128, true class, called class)
        self._counts = np.zeros((_SNR_LABELS, count, count), np.int64)
        self._confidences: list[np.ndarray] = []  # negative where the frame was called wrongly
        self._kept = 0
        self.frames = 0

    def add(self, labels: np.ndarray, snr: np.ndarray, posteriors: np.ndarray) -> None:
        """Frames of class indices ``labels (n)``, ``snr (n)`` in dB, ``posteriors (n, classes)``.

        Raises ValueError for an SNR label that is no int8.
        """
        if not len(labels):
            return
        if snr.min() < _LOWEST_SNR or snr.max() >= _LOWEST_SNR + _SNR_LABELS:
            raise ValueError("an SNR label is outside -128 to 127 dB")
        called = posteriors.argmax(axis=1)
        np.add.at(self._counts, (snr.astype(int) - _LOWEST_SNR, labels, called), 1)
        self.frames += len(labels)
        if self._kept < _KEPT_CONFIDENCES:
            confidence = posteriors.max(axis=1)
            self._confidences.append(np.where(called == labels, confidence, -confidence))
            self._kept += len(labels)

    def overall(self) -> float | None:
        """Share of frames called rightly; None before the first."""
        return _share(np.trace(self._counts, axis1=1, axis2=2).sum(), self.frames)

    def by_snr(self) -> dict[int, float]:
        """The same by SNR label, in dB."""
        return {value: _share(np.trace(at), at.sum()) for value, at in self._at_snr().items()}

    def confusion(self) -> np.ndarray:
        """``[i, j]``: frames of class i that were called class j."""
        return self._counts.sum(axis=0)

    def record(self, confusion_at: Sequence[int] = ()) -> dict[str, Any]:
        """Accuracy, by SNR label and by class, confusion and calibration.

        ``confusion[i][j]`` counts frames of class i called class j, ``confusion_from_0_db`` those
        with an SNR label of at least 0, ``confusion_at_db`` those at each label of
        ``confusion_at``.  ``by_class`` gives the accuracy by class at each of ``snr_labels``,
        ``f1_by_snr`` the mean of the classes' F1 there, ``scores`` precision, recall and F1 by
        class over all frames.  ``ece`` uses 15 bins of equal mass.  Frames whose SNR is not known
        stand under their label, SNR_UNKNOWN, and in everything but ``confusion_from_0_db``.
        Raises ValueError if there was no frame.
        """
        if not self.frames:
            raise ValueError("no frame was classified")
        at_snr = self._at_snr()
        whole = self.confusion()
        scores = np.stack(precision_recall_f1(whole), axis=1)
        confidences = np.concatenate(self._confidences)
        return {
            "frames": self.frames,
            "overall": self.overall(),
            "by_snr": {str(value): share for value, share in self.by_snr().items()},
            "classes": list(self.classes),
            "confusion": whole.tolist(),
            "confusion_from_0_db": self._counts[-_LOWEST_SNR : SNR_UNKNOWN - _LOWEST_SNR]
            .sum(axis=0)
            .tolist(),
            "confusion_at_db": {
                str(value): self._counts[value - _LOWEST_SNR].tolist() for value in confusion_at
            },
            "ece": expected_calibration_error(np.abs(confidences), confidences > 0),
            "snr_labels": list(at_snr),
            "by_class": {
                name: [_share(at[index, index], at[index].sum()) for at in at_snr.values()]
                for index, name in enumerate(self.classes)
            },
            "scores": {
                name: dict(zip(("precision", "recall", "f1"), row, strict=True))
                for name, row in zip(self.classes, scores.tolist(), strict=True)
            },
            "f1_by_snr": {
                str(value): float(precision_recall_f1(at)[2].mean()) for value, at in at_snr.items()
            },
        }

    def _at_snr(self) -> dict[int, np.ndarray]:
        """Confusion by SNR label."""
        present = np.flatnonzero(self._counts.any(axis=(1, 2)))
        return {int(index) + _LOWEST_SNR: self._counts[index] for index in present}


def measure(
    logits: np.ndarray,
    labels: np.ndarray,
    snr: np.ndarray,
    classes: Sequence[str],
    temperature: float,
    confusion_at: Sequence[int] = (),
) -> dict[str, Any]:
    """The record of a classifier's ``logits (n, classes)``; see :meth:`Tally.record`.

    ``labels (n)`` class indices, ``snr (n)`` SNR labels in dB.
    """
    tally = Tally(classes)
    tally.add(labels, snr, np.exp(log_softmax(logits, temperature)))
    return tally.record(confusion_at)


def log_softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Log posteriors of ``logits (…, classes)`` at a temperature, float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = ECE_BINS
) -> float:
    """Mean |accuracy - confidence| over ``bins`` bins of equal mass; both inputs ``(n)``."""
    order = np.argsort(confidence, kind="stable")
    total = 0.0
    for part in np.array_split(order, min(bins, len(order))):
        total += len(part) * abs(correct[part].mean() - confidence[part].mean(dtype=np.float64))
    return float(total / len(order))


def precision_recall_f1(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 by class of a ``confusion (classes, classes)``; 0 where 0/0."""
    right = np.diag(confusion).astype(float)
    precision = right / np.maximum(confusion.sum(axis=0), 1)
    recall = right / np.maximum(confusion.sum(axis=1), 1)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return precision, recall, f1


def describe_model(model: Model) -> dict[str, Any]:
    """What a record says of a model: name, hash and the metadata that is not long."""
    info = model.info
    return {
        "file": model.path.name,
        "sha256": hashlib.sha256(model.path.read_bytes()).hexdigest(),
        "architecture": info.architecture,
        "recipe": info.metadata.get(contract.KEY_RECIPE, ""),
        "temperature": info.temperature,
        **{f"fusion_{name}": value for name, value in asdict(info.fusion).items()},
    }


def _share(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None
