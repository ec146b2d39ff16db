# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network makes of two classes just before it decides, as CrossTLNet's paper shows it in
its figure 12.

The paper draws one frame of each class; here it is the mean of all test frames of a class at an SNR
label, with how far the classes' means lie apart for the spread of their frames, a figure that the
choice of a frame cannot change.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from .errors import UserError
from .training_data import Frames, Part

_BATCH = 256
_DIGITS = 5
"""Of a picture's values: more cannot be seen, and a paper-size map has 16,384 of them."""


def check(network: nn.Module, where: str) -> None:
    """Raise UserError, which begins with ``where``, for a network that shows no map."""
    if not hasattr(network, "feature_maps"):
        raise UserError(f"{where} shows no feature maps")


def measure(network: nn.Module, part: Part, label: int, names: list[str]) -> dict[str, Any]:
    """For each class of ``names`` what its frames at SNR ``label`` give, by its name.

    ``mean`` is the mean map ``[rows][columns]`` (one row for a map of one dimension), ``spread``
    the root mean square distance of the frames' maps from it, ``frames`` how many there are. In
    evaluation mode, so that nothing is dropped. Without a class if there are no such frames of it.
    """
    found = {}
    labels, snr = part.labels()
    for name in names:
        wanted = (labels == part.class_names().index(name)) & (snr == label)
        if not wanted.any():
            continue
        frames = Frames(Part(part.path, part.chosen[wanted], part.classes))
        with torch.inference_mode():
            maps = torch.cat(
                [
                    network.feature_maps(frames[index][0])["fused"]
                    for index in torch.arange(len(frames)).split(_BATCH)
                ]
            ).double()
        mean = maps.mean(dim=0)
        distance = (maps - mean).flatten(1).square().sum(dim=1)
        found[name] = {
            "mean": np.round(np.atleast_2d(mean.numpy()), _DIGITS).tolist(),
            "spread": float(distance.mean().sqrt()),
            "frames": len(frames),
        }
    return found


def separation(first: dict[str, Any], second: dict[str, Any]) -> float:
    """How far the mean maps of two classes lie apart, in units of their frames' common spread."""
    between = np.linalg.norm(np.subtract(first["mean"], second["mean"]))
    return float(between / np.sqrt((first["spread"] ** 2 + second["spread"] ** 2) / 2))
