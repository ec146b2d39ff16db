# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Net-Trim against a general convex solver and by what its answer has to satisfy."""

import cvxpy
import numpy as np
import pytest
import torch
from kdamc_training.compression.coo import Coo
from kdamc_training.compression.keep_zeros import KeepZeros
from kdamc_training.compression.net_trim import (
    NetTrimResult,
    NotConverged,
    Progress,
    net_trim,
)
from kdamc_training.errors import UserError
from torch import nn


def layer(frames: int, inputs: int, outputs: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Rectified inputs ``(P, N)``, as behind a ReLU, weight ``(M, N)`` and bias ``(M,)``."""
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.normal(size=(frames, inputs)), 0.0)
    return x, rng.normal(size=(outputs, inputs)), 0.3 * rng.normal(size=outputs)


def sparse_layer(
    frames: int, inputs: int, outputs: int, kept: int, seed: int = 0
) -> tuple[np.ndarray, ...]:
    """As ``layer`` with ``kept`` non-zero weights an output, a bias of zero, any sign of input."""
    rng = np.random.default_rng(seed)
    weight = np.zeros((outputs, inputs))
    for row in weight:
        row[rng.choice(inputs, kept, replace=False)] = rng.choice([-1.0, 1.0], kept) + (
            0.2 * rng.normal(size=kept)
        )
    return rng.normal(size=(frames, inputs)), weight, np.zeros(outputs)


def activations(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.maximum(x @ weight.T + bias, 0.0)


def pruned_share(found: NetTrimResult) -> float:
    """p_e of the edge paper's equation 3, without the bias."""
    return 1.0 - np.count_nonzero(found.weight) / found.weight.size


def dense(stored: Coo) -> np.ndarray:
    matrix = np.zeros(stored.shape, stored.values.dtype)
    matrix[stored.rows, stored.columns] = stored.values
    return matrix


def solved_by_cvxpy(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, gain: float, penalise_bias: bool
) -> tuple[float, np.ndarray]:
    """The least 1-norm and the weight ``(M, N)`` that has it."""
    target = activations(x, weight, bias)
    active = target > 0.0
    u, c = cvxpy.Variable(weight.T.shape), cvxpy.Variable((1, len(bias)))
    response = x @ u + np.ones((len(x), 1)) @ c
    cost = cvxpy.sum(cvxpy.abs(u)) + (cvxpy.sum(cvxpy.abs(c)) if penalise_bias else 0.0)
    problem = cvxpy.Problem(
        cvxpy.Minimize(cost),
        [
            cvxpy.norm(cvxpy.multiply(active, response - target), "fro")
            <= gain * np.linalg.norm(target),
            cvxpy.multiply(~active, response) <= 0.0,
        ],
    )
    problem.solve(solver=cvxpy.CLARABEL)
    return problem.value, u.value.T


@pytest.mark.parametrize("penalise_bias", [False, True])
@pytest.mark.parametrize(("frames", "inputs"), [(40, 12), (12, 30)])
def test_it_is_what_a_general_solver_finds(frames, inputs, penalise_bias):
    x, weight, bias = layer(frames, inputs, 3)
    least, expected = solved_by_cvxpy(x, weight, bias, 0.08, penalise_bias)
    found = net_trim(
        x, weight, bias, 0.08, penalise_bias=penalise_bias, tolerance=1e-7, max_iterations=20000
    )
    assert found.converged
    norm = np.abs(found.weight).sum() + penalise_bias * np.abs(found.bias).sum()
    assert norm == pytest.approx(least, rel=1e-5)
    np.testing.assert_allclose(found.weight, expected, atol=2e-4)
    assert least < 0.95 * np.abs(weight).sum()


@pytest.mark.parametrize("frames", [30, 300])
def test_the_bounds_hold(frames):
    x, weight, bias = layer(frames, 60, 5)
    found = net_trim(x, weight, bias, 0.08)
    assert found.converged and found.primal[-1] <= 1.0 and found.dual[-1] <= 1.0
    assert found.iterations == len(found.dual) and max(found.primal[:-1]) > 1.0
    target = activations(x, weight, bias)
    response = x @ found.weight.T + found.bias
    whole = np.linalg.norm(target)
    off = np.linalg.norm((response - target)[target > 0.0]) / whole
    leak = np.linalg.norm(np.maximum(response, 0.0)[target == 0.0]) / whole
    assert off == pytest.approx(found.distance) and leak == pytest.approx(found.leak)
    # The 1-norm pushes against the bound, so it is reached.
    assert off == pytest.approx(0.08, rel=0.01)
    assert leak < 1e-3


def test_both_gram_sides_give_one_answer():
    x, weight, bias = layer(20, 30, 4)
    wide = net_trim(x, weight, bias, 0.05, tolerance=1e-7, max_iterations=20000)
    # Each frame twice is the same problem, with more frames than inputs.
    tall = net_trim(np.vstack([x, x]), weight, bias, 0.05, tolerance=1e-7, max_iterations=20000)
    assert wide.converged and tall.converged
    np.testing.assert_allclose(wide.weight, tall.weight, atol=1e-4)
    np.testing.assert_array_equal(np.abs(wide.weight) > 1e-3, np.abs(tall.weight) > 1e-3)


def test_a_sparse_layer_is_found_again_from_fewer_frames_than_inputs():
    x, weight, bias = sparse_layer(58, 60, 4, kept=2)
    dense = layer(58, 60, 4, seed=1)[1]
    # The part of another layer that these frames do not see: the same outputs, no sparsity.
    unseen = dense - dense @ np.linalg.pinv(np.c_[x, np.ones(58)])[:60] @ x
    unseen -= unseen @ x.T @ np.linalg.pinv(x @ x.T) @ x
    hidden = weight + unseen
    np.testing.assert_allclose(activations(x, hidden, bias), activations(x, weight, bias))
    assert np.count_nonzero(hidden) == hidden.size
    found = net_trim(x, hidden, bias, 0.0, tolerance=1e-7, max_iterations=20000)
    assert found.converged
    np.testing.assert_allclose(found.weight, weight, atol=1e-4)
    assert np.count_nonzero(np.abs(found.weight) > 1e-3) == 4 * 2


@pytest.mark.parametrize(("frames", "inputs"), [(80, 12), (12, 30)])
def test_without_a_gain_the_outputs_stay(frames, inputs):
    x, weight, bias = layer(frames, inputs, 4)
    found = net_trim(x, weight, bias, 0.0, max_iterations=10000)
    assert found.converged and found.distance < 1e-3
    np.testing.assert_allclose(
        activations(x, found.weight, found.bias), activations(x, weight, bias), atol=5e-3
    )


def test_more_gain_prunes_more():
    x, weight, bias = layer(150, 60, 6)
    efficiencies = [
        pruned_share(net_trim(x, weight, bias, gain)) for gain in (0.02, 0.08, 0.2, 0.5)
    ]
    assert efficiencies == sorted(efficiencies)
    assert efficiencies[0] < efficiencies[1] < efficiencies[-1] < 1.0
    # With a gain of 1 nothing has to be left.
    assert pruned_share(net_trim(x, weight, bias, 1.0, tolerance=1e-6)) == 1.0


@pytest.mark.parametrize("frames", [40, 200])
def test_going_on_after_a_kill_is_not_stopping(frames, tmp_path):
    x, weight, bias = layer(frames, 60, 6)
    saved = tmp_path / "progress.npz"
    whole = net_trim(x, weight, bias, 0.08, rho=2.0)
    assert whole.iterations > 40

    def keep_and_die(progress: Progress) -> None:
        progress.save(saved)
        if len(progress.primal) == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net_trim(x, weight, bias, 0.08, rho=2.0, keep=keep_and_die, keep_every=15)
    kept = Progress.load(saved)
    assert len(kept.primal) == 30
    resumed = net_trim(x, weight, bias, 0.08, rho=2.0, resume=kept)
    for name in ("weight", "bias", "primal", "dual"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))
    assert resumed.converged and resumed.distance == whole.distance
    with pytest.raises(UserError, match="progress is of"):
        net_trim(x[:-1], weight, bias, 0.08, resume=kept)
    with pytest.raises(UserError, match="30 iterations; max_iterations is 30"):
        net_trim(x, weight, bias, 0.08, rho=2.0, resume=kept, max_iterations=30)
    with pytest.raises(UserError, match="keep_every is 0"):
        net_trim(x, weight, bias, 0.08, keep_every=0)
    saved.write_bytes(saved.read_bytes()[:1000])
    with pytest.raises(UserError, match="no progress of Net-Trim"):
        Progress.load(saved)


def test_stopping_too_early_is_said():
    x, weight, bias = layer(80, 30, 4)
    with pytest.warns(NotConverged, match="after 5 iterations"):
        found = net_trim(x, weight, bias, 0.08, max_iterations=5)
    assert not found.converged and found.iterations == 5
    assert max(found.primal[-1], found.dual[-1]) > 1.0


def test_the_unit_of_the_weights_does_not_matter():
    x, weight, bias = layer(80, 30, 4)
    plain = net_trim(x, weight, bias, 0.08)
    scaled = net_trim(x, 1e-6 * weight, 1e-6 * bias, 0.08)
    np.testing.assert_allclose(1e6 * scaled.weight, plain.weight, rtol=1e-6, atol=1e-9)
    assert pruned_share(scaled) == pruned_share(plain) > 0.0


def test_rho_changes_the_way_but_not_the_answer():
    x, weight, bias = layer(80, 30, 4)
    usual = net_trim(x, weight, bias, 0.08, tolerance=1e-6, max_iterations=20000)
    for rho in (0.5, 2.0):
        other = net_trim(x, weight, bias, 0.08, rho=rho, tolerance=1e-6, max_iterations=20000)
        assert other.converged and other.iterations != usual.iterations
        np.testing.assert_allclose(other.weight, usual.weight, atol=1e-3)


@pytest.mark.parametrize("frames", [20, 200])
def test_a_singular_gram_and_a_dead_output_are_handled(frames):
    x, weight, bias = layer(frames, 40, 4)
    x[:, 1] = x[:, 0]
    x[:, 2] = 0.0
    bias[3] = -1e3
    found = net_trim(x, weight, bias, 0.02)
    assert found.converged and found.leak < 1e-3
    assert not found.weight[3].any(), "an output that is never active needs no weight"
    assert not found.weight[:, 2].any(), "an input that is always zero needs no weight"
    all_dead = net_trim(x, weight, np.full(4, -1e3), 0.02)
    assert all_dead.converged and pruned_share(all_dead) == 1.0


def test_what_cannot_be_pruned_is_refused():
    x, weight, bias = layer(20, 10, 3)
    for bad, says in (
        ((x[:, :9], weight, bias, 0.1), "do not fit together"),
        ((x, weight, bias[:2], 0.1), "do not fit together"),
        ((x[:0], weight, bias, 0.1), "at least one frame"),
        ((x, weight, bias, -0.1), "gain is -0.1"),
        ((x, weight * np.nan, bias, 0.1), "weight: not all"),
        ((x + np.inf, weight, bias, 0.1), "inputs: not all"),
    ):
        with pytest.raises(UserError, match=says):
            net_trim(*bad)
    with pytest.raises(UserError, match="rho is 0"):
        net_trim(x, weight, bias, 0.1, rho=0.0)
    with pytest.raises(UserError, match="max_iterations is 0"):
        net_trim(x, weight, bias, 0.1, max_iterations=0)


def test_coo_counts_its_indices():
    x, weight, bias = layer(30, 300, 5)
    found = net_trim(x, weight, bias, 0.08)
    stored = Coo.of(found.weight)
    kept = np.count_nonzero(found.weight)
    assert 0 < kept < 5 * 300 / 2
    # float32, a byte for one of 5 rows and two for one of 300 columns.
    assert stored.nbytes == kept * (4 + 1 + 2)
    np.testing.assert_array_equal(dense(stored), found.weight.astype(np.float32))


@pytest.mark.parametrize(("length", "size"), [(1, 1), (256, 1), (257, 2), (65536, 2), (65537, 4)])
def test_coo_indices_are_as_small_as_they_can_be(length, size):
    matrix = np.zeros((1, length))
    matrix[0, -1] = 2.0
    stored = Coo.of(matrix)
    assert stored.columns.itemsize == size and stored.columns[0] == length - 1
    np.testing.assert_array_equal(dense(stored), matrix)


def test_zeros_stay_zero_while_the_rest_is_trained():
    torch.manual_seed(0)
    linear = nn.Linear(20, 8)
    optimizer = torch.optim.Adam(linear.parameters(), 0.05)
    x, y = torch.randn(64, 20), torch.randn(64, 8)

    def step() -> None:
        optimizer.zero_grad()
        (linear(x) - y).square().mean().backward()
        optimizer.step()

    step()  # The optimiser's momentum is of a time before pruning.
    with torch.no_grad():
        linear.weight[torch.rand(8, 20) < 0.7] = 0.0
    pruned = linear.weight.detach().clone()
    zeros = pruned == 0.0
    assert 0 < zeros.sum() < zeros.numel()
    keep = KeepZeros([linear.weight])
    keep.attach(optimizer)
    for _ in range(5):
        step()
        assert not linear.weight.grad[zeros].any()
    assert not linear.weight[zeros].any()
    assert (linear.weight != pruned)[~zeros].all()
    keep.remove()
    step()
    assert linear.weight[zeros].all()
