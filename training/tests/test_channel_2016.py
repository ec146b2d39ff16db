# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel against its definition: hand-made cases, loops, and measured powers."""

from dataclasses import replace

import numpy as np
import pytest
from kdamc_training.datasets import channel_2016 as channel

SETTINGS = channel.ChannelSettings()


def test_the_random_source_is_mt19937():
    # The standard's own check value for the first draw of the default seed.
    expected = 3499211612 / 2**32 * 2 * np.pi - np.pi
    assert channel.mt19937_phases(5489, 1)[0] == pytest.approx(expected, abs=1e-12)


def test_line_of_sight_carries_k_over_k_plus_one_of_the_power():
    with_direct = channel.flat_fader(1000, 5, True, SETTINGS)
    scattered = channel.flat_fader(1000, 5, False, SETTINGS)
    direct = with_direct - scattered / np.sqrt(5.0)
    np.testing.assert_allclose(np.abs(direct) ** 2, 0.8, atol=1e-5)


def test_scattered_power_is_that_of_seven_of_eight_sinusoids():
    power = [np.abs(channel.flat_fader(1, seed, False, SETTINGS)[0]) ** 2 for seed in range(4000)]
    assert np.mean(power) == pytest.approx(2 / 8 * 7, abs=0.08)


def test_the_fader_is_the_same_in_every_pass():
    signal = np.ones(500, np.complex64)
    quiet = replace(SETTINGS, sro_std_hz=0.0, cfo_std_hz=0.0)
    first, second = (
        channel.apply(signal, 200.0, np.random.default_rng(seed), quiet) for seed in (1, 2)
    )
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_selective_fader_equals_the_loop_over_taps():
    rng = np.random.default_rng(3)
    signal = (rng.normal(size=60) + 1j * rng.normal(size=60)).astype(np.complex64)
    expected = np.zeros(60, complex)
    for path, (delay, magnitude) in enumerate(
        zip(SETTINGS.delays, SETTINGS.magnitudes, strict=True)
    ):
        gain = channel.flat_fader(60, 0x1337 + path, path == 0, SETTINGS)
        for n in range(60):
            for k in range(min(SETTINGS.taps, n + 1)):
                angle = 2 * np.pi * (k - delay)
                tap = np.sin(angle) / angle if angle else 1.0
                expected[n] += gain[n] * magnitude * tap * signal[n - k]
    np.testing.assert_allclose(channel.selective_fader(signal, SETTINGS), expected, atol=1e-5)


@pytest.mark.parametrize("label", [-20, 0, 10])
def test_the_label_sets_the_noise_amplitude(label):
    rng = np.random.default_rng(4)
    noise = channel.white_noise(rng, 200_000, channel.noise_amplitude(label))
    power_db = 10 * np.log10(np.mean(np.abs(noise) ** 2))
    assert power_db == pytest.approx(-2 * label, abs=0.05)


def test_resampling_at_half_samples_follows_a_tone():
    n = np.arange(200)
    tone = np.exp(2j * np.pi * 0.09 * n).astype(np.complex64)
    got = channel.resample_at(tone, n + 0.5)
    expected = np.exp(2j * np.pi * 0.09 * (n + 0.5))
    np.testing.assert_allclose(got[8:-8], expected[8:-8], atol=5e-3)


def test_resampling_without_drift_changes_nothing():
    signal = np.random.default_rng(5).normal(size=100).astype(np.complex64)
    still = replace(SETTINGS, sro_std_hz=0.0)
    got = channel.sample_rate_offset(signal, np.random.default_rng(1), still)
    np.testing.assert_allclose(got, signal, atol=1e-6)


def test_carrier_offset_only_turns():
    signal = np.ones(1000, np.complex64)
    turned = channel.carrier_offset(signal, np.random.default_rng(6), SETTINGS)
    np.testing.assert_allclose(np.abs(turned), 1.0, atol=1e-6)
    # A walk of 0.01 Hz a sample reaches a hertz at most here: a fraction of a turn.
    assert np.max(np.abs(np.angle(turned[1:] / turned[:-1]))) < 2 * np.pi * 2 / 200e3


def test_random_walks_stay_within_their_limit():
    walk = channel.random_walk(np.random.default_rng(7), 10_000, 1.0, 5.0)
    assert np.max(np.abs(walk)) == 5.0
