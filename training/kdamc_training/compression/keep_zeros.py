# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training what pruning left: weights that are zero stay zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class KeepZeros:
    """Holds the zeros of ``parameters`` while they are trained, until ``remove``.

    Net-Trim's authors call it fine-tuning. Gradients of the zeros are masked, so that they do not
    count in a gradient's norm; after each step of an ``attach``-ed optimiser the zeros are written
    again, for momentum from before and noise move a weight without a gradient.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._masks = [(parameter, parameter.detach() != 0.0) for parameter in parameters]
        self._handles = [
            parameter.register_hook(_masked_by(mask)) for parameter, mask in self._masks
        ]

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Write the zeros after each step of ``optimizer``."""
        self._handles.append(optimizer.register_step_post_hook(lambda *_: self.apply()))

    @torch.no_grad()
    def apply(self) -> None:
        """Write the zeros now."""
        for parameter, mask in self._masks:
            parameter.mul_(mask)

    def remove(self) -> None:
        """Let all weights move again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []


def _masked_by(mask: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda gradient: gradient * mask
