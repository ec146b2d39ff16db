# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of how unlike a frame is to all that a network was trained on, part of its ONNX graph.

Kinds, of which measurement chooses:

- ``energy``: minus the log of the sum of the exponentials of the logits (W. Liu et al.,
  "Energy-based out-of-distribution detection", NeurIPS 2020, eq. 4 at temperature 1).
- ``mahalanobis``: the smallest squared Mahalanobis distance of the pooled features from a class
  mean, under one covariance of all classes (K. Lee et al., "A simple unified framework for
  detecting out-of-distribution samples", NeurIPS 2018, eq. 2; the shrinkage of O. Ledoit and
  M. Wolf and the last layer alone are our choice).
- ``stranger``: the log odds, by a layer of 128 on the pooled features, of a frame's being one of
  the made-up signals of ``strangers.py`` (after D. Hendrycks et al., "Deep anomaly detection with
  outlier exposure", ICLR 2019; that the network itself stays as it is is our choice).
- ``own``: the log odds that the network gives itself, trained together with it on such signals
  (the loss ``stranger``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .errors import UserError
from .lightning_module import ClassifierModule, augment, limit
from .networks.outputs import Outputs, outputs_of
from .recipe import AugmentSection
from .strangers import strangers
from .training_data import Frames, Part

KINDS = ("energy", "mahalanobis", "stranger", "own")

_BATCH = 512
_MOST_FRAMES = 50_000
"""More would not change a covariance by anything that matters."""
_MOST_STRANGERS = 30_000
_HIDDEN = 128


class UnknownScore(nn.Module):
    """Scores ``(n)`` of what a network shows of ``n`` frames: the higher, the less known."""

    def forward(self, shown: Outputs) -> Tensor:
        raise NotImplementedError


class Energy(UnknownScore):
    """See the module."""

    def forward(self, shown: Outputs) -> Tensor:
        return -torch.logsumexp(shown.logits, dim=1)


class Own(UnknownScore):
    """See the module."""

    def forward(self, shown: Outputs) -> Tensor:
        return shown.stranger


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


class Stranger(UnknownScore):
    """Features ``(n, d)``, less ``middle (d)`` and over ``scale (d)``, through one hidden layer:
    weights ``(d, h)`` and ``(h, 1)``, biases ``(h)`` and ``(1)``."""

    def __init__(
        self,
        middle: np.ndarray,
        scale: np.ndarray,
        weights: Sequence[np.ndarray],
        biases: Sequence[np.ndarray],
    ) -> None:
        super().__init__()
        # The standard score as part of the first layer.
        first = weights[0] / scale[:, None]
        self.layers = nn.Sequential(
            _dense(first, biases[0] - middle @ first), nn.ReLU(), _dense(weights[1], biases[1])
        )

    def forward(self, shown: Outputs) -> Tensor:
        return self.layers(pooled(shown))[:, 0]


def _dense(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
    layer = nn.Linear(*weight.shape)
    layer.weight.data = torch.from_numpy(weight.T.astype(np.float32))
    layer.bias.data = torch.from_numpy(bias.astype(np.float32))
    return layer.requires_grad_(False)


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
    if kind == "own":
        if kind not in kinds_of(module):
            raise UserError("the network gives no log odds of a stranger: score own cannot be had")
        return Own()
    if from_db is not None:
        part = _from(part, from_db)
    return _fit_mahalanobis(module, part) if kind == "mahalanobis" else _fit_stranger(module, part)


def _fit_mahalanobis(module: ClassifierModule, part: Part) -> Mahalanobis:
    from sklearn.covariance import ledoit_wolf

    step = -(-len(part) // _MOST_FRAMES)
    some = Part(part.path, part.chosen[::step], part.classes)
    features = _of_frames(module, some, pooled)
    labels = some.labels()[0]
    means = np.stack([features[labels == k].mean(axis=0) for k in np.unique(labels)])
    covariance, _ = ledoit_wolf(features - means[np.searchsorted(np.unique(labels), labels)])
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    return Mahalanobis(whitening, means @ whitening)


def _fit_stranger(module: ClassifierModule, part: Part) -> Stranger:
    """Trained on frames, augmented as the network's own were, and on what is made of them."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    step = -(-len(part) // _MOST_STRANGERS)
    frames = Frames(Part(part.path, part.chosen[::step], part.classes))
    settings = dict(module.hparams.augment)
    for key in ("noise", "noise_rise", "strangers"):
        settings.pop(key, None)
    limited = settings.pop("limiting", 0.0)
    drive = settings.pop("limiting_drive", AugmentSection().limiting_drive)
    generator = torch.Generator().manual_seed(0)
    features, strange = [], []
    with torch.inference_mode():
        for index in torch.randperm(len(frames), generator=generator).split(_BATCH):
            iq, label, _ = frames[index]
            iq, _ = augment(iq, generator, **settings)
            if limited > 0.0:
                iq = limit(iq, generator, limited, drive)
            other, _, made = strangers(iq, label, module.plain, generator)
            for one, is_strange in ((iq, False), (other[made], True)):
                shown = pooled(outputs_of(module.network, one))
                features.append(shown.float().numpy())
                strange.append(np.full(len(one), is_strange))
    features, strange = np.concatenate(features), np.concatenate(strange)
    standard = StandardScaler().fit(features)
    head = MLPClassifier((_HIDDEN,), early_stopping=True, random_state=0)
    head.fit(standard.transform(features), strange)
    return Stranger(standard.mean_, standard.scale_, head.coefs_, head.intercepts_)


def kinds_of(module: ClassifierModule) -> tuple[str, ...]:
    """The kinds that the module's network has what they need for."""
    with torch.inference_mode():
        shown = outputs_of(module.network, torch.ones(1, 2, module.hparams.frame_length))
    has = {"energy": True, "own": shown.stranger is not None}
    return tuple(kind for kind in KINDS if has.get(kind, bool(shown.features)))


def scores_of(module: ClassifierModule, score: UnknownScore, part: Part) -> np.ndarray:
    """Scores of all frames of a part, ``(n)`` float32."""
    return _of_frames(module, part, score)


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """How often an ``unknown`` score is above a ``known`` one, 0 to 1; ties count half."""
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.zeros(len(known)), np.ones(len(unknown))])
    return float(roc_auc_score(truth, np.concatenate([known, unknown])))


def measure(
    scores: Callable[[Part], np.ndarray], known: Part, unknown: Part, from_db: int
) -> dict[str, Any]:
    """AUROC of ``scores (n)`` of a part's frames at SNR labels from ``from_db`` on, of all unknown
    frames and by class."""
    kept = [_from(part, from_db) for part in (known, unknown)]
    of_known, of_unknown = (scores(part) for part in kept)
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
