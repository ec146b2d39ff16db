# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a network is and how much it computes: parameters and multiply-accumulates."""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def parameters(module: nn.Module) -> int:
    """Trainable and frozen parameters of ``module``; buffers are none."""
    return sum(parameter.numel() for parameter in module.parameters())


def keras_parameters(module: nn.Module) -> int:
    """Parameters as Keras counts the same network, the way many papers give them.

    Running means and variances of batch norms are added, and an LSTM has one bias a gate where
    torch has two. A GRU has two in both.
    """
    count = parameters(module)
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            count += sum(
                statistic.numel()
                for statistic in (layer.running_mean, layer.running_var)
                if statistic is not None
            )
        elif isinstance(layer, nn.LSTM):
            count -= sum(
                bias.numel() for name, bias in layer.named_parameters() if "bias_hh" in name
            )
    return count


def macs(module: nn.Module, frame_length: int) -> int:
    """Multiply-accumulates of ``module`` for one frame ``(1, 2, frame_length)``.

    Counted are convolutions (zeros of the padding included), linear layers, matrix products,
    attention, LSTM and GRU; not element-wise operations, norms and pooling. It runs the module
    once, on its own device and in evaluation mode, and leaves it as it was.
    """
    device = next(module.parameters()).device
    frame = torch.randn(1, 2, frame_length, generator=torch.Generator().manual_seed(0)).to(device)
    training = {layer: layer.training for layer in module.modules()}
    module.eval()
    try:
        # torch counts matrix products and convolutions only, so what hides these from it is
        # switched off: fused recurrent layers (oneDNN), fused attention, and the fused encoder
        # layers that it takes where no gradient is wanted.
        with (
            warnings.catch_warnings(),
            torch.enable_grad(),
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            warnings.simplefilter("ignore")  # on oneDNN's settings for other devices
            with torch.backends.mkldnn.flags(enabled=False):
                module(frame)
    finally:
        for layer, mode in training.items():
            layer.training = mode
    return counter.get_total_flops() // 2
