# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Audio for the analogue classes of the live set: speech, something like music, or silence."""

from __future__ import annotations

import itertools

import numpy as np

from . import speech
from .resampling import resample

SPEECH, MUSIC, SILENCE = 1, 2, 3
"""Codes of the draw ``audio``; 0 stands for a signal without audio."""

_LEAST_PEAK = 0.02
"""An excerpt whose peak is below this share of full scale counts as a pause, and is not used."""

_PARTS = 16
_LEAST_PART = 0.05
"""Nor is one of which some sixteenth has a peak below this share of the whole's: the shortest burst
holds a whole sixteenth, and must not fall into a pause."""

_TRIES = 40
"""Places of the speech that are tried before music takes its part."""


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


def _pauses(audio: np.ndarray) -> bool:
    """Whether ``audio`` is faint, or one part of it is."""
    starts = np.arange(_PARTS) * len(audio) // _PARTS
    peaks = np.maximum.reduceat(np.abs(audio), starts)
    return peaks.max() < _LEAST_PEAK or peaks.min() < _LEAST_PART * peaks.max()


def excerpt(
    kind: int,
    split: str,
    rng: np.random.Generator,
    length: int,
    rate: float,
    bandwidth: float,
    emphasis: float = 0.0,
) -> tuple[np.ndarray, int]:
    """``length`` samples of audio at ``rate`` Hz, float64, their peak 1 (silence: zeros); its kind.

    ``bandwidth`` is the audio's upper edge in hertz, ``emphasis`` the time constant in seconds of a
    pre-emphasis. Speech is taken from the stock of ``split``, never from a pause; where it has no
    stretch without one of that length, it is music that is returned.
    """
    if kind == SILENCE:
        return np.zeros(length), kind
    step = speech.RATE / rate
    half = int(np.ceil(8 * speech.RATE / (2 * bandwidth))) + 2
    needed = int(np.ceil(length * step)) + 2 * half + 2
    for attempt in itertools.count():
        if kind == MUSIC or attempt >= _TRIES:
            kind = MUSIC
            piece = music(rng, needed)
        else:
            track = speech.recording(split)
            start = int(rng.integers(0, len(track) - needed))
            piece = track[start : start + needed] / 32768.0
        # Before the resampling, which takes longer, and after it, as that takes high tones away.
        if _pauses(piece[half:-half]):
            continue
        if emphasis:
            piece = piece + emphasis * speech.RATE * np.diff(piece, prepend=piece[:1])
        positions = half + rng.random() + step * np.arange(length)
        audio = resample(piece, positions, min(1.0, 2 * bandwidth / speech.RATE))
        if not _pauses(audio):
            return audio / np.max(np.abs(audio)), kind
