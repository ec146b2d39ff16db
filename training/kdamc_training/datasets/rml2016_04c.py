# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""RML2016.04C made again: 10A's classes, wider clock offsets, overlapping frames.

Source: radioML/dataset (generate_RML2016.04c.py and timeseries_slicer.py). The original makes one
pass a cell and cuts all passes to the length of the shortest, which would leave 412 frames a cell;
the genuine file has 162,060, or 737 a cell, which fits passes of uneven length of up to 1,000
frames. So here passes keep their length, and a cell that needs more frames takes more passes.
"""

from __future__ import annotations

import numpy as np

from .channel_2016 import ChannelSettings
from .registry import register
from .rml2016 import LIMITS, Rml2016
from .rml2016_10a import Rml2016_10a

TRIM = 100
STRIDE = 64
MOST_FRAMES_OF_A_PASS = 1000


@register("rml2016.04c")
class Rml2016_04c(Rml2016):
    """The generator; 411 to 1,000 frames come from one pass."""

    version = "1"
    date = "2026-11-22"
    classes = Rml2016_10a.classes
    limits = (*LIMITS, "Consecutive frames of a pass share half of their samples.")
    channel = ChannelSettings(sro_max_hz=100.0, cfo_max_hz=1e3)

    def starts(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Every 64 samples, 100 samples off either end, at most 1,000."""
        starts = np.arange(TRIM, length - TRIM - self.frame_length + 1, STRIDE)
        return starts[:MOST_FRAMES_OF_A_PASS]
