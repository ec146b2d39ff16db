# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The student for the set ``bound-known``: it is given what the exact classifier is given.

Our own design, not a published one. The answer can depend neither on the order of the symbols nor
on the carrier's phase, so the network cannot either: the same layers see every symbol, only means
over the symbols go on, and the phase is taken out by circular moments of the frame, as in the
power-of-k estimate, but with weights of the symbols that are learnt.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .registry import register

ORDERS = (2, 4, 8)
"""Of the moments: the symmetries of PAM, of QPSK and QAM, and of 8PSK."""

FREQUENCIES = (5.0, 10.0, 15.0, 20.0)
"""Radians over the magnitude of a symbol of unit energy, up to the grid of QAM64: cosines of I and
Q at these show a grid sooner than layers learn it."""

_FEATURES = 10 + len(FREQUENCIES)
# Keeps roots, divisions and the logarithm finite at zeros.
_TINY = 1e-8

_Pair = tuple[Tensor, Tensor]
"""Real and imaginary parts: ONNX has no complex numbers."""


@register("symbol_moments")
class SymbolMoments(nn.Module):
    """``(n, 2, N + 2)`` float32 at any scale to ``(n, classes)`` logits; N symbols, any number.

    The two samples after the symbols tell, by their magnitudes, that of a symbol of unit energy and
    the noise's standard deviation sqrt(N0), both at the scale of the frame, as in the set
    ``bound-known``. All hidden layers are ``width`` wide.
    """

    def __init__(self, *, classes: int, frame_length: int, width: int = 48) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, len(ORDERS)))
        nn.init.ones_(self.weigh[-1].bias)  # begins near the plain moments
        self.first = nn.Sequential(
            nn.Linear(_FEATURES, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.second = nn.Linear(width, width)
        self.context = nn.Linear(width + len(ORDERS), width)
        self.head = nn.Sequential(
            nn.Linear(2 * width + len(ORDERS) + 1, width), nn.ReLU(), nn.Linear(width, classes)
        )

    def forward(self, iq: Tensor) -> Tensor:
        magnitude = torch.sqrt(iq.square().sum(dim=1) + _TINY)
        symbol, unit, deviation = magnitude[:, :-2], magnitude[:, -2:-1], magnitude[:, -1:]
        es_n0 = 2.0 * torch.log10(unit / deviation)  # in bels
        # Of a mean square near 1 at any Es/N0.
        scale = torch.sqrt(unit.square() + deviation.square())
        known = torch.stack([symbol / scale, es_n0.expand_as(symbol)], dim=2)
        weights = self.weigh(known)

        direction = iq[:, 0, :-2] / symbol, iq[:, 1, :-2] / symbol
        powers, moments, sizes = [], [], []
        power = direction
        for order in range(len(ORDERS)):
            power = _times(power, power)
            mean = [(weights[:, :, order] * part).mean(dim=1, keepdim=True) for part in power]
            size = torch.sqrt(mean[0].square() + mean[1].square() + _TINY)
            powers.append(power)
            moments.append((mean[0] / size, mean[1] / size))
            sizes.append(size)

        line = _turned_back(direction, _root(moments[0]))
        # The fourth power of a grid is negative: its corners lie between the axes.
        grid = _turned_back(direction, _root(_root((-moments[1][0], -moments[1][1]))))
        real, imaginary = (symbol * part.abs() for part in grid)
        features = [
            *(symbol * part.abs() / scale for part in line),
            # Which is which is not known.
            torch.maximum(real, imaginary) / scale,
            torch.minimum(real, imaginary) / scale,
            *_turned_back(powers[1], moments[1]),
            *_turned_back(powers[2], moments[2]),
            *(torch.cos(f * real / unit) + torch.cos(f * imaginary / unit) for f in FREQUENCIES),
        ]
        first = self.first(torch.cat([known, torch.stack(features, dim=2)], dim=2))
        size, pooled = torch.cat(sizes, dim=1), first.mean(dim=1)
        context = self.context(torch.cat([pooled, size], dim=1))
        second = torch.relu(self.second(first) + context[:, None]).mean(dim=1)
        return self.head(torch.cat([second, pooled, size, es_n0], dim=1))


def _times(a: _Pair, b: _Pair) -> _Pair:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _turned_back(a: _Pair, by: _Pair) -> _Pair:
    """``a`` less the angle of ``by``, which has magnitude 1."""
    return a[0] * by[0] + a[1] * by[1], a[1] * by[0] - a[0] * by[1]


def _root(a: _Pair) -> _Pair:
    """The square root of magnitude 1 with a real part that is not negative."""
    real, imaginary = (torch.sqrt((1.0 + s * a[0]).clamp_min(0.0) / 2.0 + _TINY) for s in (1, -1))
    return real, torch.where(a[1] < 0.0, -imaginary, imaginary)
