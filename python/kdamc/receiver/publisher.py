# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records for a network, which never make a flowgraph wait."""

from __future__ import annotations

import logging
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from .records import DecisionRecord, SignalRecord, Summary, json_text

log = logging.getLogger(__name__)

#: Records that may wait to be sent.
_WAITING = 1024
#: At the end of a run this long is waited for the last ones, seconds.
_PATIENCE_S = 2.0


class Publisher(ABC):
    """A report whose records a thread of its own sends, as JSON.

    Where the network is slower than the run the newest records are left out and counted in
    ``unsent``.  A subclass calls :meth:`begin` when it is ready to send.
    """

    def __init__(self) -> None:
        self.unsent = 0
        self._queue: queue.Queue[Mapping[str, Any] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    def begin(self) -> None:
        """Start sending."""
        self._thread.start()

    @abstractmethod
    def send(self, kind: str, payload: bytes) -> bool:
        """Send a record of ``kind`` (decision, signal, stats or summary), or return False.

        Called by one thread only, which is not that of the constructor.
        """

    @abstractmethod
    def close(self, deadline: float) -> None:
        """Send what is under way until ``deadline`` (monotonic clock), then close.

        Called by the thread that sends.
        """

    def decision(self, record: DecisionRecord) -> None:
        """Send a decision."""
        self._put(record.as_json())

    def signal(self, record: SignalRecord) -> None:
        """Send a signal, also while it lasts."""
        self._put(record.as_json())

    def stats(self, stats: Mapping[str, Any]) -> None:
        """Send counters."""
        self._put({"type": "stats", **stats})

    def summary(self, summary: Summary) -> None:
        """Send the summary and close; waits for a network that is slow, but not for long."""
        deadline = time.monotonic() + _PATIENCE_S
        try:
            self._queue.put(summary.as_json(), timeout=_PATIENCE_S)
            self._queue.put(None, timeout=max(0.0, deadline - time.monotonic()))
        except queue.Full:
            return
        self._thread.join(2 * _PATIENCE_S)

    def _put(self, record: Mapping[str, Any]) -> None:
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self.unsent += 1

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            try:
                if not self.send(record["type"], json_text(record).encode()):
                    self.unsent += 1
            except Exception:
                # A network that fails is no reason to end a run.
                log.warning("a record was not sent", exc_info=True)
                self.unsent += 1
        try:
            self.close(time.monotonic() + _PATIENCE_S)
        except Exception:
            log.warning("%s did not close", type(self).__name__, exc_info=True)
