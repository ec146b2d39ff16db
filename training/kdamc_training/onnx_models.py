# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening and running ONNX models through the radio wing's own loader, so both agree."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from gnuradio.kdamc.contract import ModelError
from gnuradio.kdamc.model import Model, Outputs
from gnuradio.kdamc.model import open_model as open_contract_model

from .datasets.dataset_file import DataSetFile, rms_normalised
from .errors import UserError

_BATCH = 1024
_BLOCK = 65536


def open_model(path: str, **explicit: Any) -> Model:
    """A model on one thread; ``explicit`` settings as for ``gnuradio.kdamc.model.open_model``.

    Raises UserError if the file, or what it says of itself, cannot be used.
    """
    try:
        return open_contract_model(path, **explicit)
    except ModelError as error:
        raise UserError(str(error)) from error


def logits_of(
    model: Model,
    data: DataSetFile,
    chosen: np.ndarray | None = None,
    classes: tuple[str, ...] = (),
) -> np.ndarray:
    """Logits of all frames of ``data``, or of the ``chosen`` (sorted indices), ``(n, classes)``.

    ``classes`` are those of the data that count, if not all do, as of a ``Part``. Raises UserError
    if the model's classes or frame length are not those of the data.
    """
    return outputs_for(model, data, chosen, classes).logits


def outputs_for(
    model: Model,
    data: DataSetFile,
    chosen: np.ndarray | None = None,
    classes: tuple[str, ...] = (),
) -> Outputs:
    """As ``logits_of``, with the model's other outputs."""
    held = classes or data.info.classes
    if model.classes != held:
        raise UserError(
            f"{model.name} knows {', '.join(model.classes)}; {data.path} holds {', '.join(held)}"
        )
    return outputs_of_any(model, data, chosen)


def outputs_of_any(model: Model, data: DataSetFile, chosen: np.ndarray | None = None) -> Outputs:
    """As ``outputs_for``, of frames whose classes the model may not know."""
    if model.input_size != data.frame_length:
        raise UserError(
            f"{model.name} takes frames of {model.input_size} samples; {data.path} has "
            f"{data.frame_length}"
        )
    if chosen is None:
        chosen = np.arange(len(data))
    pieces = []
    for start in range(0, len(data), _BLOCK):
        block = data.x[start : start + _BLOCK]
        low, high = np.searchsorted(chosen, [start, start + len(block)])
        frames = rms_normalised(block[chosen[low:high] - start])
        pieces += [
            model.run(frames[first : first + _BATCH]) for first in range(0, len(frames), _BATCH)
        ]

    def joined(name: str) -> np.ndarray | None:
        parts = [getattr(piece, name) for piece in pieces]
        return None if parts[0] is None else np.concatenate(parts)

    return Outputs(joined("logits"), joined("snr_db"), joined("unknown_score"))


def frames_per_second(
    model: Model, batch_sizes: tuple[int, ...] = (64, 256, 1024), seconds: float = 1.0
) -> dict[str, float]:
    """Frames a second on one thread by batch size: the best of the runs made in ``seconds``."""
    speed = {}
    for size in batch_sizes:
        shape = (size, 2, model.input_size)
        frames = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        model.run(frames)
        best, end = np.inf, time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            model.run(frames)
            best = min(best, time.perf_counter() - start)
        speed[str(size)] = size / best
    return speed
