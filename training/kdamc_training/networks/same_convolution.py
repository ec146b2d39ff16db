# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two-dimensional convolution that keeps height and width, as Keras pads it."""

from __future__ import annotations

from torch import nn

Kernel = tuple[int, int]
"""Height (over I and Q) and width (over time)."""


def same_convolution(inputs: int, outputs: int, kernel: Kernel) -> list[nn.Module]:
    """Layers of a convolution that keeps height and width.

    An even kernel gets the odd zero at the bottom or after the end. An odd one needs no layer for
    the padding, which saves a copy of the input.
    """
    before = [(size - 1) // 2 for size in kernel]
    after = [size // 2 for size in kernel]
    if before == after:
        return [nn.Conv2d(inputs, outputs, kernel, padding=(before[0], before[1]))]
    padding = nn.ZeroPad2d((before[1], after[1], before[0], after[0]))
    return [padding, nn.Conv2d(inputs, outputs, kernel)]
