# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""What taps that end in a sink of their own have in common."""

from __future__ import annotations

from typing import Protocol


class FailingSink(Protocol):
    """A sink block that keeps what went wrong and is done."""

    error: BaseException | None


class SinkTap:
    """A tap whose ``connect`` makes a new sink for each segment, and keeps it in ``_sink``."""

    _sink: FailingSink | None = None

    @property
    def error(self) -> BaseException | None:
        """What ended the newest sink early."""
        return None if self._sink is None else self._sink.error
