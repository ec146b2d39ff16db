# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""A band with several signals whose truth is known, made with NumPy and SciPy alone.

    make_band.py OUT.cf32 [--seed N] [--seconds S]

writes the samples and, beside them, ``OUT.json`` with the truth.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.signal import oaconvolve, resample_poly

RATE = 2e6
#: Points of the linear modulations, of unit mean power.
POINTS = {
    "BPSK": np.array([-1, 1], complex),
    "QPSK": np.exp(1j * np.pi * (np.arange(4) / 2 + 0.25)),
    "8PSK": np.exp(1j * np.pi * np.arange(8) / 4),
    "16QAM": np.array([i + 1j * q for i in (-3, -1, 1, 3) for q in (-3, -1, 1, 3)]) / 10**0.5,
}
ROLL_OFF = 0.35
_SPAN = 12  # symbols on either side of a pulse's middle
_OVERSAMPLING = 8


@dataclass(frozen=True)
class BandSignal:
    """One signal: ``bursts`` are (start, stop) in seconds; ``snr_db`` in its own bandwidth.

    ``bandwidth_hz`` is symbol rate times (1 + roll-off) for linear modulations, Carson's for
    frequency modulations; ``symbol_rate_hz`` None for analog ones.
    """

    label: str
    centre_hz: float
    bandwidth_hz: float
    symbol_rate_hz: float | None
    snr_db: float
    bursts: tuple[tuple[float, float], ...]


def root_raised_cosine(t: np.ndarray, roll_off: float = ROLL_OFF) -> np.ndarray:
    """The pulse at times ``t`` (symbols)."""
    t = np.where(np.abs(t) < 1e-9, 1e-9, t)
    t = np.where(np.abs(np.abs(4 * roll_off * t) - 1) < 1e-6, t + 1e-5, t)
    top = np.sin(np.pi * t * (1 - roll_off)) + 4 * roll_off * t * np.cos(np.pi * t * (1 + roll_off))
    return top / (np.pi * t * (1 - (4 * roll_off * t) ** 2))


def linear(label: str, symbols: int, rng: np.random.Generator) -> np.ndarray:
    """Random symbols, :data:`_OVERSAMPLING` samples each."""
    sent = np.zeros(symbols * _OVERSAMPLING, complex)
    sent[::_OVERSAMPLING] = rng.choice(POINTS[label], symbols)
    t = np.arange(-_SPAN * _OVERSAMPLING, _SPAN * _OVERSAMPLING + 1) / _OVERSAMPLING
    return oaconvolve(sent, root_raised_cosine(t), "same")


def frequency_shift(
    symbols: int, index: float, bt: float | None, rng: np.random.Generator
) -> np.ndarray:
    """Binary frequency shift keying of modulation index ``index``, Gaussian if ``bt`` is given."""
    frequency = np.repeat(rng.choice([-1.0, 1.0], symbols), _OVERSAMPLING)
    if bt is not None:
        t = np.arange(-_OVERSAMPLING, _OVERSAMPLING + 1) / _OVERSAMPLING
        pulse = np.exp(-2 * (np.pi * bt * t) ** 2 / np.log(2))
        frequency = np.convolve(frequency, pulse / pulse.sum(), "same")
    return np.exp(1j * np.pi * index / _OVERSAMPLING * np.cumsum(frequency))


def voice(count: int, width: float, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Noise with the spectrum and rhythm of speech, ``width`` Hz wide at ``rate``, peak 1."""
    hertz = np.fft.rfftfreq(count, 1 / rate)
    shape = ((hertz > 0.05 * width) & (hertz < width)) / (1 + (hertz / (0.2 * width)) ** 2)
    random = rng.standard_normal(len(hertz)) + 1j * rng.standard_normal(len(hertz))
    audio = np.fft.irfft(shape * random, count)
    audio *= 1 + 0.6 * np.sin(2 * np.pi * 4 * np.arange(count) / rate)
    return audio / np.abs(audio).max()


def waveform(signal: BandSignal, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` samples of a signal at 0 Hz, of mean power 1."""
    rate = _OVERSAMPLING * (signal.symbol_rate_hz or signal.bandwidth_hz / 2)
    ratio = Fraction(RATE / rate).limit_denominator(1000)
    symbols = int(count / ratio / _OVERSAMPLING) + 2
    width = signal.bandwidth_hz
    if signal.label in POINTS:
        x = linear(signal.label, symbols, rng)
    elif signal.label == "GMSK":
        x = frequency_shift(symbols, 0.5, 0.35, rng)
    elif signal.label == "2FSK":
        x = frequency_shift(symbols, 1.0, None, rng)
    elif signal.label == "AM-DSB":
        x = 1 + 0.7 * voice(symbols * _OVERSAMPLING, width / 2, rate, rng)
    elif signal.label == "WBFM":
        audio = voice(symbols * _OVERSAMPLING, width / 12, rate, rng)
        x = np.exp(2j * np.pi * np.cumsum(audio) * (width * 5 / 12) / rate)
    else:
        raise ValueError(f"no waveform called {signal.label}")
    x = resample_poly(x.astype(np.complex64), ratio.numerator, ratio.denominator)[:count]
    return x / np.sqrt(np.mean(np.abs(x) ** 2))


def make_band(signals: list[BandSignal], seconds: float, seed: int) -> np.ndarray:
    """The band (n,) complex64 with white noise of power 1."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE)
    band = rng.standard_normal(2 * count, np.float32).view(np.complex64)
    band *= np.float32(0.5**0.5)
    for signal in signals:
        power = 10 ** (signal.snr_db / 10) * signal.bandwidth_hz / RATE
        for start, stop in signal.bursts:
            first, last = round(start * RATE), round(stop * RATE)
            x = waveform(signal, last - first, rng)
            turns = signal.centre_hz / RATE * np.arange(first, last) + rng.random()
            band[first:last] += (np.sqrt(power) * x * np.exp(2j * np.pi * turns)).astype(
                np.complex64
            )
    return band


def eight_signals(seconds: float = 20.0) -> list[BandSignal]:
    """Bursty and steady, six modulations, 5 to 25 dB, two of them 1.5 bandwidths apart."""
    whole = ((0.0, seconds),)
    wide = 50e3 * (1 + ROLL_OFF)

    def bursts(*times: float) -> tuple[tuple[float, float], ...]:
        times = tuple(t * seconds / 20 for t in times)
        return tuple(zip(times[::2], times[1::2], strict=True))

    return [
        BandSignal("QPSK", -800e3, wide, 50e3, 18.0, whole),
        BandSignal("BPSK", -800e3 + 1.5 * wide, wide, 50e3, 12.0, bursts(2, 6, 9, 15)),
        BandSignal("GMSK", -420e3, 60e3, 40e3, 20.0, bursts(1, 1.6, 4, 4.5, 8, 12, 17, 19)),
        BandSignal("16QAM", -150e3, 100e3 * (1 + ROLL_OFF), 100e3, 25.0, bursts(3, 18)),
        BandSignal("8PSK", 130e3, 30e3 * (1 + ROLL_OFF), 30e3, 22.0, bursts(5, 11, 13, 19.5)),
        BandSignal("BPSK", 300e3, 20e3 * (1 + ROLL_OFF), 20e3, 5.0, whole),
        BandSignal("QPSK", 520e3, 80e3 * (1 + ROLL_OFF), 80e3, 10.0, bursts(0.5, 2.5, 7, 16)),
        BandSignal("2FSK", 800e3, 60e3, 30e3, 15.0, bursts(6, 8, 10, 14)),
    ]


def main() -> None:
    """Write a band and its truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    signals = eight_signals(args.seconds)
    make_band(signals, args.seconds, args.seed).tofile(args.out)
    truth = {"sample_rate": RATE, "signals": [asdict(signal) for signal in signals]}
    args.out.with_suffix(".json").write_text(json.dumps(truth, indent=1) + "\n")


if __name__ == "__main__":
    main()
