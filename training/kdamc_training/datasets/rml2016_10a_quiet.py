# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""RML2016.10A with next to no noise, for training that gives each frame new noise at each step."""

from __future__ import annotations

import numpy as np

from .registry import register
from .rml2016_10a import Rml2016_10a


@register("rml2016.10a-quiet")
class Rml2016_10aQuiet(Rml2016_10a):
    """The cells of the highest SNR label, with what it takes to bring them to any lower one.

    ``noise_power`` is the share of a frame's power that is noise. White noise of ``noise_power
    (10^((18 - label) / 5) - 1)`` of the frame's power makes it one of that label: labels count
    amplitudes (see :func:`channel_2016.noise_amplitude`), so that 38 labels are 76 dB.
    """

    snr_labels = Rml2016_10a.snr_labels[-1:]
    draw_types = {"noise_power": "float32"}

    def draws(self, frames: np.ndarray, noise_amplitude: float) -> dict[str, np.ndarray]:
        """``noise_power (n)``; 1 where there is no signal."""
        signal = np.square(np.abs(frames), dtype=np.float64).mean(axis=1)
        noise = noise_amplitude**2
        return {"noise_power": (noise / (signal + noise)).astype(np.float32)}
