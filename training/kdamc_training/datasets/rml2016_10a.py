# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""RML2016.10A made again: 11 classes at 20 SNR labels, frames of 128 samples.

Frames have the scale of the genuine set: the sum of |x| over the 128 samples is 1.
Source: radioML/dataset at 4ecf612 (generate_RML2016.10a.py); ``docs/datasets.md`` says what was
kept, what was replaced (the podcast) and how the result compares with the genuine set.
"""

from __future__ import annotations

import numpy as np

from . import channel_2016, modulators_2016, speech
from .registry import Cell, Generator, register

_PASS_BITS = {"QAM16": 20000, "QAM64": 30000}
_DEFAULT_PASS_BITS = 10000
_PASS_AUDIO = 10000
_ANALOGUE = {
    "AM-DSB": modulators_2016.am_dsb,
    "AM-SSB": modulators_2016.am_ssb,
    "WBFM": modulators_2016.wbfm,
}
_FSK = {"CPFSK": modulators_2016.cpfsk, "GFSK": modulators_2016.gfsk}


@register("rml2016.10a")
class Rml2016_10a(Generator):
    """The generator; see the module's docstring."""

    version = "1"
    date = "2026-11-22"
    classes = (
        "8PSK",
        "AM-DSB",
        "AM-SSB",
        "BPSK",
        "CPFSK",
        "GFSK",
        "PAM4",
        "QAM16",
        "QAM64",
        "QPSK",
        "WBFM",
    )
    snr_labels = tuple(range(-20, 20, 2))
    frame_length = 128
    sample_rate = 200e3
    samples_per_symbol = (8.0, 8.0)
    splits = speech.SPLITS
    limits = (
        "Only 8 samples a symbol, roll-off 0.35, and carriers within a few hertz at 200 kS/s.",
        "One fading channel, the same in every pass.",
        "No other signal in the band, no clipping, no impulses, no bursts.",
        "One pulse shape for all linear modulations, and no matched filter before the network.",
        "AM-SSB is noise alone, as in the genuine set: the label means that nothing was heard.",
        "In a pause of speech AM-DSB and WBFM are the same bare carrier.",
        "An SNR label is about half of the true SNR in decibels for a signal of unit power, and "
        "PAM4, QAM16 and QAM64 are 7, 10 and 16 dB stronger than the others at one label.",
    )

    def __init__(self) -> None:
        self._channel = channel_2016.ChannelSettings(sample_rate=self.sample_rate)

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

    def cell(
        self, class_index: int, snr_label: int, frames: int, seed: int, split: str, run_length: int
    ) -> Cell:
        """See ``Generator.cell``. About 38 frames come from one pass when ``run_length`` is 0."""
        source = (seed, self.splits.index(split), class_index, self.snr_labels.index(snr_label))
        pieces: list[np.ndarray] = []
        passes: list[np.ndarray] = []
        have = 0
        while have < frames:
            number = len(pieces)
            rng = np.random.default_rng([*source, number])
            received = channel_2016.apply(
                self.signal(self.classes[class_index], rng, split), snr_label, rng, self._channel
            )
            starts = self._starts(len(received), rng, run_length)[: frames - have]
            pieces.append(_cut(received, starts, self.frame_length))
            passes.append(np.full(len(starts), number, np.uint32))
            have += len(starts)
        return Cell(np.concatenate(pieces), np.concatenate(passes))

    def _starts(self, length: int, rng: np.random.Generator, run_length: int) -> np.ndarray:
        """First samples of the frames cut from a pass of ``length`` samples, int64."""
        if run_length:
            last = length - run_length * self.frame_length
            return rng.integers(50, last) + self.frame_length * np.arange(run_length)
        # The steps' mean is about 0.026 of the length, so 64 draws always pass the end.
        steps = rng.integers(self.frame_length, round(0.05 * length), 64, endpoint=True)
        starts = rng.integers(50, 500, endpoint=True) + np.concatenate([[0], np.cumsum(steps)])
        return starts[starts + self.frame_length < length]


def _cut(received: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Frames of ``length`` at ``starts``, ``(n, 2, length)`` float32, sum of |x| 1 in each."""
    frames = received[starts[:, None] + np.arange(length)]
    frames = frames / np.abs(frames).sum(axis=1, keepdims=True)
    return np.stack([frames.real, frames.imag], axis=1).astype(np.float32)
