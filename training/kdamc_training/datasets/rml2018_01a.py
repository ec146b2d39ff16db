# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set like RadioML 2018.01A: 24 classes at 26 SNR labels, frames of 1,024 samples.

The original's generator was never published. What is known of it comes from the paper (O'Shea, Roy
and Clancy 2018), from one genuine frame of 16QAM and from a network that was trained on the genuine
set; ``docs/datasets.md`` says which choice rests on which. Frames keep the set's own scale: a pass
has variance 1 (noise included, a carrier's share left out), the single frame has not.
"""

from __future__ import annotations

import numpy as np

from . import modulators_2018, speech
from .channel_2016 import noise_amplitude, white_noise
from .registry import Cell, Generator, register

CARRIER_OFFSET_STD = 1e-4
"""Standard deviation of the carrier offset, radians a sample."""


@register("rml2018.01a")
class Rml2018_01a(Generator):
    """The generator; every frame is a pass of its own unless runs are asked for."""

    version = "1"
    date = "2026-11-22"
    classes = (
        "OOK",
        "4ASK",
        "8ASK",
        "BPSK",
        "QPSK",
        "8PSK",
        "16PSK",
        "32PSK",
        "16APSK",
        "32APSK",
        "64APSK",
        "128APSK",
        "16QAM",
        "32QAM",
        "64QAM",
        "128QAM",
        "256QAM",
        "AM-SSB-WC",
        "AM-SSB-SC",
        "AM-DSB-WC",
        "AM-DSB-SC",
        "FM",
        "GMSK",
        "OQPSK",
    )
    snr_labels = tuple(range(-20, 32, 2))
    frame_length = 1024
    sample_rate = 1e6
    samples_per_symbol = (modulators_2018.SAMPLES_PER_SYMBOL, modulators_2018.OQPSK_SAMPLES)
    splits = speech.SPLITS
    limits = (
        "Not the genuine set: its generator was never published, and this one was fitted to what "
        "a network trained on the genuine set recognises.",
        "Only 8 samples a symbol (OQPSK 13), one pulse shape, carriers within 1e-4 rad a sample.",
        "The analogue classes carry a tone or narrow noise and no audio; AM-SSB-SC has a carrier.",
        "OQPSK is staggered by one sample in 13 instead of by half a symbol.",
        "White noise only: no fading, no other signal in the band, no clipping, no impulses.",
        "The SNR in decibels is twice the SNR label.",
    )

    def cell(
        self, class_index: int, snr_label: int, frames: int, seed: int, split: str, run_length: int
    ) -> Cell:
        """See ``Generator.cell``."""
        source = (seed, self.splits.index(split), class_index, self.snr_labels.index(snr_label))
        run = run_length or 1
        passes = -(-frames // run)
        cut = np.concatenate(
            [
                self._pass(
                    self.classes[class_index],
                    snr_label,
                    np.random.default_rng([*source, number]),
                    run,
                )
                for number in range(passes)
            ]
        )
        return Cell(cut[:frames], np.repeat(np.arange(passes, dtype=np.uint32), run)[:frames])

    def _pass(
        self, class_name: str, snr_label: int, rng: np.random.Generator, frames: int
    ) -> np.ndarray:
        """Consecutive frames of one pass, ``(frames, 2, 1024)`` float32."""
        length = frames * self.frame_length
        amplitude = noise_amplitude(snr_label)
        turn = rng.normal(0.0, CARRIER_OFFSET_STD) * np.arange(length) + rng.uniform(0, 2 * np.pi)
        received = modulators_2018.signal(class_name, rng, length) * np.exp(1j * turn)
        received = received + white_noise(rng, length, amplitude)
        received = received / np.hypot(1.0, amplitude)
        pairs = np.stack([received.real, received.imag]).astype(np.float32)
        return pairs.reshape(2, frames, self.frame_length).transpose(1, 0, 2)
