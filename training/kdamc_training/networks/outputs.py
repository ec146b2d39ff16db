# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network shows of itself to a distillation loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Outputs:
    """Logits ``(n, classes)`` and what lies behind them, from the input on.

    ``features`` are ``(n, tokens, width)`` each, ``attention`` maps ``(n, tokens, tokens)`` each:
    the mean over the heads, rows are queries and sum to 1. Which layers they belong to is said by
    the network that gives them. ``snr_db (n)`` is its estimate of the SNR, ``stranger (n)`` the log
    odds that a frame is of none of the classes, if it makes them.
    """

    logits: Tensor
    features: tuple[Tensor, ...] = ()
    attention: tuple[Tensor, ...] = ()
    snr_db: Tensor | None = None
    stranger: Tensor | None = None


def outputs_of(network: nn.Module, iq: Tensor, attention: bool = False) -> Outputs:
    """Outputs of ``network`` for frames ``(n, 2, L)``.

    A network that has more to show than logits offers ``outputs(iq, attention=...)``; maps cost
    memory and time, so they are made only if ``attention``.
    """
    if hasattr(network, "outputs"):
        return network.outputs(iq, attention=attention)
    return Outputs(network(iq))


def check_outputs(shown: Outputs, frames: int, classes: int) -> None:
    """Raise TypeError unless a network ``shown`` so many frames gives logits of so many classes."""
    if not isinstance(shown, Outputs):
        raise TypeError(f"its outputs() gives {_kind(shown)}, not Outputs")
    if not isinstance(shown.logits, Tensor) or shown.logits.shape != (frames, classes):
        raise TypeError(
            f"it gives {_kind(shown.logits)} for {frames} frames and {classes} classes, not logits "
            f"({frames}, {classes})"
        )


def _kind(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"
