# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of how unlike a frame is to all that a network was trained on, part of its ONNX graph.

Two kinds, of which measurement chooses:

- ``energy``: minus the log of the sum of the exponentials of the logits (W. Liu et al.,
  "Energy-based out-of-distribution detection", NeurIPS 2020, eq. 4 at temperature 1).
- ``mahalanobis``: the smallest squared Mahalanobis distance of the pooled features from a class
  mean, under one covariance of all classes (K. Lee et al., "A simple unified framework for
  detecting out-of-distribution samples", NeurIPS 2018, eq. 2; the shrinkage of O. Ledoit and
  M. Wolf and the last layer alone are our choice).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .errors import UserError
from .lightning_module import ClassifierModule
from .networks.outputs import Outputs, outputs_of
from .training_data import Frames, Part

KINDS = ("energy", "mahalanobis")

_BATCH = 512
_MOST_FRAMES = 50_000
"""More would not change a covariance by anything that matters."""


class UnknownScore(nn.Module):
    """Scores ``(n)`` of what a network shows of ``n`` frames: the higher, the less known."""

    def forward(self, shown: Outputs) -> Tensor:
        raise NotImplementedError


class Energy(UnknownScore):
    """See the module."""

    def forward(self, shown: Outputs) -> Tensor:
        return -torch.logsumexp(shown.logits, dim=1)


class Mahalanobis(UnknownScore):
    """``whitening (d, d)`` turns features into ones of unit covariance, in which the class means
    are ``means (classes, d)``. Divided by d, so that a typical score is near 1."""

    def __init__(self, whitening: np.ndarray, means: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("whitening", torch.from_numpy(whitening.astype(np.float32)))
        self.register_buffer("means", torch.from_numpy(means.astype(np.float32)))

    def forward(self, shown: Outputs) -> Tensor:
        white = pooled(shown) @ self.whitening
        # The squared distance written out, as ONNX has no distance of all pairs.
        distance = (
            (white * white).sum(dim=1, keepdim=True)
            - 2 * white @ self.means.T
            + (self.means * self.means).sum(dim=1)
        )
        return distance.amin(dim=1) / white.shape[1]


def pooled(shown: Outputs) -> Tensor:
    """The last features, mean over tokens, ``(n, width)``."""
    if not shown.features:
        raise UserError("the network shows no features: score mahalanobis cannot be had")
    return shown.features[-1].mean(dim=1)


def fit(
    kind: str, module: ClassifierModule, part: Part, from_db: int | None = None
) -> UnknownScore:
    """The score ``kind`` for a trained module, fitted on frames that it was trained on.

    With ``from_db`` on those with SNR labels from there on: features of frames that are noise for
    the most part vary by what noise does, which hides what is strange in others.

    Raises UserError for an unknown kind, and for features that a network does not show.
    """
    if kind not in KINDS:
        raise UserError(f"no score {kind!r}; known: {', '.join(KINDS)}")
    if kind == "energy":
        return Energy()
    from sklearn.covariance import ledoit_wolf

    if from_db is not None:
        part = _from(part, from_db)
    step = -(-len(part) // _MOST_FRAMES)
    some = Part(part.path, part.chosen[::step], part.classes)
    features = _of_frames(module, some, pooled)
    labels = some.labels()[0]
    means = np.stack([features[labels == k].mean(axis=0) for k in np.unique(labels)])
    covariance, _ = ledoit_wolf(features - means[np.searchsorted(np.unique(labels), labels)])
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    return Mahalanobis(whitening, means @ whitening)


def scores_of(module: ClassifierModule, score: UnknownScore, part: Part) -> np.ndarray:
    """Scores of all frames of a part, ``(n)`` float32."""
    return _of_frames(module, part, score)


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """How often an ``unknown`` score is above a ``known`` one, 0 to 1; ties count half."""
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.zeros(len(known)), np.ones(len(unknown))])
    return float(roc_auc_score(truth, np.concatenate([known, unknown])))


def measure(
    module: ClassifierModule, score: UnknownScore, known: Part, unknown: Part, from_db: int
) -> dict[str, Any]:
    """AUROC at SNR labels from ``from_db`` on, of all unknown frames and by class."""
    kept = [_from(part, from_db) for part in (known, unknown)]
    of_known, of_unknown = (scores_of(module, score, part) for part in kept)
    labels, names = kept[1].labels()[0], kept[1].class_names()
    return {
        "from_db": from_db,
        "known_frames": len(of_known),
        "unknown_frames": len(of_unknown),
        "auroc": auroc(of_known, of_unknown),
        "auroc_by_class": {
            names[k]: auroc(of_known, of_unknown[labels == k]) for k in np.unique(labels)
        },
    }


def _from(part: Part, from_db: int) -> Part:
    return Part(part.path, part.chosen[part.labels()[1] >= from_db], part.classes)


def _of_frames(module: ClassifierModule, part: Part, what: Any) -> np.ndarray:
    frames = Frames(part)
    with torch.inference_mode():
        pieces = [
            what(outputs_of(module.network, frames[index][0])).float().numpy()
            for index in torch.arange(len(frames)).split(_BATCH)
        ]
    return np.concatenate(pieces)
