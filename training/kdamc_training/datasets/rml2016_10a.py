# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""RML2016.10A made again: 11 classes at 20 SNR labels, frames of 128 samples.

Source: radioML/dataset at 4ecf612 (generate_RML2016.10a.py).
"""

from __future__ import annotations

import numpy as np

from .channel_2016 import ChannelSettings
from .registry import register
from .rml2016 import LIMITS, Rml2016


@register("rml2016.10a")
class Rml2016_10a(Rml2016):
    """The generator; about 38 frames come from one pass."""

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
    limits = LIMITS
    channel = ChannelSettings()

    def starts(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """A start drawn from 50 to 500, then steps from a frame to a twentieth of the pass."""
        # The steps' mean is about 0.026 of the length, so 64 draws always pass the end.
        steps = rng.integers(self.frame_length, round(0.05 * length), 64, endpoint=True)
        starts = rng.integers(50, 500, endpoint=True) + np.concatenate([[0], np.cumsum(steps)])
        return starts[starts + self.frame_length < length]
