# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which layer of the student learns from which layer of the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .checks import both_show

Pairs = tuple[tuple[int, int], ...]


def layer_pairs(
    what: str, student: Sequence[Tensor], teacher: Sequence[Tensor], layers: Any = None
) -> Pairs:
    """Pairs of places in ``student`` and ``teacher``, the tensors ``(n, tokens, ...)`` they show.

    ``layers`` lists the pairs ``[student, teacher]``, counted from 0. By default the layers are
    matched evenly and the last to the last: 2 student layers learn from the 6th and 12th of 12;
    if the student has more layers than the teacher, some of its own are left out.

    Raises ValueError if a network shows no ``what``, if ``layers`` names a layer that is not
    there, or if the two layers of a pair have not the same number of tokens.
    """
    both_show(what, student, teacher)
    if layers is None:
        count = min(len(student), len(teacher))
        pairs = tuple(
            (k * len(student) // count - 1, k * len(teacher) // count - 1)
            for k in range(1, count + 1)
        )
    else:
        pairs = _checked(layers, len(student), len(teacher))
    for mine, theirs in pairs:
        tokens, others = student[mine].shape[1], teacher[theirs].shape[1]
        if tokens != others:
            raise ValueError(
                f"{what} {mine} of the student is of {tokens} tokens, "
                f"{what} {theirs} of the teacher of {others}"
            )
    return pairs


def _checked(layers: Any, students: int, teachers: int) -> Pairs:
    """``layers`` as pairs of places below ``students`` and ``teachers``, or ValueError."""
    good = isinstance(layers, list | tuple) and bool(layers)
    for pair in layers if good else ():
        good = good and (
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and all(type(place) is int for place in pair)
            and 0 <= pair[0] < students
            and 0 <= pair[1] < teachers
        )
    if not good:
        raise ValueError(
            f"layers is {layers!r}; it must list pairs [student, teacher] of places from 0 "
            f"to {students - 1} and from 0 to {teachers - 1}"
        )
    return tuple((mine, theirs) for mine, theirs in layers)
