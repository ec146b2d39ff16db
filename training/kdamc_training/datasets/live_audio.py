# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Audio for the analogue classes of the live set: speech, something like music, or silence."""

from __future__ import annotations

import numpy as np

from . import speech
from .resampling import resample

SPEECH, MUSIC, SILENCE = 1, 2, 3
"""Codes of the draw ``audio``; 0 stands for a signal without audio."""

_LEAST_PEAK = 0.02
"""An excerpt whose peak is below this share of full scale counts as a pause, and is not used."""

_LEAST_PART = 0.05
"""Nor is one of which some quarter has a peak below this share of the whole's."""


def music(rng: np.random.Generator, length: int) -> np.ndarray:
    """Two to five held notes with harmonics and a little hiss, ``(length)`` float64 at RATE."""
    time = np.arange(length) / speech.RATE
    out = 0.02 * rng.standard_normal(length)
    for _ in range(rng.integers(2, 6)):
        pitch = 110.0 * 2.0 ** (rng.integers(0, 36) / 12.0)
        vibrato = 0.3 * np.sin(2 * np.pi * rng.uniform(4, 7) * time + rng.uniform(0, 6))
        brightness = rng.uniform(0.8, 2.0)
        for harmonic in range(1, 9):
            phase = 2 * np.pi * harmonic * pitch * time + harmonic * vibrato + rng.uniform(0, 6)
            out += np.sin(phase) / harmonic**brightness
    return out


def excerpt(
    kind: int,
    split: str,
    rng: np.random.Generator,
    length: int,
    rate: float,
    bandwidth: float,
    emphasis: float = 0.0,
) -> np.ndarray:
    """``length`` samples of audio at ``rate`` Hz, float64, their peak 1 (silence: zeros).

    ``bandwidth`` is the audio's upper edge in hertz, ``emphasis`` the time constant in seconds of a
    pre-emphasis. Speech is taken from the stock of ``split``, never from a pause.
    """
    if kind == SILENCE:
        return np.zeros(length)
    step = speech.RATE / rate
    half = int(np.ceil(8 * speech.RATE / (2 * bandwidth))) + 2
    needed = int(np.ceil(length * step)) + 2 * half + 2
    while True:
        if kind == MUSIC:
            piece = music(rng, needed)
        else:
            track = speech.recording(split)
            start = int(rng.integers(0, len(track) - needed))
            piece = track[start : start + needed] / 32768.0
        if emphasis:
            piece = piece + emphasis * speech.RATE * np.diff(piece, prepend=piece[:1])
        positions = half + rng.random() + step * np.arange(length)
        audio = resample(piece, positions, min(1.0, 2 * bandwidth / speech.RATE))
        peaks = [np.max(np.abs(part)) for part in np.array_split(audio, 4)]
        peak = max(peaks)
        if peak > _LEAST_PEAK and min(peaks) > _LEAST_PART * peak:
            return audio / peak
