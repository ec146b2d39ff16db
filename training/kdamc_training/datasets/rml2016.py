# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the RML2016 sets have in common: modulators, channel, scale, the loop over passes.

Frames have the scale of the genuine sets: the sum of |x| over the 128 samples is 1.
Source: radioML/dataset at 4ecf612; ``docs/datasets.md`` says what was kept, what was replaced (the
podcast) and how the result compares with the genuine sets.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from . import channel_2016, modulators_2016, speech
from .registry import Cell, Generator

AM_SSB_LIMIT = (
    "AM-SSB is noise alone, as in the genuine set: the label means that nothing was heard."
)
LIMITS = (
    "Only 8 samples a symbol, roll-off 0.35, and carriers within a few hertz at 200 kS/s.",
    "One fading channel, the same in every pass.",
    "No other signal in the band, no clipping, no impulses, no bursts.",
    "One pulse shape for all linear modulations, and no matched filter before the network.",
    AM_SSB_LIMIT,
    "In a pause of speech AM-DSB and WBFM are the same bare carrier.",
    "An SNR label is about half of the true SNR in decibels for a signal of unit power, and "
    "PAM4, QAM16 and QAM64 are 7, 10 and 16 dB stronger than the others at one label.",
)

_PASS_BITS = {"QAM16": 20000, "QAM64": 30000}
_DEFAULT_PASS_BITS = 10000
_PASS_AUDIO = 10000
_ANALOGUE = {
    "AM-DSB": modulators_2016.am_dsb,
    "AM-SSB": modulators_2016.am_ssb,
    "WBFM": modulators_2016.wbfm,
}
_FSK = {"CPFSK": modulators_2016.cpfsk, "GFSK": modulators_2016.gfsk}


class Rml2016(Generator):
    """A set of 2016; subclasses name the classes, the channel and how passes are cut."""

    snr_labels = tuple(range(-20, 20, 2))
    frame_length = 128
    sample_rate = 200e3
    samples_per_symbol = (8.0, 8.0)
    splits = speech.SPLITS
    channel: channel_2016.ChannelSettings

    def signal(self, class_name: str, rng: np.random.Generator, split: str) -> np.ndarray:
        """One pass of a modulator before the channel, complex64, some 27,000 to 80,000 samples."""
        if class_name in _ANALOGUE:
            return _ANALOGUE[class_name](speech.excerpt(split, rng, _PASS_AUDIO))
        count = _PASS_BITS.get(class_name, _DEFAULT_PASS_BITS)
        # The original whitens text with random bits, which leaves random bits.
        bits = rng.integers(0, 2, count, dtype=np.uint8)
        if class_name in _FSK:
            return _FSK[class_name](bits)
        return modulators_2016.linear(class_name, bits)

    @abstractmethod
    def starts(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """First samples of the frames that the original cuts from a pass, rising, int64."""

    def cell(
        self, class_index: int, snr_label: int, frames: int, seed: int, split: str, run_length: int
    ) -> Cell:
        """See ``Generator.cell``."""
        source = (seed, self.splits.index(split), class_index, self.snr_labels.index(snr_label))
        amplitude = channel_2016.noise_amplitude(snr_label)
        pieces: list[np.ndarray] = []
        passes: list[np.ndarray] = []
        draws: list[dict[str, np.ndarray]] = []
        have = 0
        while have < frames:
            number = len(pieces)
            rng = np.random.default_rng([*source, number])
            signal = channel_2016.before_noise(
                self.signal(self.classes[class_index], rng, split), rng, self.channel
            )
            received = signal + channel_2016.white_noise(rng, len(signal), amplitude)
            if run_length:
                starts = self._run_starts(len(received), rng, run_length)
            else:
                starts = self.starts(len(received), rng)
            starts = starts[: frames - have]
            pieces.append(_cut(received, starts, self.frame_length))
            passes.append(np.full(len(starts), number, np.uint32))
            draws.append(self.draws(_at(signal, starts, self.frame_length), amplitude))
            have += len(starts)
        return Cell(
            np.concatenate(pieces),
            np.concatenate(passes),
            {name: np.concatenate([one[name] for one in draws]) for name in draws[0]},
        )

    def draws(self, frames: np.ndarray, noise_amplitude: float) -> dict[str, np.ndarray]:
        """What ``draw_types`` announces, of ``frames (n, L)`` complex64 before their noise."""
        return {}

    def _run_starts(self, length: int, rng: np.random.Generator, run_length: int) -> np.ndarray:
        """Starts of ``run_length`` frames without a gap, past the channel's transient, int64."""
        last = length - run_length * self.frame_length
        return rng.integers(50, last) + self.frame_length * np.arange(run_length)


def _at(signal: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    return signal[starts[:, None] + np.arange(length)]


def _cut(received: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Frames of ``length`` at ``starts``, ``(n, 2, length)`` float32, sum of |x| 1 in each."""
    frames = _at(received, starts, length)
    frames = frames / np.abs(frames).sum(axis=1, keepdims=True)
    return np.stack([frames.real, frames.imag], axis=1).astype(np.float32)
