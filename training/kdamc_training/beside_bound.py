# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model for real signals beside the exact classifier of as many symbols.

Of a frame of the set ``live`` with a linear modulation the exact classifier (``bound``) is given
what an ideal receiver would have made of as much signal: as many matched-filter symbols as are in
the frame, at the Es/N0 that its true SNR means, one unknown phase, and nothing else of what the
frame suffers: no fading, clock error or neighbour, no offset of carrier or timing. It knows Es/N0,
where a burst begins and ends, and that the class is one of ``CLASSES``. Up to small differences of
energy (a frame's own from the alphabet's, parts of symbols at its ends) no receiver can be right
more often on such frames, so its accuracy is a limit, and not one that anything must reach.

The set's SNR is that of the signal while it is on over the noise behind the receiver's filter, so
Es/N0 is the SNR times the samples a symbol times the share of the sampled band that the filter lets
pass. Symbols and noise are drawn anew for each frame: exact classifier and model are compared by
their accuracies, not frame by frame.

The record (``training/results/bound/``) holds, besides ``command``, ``hardware``, ``versions`` and
``git_rev``: ``model``, ``data``, ``classes``, how many ``classes_known`` the model has, how many
``frames`` of each class at each SNR label the exact classifier had, ``seed``, ``most_es_n0_db``,
and ``overall``, ``by_snr`` and ``by_oversampling``, each with

- ``exact``: the exact classifier's accuracy, ``exact_standard_error``, and what its posteriors say
  that it is, ``exact_own``;
- ``model``: the accuracy of the model among all classes that it knows, ``model_among``: that of the
  best of ``CLASSES``, and ``model_standard_error`` (of the latter);
- ``frames`` that the model had.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gnuradio.kdamc.accuracy import describe_model, log_softmax
from gnuradio.kdamc.data_file import describe_data

from .bound import log_posteriors
from .datasets.bound import receive
from .datasets.dataset_file import DataSetFile
from .datasets.live_channel import noise_band
from .errors import UserError
from .evaluate import OVERSAMPLING_EDGES

CLASSES = ("4ASK", "BPSK", "QPSK", "8PSK", "16QAM", "64QAM")
"""Classes of the set with one fixed alphabet without memory."""

SNR_EDGES = (-10, -5, 0, 5, 10, 15, 20, 25, 30)
"""Of the ranges that are told apart, dB."""

MOST_ES_N0_DB = 20.0
"""From 16 dB on the exact classifier of 64 symbols makes no error in 12,000 frames (``bound``), and
its grid grows with Es/N0."""

_DRAWS = ("snr_db", "samples_per_symbol", "oversampling", "burst_share", "filter_cutoff")


def record(
    command: str,
    data_path: Path,
    model_name: str,
    *,
    frames: int,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure ``model_name`` and the exact classifier on a file of the set ``live``.

    The exact classifier has the first ``frames`` of each of ``CLASSES`` at each SNR label, the
    model all. Raises UserError for a file without these classes or draws and for no frames.
    """
    from .export import git_revision
    from .onnx_models import open_model, outputs_for
    from .pipeline import surroundings

    for label, value, least in (("frames", frames, 1), ("seed", seed, 0)):
        if value < least:
            raise UserError(f"{label} is {value}; it must be at least {least}")
    revision = git_revision()
    model = open_model(model_name)
    with DataSetFile(data_path) as data:
        names = data.info.classes
        if lacking := [name for name in CLASSES if name not in names]:
            raise UserError(f"{data_path} has no class {lacking[0]}")
        if lacking := [name for name in _DRAWS if name not in data.draws]:
            raise UserError(f"{data_path} does not hold {lacking[0]} of its frames")
        numbers = np.array([names.index(name) for name in CLASSES])
        chosen = np.flatnonzero(np.isin(data.y[:], numbers))
        if not len(chosen):
            raise UserError(f"{data_path} has no frame of {', '.join(CLASSES)}")
        logits = outputs_for(model, data, chosen).logits
        labels, cells = data.y[:][chosen].astype(int), data.z[:][chosen].astype(int)
        draws = {name: data.draws[name][:][chosen].astype(float) for name in _DRAWS}
        length, described = data.frame_length, describe_data(data)
    among = numbers[logits[:, numbers].argmax(axis=1)] == labels
    of_all = logits.argmax(axis=1) == labels
    cells = labels * 1000 + cells
    few = _first_of_each(cells, frames)
    right, own = _exact(labels[few], draws, few, length, numbers, seed, tell)

    def part(inside: np.ndarray) -> dict[str, Any]:
        exact = inside[few]
        return {
            "exact": float(right[exact].mean()),
            "exact_standard_error": _standard_error(right[exact]),
            "exact_own": float(own[exact].mean()),
            "model": float(of_all[inside].mean()),
            "model_among": float(among[inside].mean()),
            "model_standard_error": _standard_error(among[inside]),
            "frames": int(inside.sum()),
        }

    def ranges(values: np.ndarray, edges: tuple[float, ...]) -> dict[str, Any]:
        found = {}
        for low, high in itertools.pairwise(edges):
            # The highest is drawn in float32, which may round it up.
            inside = (values >= low) & ((values < high) | (high == edges[-1]))
            if inside[few].any():
                found[f"{low:g} to {high:g}"] = part(inside)
        return found

    return {
        "command": command,
        "model": describe_model(model),
        "data": described,
        "classes": list(CLASSES),
        "classes_known": len(model.classes),
        "frames": int(np.unique(cells[few], return_counts=True)[1].max()),
        "seed": seed,
        "most_es_n0_db": MOST_ES_N0_DB,
        "overall": part(np.ones(len(labels), bool)),
        "by_snr": ranges(draws["snr_db"], SNR_EDGES),
        "by_oversampling": ranges(draws["oversampling"], OVERSAMPLING_EDGES),
        **surroundings(),
        "git_rev": revision,
    }


def _exact(
    labels: np.ndarray,
    draws: dict[str, np.ndarray],
    chosen: np.ndarray,
    length: int,
    numbers: np.ndarray,
    seed: int,
    tell: Callable[[str], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Whether the exact classifier is right on what stands for each frame, and how sure it is."""
    drawn = {name: values[chosen] for name, values in draws.items()}
    rate = drawn["samples_per_symbol"]
    symbols = np.maximum(1, np.rint(length * drawn["burst_share"] / rate)).astype(int)
    passed = noise_band(drawn["filter_cutoff"])
    es_n0 = np.minimum(drawn["snr_db"] + 10.0 * np.log10(rate * passed), MOST_ES_N0_DB)
    right, own = np.empty(len(labels), bool), np.empty(len(labels))
    for at, label in enumerate(labels):
        rng = np.random.default_rng([seed, int(chosen[at])])
        name = CLASSES[int(np.flatnonzero(numbers == label)[0])]
        received = receive(name, es_n0[at], rng.uniform(0.0, 2.0 * np.pi, 1), symbols[at], rng)
        posterior = np.exp(log_softmax(log_posteriors(received, es_n0[at], CLASSES)))[0]
        right[at], own[at] = CLASSES[int(posterior.argmax())] == name, posterior.max()
        if at % 500 == 499:
            tell(f"{at + 1} of {len(labels)} frames")
    return right, own


def _first_of_each(cells: np.ndarray, frames: int) -> np.ndarray:
    """Indices of the first ``frames`` of each value in ``cells (n)``, rising."""
    return np.sort(
        np.concatenate([np.flatnonzero(cells == cell)[:frames] for cell in np.unique(cells)])
    )


def _standard_error(right: np.ndarray) -> float:
    """Of the mean of ``right (n)``; with one more of each, so that it is not 0 where all agree."""
    share = (right.sum() + 1.0) / (len(right) + 2.0)
    return float(np.sqrt(share * (1.0 - share) / len(right)))
