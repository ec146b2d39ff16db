# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Reformer student of MLD-Net, and its attention by locality-sensitive hashing (LSH).

X. Zhang et al., "MLD-Net: A multi-level knowledge distillation network for automatic modulation
recognition", Sensors 2025, 25, 7143: three convolutions from 2 to 128 channels, two Reformer
layers of width 128 with 4 heads and LSH attention, 0.29 M parameters, 35.9 M multiplications,
which are those of its convolutions and linear maps; with scores and hashing it has 44.9 M.
Ours are the widths and kernels of the convolutions, the feed-forward width 256, the shares of bias
(as in common Reformer code: none but in the output map), fixed sinusoidal positions, the norm
without parameters after the last layer, buckets of 16 and 4 hash rounds: 285,035 parameters at 11
classes. Residuals are plain, not reversible: reversible ones only save memory.

The attention is that of N. Kitaev et al., "Reformer: The efficient transformer", 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..options import refuse_below_one
from .attention import NEVER, EncoderLayer, attend, encode, merge_heads, sinusoids, split_heads
from .mld_teacher import SignalEmbedding
from .outputs import Outputs
from .registry import register


class LshAttention(nn.Module):
    """Shared-QK attention within hash buckets, ``(n, L, width)`` to the same and a map or None.

    Keys are the queries at length 1. In each round a token's bucket is the largest of ``[x R,
    -x R]``; tokens sorted by bucket, then by place, are cut into chunks of ``bucket`` tokens; a
    query sees the keys of its own bucket in its own chunk and the one before, and itself only if
    nothing else. There are ``L / bucket`` buckets (an even number, or 1).

    The Reformer adds up the rounds by the log-sum-exp of their scores and divides each weight by
    the number of rounds that give the pair. That is one softmax over all the pairs that any round
    gives, and it is computed so: from bucket numbers follow the sorted places by counting, from
    these the pairs, and one masked attention does the rest. It costs L scores a query instead of
    ``2 bucket hashes``; those are the same 128 at 128 samples. Nothing is sorted, so an exported
    graph is this same computation. A query whose two largest projections agree to rounding may
    fall into another bucket in another runtime.

    The rotations R, one set for each head, are drawn when the network is made and kept in a
    buffer. With ``redraw`` training draws them anew in every step, as the Reformer does;
    evaluation and export always use the buffer. ``kind`` "full" lets every query see all other
    tokens, the control that tells what the hashing costs.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        length: int,
        kind: str = "lsh",
        bucket: int = 16,
        hashes: int = 4,
        redraw: bool = False,
    ) -> None:
        super().__init__()
        refuse_below_one(heads=heads)
        if width % heads:
            raise TypeError(f"width {width} must be a multiple of heads {heads}")
        if kind not in ("lsh", "full"):
            raise TypeError(f'attention is {kind!r}; it must be "lsh" or "full"')
        if bucket < 1 or hashes < 1:
            raise TypeError(f"bucket {bucket} and hashes {hashes} must be positive")
        self.heads = heads
        self.chunk = bucket
        self.redraw = redraw
        self.shared = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)
        # Two buckets for each projection: its largest and its smallest.
        projections = 0 if kind == "full" else -(-(length // bucket) // 2)
        self.register_buffer("rotations", torch.randn(heads, width // heads, hashes, projections))

    def forward(self, tokens: Tensor, want_map: bool = False) -> tuple[Tensor, Tensor | None]:
        query = split_heads(self.shared(tokens), self.heads)
        key = functional.normalize(query, dim=3)
        value = split_heads(self.value(tokens), self.heads)
        mixed, weights = attend(query, key, value, self.bias(query.detach()), want_map)
        return self.out(merge_heads(mixed)), weights

    def bias(self, query: Tensor) -> Tensor:
        """What to add to scores, ``(n, heads, L, L)``, or ``(L, L)`` if the same for all.

        It is 0 where a query may look and ``NEVER`` or less where not; ``query`` is
        ``(n, heads, L, width / heads)``.
        """
        length = query.shape[2]
        token = torch.arange(length, device=query.device)
        itself = token[:, None] == token
        if length == 1:
            return torch.zeros(1, 1, device=query.device)
        if self.rotations.shape[3] == 0 or self.chunk >= length:
            return itself.float() * NEVER
        segment, reach, alone = self.segments(query)
        # How far a key's segment is outside a query's reach, doubled to stay whole, and the least
        # of all rounds. Comparing numbers pair by pair takes five times as long on a CPU.
        segment = 2 * segment
        middle = segment - reach
        least: Tensor | None = None
        for round_ in range(segment.shape[2]):
            far = (middle[:, :, round_, :, None] - segment[:, :, round_, None, :]).abs_()
            far = far.sub_(reach[:, :, round_, :, None])
            least = far if least is None else torch.minimum(least, far)
        # A token is always within its own reach; it is outside unless it is alone.
        outside = least + itself.to(least.dtype) * (~alone).to(least.dtype).unsqueeze(3)
        return outside.float().mul_(NEVER)

    def segments(self, query: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Segment and reach of each token in each round, and whether it sees nothing but itself.

        A segment is what a bucket and a chunk have in common, numbered along the sorted places. A
        query sees its segment and, if reach is 1 and not 0, the one before: its bucket in the chunk
        before. The first two are integers ``(n, heads, hashes, L)``, the last boolean
        ``(n, heads, L)``.
        """
        rotations = self.rotations
        if self.redraw and self.training:
            rotations = torch.randn_like(rotations)
        projected = torch.einsum("bhld,hdrp->bhrlp", query, rotations)
        bucket = torch.cat([projected, -projected], dim=4).argmax(dim=4)
        buckets = torch.arange(2 * rotations.shape[3], device=query.device)
        member = (bucket.unsqueeze(3) == buckets[:, None]).to(torch.int32)
        so_far = member.cumsum(dim=4, dtype=torch.int32)
        size = so_far[..., -1]
        end = size.cumsum(dim=3, dtype=torch.int32)
        first = (end - size).gather(3, bucket)
        place = first + so_far.gather(3, bucket.unsqueeze(3)).squeeze(3) - 1
        chunk = torch.div(place, self.chunk, rounding_mode="floor")
        start = torch.maximum(first, (chunk - 1) * self.chunk)
        stop = torch.minimum(end.gather(3, bucket), (chunk + 1) * self.chunk)
        # Along the sorted places buckets and chunks only rise, so their sum tells segments apart.
        # Short numbers take a fraction of the time; ONNX Runtime computes with no such.
        most = 2 * (2 * rotations.shape[3] - 1 + (query.shape[2] - 1) // self.chunk) + 1
        short = torch.int8 if most < 128 else torch.int16
        short = torch.int32 if torch.onnx.is_in_onnx_export() else short
        segment = (bucket + chunk).to(short)
        reach = (first < chunk * self.chunk).to(short)
        return segment, reach, (stop - start == 1).all(dim=2)


@register("mld_student")
class MldStudent(nn.Module):
    """``(n, 2, frame_length)`` float32 of RMS 1 to ``(n, classes)`` logits.

    ``attention`` is "lsh" or "full"; ``bucket``, ``hashes`` and ``redraw`` are those of
    ``LshAttention``. ``convolutions`` are the widths before the last, which is ``width``; they and
    ``feed_forward`` follow ``width`` in the proportions of the full size unless given.
    """

    def __init__(
        self,
        *,
        classes: int,
        frame_length: int,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        feed_forward: int | None = None,
        convolutions: Sequence[int] | None = None,
        kernels: Sequence[int] = (5, 5, 5),
        attention: str = "lsh",
        bucket: int = 16,
        hashes: int = 4,
        redraw: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        refuse_below_one(width=width, layers=layers)
        if convolutions is None:
            convolutions = (width // 4, width // 2)
        self.embedding = SignalEmbedding((*convolutions, width), kernels)
        self.register_buffer("positions", sinusoids(frame_length, width), persistent=False)
        self.layers = nn.ModuleList(
            EncoderLayer(
                LshAttention(
                    width=width,
                    heads=heads,
                    length=frame_length,
                    kind=attention,
                    bucket=bucket,
                    hashes=hashes,
                    redraw=redraw,
                ),
                width=width,
                feed_forward=feed_forward or 2 * width,
                dropout=dropout,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.head = nn.Linear(width, classes)

    def outputs(self, iq: Tensor, attention: bool = False) -> Outputs:
        """Logits; features after, and attention in, every Reformer layer, first to last."""
        tokens = self.embedding(iq).transpose(1, 2) + self.positions
        features, maps = encode(self.layers, tokens, attention)
        return Outputs(self.head(self.norm(features[-1]).mean(dim=1)), features, maps)

    def forward(self, iq: Tensor) -> Tensor:
        return self.outputs(iq).logits
