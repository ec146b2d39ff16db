# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel of RML2016.10A: GNU Radio 3.7's dynamic channel model as it stood in 2016, in NumPy.

GNU Radio 3.10's ``channels.dynamic_channel_model`` is a different channel (its fader was rewritten
in 2018), so a set made with it is not the 2016 set. The order is sample-rate offset, carrier
offset, Rician fader with three paths, noise. Source: the behaviour of gr-channels 3.7.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

FADER_SEED = 0x1337
"""Seed of the first path's fader; path i uses this plus i, in every pass alike."""

_INTERPOLATOR_TAPS = 8
_INTERPOLATOR_STEPS = 128


@dataclass(frozen=True)
class ChannelSettings:
    """Parameters of the channel; the defaults are those of RML2016.10A.

    Frequencies are in hertz at ``sample_rate`` samples per second, delays in samples.
    """

    sample_rate: float = 200e3
    sro_std_hz: float = 0.01
    sro_max_hz: float = 50.0
    cfo_std_hz: float = 0.01
    cfo_max_hz: float = 500.0
    doppler_hz: float = 1.0
    sinusoids: int = 8
    rice_k: float = 4.0
    delays: tuple[float, ...] = (0.0, 0.9, 1.7)
    magnitudes: tuple[float, ...] = (1.0, 0.8, 0.3)
    taps: int = 8
    fader_seed: int = FADER_SEED


def random_walk(
    rng: np.random.Generator, length: int, step_std: float, maximum: float
) -> np.ndarray:
    """A Gaussian random walk, ``(length)`` float64, held within ``±maximum``.

    The original clips step by step; clipping the finished walk differs only once the limit was
    reached, which at the set's step of 0.01 and 80,000 samples lies 17 standard deviations out.
    """
    walk = np.cumsum(rng.normal(0.0, step_std, length))
    return np.clip(walk, -maximum, maximum)


@lru_cache(maxsize=1)
def _interpolator() -> np.ndarray:
    """Windowed-sinc fractional delays, ``(steps + 1, taps)`` float32, unit gain at DC."""
    fraction = np.arange(_INTERPOLATOR_STEPS + 1)[:, None] / _INTERPOLATOR_STEPS
    offset = np.arange(_INTERPOLATOR_TAPS)[None, :] - (_INTERPOLATOR_TAPS // 2 - 1) - fraction
    half = _INTERPOLATOR_TAPS / 2
    window = np.i0(6.0 * np.sqrt(np.clip(1.0 - (offset / half) ** 2, 0.0, None))) / np.i0(6.0)
    taps = np.sinc(offset) * window
    return (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)


def resample_at(signal: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """``signal`` (complex64) at fractional sample ``positions``, complex64 of their length.

    Samples outside the signal count as zero.
    """
    whole = np.floor(positions).astype(np.int64)
    step = np.rint((positions - whole) * _INTERPOLATOR_STEPS).astype(np.int64)
    taps = _interpolator()[step]
    before = _INTERPOLATOR_TAPS // 2 - 1
    index = whole[:, None] + np.arange(-before, _INTERPOLATOR_TAPS - before)[None, :]
    inside = (index >= 0) & (index < len(signal))
    if not inside.all():
        taps = np.where(inside, taps, np.float32(0))
        index = np.clip(index, 0, len(signal) - 1)
    return np.einsum("nk,nk->n", signal[index], taps).astype(np.complex64)


def sample_rate_offset(
    signal: np.ndarray, rng: np.random.Generator, settings: ChannelSettings
) -> np.ndarray:
    """Resample ``signal`` (complex64) by a rate that walks at random; same length out."""
    drift_hz = random_walk(rng, len(signal), settings.sro_std_hz, settings.sro_max_hz)
    positions = np.arange(len(signal)) + np.cumsum(drift_hz) / settings.sample_rate
    return resample_at(signal, positions)


def carrier_offset(
    signal: np.ndarray, rng: np.random.Generator, settings: ChannelSettings
) -> np.ndarray:
    """Turn ``signal`` (complex64) by a carrier offset that walks at random from 0 Hz."""
    offset_hz = random_walk(rng, len(signal), settings.cfo_std_hz, settings.cfo_max_hz)
    phase = np.cumsum(offset_hz) * (2.0 * np.pi / settings.sample_rate)
    return signal * np.exp(1j * phase).astype(np.complex64)


def mt19937_phases(seed: int, count: int) -> np.ndarray:
    """``(count)`` float64 in [-pi, pi): one 32-bit draw of MT19937 each, as in 2016."""
    draws = np.random.RandomState(seed).randint(0, 2**32, count, dtype=np.uint32)
    return draws.astype(np.float64) / 2.0**32 * 2.0 * np.pi - np.pi


def flat_fader(
    length: int, seed: int, line_of_sight: bool, settings: ChannelSettings
) -> np.ndarray:
    """Gain of one path over time, ``(length)`` complex64: a sum of sinusoids after 3.7.

    Both quadratures are cosines, the phases of sinusoid n are those drawn n+1st, and the sum ends
    at N-1: that is what ran in 2016. The random walk of theta (1e-9 rad a sample) is left out.
    """
    count = settings.sinusoids
    draws = mt19937_phases(seed, 2 + 2 * (count + 1))
    theta, theta_los = draws[0], draws[1]
    psi, phi = draws[2::2], draws[3::2]
    turn = 2.0 * np.pi * settings.doppler_hz / settings.sample_rate * np.arange(length)
    gain = np.zeros(length, np.complex128)
    for n in range(1, count):
        alpha = (2.0 * np.pi * n - np.pi + theta) / (4.0 * count)
        gain += np.cos(turn * np.cos(alpha) + psi[n + 1])
        gain += 1j * np.cos(turn * np.sin(alpha) + phi[n + 1])
    gain *= np.sqrt(2.0 / count)
    if line_of_sight:
        k = settings.rice_k
        direct = np.exp(1j * (turn * np.cos(theta_los) + psi[0]))
        gain = gain / np.sqrt(k + 1.0) + direct * np.sqrt(k / (k + 1.0))
    return gain.astype(np.complex64)


def path_taps(delay: float, settings: ChannelSettings) -> np.ndarray:
    """Interpolation taps of one path, ``(taps)`` float32: sin(2 pi d) / (2 pi d), as in 3.7."""
    return np.sinc(2.0 * (np.arange(settings.taps) - delay)).astype(np.float32)


@lru_cache(maxsize=4)
def _gains(length: int, settings: ChannelSettings) -> np.ndarray:
    """Gains of all paths, ``(paths, length)`` complex64; the same in every pass, so kept."""
    return np.stack(
        [
            flat_fader(length, settings.fader_seed + path, path == 0, settings)
            for path in range(len(settings.delays))
        ]
    )


def selective_fader(signal: np.ndarray, settings: ChannelSettings) -> np.ndarray:
    """Pass ``signal`` (complex64) through the fixed three-path fader; same length out."""
    # Rounding up lets passes of unlike length share one cached set of gains.
    gains = _gains(-(-len(signal) // 16384) * 16384, settings)
    out = np.zeros(len(signal), np.complex64)
    for path, (delay, magnitude) in enumerate(
        zip(settings.delays, settings.magnitudes, strict=True)
    ):
        delayed = np.convolve(signal, magnitude * path_taps(delay, settings))[: len(signal)]
        out += gains[path, : len(signal)] * delayed.astype(np.complex64)
    return out


def noise_amplitude(snr_label_db: float) -> float:
    """Noise amplitude of an SNR label: ``10**(-label/10)``, an amplitude and not a power.

    The ratio of a unit-power signal to the noise is therefore twice the label in decibels.
    """
    return 10.0 ** (-snr_label_db / 10.0)


def white_noise(rng: np.random.Generator, length: int, amplitude: float) -> np.ndarray:
    """Complex white Gaussian noise of power ``amplitude**2``, ``(length)`` complex64."""
    pairs = rng.standard_normal((length, 2), dtype=np.float32)
    return pairs.view(np.complex64)[:, 0] * np.float32(amplitude / np.sqrt(2.0))


def before_noise(
    signal: np.ndarray, rng: np.random.Generator, settings: ChannelSettings
) -> np.ndarray:
    """The channel but for its noise: ``signal`` complex64 in, complex64 of the same length out."""
    signal = np.ascontiguousarray(signal, np.complex64)
    signal = sample_rate_offset(signal, rng, settings)
    signal = carrier_offset(signal, rng, settings)
    return selective_fader(signal, settings)


def apply(
    signal: np.ndarray,
    snr_label_db: float,
    rng: np.random.Generator,
    settings: ChannelSettings | None = None,
) -> np.ndarray:
    """The whole channel: ``signal`` complex64 in, complex64 of the same length out."""
    signal = before_noise(signal, rng, settings or ChannelSettings())
    return signal + white_noise(rng, len(signal), noise_amplitude(snr_label_db))
