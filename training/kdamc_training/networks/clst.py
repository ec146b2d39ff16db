# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""ClST, the convolution-linked signal transformer: a teacher for few training frames.

"ClST: A convolutional transformer framework for automatic modulation recognition by knowledge
distillation", arXiv 2312.17446. From a summary of the paper are the order of the parts: an
embedding of three convolutions, four blocks of a down-sampling convolution and a transformer
whose queries, keys and values are made by convolutions (CTP), and after each of these the
parallel spatial and channel attention (PSCA); pooling and one dense layer. All widths, kernels
and norms and the formulas of CTP and PSCA are our choice, and so is a CTP without the PSCA that
the summary also has inside it; its size (416,425 parameters at 11 classes) is not the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..options import refuse_below_one
from .attention import attend, merge_heads, split_heads
from .outputs import Outputs
from .registry import register


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution over time with batch norm and ReLU, ``(n, inputs, L)`` to
    ``(n, outputs, ceil(L / stride))``; ``kernel`` is odd."""
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
    )


class ParallelAttention(nn.Module):
    """PSCA: ``(n, width, L)`` weighed by channel and by place, each from the unweighed input.

    The channels' weights are ``sigmoid(f(mean) + f(max))`` over time, with f a network of one
    hidden layer ``width / reduction`` wide; the places' are the sigmoid of a convolution of 7 over
    mean, maximum and standard deviation over the channels.
    """

    def __init__(self, width: int, reduction: int = 8) -> None:
        super().__init__()
        narrow = max(1, width // reduction)
        self.channels = nn.Sequential(nn.Linear(width, narrow), nn.ReLU(), nn.Linear(narrow, width))
        self.places = nn.Conv1d(3, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=1, keepdim=True)
        # The square root has no slope at 0, where all channels are one.
        deviation = torch.sqrt((x - mean).square().mean(dim=1, keepdim=True) + 1e-6)
        places = self.places(torch.cat([mean, x.amax(dim=1, keepdim=True), deviation], dim=1))
        channels = self.channels(x.mean(dim=2)) + self.channels(x.amax(dim=2))
        return x * channels.sigmoid().unsqueeze(2) * places.sigmoid()


class Projection(nn.Sequential):
    """CTP: depthwise convolution of 3 with batch norm, then a linear map, on ``(n, width, L)``."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__(
            nn.Conv1d(width, width, 3, stride, 1, groups=width, bias=False),
            nn.BatchNorm1d(width),
            nn.Conv1d(width, width, 1),
        )


class ConvolutionalTransformer(nn.Module):
    """A pre-norm transformer layer on ``(n, width, L)`` that makes its queries by CTP, and its keys
    and values by CTP with stride 2: each is half as many."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        refuse_below_one(heads=heads)
        if width % heads:
            raise TypeError(f"width {width} must be a multiple of heads {heads}")
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query = Projection(width, 1)
        self.key = Projection(width, 2)
        self.value = Projection(width, 2)
        self.out = nn.Linear(width, width)
        self.norm_feed_forward = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, feed_forward), nn.ReLU(), nn.Linear(feed_forward, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.transpose(1, 2)
        normed = self.norm_attention(tokens).transpose(1, 2)
        query, key, value = (
            split_heads(make(normed).transpose(1, 2), self.heads)
            for make in (self.query, self.key, self.value)
        )
        mixed, _ = attend(query, key, value)
        tokens = tokens + self.dropout(self.out(merge_heads(mixed)))
        tokens = tokens + self.dropout(self.feed_forward(self.norm_feed_forward(tokens)))
        return tokens.transpose(1, 2)


@register("clst")
class Clst(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L.

    ``blocks`` are taken from ``widths``, first to last, and each halves L; the embedding is as
    wide as the first. A head is ``head_width`` wide, the feed-forward part ``expansion`` times the
    block's width. ``psca`` false leaves all PSCA out, an ablation.
    """

    def __init__(
        self,
        *,
        classes: int,
        frame_length: int,
        blocks: int = 4,
        widths: Sequence[int] = (32, 64, 128, 128, 128),
        kernels: Sequence[int] = (7, 5, 3),
        head_width: int = 32,
        expansion: int = 2,
        psca: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if not 1 <= blocks <= len(widths):
            raise TypeError(f"blocks is {blocks}; it must be 1 to {len(widths)}, one for a width")

        def attention(width: int) -> nn.Module:
            return ParallelAttention(width) if psca else nn.Identity()

        channels = widths[0]
        inputs = (2, *(channels for _ in kernels[1:]))
        self.embedding = nn.Sequential(
            *(convolution(n, channels, k) for n, k in zip(inputs, kernels, strict=True)),
            attention(channels),
        )
        self.blocks = nn.ModuleList()
        for width in widths[:blocks]:
            self.blocks.append(
                nn.Sequential(
                    convolution(channels, width, 3, stride=2),
                    ConvolutionalTransformer(
                        width, max(1, width // head_width), expansion * width, dropout
                    ),
                    attention(width),
                )
            )
            channels = width
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, classes)

    def outputs(self, iq: Tensor, attention: bool = False) -> Outputs:
        """Logits, and features after every block, first to last, each of half as many tokens.

        No attention maps: they are not square, as a token looks at half as many.
        """
        x = self.embedding(iq)
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x.transpose(1, 2))
        return Outputs(self.head(self.dropout(x.mean(dim=2))), tuple(features))

    def forward(self, iq: Tensor) -> Tensor:
        return self.outputs(iq).logits
