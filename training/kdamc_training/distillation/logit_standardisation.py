# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logit standardisation: a teacher's logits without their mean and size.

S. Sun et al., "Logit standardization in knowledge distillation", CVPR 2024.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Added to the variance: all gradients stay finite where the logits of a frame are equal.
_TINY = 1e-8


def standardise(logits: Tensor) -> Tensor:
    """``(z - mean) / std`` of every row of ``(n, classes)`` logits, in float32.

    ``std`` divides by the number of classes, not by one less. Equal logits become 0. Rows whose
    std is below 1e-4 come out smaller than of std 1.
    """
    centred = logits.float() - logits.float().mean(dim=1, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + _TINY)
