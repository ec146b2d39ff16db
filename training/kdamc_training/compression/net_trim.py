# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Net-Trim: the sparsest dense layer, in the 1-norm, that still gives nearly the same outputs.

Of Aghasi, Abdi, Nguyen and Romberg, "Net-Trim: convex pruning of deep neural networks with
performance guarantee", NIPS 2017, which Baishya, Manoj and Bora, "Edge-efficient deep learning
models for automatic modulation classification", apply to the first dense layer of their networks
with gains .02 and .08. Their equation 1 bounds the distance of the activations and is not convex;
what is solved, there and here, is the convex form

    min ||U||_1   such that   ||(X U - Y)_Omega||_F <= eps,   X U <= 0 outside Omega,

for inputs X ``(P frames, N inputs)``, outputs Y = relu(X W + b) ``(P, M)``, Omega = {Y > 0} and
eps = gain * ||Y||_F. The bias is one more row of U, with an input that is always 1.

The alternating direction method of multipliers (ADMM) splits it at V = A U with A = [X; I]:
V_1 keeps the two bounds, V_2 the 1-norm, and U = C^-1 A' V with C = X'X + I, of which the
Cholesky factor is made once. If there are fewer frames than inputs the factor is that of
X X' + I, ``(P, P)``, by Woodbury's identity; X U then falls out of the same solution, and of an
iteration's products with X two are left.

The problem scales with W and with X, so units are free; they are what gives rho = 1 and the
threshold a meaning. Net-Trim divides W by ||W||_1; here the mean magnitude of W is 1, which
differs from that by the number of weights, and X is divided by the root mean square of its
columns' norms, so that X'X and I weigh alike (our choices, as is the over-relaxation). In these
units a rho that follows the residuals took more iterations than a rho of 1 on all problems tried.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import UserError
from ..files import replacing

# A smaller weight, in units of the layer's mean magnitude, counts as zero.
THRESHOLD = 1e-6

_RELAXATION = 1.6


class NotConverged(UserWarning):
    """The residuals were still above their tolerances after the last iteration."""


@dataclass(frozen=True)
class Progress:
    """All that ADMM has between two iterations: going on from it gives what not stopping would.

    ``solution`` is U ``(N + 1, M)`` in ADMM's units; ``dual_outputs`` ``(P, M)`` and
    ``dual_weights`` ``(N + 1, M)`` are the multipliers of V_1 = X U and V_2 = U over rho;
    ``response`` is X U ``(P, M)`` as the last solution gave it, which a product made anew would
    round otherwise. ``primal`` and ``dual`` are the residuals so far.
    """

    solution: np.ndarray
    response: np.ndarray
    dual_outputs: np.ndarray
    dual_weights: np.ndarray
    primal: np.ndarray
    dual: np.ndarray

    def save(self, path: str | os.PathLike) -> None:
        """Write it to a file (NumPy's npz), whole or not at all."""
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **vars(self))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Progress:
        """From the file that ``save`` wrote; raises UserError if it is none."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(**{entry.name: file[entry.name] for entry in dataclasses.fields(cls)})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: no progress of Net-Trim: {error}") from error


@dataclass(frozen=True)
class NetTrimResult:
    """A pruned layer and how it was found.

    ``weight`` is ``(M, N)`` float64 as in ``torch.nn.Linear``, ``bias`` ``(M,)``. ``primal`` and
    ``dual`` hold the residuals of every iteration over their tolerances: below 1 is converged.
    ``distance`` is ||(X U - Y)_Omega||_F / ||Y||_F of what is returned, to be held against the
    gain; ``leak`` is ||relu(X U) outside Omega||_F / ||Y||_F, which should be 0.
    """

    weight: np.ndarray
    bias: np.ndarray
    primal: np.ndarray
    dual: np.ndarray
    converged: bool
    distance: float
    leak: float

    @property
    def iterations(self) -> int:
        return len(self.primal)


def net_trim(
    inputs: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    gain: float,
    *,
    rho: float = 1.0,
    penalise_bias: bool = False,
    tolerance: float = 1e-4,
    max_iterations: int = 2000,
    resume: Progress | None = None,
    keep: Callable[[Progress], None] | None = None,
    keep_every: int = 50,
) -> NetTrimResult:
    """Prune the layer y = relu(W x + b) on ``inputs``.

    ``inputs`` is ``(P, N)``, one frame a row (the edge paper takes 20,000), ``weight`` ``(M, N)``,
    ``bias`` ``(M,)``; all are taken to float64. The bias is not in the 1-norm, for its M values
    are stored anyway, unless ``penalise_bias``, as Net-Trim's published program has it.
    ``tolerance`` is relative, of both residuals (Boyd et al., "Distributed optimization and
    statistical learning via ADMM", section 3.3; the sizes they are relative to are our choice).
    ``keep`` is called with the progress after every ``keep_every`` iterations, whose arrays are
    its own only until it returns; ``resume`` goes on from such progress of the very same problem.
    Memory: 8 P N bytes for X, 16 min(P, N)^2 for the factor, and a dozen arrays of P M and N M.

    Warns with NotConverged if the iterations do not suffice. Raises UserError for shapes that do
    not fit together, values that are not finite and a gain or rho that cannot be.
    """
    inputs = np.asarray(inputs)
    w, b = np.asarray(weight, np.float64), np.asarray(bias, np.float64)
    _check(inputs, w, b, gain, rho, max_iterations)
    if keep_every < 1:
        raise UserError(f"keep_every is {keep_every}; it must be 1 or more")
    frames = len(inputs)
    # One float64 copy, with the bias's column, scaled in place: X may have gigabytes.
    augmented = np.empty((frames, w.shape[1] + 1))
    augmented[:, :-1] = inputs
    augmented[:, -1] = 1.0
    augmented /= np.linalg.norm(augmented) / np.sqrt(augmented.shape[1])
    weight_scale = np.abs(w).mean() or 1.0
    original = np.vstack([w.T, b]) / weight_scale
    target = np.maximum(augmented @ original, 0.0)
    active = target > 0.0
    radius = gain * np.linalg.norm(target)
    # The 1-norm's weight for every row of U.
    penalty = np.ones((len(original), 1))
    penalty[-1] = float(penalise_bias)

    solution = original
    # Divided by rho, as ADMM's scaled form has them.
    dual_outputs, dual_weights = np.zeros_like(target), np.zeros_like(original)
    project = _GraphProjection(augmented)
    primal: list[float] = []
    dual: list[float] = []
    if resume is None:
        response = augmented @ solution
    else:
        if resume.response.shape != target.shape or resume.solution.shape != original.shape:
            raise UserError(
                f"the progress is of {len(resume.response)} frames and a layer of "
                f"{resume.solution.shape}, not of {frames} and {original.shape}"
            )
        if len(resume.primal) >= max_iterations:
            raise UserError(
                f"the progress is of {len(resume.primal)} iterations; max_iterations is "
                f"{max_iterations}, which leaves none to go on with"
            )
        solution, response = resume.solution, resume.response
        # In the order they lie in, on which it depends how products round.
        dual_outputs, dual_weights = resume.dual_outputs.copy("K"), resume.dual_weights.copy("K")
        primal, dual = resume.primal.tolist(), resume.dual.tolist()

    # The sizes that the residuals are held against: outputs and weights of the layer, and the 1
    # that every weight's derivative of the 1-norm has. Not that of X U or of the bias, as outputs
    # far below zero would make both too lenient.
    primal_tolerance = tolerance * (_norm(target, original[:-1]) or 1.0)
    dual_tolerance = tolerance * np.sqrt(w.size)
    converged = False
    sparse = solution
    for _ in range(len(primal), max_iterations):
        bounded = _bounded(response - dual_outputs, target, active, radius)
        sparse = _shrunk(solution - dual_weights, penalty / rho)
        relaxed_outputs = _RELAXATION * bounded + (1.0 - _RELAXATION) * response
        relaxed_weights = _RELAXATION * sparse + (1.0 - _RELAXATION) * solution
        before = response, solution
        solution, response = project(relaxed_outputs, relaxed_weights)
        dual_outputs += relaxed_outputs - response
        dual_weights += relaxed_weights - solution

        primal.append(_norm(bounded - response, sparse - solution) / primal_tolerance)
        change = _norm(response - before[0], solution - before[1])
        dual.append(rho * change / dual_tolerance)
        converged = bool(primal[-1] <= 1.0 and dual[-1] <= 1.0)
        if converged:
            break
        # Not after the last one: what is left of it then is the result.
        if keep is not None and len(primal) % keep_every == 0 and len(primal) < max_iterations:
            keep(
                Progress(
                    solution, response, dual_outputs, dual_weights, np.array(primal), np.array(dual)
                )
            )

    if not converged:
        warnings.warn(
            f"Net-Trim stopped after {max_iterations} iterations with residuals of "
            f"{primal[-1]:.3g} (primal) and {dual[-1]:.3g} (dual) times their tolerances",
            NotConverged,
            stacklevel=2,
        )
    pruned = np.where(np.abs(sparse) > THRESHOLD, sparse, 0.0)
    pruned[-1] = sparse[-1]
    response = augmented @ pruned
    whole = np.linalg.norm(target) or 1.0
    return NetTrimResult(
        weight=np.ascontiguousarray(pruned[:-1].T) * weight_scale,
        bias=pruned[-1] * weight_scale,
        primal=np.array(primal),
        dual=np.array(dual),
        converged=converged,
        distance=float(np.linalg.norm((response - target)[active]) / whole),
        leak=float(np.linalg.norm(np.maximum(response, 0.0)[~active]) / whole),
    )


class _GraphProjection:
    """The point (X U, U) nearest to (V_1, V_2): U = (X'X + I)^-1 (X' V_1 + V_2).

    Products and factor are torch's, which brings its own BLAS: a distribution's may not know the
    processor and then takes eight times as long.
    """

    def __init__(self, x: np.ndarray) -> None:
        self._x = torch.from_numpy(x)
        self._wide = x.shape[0] < x.shape[1]
        gram = self._x @ self._x.T if self._wide else self._x.T @ self._x
        gram.diagonal().add_(1.0)
        # The identity makes it positive definite even if inputs repeat or are always zero.
        self._factor = torch.linalg.cholesky(gram)

    def __call__(self, outputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """U ``(N, M)`` and X U ``(P, M)`` for V_1 ``(P, M)`` and V_2 ``(N, M)``."""
        first, second = torch.from_numpy(outputs), torch.from_numpy(weights)
        if not self._wide:
            solution = torch.cholesky_solve(self._x.T @ first + second, self._factor)
            return solution.numpy(), (self._x @ solution).numpy()
        # With (X'X + I)^-1 X' = X' (X X' + I)^-1 all but two products with X fall out.
        correction = torch.cholesky_solve(first - self._x @ second, self._factor)
        return torch.addmm(second, self._x.T, correction).numpy(), (first - correction).numpy()


def _bounded(
    point: np.ndarray, target: np.ndarray, active: np.ndarray, radius: float
) -> np.ndarray:
    """The nearest point with ``active`` within ``radius`` of ``target`` and the rest <= 0."""
    away = np.where(active, point - target, 0.0)
    distance = np.linalg.norm(away)
    if distance > radius:
        away *= radius / distance
    return np.where(active, target + away, np.minimum(point, 0.0))


def _shrunk(point: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Soft threshold: ``amount`` nearer to zero, ``(N, M)`` and ``(N, 1)``."""
    return np.sign(point) * np.maximum(np.abs(point) - amount, 0.0)


def _norm(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.hypot(np.linalg.norm(first), np.linalg.norm(second)))


def _check(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, gain: float, rho: float, max_iterations: int
) -> None:
    if x.ndim != 2 or w.ndim != 2 or b.shape != w.shape[:1] or x.shape[1] != w.shape[1]:
        raise UserError(
            f"inputs {x.shape}, weight {w.shape} and bias {b.shape} do not fit together: "
            "(P, N), (M, N) and (M,) do"
        )
    if not len(x):
        raise UserError("Net-Trim needs at least one frame")
    for name, array in (("inputs", x), ("weight", w), ("bias", b)):
        if not np.isfinite(array).all():
            raise UserError(f"{name}: not all values are finite")
    if not 0.0 <= gain < np.inf:
        raise UserError(f"gain is {gain}; it must be 0 or more")
    if not 0.0 < rho < np.inf:
        raise UserError(f"rho is {rho}; it must be positive")
    if max_iterations < 1:
        raise UserError(f"max_iterations is {max_iterations}; it must be 1 or more")
