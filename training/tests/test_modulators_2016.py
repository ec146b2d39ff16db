# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Levels, envelopes and repeatability of the modulators."""

import itertools

import numpy as np
import pytest
from kdamc_training.datasets import modulators_2016 as modulators

RNG = np.random.default_rng(1)
BITS = RNG.integers(0, 2, 12000, dtype=np.uint8)
AUDIO = (0.05 * RNG.normal(size=4000)).astype(np.float32)


def power_db(signal: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.abs(signal[500:-500]) ** 2))


@pytest.mark.parametrize(
    ("name", "level"),
    [("BPSK", 0), ("QPSK", 0), ("8PSK", 0), ("PAM4", 6.99), ("QAM16", 10), ("QAM64", 16.23)],
)
def test_levels_are_not_normalised(name, level):
    assert power_db(modulators.linear(name, BITS)) == pytest.approx(level, abs=0.3)


def test_points_follow_the_bits():
    assert list(modulators.constellation("BPSK")) == [1, -1]
    assert list(modulators.constellation("PAM4")) == [*[-3, -1, 1, 3][:2], 1, 3]
    assert modulators.constellation("QAM16")[0] == -3 + 3j
    assert modulators.constellation("QAM64")[-1] == 7 - 7j
    eight = modulators.constellation("8PSK")
    neighbours = np.exp(2j * np.pi * np.arange(9) / 8)
    values = [int(np.argmin(np.abs(eight - point))) for point in neighbours]
    changes = [bin(a ^ b).count("1") for a, b in itertools.pairwise(values)]
    assert sum(change == 1 for change in changes) >= 6


@pytest.mark.parametrize("modulate", [modulators.gfsk, modulators.cpfsk])
def test_fsk_has_a_constant_envelope_and_eight_samples_a_bit(modulate):
    signal = modulate(BITS)
    np.testing.assert_allclose(np.abs(signal[100:]), 1.0, atol=2e-3)
    assert len(signal) == 8 * (len(BITS) - 4)


def test_a_silent_pause_is_the_same_carrier_in_fm_and_am():
    silence = np.zeros(4000, np.float32)
    for modulate in (modulators.wbfm, modulators.am_dsb):
        np.testing.assert_allclose(modulate(silence)[100:], 1.0, atol=1e-5)


def test_am_ssb_is_silent():
    assert not modulators.am_ssb(AUDIO).any()


@pytest.mark.parametrize("modulate", [modulators.wbfm, modulators.am_dsb])
def test_the_same_audio_gives_the_same_samples(modulate):
    first, second = modulate(AUDIO), modulate(AUDIO)
    np.testing.assert_array_equal(first, second)
