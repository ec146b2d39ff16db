# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options from a recipe for what a registry makes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any


def refuse_unknown(factory: Callable, options: Collection[str], given: Collection[str]) -> None:
    """Raise TypeError, with the known ones, if ``factory`` does not take one of ``options``.

    ``given`` are keywords that are no options: whoever makes it gives them.
    """
    parameters = inspect.signature(factory).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return
    known = [name for name in parameters if name not in given]
    for name in options:
        if name not in known:
            raise TypeError(
                f"option {name!r} is unknown; known: {', '.join(known)}"
                if known
                else f"option {name!r} is unknown; there are none"
            )


def refuse_below_one(**values: Any) -> None:
    """Raise TypeError for the first of ``values`` that is no whole number of at least 1."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise TypeError(f"{name} is {value!r}; it must be a positive whole number")
