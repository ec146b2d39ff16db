# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the programs' command lines have in common."""

from __future__ import annotations

import argparse
import math
import signal
from collections.abc import Callable
from typing import Any, NoReturn

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 128 + signal.SIGINT


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """End the program with one line on stderr."""
        self.exit(BAD_INPUT, f"{self.prog}: error: {message}\n")


def number(
    kind: type, low: float, high: float = math.inf, above: bool = False
) -> Callable[[str], Any]:
    """An argparse type: a finite int or float from ``low`` (or above it) to ``high``."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high) or (above and value == low):
            bound = f"above {low:g}" if above else f"from {low:g}"
            upper = "" if high == math.inf else f" to {high:g}"
            raise argparse.ArgumentTypeError(f"{text!r} is no number {bound}{upper}")
        return value

    return parse


def one_line(error: BaseException) -> str:
    """An error's text without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def host_and_port(
    text: str, default_port: int | None = None, default_host: str = ""
) -> tuple[str, int]:
    """``(host, port)`` of ``HOST[:PORT]``, or of ``[HOST:]PORT`` where there is no default port.

    An IPv6 address stands in brackets.  Raises ValueError.
    """
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = (default_host, text) if default_port is None else (text, str(default_port))
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"{port!r} is no port")
    if not host and default_port is not None:
        raise ValueError(f"{text!r} names no host")
    return host or default_host, int(port)
