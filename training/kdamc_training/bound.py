# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The best that any classifier can do: the exact average-likelihood ratio test (ALRT).

Known are Es/N0 and the classes, which are equally likely; unknown are the symbols and one carrier
phase a frame, uniform over the circle. The likelihood of a class with the alphabet s, M symbols of
unit mean energy, for the symbols r_1 … r_N that a matched filter gave is

    p(r) = mean over theta of  prod_n  mean over s of  exp(-|r_n - s e^{j theta}|^2 / N0) / (pi N0)

(Dobre, Abdi, Bar-Ness and Su, "Survey of automatic modulation classification techniques", 2007).
Choosing the largest has the least error probability there is.

How the mean over theta is taken (our choice). An alphabet that a turn by 2 pi / k maps onto itself
gives an integrand of that period, so the grid covers one period only (k is 2 for BPSK and PAM4, 4
for QPSK and QAM, 8 for 8PSK). For equidistant points and a smooth periodic integrand the error of
the mean falls faster than any power of the step h; for peaks like a Gaussian of standard deviation
sigma it is 2 exp(-2 (pi sigma / h)^2). For given symbols the exponent's curvature is at most
2/N0 |sum_n r_n s_n*|, about 2 N/N0 sqrt(1 + N0): that is the narrowest sigma to expect, and
the first step is 4/3 of it (error 3e-5). The step is then halved, for each frame, until the log
likelihood moves by less than the tolerance; at least once. Points between two that lie
``_NEGLIGIBLE`` below the largest in the log are not computed but taken as zero.

The record of ``kdamc-train bound`` (``training/results/bound/``) holds, besides ``command``,
``hardware``, ``versions`` and ``git_rev``:

- ``symbols`` a frame, ``frames_per_cell`` (of each class at each Es/N0), ``seed``, ``tolerance``
  (largest move of a log likelihood at the last halving), ``es_n0_db``;
- what ``Tally.record`` of ``gnuradio.kdamc.accuracy`` gives, Es/N0 in dB in place of SNR labels:
  among it ``overall`` and ``by_snr`` (accuracy), ``by_class``, ``confusion_at_db``, ``ece``;
- ``mean_maximum_posterior`` and ``mean_maximum_posterior_by_snr``: the classifier's own estimate of
  its accuracy;
- ``difference_in_standard_errors`` (and ``…_by_snr``): accuracy less that estimate, over its
  standard deviation were all posteriors true (None if that is 0; of little meaning where hardly an
  error is expected);
- ``ece_by_snr``: of few frames, so mostly chance; ``ece_if_true`` and ``ece_if_true_by_snr`` are
  what chance alone gives: the mean over ``_REDRAWS`` draws of right and wrong by the posteriors;
- ``grids``: for each class and Es/N0 the points on one period ``first``, the ``largest`` number
  after halving, and ``computed``: the mean number of points computed for a frame.

Records of networks that were measured on frames with exact posteriors have ``bound`` under
``test``; see ``compare``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gnuradio.kdamc.accuracy import Tally, expected_calibration_error, log_softmax

from .datasets.bound import (
    CLASSES,
    ES_N0_DB,
    SYMBOLS,
    Alphabet,
    alphabet,
    noise_density,
    receive,
)
from .errors import UserError

TOLERANCE = 1e-3
"""Nats by which the last halving of the grid may move a log likelihood."""

_FIRST_STEP = 4.0 / 3.0
"""Of the narrowest standard deviation to expect."""
_FEWEST_POINTS = 8
_NEGLIGIBLE = 30.0
"""Nats."""

_CHUNK = 1 << 17
"""Distances (float64) computed at once, few enough for a processor's cache."""
_GRID_VALUES = 1 << 16
"""Values on first grids held at once."""
_PRODUCT = 64
"""Factors from 1 to M multiplied before the logarithm is taken: within float64 up to M = 2^15."""

_FRAMES_AT_ONCE = 4096
_REDRAWS = 20
_CONFUSION_AT_DB = (0, 10, 20)


@dataclass(frozen=True)
class Likelihood:
    """``log_likelihood (n)`` float64 of some frames, the number of points on the ``grid (n)`` over
    one period at which it came to rest, and how many of them were ``computed (n)``."""

    log_likelihood: np.ndarray
    grid: np.ndarray
    computed: np.ndarray


def first_grid(class_name: str, symbols: int, es_n0_db: float) -> int:
    """Points on one period before any halving; see the module's docstring."""
    n0 = noise_density(es_n0_db)
    narrowest = np.sqrt(n0 / (2.0 * symbols * np.sqrt(1.0 + n0)))
    period = 2.0 * np.pi / alphabet(class_name).symmetry
    return max(_FEWEST_POINTS, int(np.ceil(period / (_FIRST_STEP * narrowest))))


def likelihood(
    received: np.ndarray, es_n0_db: float, class_name: str, tolerance: float = TOLERANCE
) -> Likelihood:
    """Likelihood of one class for frames ``received (n, N)`` complex, at symbols of unit energy.

    Memory beyond the results does not grow with the frames. Raises ValueError for frames of another
    shape or that are not finite and for a ``tolerance`` below 1e-9, KeyError for an unknown class.
    """
    received = np.asarray(received, np.complex128)
    if received.ndim != 2 or not received.shape[1]:
        raise ValueError(f"frames have shape {received.shape}, not (n, N)")
    if not np.isfinite(received).all():
        raise ValueError("a symbol is not finite")
    if not tolerance >= 1e-9:
        raise ValueError(f"a tolerance of {tolerance} is below what float64 can hold")
    chosen, n0 = alphabet(class_name), noise_density(es_n0_db)
    first = first_grid(class_name, received.shape[1], es_n0_db)
    found = Likelihood(
        np.empty(len(received)), np.empty(len(received), int), np.empty(len(received), int)
    )
    step = max(1, _GRID_VALUES // first)
    for start in range(0, len(received), step):
        part = slice(start, start + step)
        _average(
            received[part],
            chosen,
            n0,
            first,
            tolerance,
            Likelihood(found.log_likelihood[part], found.grid[part], found.computed[part]),
        )
    constant = received.shape[1] * np.log(np.pi * n0)
    return Likelihood(found.log_likelihood - constant, found.grid, found.computed)


def log_likelihoods(
    received: np.ndarray,
    es_n0_db: float,
    classes: Sequence[str] = CLASSES,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Log likelihoods ``(n, classes)`` float64 of frames ``(n, N)``; errors of ``likelihood``."""
    columns = [likelihood(received, es_n0_db, name, tolerance) for name in classes]
    return np.stack([column.log_likelihood for column in columns], axis=1)


def log_posteriors(
    received: np.ndarray,
    es_n0_db: float,
    classes: Sequence[str] = CLASSES,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Log posteriors ``(n, classes)`` float64 if all ``classes`` are equally likely."""
    return log_softmax(log_likelihoods(received, es_n0_db, classes, tolerance))


def _average(
    received: np.ndarray,
    chosen: Alphabet,
    n0: float,
    first: int,
    tolerance: float,
    found: Likelihood,
) -> None:
    """Fill ``found`` for a few frames: the log of the mean over the phase, without (pi N0)^-N."""
    period = 2.0 * np.pi / chosen.symmetry
    # Log integrand on the grid (frames still moving, points), -inf where it is not computed.
    values = np.empty((len(received), first))
    rows = np.repeat(np.arange(len(received)), first)
    phases = np.tile(period / first * np.arange(first), len(received))
    values.ravel()[:] = _at_phases(received, rows, phases, chosen, n0)
    found.computed[:] = first
    moving = np.arange(len(received))
    last = _log_mean(values)
    while len(moving):
        points = values.shape[1]
        near = values > values.max(axis=1, keepdims=True) - _NEGLIGIBLE
        row, point = np.nonzero(near | np.roll(near, -1, axis=1))
        between = np.full_like(values, -np.inf)
        between[row, point] = _at_phases(
            received, moving[row], period / points * (point + 0.5), chosen, n0
        )
        values = np.stack([values, between], axis=2).reshape(len(moving), 2 * points)
        found.computed[moving] += np.bincount(row, minlength=len(moving))
        now = _log_mean(values)
        found.log_likelihood[moving], found.grid[moving] = now, 2 * points
        on = np.abs(now - last) >= tolerance
        moving, values, last = moving[on], values[on], now[on]


def _log_mean(values: np.ndarray) -> np.ndarray:
    """Log of the mean of exp(``values (n, points)``), ``(n)``."""
    largest = values.max(axis=1)
    return largest + np.log(np.exp(values - largest[:, None]).mean(axis=1))


def _at_phases(
    received: np.ndarray, rows: np.ndarray, phases: np.ndarray, chosen: Alphabet, n0: float
) -> np.ndarray:
    """Log integrand, without (pi N0)^-N, of frames ``rows (p)`` at ``phases (p)``; ``(p)``."""
    width = received.shape[1] * max(
        len(levels) for levels in (chosen.axes or (chosen.points,)) if levels is not None
    )
    step = max(1, _CHUNK // width)
    out = np.empty(len(rows))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        turned = received[rows[part]] * np.exp(-1j * phases[part])[:, None]
        if chosen.axes is None:
            points = chosen.points[:, None, None]
            squares = (turned.real - points.real) ** 2 + (turned.imag - points.imag) ** 2
            out[part] = _sum_of_logs(squares, n0)
        else:
            # Re and Im of a symbol are independent: two sums of sqrt(M) terms and not one of M.
            out[part] = sum(
                _sum_of_logs((values - levels[:, None, None]) ** 2, n0)
                for values, levels in zip((turned.real, turned.imag), chosen.axes, strict=True)
            )
    return out


def _sum_of_logs(squares: np.ndarray, n0: float) -> np.ndarray:
    """Sum over N of log mean over M of exp(-``squares (M, p, N)`` / n0); ``(p)``."""
    nearest = squares.min(axis=0)
    exponent = -nearest.sum(axis=1) / n0
    if len(squares) == 1:
        return exponent
    squares = (nearest - squares) / n0
    terms = np.exp(squares, out=squares).sum(axis=0)  # from 1 to M
    pieces = range(0, terms.shape[1], _PRODUCT)
    products = np.multiply.reduceat(terms, pieces, axis=1)
    return exponent + np.log(products).sum(axis=1) - terms.shape[1] * np.log(len(squares))


def record(
    command: str,
    *,
    frames_per_cell: int,
    symbols: int = SYMBOLS,
    seed: int = 0,
    es_n0_db: Sequence[int] = ES_N0_DB,
    tell: Callable[[int, float, float], None] = lambda label, accuracy, own: None,
) -> dict[str, Any]:
    """Measure the classifier; see the module's docstring for what comes back.

    ``tell`` is called after each Es/N0 with it, the accuracy and the mean maximum posterior.
    Raises UserError for numbers that cannot be used.
    """
    from .export import git_revision
    from .pipeline import surroundings

    for label, value, least in (
        ("frames", frames_per_cell, 1),
        ("symbols", symbols, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            raise UserError(f"{label} is {value}; it must be at least {least}")
    if not es_n0_db or min(es_n0_db) < -30 or max(es_n0_db) > 40:
        raise UserError("Es/N0 must lie from -30 to 40 dB")
    revision = git_revision()
    tally = Tally(CLASSES)
    confidence, right = [], []
    grids: dict[str, dict[str, list]] = {
        name: {"first": [], "largest": [], "computed": []} for name in CLASSES
    }
    for label in es_n0_db:
        measured = _measure(label, frames_per_cell, symbols, seed, tally)
        confidence.append(measured.confidence)
        right.append(measured.right)
        for name, largest, computed in zip(
            CLASSES, measured.largest, measured.computed, strict=True
        ):
            grids[name]["first"].append(first_grid(name, symbols, label))
            grids[name]["largest"].append(int(largest))
            grids[name]["computed"].append(round(float(computed), 1))
        tell(label, float(right[-1].mean()), float(confidence[-1].mean()))
    pooled = _own_estimate(np.concatenate(confidence), np.concatenate(right), seed)
    alone = [_own_estimate(*pair, seed) for pair in zip(confidence, right, strict=True)]
    by_snr = {
        f"{key}_by_snr": {
            str(label): each[key] for label, each in zip(es_n0_db, alone, strict=True)
        }
        for key in pooled
    }
    return {
        "command": command,
        "symbols": symbols,
        "frames_per_cell": frames_per_cell,
        "seed": seed,
        "tolerance": TOLERANCE,
        "es_n0_db": list(es_n0_db),
        **tally.record([at for at in _CONFUSION_AT_DB if at in es_n0_db]),
        **pooled,
        **by_snr,
        "grids": grids,
        **surroundings(),
        "git_rev": revision,
    }


def compare(
    logits: np.ndarray, log_posterior: np.ndarray, labels: np.ndarray, snr: np.ndarray
) -> dict[str, Any]:
    """How far a network stays behind the exact classifier on the same frames.

    ``logits (n, classes)`` of the network at its temperature, ``log_posterior (n, classes)`` exact,
    ``labels (n)`` class indices, ``snr (n)`` Es/N0 in dB. Back come ``overall`` and ``by_snr``,
    each with, in shares of the frames:

    - ``accuracy`` of the exact classifier and how it compares with its own estimate:
      ``mean_maximum_posterior``, ``difference_in_standard_errors``, ``ece`` and ``ece_if_true``, as
      in the record above;
    - ``gap``: its accuracy less the network's, paired by frame; chance can make it negative;
    - ``expected_gap``: what the frames' posteriors say that it is in the mean over what was sent,
      the posterior of the likeliest class less that of the one called: never negative, and with
      much less chance in it;
    - ``gap_standard_error`` and ``expected_gap_standard_error`` (0 where all frames agree);
    - ``divergence``: the mean Kullback-Leibler divergence of the network's posterior from the exact
      one, in nats.
    """
    exact, own = log_softmax(log_posterior), log_softmax(logits)

    def part(chosen: np.ndarray) -> dict[str, float | None]:
        p, each = np.exp(exact[chosen]), np.arange(int(chosen.sum()))
        best, called = p.argmax(axis=1), own[chosen].argmax(axis=1)
        right = best == labels[chosen]
        gap = right.astype(float) - (called == labels[chosen])
        expected = p[each, best] - p[each, called]
        return {
            "accuracy": float(right.mean()),
            **_own_estimate(p[each, best], right, 0),
            "gap": float(gap.mean()),
            "gap_standard_error": _standard_error(gap),
            "expected_gap": float(expected.mean()),
            "expected_gap_standard_error": _standard_error(expected),
            "divergence": float((p * (exact - own)[chosen]).sum(axis=1).mean()),
        }

    return {
        "overall": part(np.ones(len(labels), bool)),
        "by_snr": {str(label): part(snr == label) for label in np.unique(snr)},
    }


def _standard_error(values: np.ndarray) -> float:
    """Of the mean of independent ``values (n)``."""
    return float(values.std() / np.sqrt(len(values)))


@dataclass(frozen=True)
class _Measured:
    """Of all frames at one Es/N0, and of each class's grid."""

    confidence: np.ndarray
    right: np.ndarray
    largest: np.ndarray
    computed: np.ndarray


def _measure(label: int, frames_per_cell: int, symbols: int, seed: int, tally: Tally) -> _Measured:
    confidence, right = [], []
    largest, computed = np.zeros(len(CLASSES), int), np.zeros(len(CLASSES))
    for index, name in enumerate(CLASSES):
        # Seeds are not negative.
        rng = np.random.default_rng([seed, symbols, index, label + 128])
        for start in range(0, frames_per_cell, _FRAMES_AT_ONCE):
            frames = min(_FRAMES_AT_ONCE, frames_per_cell - start)
            phase = rng.uniform(0.0, 2.0 * np.pi, frames)
            received = receive(name, label, phase, symbols, rng)
            found = [likelihood(received, label, each) for each in CLASSES]
            scores = np.stack([each.log_likelihood for each in found], axis=1)
            posteriors = np.exp(log_softmax(scores))
            tally.add(np.full(frames, index), np.full(frames, label), posteriors)
            confidence.append(posteriors.max(axis=1))
            right.append(posteriors.argmax(axis=1) == index)
            largest = np.maximum(largest, [each.grid.max() for each in found])
            computed += [each.computed.sum() for each in found]
    shares = computed / (frames_per_cell * len(CLASSES))
    return _Measured(np.concatenate(confidence), np.concatenate(right), largest, shares)


def _own_estimate(confidence: np.ndarray, right: np.ndarray, seed: int) -> dict[str, float | None]:
    """How the classifier's estimate of its accuracy compares with the accuracy."""
    rng = np.random.default_rng(seed)
    deviation = np.sqrt((confidence * (1.0 - confidence)).sum())
    difference = (right - confidence).sum()
    chance = [
        expected_calibration_error(confidence, rng.random(len(confidence)) < confidence)
        for _ in range(_REDRAWS)
    ]
    return {
        "mean_maximum_posterior": float(confidence.mean()),
        "difference_in_standard_errors": float(difference / deviation) if deviation > 0 else None,
        "ece": expected_calibration_error(confidence, right),
        "ece_if_true": float(np.mean(chance)),
    }
