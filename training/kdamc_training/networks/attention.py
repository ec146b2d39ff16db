# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-head attention and the pieces of encoders that several networks share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..options import refuse_below_one

NEVER = -1e30
"""So little makes the exponential 0, and is a number in bfloat16 too."""


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """``(n, L, width)`` to ``(n, heads, L, width / heads)``."""
    return tokens.unflatten(2, (heads, -1)).transpose(1, 2)


def merge_heads(tokens: Tensor) -> Tensor:
    """``(n, heads, L, width / heads)`` to ``(n, L, width)``."""
    return tokens.transpose(1, 2).flatten(2)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    want_map: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention of ``(n, heads, L, width)`` tensors, and its map if wanted.

    ``bias`` is float, ``(L, L)`` or ``(n, heads, L, L)``: 0 where a query may look at a key, and
    ``NEVER`` or less where not; every query must have a key. It is added to the scores, as filling
    scores by a mask takes twice as long backwards. The map is ``(n, L, L)``, the mean over the
    heads, and its weights are those that gave the output. Without a map torch's fused kernel is
    used.
    """
    if not want_map:
        if query.device.type != "cpu" or torch.onnx.is_in_onnx_export():
            bias = None if bias is None else bias.to(query.dtype)
            return functional.scaled_dot_product_attention(query, key, value, bias), None
        # The CPU's fused kernel takes three times as long backwards in bfloat16 as in float32.
        with torch.autocast("cpu", enabled=False):
            mixed = functional.scaled_dot_product_attention(
                query.float(), key.float(), value.float(), bias
            )
        return mixed.to(query.dtype), None
    scores = query / math.sqrt(query.shape[3]) @ key.transpose(2, 3)
    if bias is not None:
        scores = scores + bias
    weights = scores.softmax(dim=3)
    return weights @ value, weights.mean(dim=1)


class SelfAttention(nn.Module):
    """Multi-head self-attention as in "Attention is all you need", all four maps with bias.

    ``forward(tokens, want_map)``: ``(n, L, width)`` to the same and ``(n, L, L)`` or None. No
    weight is dropped, as the fused kernel is slow with dropout.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        refuse_below_one(heads=heads)
        if width % heads:
            raise TypeError(f"width {width} must be a multiple of heads {heads}")
        self.heads = heads
        self.into = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, want_map: bool = False) -> tuple[Tensor, Tensor | None]:
        query, key, value = (split_heads(x, self.heads) for x in self.into(tokens).chunk(3, dim=2))
        mixed, weights = attend(query, key, value, want_map=want_map)
        return self.out(merge_heads(mixed)), weights


class EncoderLayer(nn.Module):
    """A pre-norm encoder layer: ``attention`` and a feed-forward part, each added to its input.

    ``forward(tokens, want_map)`` gives what ``attention`` gives: ``(n, L, width)`` and a map or
    None. Pre-norm, as it trains without a careful warm-up. ``dropout`` acts on both parts' results.
    """

    def __init__(
        self, attention: nn.Module, *, width: int, feed_forward: int, dropout: float
    ) -> None:
        super().__init__()
        self.attention = attention
        self.norm_attention = nn.LayerNorm(width)
        self.norm_feed_forward = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, feed_forward), nn.ReLU(), nn.Linear(feed_forward, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, want_map: bool = False) -> tuple[Tensor, Tensor | None]:
        mixed, weights = self.attention(self.norm_attention(tokens), want_map)
        tokens = tokens + self.dropout(mixed)
        return tokens + self.dropout(self.feed_forward(self.norm_feed_forward(tokens))), weights


def encode(
    layers: nn.ModuleList, tokens: Tensor, want_maps: bool
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Pass ``tokens`` through encoder layers; the output of each, and the map of each if wanted."""
    features: list[Tensor] = []
    maps: list[Tensor] = []
    for layer in layers:
        tokens, weights = layer(tokens, want_maps)
        features.append(tokens)
        if weights is not None:
            maps.append(weights)
    return tuple(features), tuple(maps)


def sinusoids(length: int, width: int) -> Tensor:
    """Fixed positions ``(length, width)``: sines, then cosines, of periods 2 pi to 20,000 pi."""
    if width % 2:
        raise TypeError(f"width {width} must be even for sinusoidal positions")
    rate = torch.exp(torch.arange(width // 2) * (-math.log(1e4) / (width // 2)))
    angle = torch.arange(length)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1)
