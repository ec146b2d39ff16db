# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack of strided convolutions over time, each with batch normalisation and ReLU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def strided_convolutions(
    channels: int, kernels: Sequence[int], strides: Sequence[int], widths: Sequence[int]
) -> nn.Sequential:
    """``(n, channels, L)`` to ``(n, widths[-1], L over all strides)``; one convolution for each of
    ``kernels``, ``strides`` and ``widths``, which are of one length."""
    layers: list[nn.Module] = []
    for kernel, stride, width in zip(kernels, strides, widths, strict=True):
        layers += [
            nn.Conv1d(channels, width, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        ]
        channels = width
    return nn.Sequential(*layers)
