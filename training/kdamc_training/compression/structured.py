# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting out of a network what a pruned layer no longer uses: this makes it faster on any machine.

Zeros that lie anywhere save bytes, but ONNX Runtime multiplies with them. Three kinds can go, and
the network's outputs stay as they are:

- an output of the pruned layer without weights is the constant relu(bias), which goes into the
  bias of the next layer;
- a channel of which the pruned layer looks at no sample is not computed: the filters of the
  convolutions that give it are cut;
- of what is left, inputs that the layer does not look at are not gathered from the feature maps, if
  they are at least a quarter of them (gathering costs a copy).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..networks.inceptionnet import Inception
from ..networks.resnet_edge import Residual
from ..networks.vtcnn2 import HiddenLayerClassifier

_LEAST_UNUSED = 0.25
"""Share of the inputs that must be unused for gathering the others."""


@dataclass(frozen=True)
class Cut:
    """A smaller network with the same outputs, and what was cut: numbers of outputs of the pruned
    layer, of channels before it, and of its inputs, those in the channels among them."""

    network: nn.Module
    outputs: int
    channels: int
    inputs: int

    @property
    def anything(self) -> bool:
        return bool(self.outputs or self.channels or self.inputs)


@torch.no_grad()
def cut(network: HiddenLayerClassifier, frame_length: int) -> Cut:
    """``network`` ``(n, 2, frame_length)`` without what its layer ``hidden`` does not use.

    It is left as it is; the smaller one shares nothing with it.
    """
    smaller = copy.deepcopy(network).eval()
    hidden, head = smaller.hidden, smaller.head
    weight = hidden.weight
    outputs, inputs = weight.shape
    alive = weight.any(dim=1)
    if not alive.any():
        alive[0] = True  # a layer without outputs cannot be stored
    dead = hidden.bias.relu() * ~alive
    head.bias.add_(head.weight @ dead)
    head.weight = nn.Parameter(head.weight[:, alive].clone())
    head.in_features = int(alive.sum())

    maps = smaller.body(torch.zeros(1, 1, 2, frame_length)).shape[1:]
    used = weight.any(dim=0).reshape(maps)
    channels = _narrowed(smaller.body, used.flatten(1).any(dim=1))
    in_channels = np.repeat(channels.numpy(), used[0].numel())
    left = used[channels].flatten()
    kept = torch.from_numpy(in_channels)
    if len(left) and float((~left).float().mean()) >= _LEAST_UNUSED and left.any():
        smaller.body = _Gathered(smaller.body, left.nonzero().flatten())
        kept = kept & used.flatten()
    hidden.weight = nn.Parameter(weight[alive][:, kept].clone())
    hidden.bias = nn.Parameter(hidden.bias[alive].clone())
    hidden.out_features, hidden.in_features = hidden.weight.shape
    return Cut(
        smaller,
        outputs=outputs - hidden.out_features,
        channels=int((~channels).sum()),
        inputs=inputs - hidden.in_features,
    )


class _Gathered(nn.Module):
    """Of what ``body`` gives, flattened, the values of ``index (k)``: ``(n, k)``."""

    def __init__(self, body: nn.Module, index: Tensor) -> None:
        super().__init__()
        self.body = body
        # int32: half the bytes in a file, and ONNX Runtime takes it as well.
        self.register_buffer("index", index.to(torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).flatten(1).index_select(1, self.index)


class _NarrowResidual(nn.Module):
    """``Residual`` with fewer channels at its end: those of ``kept``."""

    def __init__(self, block: Residual, kept: Tensor) -> None:
        super().__init__()
        self.body = block.body
        _narrow(_last_convolution(self.body), kept)
        self.register_buffer("index", kept.nonzero().flatten().to(torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + x.index_select(1, self.index)).relu()


def _narrowed(body: nn.Sequential, wanted: Tensor) -> Tensor:
    """Make ``body`` give the ``wanted`` ``(channels)`` of its channels; which it then gives.

    At least one is kept, of an inception module one of each branch.
    """
    last = body[-1]
    if isinstance(last, Inception):
        branches = (last.short, last.middle, last.long)
        parts = [_not_empty(part) for part in wanted.chunk(len(branches))]
        for branch, part in zip(branches, parts, strict=True):
            _narrow(_last_convolution(branch), part)
        return torch.cat(parts)
    kept = _not_empty(wanted)
    if isinstance(last, Residual):
        if not kept.all():
            body[-1] = _NarrowResidual(last, kept)
    else:
        _narrow(_last_convolution(body), kept)
    return kept


def _not_empty(wanted: Tensor) -> Tensor:
    kept = wanted.clone()
    if not kept.any():
        kept[0] = True
    return kept


def _last_convolution(layers: nn.Sequential) -> nn.Conv2d:
    return [layer for layer in layers if isinstance(layer, nn.Conv2d)][-1]


def _narrow(convolution: nn.Conv2d, kept: Tensor) -> None:
    convolution.weight = nn.Parameter(convolution.weight[kept].clone())
    convolution.bias = nn.Parameter(convolution.bias[kept].clone())
    convolution.out_channels = int(kept.sum())
