# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modulators for the set like RadioML 2018.01A, in NumPy, without channel or noise.

Pulse: the spectrum of three root-raised-cosine filters in a row, read off the one genuine frame at
hand (16QAM): flat to 0.3 of the symbol rate, 0.354 of that at half of it. Everything else was found
by asking a network trained on the genuine set what it recognises; see ``docs/datasets.md``.
"""

from __future__ import annotations

import numpy as np

from . import constellations

SAMPLES_PER_SYMBOL = 8.0
ROLL_OFF = (0.35, 0.45)
CASCADE = 3
"""Root-raised-cosine filters in a row; their product is the pulse."""

OQPSK_SAMPLES = 13.0
OQPSK_CASCADE = 1
OQPSK_STAGGER = 1
"""Samples by which the quadrature part is late."""

GMSK_BT = 0.3
TONE = (0.0305, 0.0320)
"""Frequency of the tone that most analogue classes carry, cycles a sample."""
SSB_CARRIER = 2.0
"""Carrier over the RMS of the single sideband, in AM-SSB-SC too."""
SSB_BAND = 0.003
"""Band of the noise that AM-SSB-SC carries, from 0, cycles a sample."""
DSB_LEVELS = {"AM-DSB-WC": (1.0, 1.0), "AM-DSB-SC": (1.0, 4.0)}
"""RMS of the double sideband, drawn from this range."""
FM_INDEX = 2.0
FM_TONE = (0.0005, 0.002)

_MARGIN = 32
"""Symbols made beyond either end, so that the FFT's wrap-around stays outside."""


def _spectrum(size: int, samples_per_symbol: float, roll_off: float, cascade: int) -> np.ndarray:
    """Amplitude of the pulse at the frequencies of an FFT of ``size``, float64, unit power."""
    frequency = np.abs(np.fft.fftfreq(size)) * samples_per_symbol
    ramp = np.clip((frequency - (1.0 - roll_off) / 2.0) / roll_off, 0.0, 1.0)
    # A root-raised cosine is cos(pi/2 x) over its ramp.
    amplitude = np.cos(0.5 * np.pi * ramp) ** cascade
    # Symbols one in so many samples have that fraction of their power.
    return amplitude * np.sqrt(samples_per_symbol / np.mean(amplitude**2))


def shape(
    symbols: np.ndarray,
    samples_per_symbol: int,
    roll_off: float,
    cascade: int,
    delay: float,
) -> np.ndarray:
    """Pulses at ``symbols`` (complex), complex128 of ``len(symbols) * samples_per_symbol``.

    ``delay`` is in samples. White symbols of variance 1 give a signal of variance 1; a mean passes
    with the gain that the pulse has at 0 Hz. The signal is periodic.
    """
    size = len(symbols) * samples_per_symbol
    impulses = np.zeros(size, np.complex128)
    impulses[::samples_per_symbol] = symbols
    late = np.exp(-2j * np.pi * np.fft.fftfreq(size) * delay)
    gain = _spectrum(size, samples_per_symbol, roll_off, cascade)
    return np.fft.ifft(np.fft.fft(impulses) * gain * late)


def linear(
    points: np.ndarray,
    rng: np.random.Generator,
    length: int,
    samples_per_symbol: int = int(SAMPLES_PER_SYMBOL),
    cascade: int = CASCADE,
) -> np.ndarray:
    """``length`` samples of random ``points``, complex128; roll-off and timing drawn."""
    count = -(-length // samples_per_symbol) + 2 * _MARGIN
    symbols = points[rng.integers(0, len(points), count)]
    roll_off, delay = rng.uniform(*ROLL_OFF), rng.uniform(0.0, samples_per_symbol)
    shaped = shape(symbols, samples_per_symbol, roll_off, cascade, delay)
    return shaped[_MARGIN * samples_per_symbol :][:length]


def oqpsk(rng: np.random.Generator, length: int) -> np.ndarray:
    """QPSK whose quadrature part is a sample late, complex128, ``length`` samples."""
    signal = linear(
        constellations.points("QPSK"),
        rng,
        length + OQPSK_STAGGER,
        int(OQPSK_SAMPLES),
        OQPSK_CASCADE,
    )
    return signal.real[OQPSK_STAGGER:] + 1j * signal.imag[:-OQPSK_STAGGER]


def gmsk(rng: np.random.Generator, length: int) -> np.ndarray:
    """GMSK with BT 0.3, complex128, ``length`` samples, timing drawn."""
    from scipy.ndimage import gaussian_filter1d

    oversampling = 8
    step = int(SAMPLES_PER_SYMBOL) * oversampling
    count = -(-length // int(SAMPLES_PER_SYMBOL)) + 2 * _MARGIN
    bits = rng.integers(0, 2, count) * 2.0 - 1.0
    sigma = np.sqrt(np.log(2.0)) / (2.0 * np.pi * GMSK_BT) * step
    frequency = gaussian_filter1d(np.repeat(bits, step), sigma)
    phase = np.cumsum(frequency) * (0.5 * np.pi / step)
    start = _MARGIN * step + int(rng.integers(0, step))
    return np.exp(1j * phase[start::oversampling][:length])


def one_sided_noise(rng: np.random.Generator, length: int) -> np.ndarray:
    """Gaussian noise from 0 to ``SSB_BAND``, complex128, ``length`` samples, variance 1."""
    # Long enough for some ten bins in the band, so that frames differ in level as audio does.
    size = max(2 * length, 4096)
    frequency = np.fft.fftfreq(size)
    inside = (frequency > 0) & (frequency <= SSB_BAND)
    bins = np.zeros(size, np.complex128)
    count = int(inside.sum())
    bins[inside] = rng.normal(size=count) + 1j * rng.normal(size=count)
    return np.fft.ifft(bins)[:length] * (size / np.sqrt(2.0 * count))


def analogue(class_name: str, rng: np.random.Generator, length: int) -> np.ndarray:
    """An analogue class, complex128, ``length`` samples. Raises KeyError for another name."""
    tone = 2.0 * np.pi * (rng.uniform(*TONE) * np.arange(length) + rng.random())
    if class_name == "AM-SSB-WC":
        return SSB_CARRIER + np.exp(1j * tone)
    if class_name == "AM-SSB-SC":
        return SSB_CARRIER + one_sided_noise(rng, length)
    if class_name in DSB_LEVELS:
        return rng.uniform(*DSB_LEVELS[class_name]) * np.sqrt(2.0) * np.cos(tone) + 0j
    if class_name == "FM":
        slow = 2.0 * np.pi * (rng.uniform(*FM_TONE) * np.arange(length) + rng.random())
        return np.exp(1j * (tone + FM_INDEX * np.sin(slow)))
    raise KeyError(class_name)


def signal(class_name: str, rng: np.random.Generator, length: int) -> np.ndarray:
    """``length`` samples of a class, complex128, variance about 1. KeyError for another name."""
    if class_name == "GMSK":
        return gmsk(rng, length)
    if class_name == "OQPSK":
        return oqpsk(rng, length)
    if class_name in constellations.names():
        return linear(constellations.points(class_name), rng, length)
    return analogue(class_name, rng, length)
