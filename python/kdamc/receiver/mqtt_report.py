# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records for an MQTT broker."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any

from .command_line import host_and_port
from .errors import InputError
from .publisher import Publisher

log = logging.getLogger(__name__)

_PORT = 1883
_CONNECT_S = 5.0
_KEEPALIVE_S = 15
_RECONNECT_S = (1, 30)
#: Records that may lie in the client because the broker takes nothing.
_UNDER_WAY = 1024


class MqttReport(Publisher):
    """Publishes to ``topic/decision``, ``topic/signal``, ``topic/stats`` and ``topic/summary``.

    ``address`` is ``HOST[:PORT]``.  Quality of service 0: a record is sent once, and nobody
    confirms it.  A broker that goes away is called again until it is back; records until then
    are counted in ``unsent``.
    Raises :class:`InputError` if there is no broker that lets us in.
    """

    def __init__(self, address: str, topic: str):
        super().__init__()
        try:
            from paho.mqtt import client as mqtt
        except ImportError:
            raise InputError("--mqtt needs the Python package paho-mqtt") from None
        try:
            host, port = host_and_port(address, _PORT)
        except ValueError as error:
            raise InputError(f"--mqtt {address}: {error}") from None
        if not topic or any(c in topic for c in "#+\0"):
            raise InputError(f"--mqtt-topic {topic!r}: not a topic to publish to")
        self._topic = topic.rstrip("/")
        self._under_way: deque[Any] = deque()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.connect_timeout = _CONNECT_S
        self._client.reconnect_delay_set(*_RECONNECT_S)
        self._client.on_disconnect = lambda *_: log.info("MQTT broker %s is gone", address)
        refusal: list[str] = []
        self._client.on_connect = lambda *event: refusal.append(
            str(event[3]) if event[3].is_failure else ""
        )
        try:
            self._client.connect(host, port, _KEEPALIVE_S)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"--mqtt {address}: no broker: {reason}") from None
        self._client.loop_start()
        deadline = time.monotonic() + _CONNECT_S
        while not refusal and time.monotonic() < deadline:
            time.sleep(0.01)
        if not refusal or refusal[0]:
            self._client.disconnect()
            self._client.loop_stop()
            reason = refusal[0] if refusal else "no answer"
            raise InputError(f"--mqtt {address}: the broker does not let us in: {reason}")
        self.begin()

    def send(self, kind: str, payload: bytes) -> bool:
        """See :meth:`Publisher.send`."""
        self._look_what_left()
        # The client itself has no limit for records of quality 0.
        if len(self._under_way) >= _UNDER_WAY or not self._client.is_connected():
            return False
        info = self._client.publish(f"{self._topic}/{kind}", payload, qos=0)
        if info.rc != 0:
            return False
        self._under_way.append(info)
        return True

    def close(self, deadline: float) -> None:
        """See :meth:`Publisher.close`."""
        while self._client.is_connected() and time.monotonic() < deadline:
            self._look_what_left()
            if not self._under_way:
                break
            time.sleep(0.01)
        self._client.disconnect()
        self._client.loop_stop()

    def _look_what_left(self) -> None:
        while self._under_way:
            info = self._under_way[0]
            if info.rc != 0:  # lost with its connection
                self.unsent += 1
            elif not info.is_published():
                return
            self._under_way.popleft()
