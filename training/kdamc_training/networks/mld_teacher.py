# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Transformer teacher of MLD-Net.

X. Zhang et al., "MLD-Net: A multi-level knowledge distillation network for automatic modulation
recognition", Sensors 2025, 25, 7143. The paper gives four convolutions from 2 to 512 channels,
12 encoder layers of width 512 with 8 heads and full attention, and 38.27 M parameters. Ours are
the feed-forward width 2,048, the widths and kernels of the convolutions, the learned positions
and the head: they give 38,268,875 parameters at 11 classes and 128 samples. Ours too are layers
normalised at their input and one norm without parameters after the last.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..options import refuse_below_one
from .attention import EncoderLayer, SelfAttention, encode
from .outputs import Outputs
from .registry import register


class SignalEmbedding(nn.Sequential):
    """Convolutions with batch norm and ReLU, ``(n, 2, L)`` to ``(n, widths[-1], L)``."""

    def __init__(self, widths: Sequence[int], kernels: Sequence[int]) -> None:
        if len(widths) != len(kernels):
            raise TypeError(f"{len(widths)} convolutions need as many kernels, not {len(kernels)}")
        layers: list[nn.Module] = []
        channels = 2
        for width, kernel in zip(widths, kernels, strict=True):
            layers += [
                nn.Conv1d(channels, width, kernel, padding=kernel // 2),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
            channels = width
        super().__init__(*layers)


@register("mld_teacher")
class MldTeacher(nn.Module):
    """``(n, 2, frame_length)`` float32 of RMS 1 to ``(n, classes)`` logits.

    ``convolutions`` are the widths before the last, which is ``width``; they, ``feed_forward`` and
    ``hidden`` (of the head) follow ``width`` in the proportions of the full size unless given.
    ``kernels`` are odd, one for each convolution and one for the last.
    """

    def __init__(
        self,
        *,
        classes: int,
        frame_length: int,
        width: int = 512,
        layers: int = 12,
        heads: int = 8,
        feed_forward: int | None = None,
        convolutions: Sequence[int] | None = None,
        kernels: Sequence[int] = (7, 5, 3, 1),
        hidden: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        refuse_below_one(width=width, layers=layers)
        if convolutions is None:
            convolutions = (width // 8, width // 4, width // 2)
        hidden = hidden or 3 * width // 8
        self.embedding = SignalEmbedding((*convolutions, width), kernels)
        self.positions = nn.Parameter(0.02 * torch.randn(frame_length, width))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(
                SelfAttention(width, heads),
                width=width,
                feed_forward=feed_forward or 4 * width,
                dropout=dropout,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.head = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes)
        )

    def outputs(self, iq: Tensor, attention: bool = False) -> Outputs:
        """Logits; features after, and attention in, every encoder layer, first to last."""
        tokens = self.dropout(self.embedding(iq).transpose(1, 2) + self.positions)
        features, maps = encode(self.layers, tokens, attention)
        return Outputs(self.head(self.norm(features[-1]).mean(dim=1)), features, maps)

    def forward(self, iq: Tensor) -> Tensor:
        return self.outputs(iq).logits
