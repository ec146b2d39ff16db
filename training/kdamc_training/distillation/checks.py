# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that several losses make of their options and of the two networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..networks.outputs import Outputs


def positive(name: str, value: Any) -> float:
    """``value`` of the option ``name`` as a float; raises ValueError unless it is above 0."""
    if not _is_number(value) or value <= 0:
        raise ValueError(f"{name} is {value!r}; it must be a positive number")
    return float(value)


def not_negative(name: str, value: Any) -> float:
    """``value`` of the option ``name`` as a float; raises ValueError unless it is at least 0."""
    if not _is_number(value) or value < 0:
        raise ValueError(f"{name} is {value!r}; it must be a number of at least 0")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """``value`` of the option ``name``; raises ValueError unless it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; it must be true or false")
    return value


def same_classes(student: Outputs, teacher: Outputs) -> int:
    """How many classes both networks tell apart; raises ValueError if they do not agree."""
    classes, others = student.logits.shape[1], teacher.logits.shape[1]
    if classes != others:
        raise ValueError(f"the student has {classes} classes, the teacher {others}")
    return classes


def both_show(what: str, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> None:
    """Raises ValueError if one of the networks shows no ``what``."""
    for who, shown in (("student", student), ("teacher", teacher)):
        if not shown:
            raise ValueError(f"the {who} shows no {what}")


def _is_number(value: Any) -> bool:
    # A bool is an int to Python, but never a temperature or a weight.
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
