# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors in Python blocks end the flowgraph instead of hanging it.

An exception that leaves ``work()`` or a message handler ends its thread, and ``tb.run()`` waits
for ever.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pmt
from gnuradio import gr

#: What ``work`` returns when there will be no more.
WORK_DONE = -1


class Guarded:
    """Mixin of a block that keeps its first error in ``error`` and then is done.

    That ends a flowgraph whose streams come to the block.  Sources that only send messages do
    not notice; who uses such a source watches ``error`` and calls ``tb.stop()``.
    """

    error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        """Keep the first error and end the flowgraph, whichever thread it came from."""
        if self.error is not None:
            return
        self.error = error
        gr.logger(self.alias()).error(f"{type(error).__name__}: {error}")
        # Without input work() is not called again: the block declares itself done.
        done = pmt.cons(pmt.intern("done"), pmt.from_long(1))
        self.to_basic_block()._post(pmt.intern("system"), done)


def guarded_work(work: Callable[..., int]) -> Callable[..., int]:
    """A ``work`` or ``general_work`` whose errors end the flowgraph."""

    @functools.wraps(work)
    def guarded(block: Any, *args: Any) -> int:
        if block.error is not None:
            return WORK_DONE
        try:
            return work(block, *args)
        except BaseException as error:
            block.fail(error)
            return WORK_DONE

    return guarded


def guarded_handler(handler: Callable[..., None]) -> Callable[..., None]:
    """A message handler whose errors end the flowgraph."""

    @functools.wraps(handler)  # GNU Radio calls handlers by their name
    def guarded(block: Any, message: Any) -> None:
        if block.error is not None:
            return
        try:
            handler(block, message)
        except BaseException as error:
            block.fail(error)

    return guarded


def handle_waiting(block: Any, port: Any, handler: Callable[[Any], None]) -> None:
    """Give the messages that still wait on ``port`` to ``handler``; for a sink's ``stop``.

    GNU Radio ends a block that has only message ports when a block before it is done, and may
    do so between the arrival of the last messages and their handling.
    """
    while (message := block.delete_head_nowait(port)) is not None:
        handler(message)
