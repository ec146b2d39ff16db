# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of losses: what a recipe may name under ``loss``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .. import own_code
from ..errors import UserError
from ..networks.outputs import Outputs
from ..options import refuse_unknown


class Loss(nn.Module):
    """A term of the training loss: ``forward(student, teacher, label)`` gives a scalar.

    ``needs_teacher``, ``needs_features`` and ``needs_attention`` say what must be computed for it;
    ``teacher`` is None where no term needs one. ``label`` holds class indices ``(n)``, int64.
    Gradients flow into the student only: whoever calls it gives teacher outputs that carry none.
    With ``needs_snr``, ``label`` holds true SNRs in dB instead, ``(n)`` float32, NaN where there is
    no signal; with ``needs_posterior`` exact log posteriors, ``(n, classes)`` float32.
    """

    needs_teacher = True
    needs_snr = False
    needs_posterior = False
    needs_features = False
    needs_attention = False

    def forward(self, student: Outputs, teacher: Outputs | None, label: Tensor) -> Tensor:
        raise NotImplementedError

    def teacher_features(self) -> tuple[int, ...] | None:
        """Places in the teacher's features that it looks at, or None for all; others may be
        empty."""
        return None if self.needs_features else ()

    def teacher_attention(self) -> tuple[int, ...] | None:
        """Places in the teacher's attention maps that it looks at, or None for all; others may be
        empty."""
        return None if self.needs_attention else ()


_losses: dict[str, type[Loss]] = {}


def register(name: str) -> Callable[[type[Loss]], type[Loss]]:
    """Decorator: make a loss known under ``name``. Works from outside the package.

    The class takes ``student`` and ``teacher`` (example Outputs of the two networks, for the
    shapes of projections; ``teacher`` may be None) and its own options, all by keyword.
    """

    def add(factory: type[Loss]) -> type[Loss]:
        if name in _losses:
            raise ValueError(f"a loss named {name} exists already")
        if not (isinstance(factory, type) and issubclass(factory, Loss)):
            raise ValueError(f"{name} is no loss: it is not a class made from Loss")
        _losses[name] = factory
        own_code.note("loss", name, factory)
        return factory

    return add


def names() -> list[str]:
    """Names of all known losses, sorted."""
    return sorted(_losses)


def known(name: str) -> type[Loss]:
    """The loss called ``name``; raises UserError with the known names if there is none."""
    if name not in _losses:
        raise UserError(f"no loss named {name!r}; known: {', '.join(names())}")
    return _losses[name]


def create(name: str, *, student: Outputs, teacher: Outputs | None, **options: Any) -> Loss:
    """A new loss; raises UserError for an unknown name, options that it does not take, or networks
    that do not show what it needs."""
    kind = known(name)
    if kind.needs_teacher and teacher is None:
        raise UserError(f"loss {name} needs a teacher")
    try:
        refuse_unknown(kind, options, ("student", "teacher"))
        return kind(student=student, teacher=teacher, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"loss {name}: {error}") from error
