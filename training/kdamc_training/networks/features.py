# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Input features that a network computes from I and Q inside its graph."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# Keeps the root and the divisions finite at a sample that is exactly zero.
_TINY = 1e-8


def phase_steps(iq: Tensor, lags: Sequence[int]) -> Tensor:
    """I, Q, amplitude and the phase steps from the samples ``lags`` before, ``(n, 2, L)`` to
    ``(n, 3 + 2 lags, L)``.

    A step is given as its cosine and sine, which unlike the angle have no jump at half a turn and
    export to plain arithmetic; at the first samples, which have none before them, both are 0.
    """
    i, q = iq[:, 0:1], iq[:, 1:2]
    amplitude = torch.sqrt(i * i + q * q + _TINY)
    unit_i, unit_q = i / amplitude, q / amplitude
    steps = []
    for lag in lags:
        now_i, now_q = unit_i[:, :, lag:], unit_q[:, :, lag:]
        past_i, past_q = unit_i[:, :, :-lag], unit_q[:, :, :-lag]
        none = torch.zeros_like(i[:, :, :lag])
        steps += [
            torch.cat([none, now_i * past_i + now_q * past_q], dim=2),
            torch.cat([none, now_q * past_i - now_i * past_q], dim=2),
        ]
    return torch.cat([iq, amplitude, *steps], dim=1)


def amplitude_phase(iq: Tensor) -> Tensor:
    """Amplitude, and phase in half turns, ``(n, 2, L)`` to ``(n, 2, L)``.

    The phase lies in [-1, 1] and is 0 where the sample is 0. Half turns are our choice, so that
    both are of the order of 1 for frames of RMS 1. It is made of arcs up to an eighth of a turn,
    as ONNX up to opset 17 has an arc tangent of one argument only, and one of Q / I alone would
    lose half the circle.
    """
    i, q = iq[:, 0], iq[:, 1]
    width, height = i.abs(), q.abs()
    steep = height > width
    # Division by the longer side is safe but at 0, where the tiny divisor gives an arc of 0.
    longer = torch.maximum(width, height).clamp_min(torch.finfo(iq.dtype).tiny)
    arc = torch.atan(torch.minimum(width, height) / longer) / math.pi
    arc = torch.where(steep, 0.5 - arc, arc)
    arc = torch.where(i < 0, 1.0 - arc, arc)
    phase = torch.where(q < 0, -arc, arc)
    return torch.stack([torch.sqrt(i * i + q * q + _TINY), phase], dim=1)
