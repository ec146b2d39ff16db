# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Input features that a network computes from I and Q inside its graph."""

from __future__ import annotations

import torch
from torch import Tensor

POLAR_CHANNELS = 5
"""Channels that ``polar_features`` gives."""

# Keeps the root and the divisions finite at a sample that is exactly zero.
_TINY = 1e-8


def polar_features(iq: Tensor) -> Tensor:
    """I, Q, amplitude and the phase step from the sample before, ``(n, 2, L)`` to ``(n, 5, L)``.

    The step is given as its cosine and sine, which unlike the angle has no jump at half a turn
    and exports to plain arithmetic; at the first sample, which has none before it, both are 0.
    """
    i, q = iq[:, 0:1], iq[:, 1:2]
    amplitude = torch.sqrt(i * i + q * q + _TINY)
    unit_i, unit_q = i / amplitude, q / amplitude
    now_i, now_q = unit_i[:, :, 1:], unit_q[:, :, 1:]
    past_i, past_q = unit_i[:, :, :-1], unit_q[:, :, :-1]
    none = torch.zeros_like(i[:, :, :1])
    cosine = torch.cat([none, now_i * past_i + now_q * past_q], dim=2)
    sine = torch.cat([none, now_q * past_i - now_i * past_q], dim=2)
    return torch.cat([iq, amplitude, cosine, sine], dim=1)
