# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records on a ZeroMQ PUB socket: topic, then JSON."""

from __future__ import annotations

import time

from .errors import InputError
from .publisher import Publisher

#: Every topic is this and the type of the record.
TOPIC = "kdamc."


class ZmqReport(Publisher):
    """Binds a PUB socket to ``address`` (``tcp://*:5556``; without ``tcp://`` that is meant).

    A subscriber that is too slow misses records, as ZeroMQ has it, and nobody counts those.
    Raises :class:`InputError` if the address cannot be used.
    """

    def __init__(self, address: str):
        super().__init__()
        try:
            import zmq
        except ImportError:
            raise InputError("--zmq-pub needs the Python package pyzmq") from None
        self._zmq = zmq
        endpoint = address if "://" in address else f"tcp://{address}"
        # Used by one thread after the other, never by two at once.
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        try:
            self._socket.bind(endpoint)
        except (zmq.ZMQError, OSError) as error:
            self._context.destroy(0)
            raise InputError(f"--zmq-pub {address}: {error}") from None
        self.begin()

    def send(self, kind: str, payload: bytes) -> bool:
        """See :meth:`Publisher.send`."""
        try:
            self._socket.send_multipart([f"{TOPIC}{kind}".encode(), payload], self._zmq.NOBLOCK)
        except self._zmq.Again:
            return False
        return True

    def close(self, deadline: float) -> None:
        """See :meth:`Publisher.close`."""
        self._socket.close(max(0, round(1e3 * (deadline - time.monotonic()))))
        self._context.term()  # waits until the last records have left, or that long
