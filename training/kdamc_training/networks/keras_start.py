# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""First weights as Keras draws them by default, for networks of LSTMs.

An LSTM that forgets little from the start matters above all: of 128 samples torch's own first
weights remember so little that networks of nothing but LSTMs hardly begin to learn.
"""

from __future__ import annotations

import torch
from torch import nn


def keras_start(module: nn.Module) -> None:
    """Draw the weights of one layer anew: to be given to ``network.apply``.

    Of convolutions over a plane, linear maps and LSTMs; what holds others is left as it is.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LSTM):
        for name, parameter in module.named_parameters():
            if name.startswith("weight_ih"):
                nn.init.xavier_uniform_(parameter)
            elif name.startswith("weight_hh"):
                nn.init.orthogonal_(parameter)
            else:
                nn.init.zeros_(parameter)
        # The gates are input, forget, cell and output; torch adds the two biases.
        with torch.no_grad():
            for layer in range(module.num_layers):
                getattr(module, f"bias_ih_l{layer}").unflatten(0, (4, -1))[1] = 1.0
