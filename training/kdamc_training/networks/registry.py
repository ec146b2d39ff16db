# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of networks: what a recipe may name under ``network``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from .. import own_code
from ..errors import UserError
from ..options import refuse_unknown

Factory = Callable[..., nn.Module]

_GIVEN = ("classes", "frame_length")
_networks: dict[str, Factory] = {}


def register(name: str) -> Callable[[Factory], Factory]:
    """Decorator: make a network known under ``name``. Works from outside the package.

    The factory takes ``classes`` (how many) and ``frame_length`` (samples) and its own options by
    keyword, and gives a module that maps ``(n, 2, frame_length)`` float32 frames of RMS 1 to
    ``(n, classes)`` logits.
    """

    def add(factory: Factory) -> Factory:
        if name in _networks:
            raise ValueError(f"a network named {name} exists already")
        if not _takes(factory, *_GIVEN):
            raise ValueError(f"{name} is no network: it does not take classes and frame_length")
        _networks[name] = factory
        own_code.note("network", name, factory)
        return factory

    return add


def names() -> list[str]:
    """Names of all known networks, sorted."""
    return sorted(_networks)


def create(name: str, *, classes: int, frame_length: int, **options: Any) -> nn.Module:
    """A new network; raises UserError for an unknown name or options that it does not take."""
    factory = _factory(name)
    try:
        refuse_unknown(factory, options, _GIVEN)
        return factory(classes=classes, frame_length=frame_length, **options)
    except TypeError as error:
        raise UserError(f"network {name}: {error}") from error


def with_defaults(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """``options`` and, for those not named, the network's own; UserError for an unknown name."""
    parameters = inspect.signature(_factory(name)).parameters.values()
    defaults = {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.default is not inspect.Parameter.empty
    }
    return defaults | options


def _takes(factory: Factory, *names: str) -> bool:
    parameters = inspect.signature(factory).parameters
    any_name = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    return any_name or set(names) <= set(parameters)


def _factory(name: str) -> Factory:
    if name not in _networks:
        raise UserError(f"no network named {name!r}; known: {', '.join(names())}")
    return _networks[name]
