# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration against cases whose answer is known."""

import numpy as np
import pytest
from gnuradio.kdamc.contract import Fusion
from gnuradio.kdamc.decision import fuse
from kdamc_training import calibration


def drawn(count, seed=1, scale=1.5):
    """Logits whose posteriors are exact: the labels are drawn from them."""
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=(count, 4))
    posteriors = np.exp(calibration.log_softmax(logits))
    labels = (posteriors.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
    return logits, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 60.0])
def test_the_temperature_is_recovered(temperature):
    logits, labels = drawn(40_000)
    fitted = calibration.fit_temperature(logits * temperature, labels)
    assert fitted == pytest.approx(temperature, rel=0.04)


def test_exact_posteriors_have_no_calibration_error_and_sharpened_ones_have():
    logits, labels = drawn(40_000)
    for sharpening, low, high in ((1.0, 0.0, 0.015), (3.0, 0.1, 1.0)):
        posteriors = np.exp(calibration.log_softmax(sharpening * logits))
        error = calibration.expected_calibration_error(
            posteriors.max(axis=1), posteriors.argmax(axis=1) == labels
        )
        assert low <= error < high


def test_calibration_error_by_hand():
    confidence = np.array([0.5, 0.5, 0.9, 0.9])
    correct = np.array([True, False, True, False])
    error = calibration.expected_calibration_error(confidence, correct, bins=2)
    assert error == pytest.approx(0.5 * 0.0 + 0.5 * 0.4)


def frames_of_runs(copies: bool, runs=1500, length=16):
    """Runs of frames of one label: each frame drawn anew, or all frames equal."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, runs)
    shape = (runs, 1 if copies else length, 4)
    seen = rng.normal(size=shape) + 0.8 * np.eye(4)[labels][:, None, :]
    # The exact posterior of unit Gaussians at 0.8 along the axis of the class.
    logits = np.broadcast_to(0.8 * seen, (runs, length, 4)).reshape(-1, 4)
    return (
        calibration.log_softmax(logits),
        np.repeat(labels, length),
        np.repeat(range(runs), length),
    )


def test_copies_add_nothing_and_independent_frames_add_all():
    copies = calibration.fit_fusion(*frames_of_runs(copies=True))
    assert copies.mean_share > 0.9 or min(copies.exponent, copies.exponent_sure) > 0.95
    independent = calibration.fit_fusion(*frames_of_runs(copies=False))
    assert independent.mean_share < 0.01
    assert max(independent.exponent, independent.exponent_sure) < 0.1


@pytest.mark.parametrize("sure", [0.2, 0.9])
def test_the_fusion_is_recovered(sure):
    """Of labels drawn from the posteriors that it makes of runs of every kind."""
    rng = np.random.default_rng(5)
    right = Fusion(0.6, sure, 0.2)
    runs, length = 6000, 16
    spread = rng.uniform(0.1, 1.5, (runs, 1, 1))
    seen = spread * (rng.normal(size=(runs, 1, 4)) + rng.normal(size=(runs, length, 4)))
    frames = calibration.log_softmax(seen)
    posteriors = np.exp(fuse(frames.sum(axis=1), length, right))
    labels = (posteriors.cumsum(axis=1) < rng.random((runs, 1))).sum(axis=1).clip(max=3)
    fitted = calibration.fit_fusion(
        frames.reshape(-1, 4), np.repeat(labels, length), np.repeat(range(runs), length), [length]
    )
    fused = np.exp(fuse(frames.sum(axis=1), length, fitted))
    assert np.abs(fused - posteriors).mean() < 0.01
    confidence, correct = fused.max(axis=1), fused.argmax(axis=1) == labels
    assert calibration.expected_calibration_error(confidence, correct) < 0.02


def test_runs_are_cut_within_passes():
    values = np.arange(10.0)[:, None]
    labels = np.array([0] * 6 + [1] * 4)
    runs, run_labels = calibration.cut_runs(values, labels, labels, 4)
    assert runs[:, :, 0].tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]]
    assert run_labels.tolist() == [0, 1]
