# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training for int8: a network learns with its convolutions rounded as ``int8`` will round them.

After Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-
only inference", CVPR 2018: in the forward pass weights and inputs are rounded to the grid of their
integers, in the backward pass the gradient goes straight through, but for inputs outside their
range. Ranges of inputs are moving averages of each batch's least and largest value. Batch norms
stay as they are: they are folded into the convolution before at the export, which scales each
output channel's weights, and a grid with a scale an output channel is scaled with them. What the
last convolution gives is rounded in the int8 file only.

torch's own tools do not serve: those in ``torch.ao`` are given up in favour of torchao, and write
the integers of torch's own engines, not ONNX. Here the rounded weights and the ranges go into the
QDQ graph that ``int8`` makes.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from .int8 import TRAINED_BITS

_LARGEST = 1 << (TRAINED_BITS - 1)
_MOMENTUM = 0.01
_TINY = 1e-12


def rounded(weight: Tensor) -> Tensor:
    """``weight (outputs, ...)`` on the grid of its integers, the largest of each output being the
    largest integer."""
    peak = weight.detach().abs().flatten(1).amax(dim=1)
    scale = peak.clamp_min(_TINY) / _LARGEST
    middle = torch.zeros(len(scale), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, middle, 0, -_LARGEST, _LARGEST)


class InputRange(nn.Module):
    """Rounds a tensor to 256 steps of its range, which it follows while training.

    ``low`` and ``high`` hold 0 between them, as in ONNX; both are 0 before the first batch, and
    nothing is rounded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        if self.training:
            least, largest = torch.aminmax(x.detach())
            weight = torch.where(self.high > self.low, _MOMENTUM, 1.0)
            self.low.lerp_(least.clamp_max(0.0), weight)
            self.high.lerp_(largest.clamp_min(0.0), weight)
        width = self.high - self.low
        if width <= 0.0:
            return x
        scale = width / 255
        zero = torch.round(-self.low / scale).int()
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)


class _RoundedConv1d(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(self.input_range(x), rounded(self.weight), self.bias)


class _RoundedConv2d(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(self.input_range(x), rounded(self.weight), self.bias)


_ROUNDED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: _RoundedConv1d,
    nn.Conv2d: _RoundedConv2d,
}
_PLAIN = {rounded: plain for plain, rounded in _ROUNDED.items()}


def prepare(network: nn.Module) -> nn.Module:
    """``network``, changed in place so that its convolutions work on rounded weights and inputs.

    Parameters keep their names. Raises UserError if it has no convolution.
    """
    layers = [layer for layer in network.modules() if type(layer) in _ROUNDED]
    if not layers:
        raise UserError(f"{type(network).__name__} has no convolution to train for int8")
    for layer in layers:
        layer.__class__ = _ROUNDED[type(layer)]
        layer.input_range = InputRange()
    return network


@torch.no_grad()
def finished(network: nn.Module) -> nn.Module:
    """A copy as ``network`` was built before ``prepare``, with the rounded weights as its weights;
    a network that was not prepared is given back itself."""
    if not any(type(layer) in _PLAIN for layer in network.modules()):
        return network
    plain = copy.deepcopy(network)
    for layer in list(plain.modules()):
        if type(layer) in _PLAIN:
            layer.__class__ = _PLAIN[type(layer)]
            layer.weight.copy_(rounded(layer.weight))
            del layer.input_range
    return plain


def ranges_by_node(
    network: nn.Module, graph: Any, frame_length: int
) -> dict[str, tuple[float, float]]:
    """The ranges of the inputs of the Conv nodes in ``graph``, by name; {} if not prepared.

    ``graph`` is that of the exported network: its nodes stand in the order of the calls.
    """
    found: list[tuple[float, float]] = []
    handles = [
        layer.register_forward_hook(
            lambda layer, *_: found.append((float(layer.low), float(layer.high)))
        )
        for layer in network.modules()
        if isinstance(layer, InputRange)
    ]
    if not handles:
        return {}
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 2, frame_length))
    finally:
        for handle in handles:
            handle.remove()
    names = [node.name for node in graph.node if node.op_type == "Conv"]
    return dict(zip(names, found, strict=True))
