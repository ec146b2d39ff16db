# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training again what was made smaller, for the rest of the network to make up for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..errors import UserError
from ..files import replacing
from ..training_data import EpochSampler, Frames, Part
from .keep_zeros import KeepZeros
from .recipe import RetrainSection

_EVALUATION_BATCH = 512


@dataclass(frozen=True)
class Retrained:
    """Accuracy on the validation frames by epoch; ``best_epoch`` counts from 1. The network has the
    weights of that epoch."""

    accuracy: list[float]
    best_epoch: int


def retrain(
    network: nn.Module,
    training: Part,
    validation: Part,
    section: RetrainSection,
    seed: int,
    progress: Path,
) -> Retrained:
    """Train ``network`` in place, but for its layer ``hidden``, on all frames of ``training``.

    A dense ``hidden`` keeps its zeros (Net-Trim's fine-tuning, Aghasi et al.), any other is frozen
    with its bias (the edge paper's retraining after product quantization: 20 epochs on 10 % of the
    data; all else is our choice). After every epoch all is saved to ``progress``; if that file is
    there the training goes on from it, and its result is that of one that was not stopped.
    """
    hidden = network.hidden
    keep = KeepZeros([hidden.weight] if type(hidden) is nn.Linear else [])
    if type(hidden) is not nn.Linear:
        hidden.requires_grad_(False)
    optimizer = torch.optim.Adam(
        [parameter for parameter in network.parameters() if parameter.requires_grad],
        section.learning_rate,
    )
    keep.attach(optimizer)
    state = _Progress(progress, network, optimizer)
    frames, watched = Frames(training), Frames(validation)
    sampler = EpochSampler(len(frames), section.batch_size, seed)
    steps = section.epochs * len(sampler)
    for epoch in range(len(state.accuracy), section.epochs):
        # By epoch, so that dropout does not depend on where a killed run goes on.
        torch.manual_seed(seed * section.epochs + epoch)
        sampler.set_epoch(epoch)
        network.train()
        for batch, index in enumerate(sampler):
            done = (epoch * len(sampler) + batch) / steps
            for group in optimizer.param_groups:
                group["lr"] = section.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))
            iq, labels, _ = frames[index]
            optimizer.zero_grad()
            functional.cross_entropy(network(iq), labels).backward()
            optimizer.step()
        state.add(_accuracy(network, watched))
    keep.remove()
    network.load_state_dict(state.best)
    network.eval()
    return Retrained(state.accuracy, 1 + state.accuracy.index(max(state.accuracy)))


class _Progress:
    """What a training has behind it, in memory and in a file."""

    def __init__(self, path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._path, self._network, self._optimizer = path, network, optimizer
        self.accuracy: list[float] = []
        self.best: dict[str, Any] = {}
        if path.is_file():
            try:
                saved = torch.load(path, weights_only=True)
                network.load_state_dict(saved["network"])
                optimizer.load_state_dict(saved["optimizer"])
                self.accuracy, self.best = saved["accuracy"], saved["best"]
            except (RuntimeError, KeyError, ValueError) as error:
                raise UserError(f"{path}: no progress of a training: {error}") from error

    def add(self, accuracy: float) -> None:
        """An epoch is over."""
        if not self.accuracy or accuracy > max(self.accuracy):
            self.best = {k: v.clone() for k, v in self._network.state_dict().items()}
        self.accuracy.append(accuracy)
        with replacing(self._path) as temporary:
            torch.save(
                {
                    "network": self._network.state_dict(),
                    "optimizer": self._optimizer.state_dict(),
                    "accuracy": self.accuracy,
                    "best": self.best,
                },
                temporary,
            )


@torch.inference_mode()
def _accuracy(network: nn.Module, frames: Frames) -> float:
    network.eval()
    right = 0
    for start in range(0, len(frames), _EVALUATION_BATCH):
        iq, labels, _ = frames[torch.arange(start, min(start + _EVALUATION_BATCH, len(frames)))]
        right += int((network(iq).argmax(dim=1) == labels).sum())
    return right / len(frames)
