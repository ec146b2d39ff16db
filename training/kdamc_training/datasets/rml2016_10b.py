# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""RML2016.10B made again: the recipe of 10A for 10 classes, without AM-SSB.

The genuine file holds 6,000 frames a cell where 10A's has 1,000.
"""

from __future__ import annotations

from .registry import register
from .rml2016 import AM_SSB_LIMIT
from .rml2016_10a import Rml2016_10a


@register("rml2016.10b")
class Rml2016_10b(Rml2016_10a):
    """The generator; see the module's docstring."""

    classes = tuple(name for name in Rml2016_10a.classes if name != "AM-SSB")
    limits = tuple(limit for limit in Rml2016_10a.limits if limit != AM_SSB_LIMIT)
