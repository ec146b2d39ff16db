# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sets ``bound`` and ``bound-known``: matched-filter symbols in white noise, with the exact
posterior of each frame.

No network can tell these classes apart more often than the average-likelihood classifier of
``kdamc_training.bound`` does, so the set shows how close one comes, and the posterior stored beside
each frame is the best teacher that there can be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from . import constellations, speech
from .registry import Cell, Generator, register

_TABLES = {
    "BPSK": "BPSK",
    "QPSK": "QPSK",
    "8PSK": "8PSK",
    "PAM4": "4PAM",
    "QAM16": "16QAM",
    "QAM64": "64QAM",
}
"""Constellation of each class, as ``constellations`` calls it."""

CLASSES = tuple(_TABLES)
SYMBOLS = 64
ES_N0_DB = tuple(range(-10, 22, 2))

_SAME = 1e-5
"""Below the distance of any two points, above the rounding of the tables."""


@dataclass(frozen=True, eq=False)
class Alphabet:
    """The symbols of a class, equally likely, of unit mean energy.

    ``points (M)`` complex128; ``symmetry``: the largest k for which a turn by 2 pi / k maps them
    onto themselves; ``axes``: levels of the real and of the imaginary part (float64) if the points
    are all pairs of such levels, else None.
    """

    points: np.ndarray
    symmetry: int
    axes: tuple[np.ndarray, np.ndarray] | None


@cache
def alphabet(class_name: str) -> Alphabet:
    """The alphabet of one of ``CLASSES``, or of a constellation by its own name; raises KeyError
    for another name."""
    points = constellations.points(_TABLES.get(class_name, class_name)).astype(np.complex128)
    real, imaginary = _levels(points.real), _levels(points.imag)
    separable = len(real) * len(imaginary) == len(points)
    if separable:
        points = (real[:, None] + 1j * imaginary).ravel()
    scale = 1.0 / np.sqrt(np.mean(np.abs(points) ** 2))
    return Alphabet(
        points * scale,
        max(k for k in range(1, len(points) + 1) if _maps_onto_itself(points, k)),
        (real * scale, imaginary * scale) if separable else None,
    )


def _levels(values: np.ndarray) -> np.ndarray:
    """The different values among ``values``, rising."""
    values = np.sort(values)
    groups = np.split(values, np.flatnonzero(np.diff(values) > _SAME) + 1)
    return np.array([group.mean() for group in groups])


def _maps_onto_itself(points: np.ndarray, turns: int) -> bool:
    turned = points * np.exp(2j * np.pi / turns)
    return bool((np.abs(turned[:, None] - points).min(axis=1) < _SAME).all())


def noise_density(es_n0_db: float) -> float:
    """N0 for symbols of unit mean energy: the noise's variance is N0 / 2 in I and in Q."""
    return float(10.0 ** (-es_n0_db / 10.0))


def receive(
    class_name: str, es_n0_db: float, phase: np.ndarray, symbols: int, rng: np.random.Generator
) -> np.ndarray:
    """Frames of matched-filter outputs, ``(n, symbols)`` complex128.

    Random symbols of unit mean energy, turned by ``phase (n)`` (radians, one a frame), in white
    noise of ``es_n0_db``.
    """
    shape = (len(phase), symbols)
    sent = rng.choice(alphabet(class_name).points, shape)
    noise = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    return sent * np.exp(1j * phase)[:, None] + np.sqrt(noise_density(es_n0_db) / 2.0) * noise


@register("bound")
class Bound(Generator):
    """The generator: one sample a symbol, frames of 64 symbols that share one unknown phase.

    The SNR label is Es/N0 in dB and exact. Draws are the ``phase`` (radians) and, for each class,
    ``log_posterior_CLASS``: the natural logarithm of what the exact classifier, which knows Es/N0
    and takes the classes as equally likely, gives that class for the frame as stored.
    """

    version = "1"
    date = "2026-11-22"
    classes = CLASSES
    snr_labels = ES_N0_DB
    frame_length = SYMBOLS
    sample_rate = 1.0
    samples_per_symbol = (1.0, 1.0)
    splits = speech.SPLITS
    draw_types = {"phase": "float32"} | {f"log_posterior_{name}": "float32" for name in CLASSES}
    limits = (
        "Not a received signal but the output of an ideal receiver: matched filter, perfect timing "
        "and carrier frequency, one sample a symbol.",
        "Frames have the scale at which a symbol has unit mean energy; a network that is given "
        "frames of RMS 1 does not see it.",
        "White noise only.",
    )

    def cell(
        self, class_index: int, snr_label: int, frames: int, seed: int, split: str, run_length: int
    ) -> Cell:
        """See ``Generator.cell``. Every frame is a pass of its own when ``run_length`` is 0.

        The frames of a run share their phase; each has the posterior of its own symbols.
        """
        # Not at the top: the classifier takes its alphabets from this module.
        from ..bound import log_posteriors

        source = (seed, self.splits.index(split), class_index, self.snr_labels.index(snr_label))
        rng = np.random.default_rng(source)
        run = run_length or 1
        passes = -(-frames // run)
        phase = np.repeat(rng.uniform(0.0, 2.0 * np.pi, passes), run)[:frames]
        received = receive(self.classes[class_index], snr_label, phase, SYMBOLS, rng)
        pairs = np.stack([received.real, received.imag], axis=1).astype(np.float32)
        stored = pairs[:, 0] + 1j * pairs[:, 1].astype(np.float64)
        draws = {"phase": phase.astype(np.float32)}
        for name, column in zip(self.classes, log_posteriors(stored, snr_label).T, strict=True):
            draws[f"log_posterior_{name}"] = column.astype(np.float32)
        return Cell(pairs, np.repeat(np.arange(passes, dtype=np.uint32), run)[:frames], draws)


@register("bound-known")
class BoundKnown(Bound):
    """The same frames with two samples more, which tell what the exact classifier knows.

    They are 1, the magnitude of a symbol of unit energy, and sqrt(N0), the noise's standard
    deviation (of I and Q together). Scaled to RMS 1 with the symbols before them they still tell
    that scale and Es/N0 exactly, so a network and the exact classifier decide from the same.
    Magnitudes alone count: frames may be turned and conjugated. Posteriors are of the 64 symbols.
    """

    version = "1"
    date = "2026-11-23"
    frame_length = SYMBOLS + 2
    limits = (
        Bound.limits[0],
        "The last two samples of a frame are no signal: they tell scale and noise.",
        Bound.limits[2],
    )

    def cell(
        self, class_index: int, snr_label: int, frames: int, seed: int, split: str, run_length: int
    ) -> Cell:
        """See ``Bound.cell``."""
        made = super().cell(class_index, snr_label, frames, seed, split, run_length)
        known = np.zeros((len(made.frames), 2, 2), np.float32)
        known[:, 0] = 1.0, np.sqrt(noise_density(snr_label))
        return replace(made, frames=np.concatenate([made.frames, known], axis=2))
