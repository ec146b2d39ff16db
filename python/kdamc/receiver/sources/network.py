# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples from a network: datagrams (UDP) and messages (ZeroMQ).

GNU Radio's own sources trust the sender: a message that is no whole number of samples ends
``zeromq.sub_source`` for good, and such a datagram shifts all that follows in
``network.udp_source`` by some bytes.  Here such a packet is left out, and counted.
"""

from __future__ import annotations

import argparse
import select
import socket
from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
from gnuradio import gr

from ..command_line import host_and_port
from ..errors import InputError
from ..formats import SampleFormat, format_by_name
from ..segments import Segment
from .base import LiveSource, SourceKind, check_rate

#: No datagram is longer, bytes.
_MAX_DATAGRAM = 1 << 16
#: Room for packets before a slow flowgraph, bytes.
_BUFFER_BYTES = 1 << 20
#: How often a source without packets looks whether the flowgraph ends, seconds.
_WAIT_S = 0.1
#: Packets in one call at most, so that a flood of useless ones does not keep the block.
_MAX_PACKETS = 1024
#: What is asked of the kernel for packets that wait, bytes; it may give less.
_SOCKET_BYTES = 8 << 20
_ITEM_TYPES = {1: np.int8, 2: np.int16, 8: np.complex64}


class PacketSource(gr.sync_block):
    """Packets as a stream of the items that ``form`` is unpacked from; useless ones are counted."""

    def __init__(self, name: str, form: SampleFormat):
        gr.sync_block.__init__(self, name, in_sig=None, out_sig=[_ITEM_TYPES[form.item_bytes]])
        self._item_bytes = form.item_bytes
        self._sample_bytes = form.sample_bytes
        self.refused = 0
        self.set_log_level("warn")  # it would tell what the next lines do
        self.set_min_output_buffer(_BUFFER_BYTES // form.item_bytes)
        self.set_min_noutput_items(_MAX_DATAGRAM // form.item_bytes)

    def work(self, _input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Give what has come; nothing after a short while without a packet."""
        room = memoryview(output_items[0]).cast("B")
        filled = 0
        if self.wait(_WAIT_S):
            for _ in range(_MAX_PACKETS):
                size = self.receive_into(room[filled:])
                if size is None:
                    break
                if size % self._sample_bytes or not size:
                    self.refused += 1
                else:
                    filled += size
        return filled // self._item_bytes

    @abstractmethod
    def wait(self, seconds: float) -> bool:
        """Whether a packet is there, or comes in time."""

    @abstractmethod
    def receive_into(self, room: memoryview) -> int | None:
        """Copy a packet to the start of ``room``; its size, or None if there is none or no room."""


class DatagramSource(PacketSource):
    """What a bound UDP socket receives."""

    def __init__(self, bound: socket.socket, form: SampleFormat):
        PacketSource.__init__(self, "Datagram Source", form)
        self._socket = bound

    def wait(self, seconds: float) -> bool:
        """See :meth:`PacketSource.wait`."""
        return bool(select.select([self._socket], [], [], seconds)[0])

    def receive_into(self, room: memoryview) -> int | None:
        """See :meth:`PacketSource.receive_into`."""
        if len(room) < _MAX_DATAGRAM:
            return None
        try:
            return self._socket.recv_into(room)
        except BlockingIOError:
            return None


class SubscriberSource(PacketSource):
    """What a connected ZeroMQ SUB socket receives: of each message its last part."""

    def __init__(self, connected: object, form: SampleFormat):
        PacketSource.__init__(self, "Subscriber Source", form)
        self._socket = connected
        # Of a message that did not fit.
        self._rest = memoryview(b"")

    def wait(self, seconds: float) -> bool:
        """See :meth:`PacketSource.wait`."""
        return bool(len(self._rest) or self._socket.poll(round(seconds * 1000)))

    def receive_into(self, room: memoryview) -> int | None:
        """See :meth:`PacketSource.receive_into`."""
        import zmq

        if len(room) < self._sample_bytes:
            return None
        if not len(self._rest):
            try:
                message = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)[-1].buffer
            except zmq.Again:
                return None
            if message.nbytes % self._sample_bytes or not message.nbytes:
                return message.nbytes
            self._rest = message
        size = min(len(room) - len(room) % self._sample_bytes, len(self._rest))
        room[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class NetworkSource(LiveSource):
    """Samples of ``form`` at ``rate`` (Hz) from a network."""

    def __init__(
        self, name: str, form: SampleFormat, rate: float, freq_hz: float, lost_after_s: float
    ):
        super().__init__(name, check_rate(rate), freq_hz, lost_after_s)
        self._form = form
        self._refused_before = 0
        self._block: PacketSource | None = None

    def open(self) -> None:
        """See :meth:`LiveSource.open`."""
        self._listen()

    def connect(self, graph: gr.top_block, segment: Segment) -> gr.basic_block:
        """See :meth:`Source.connect`."""
        if self._block is not None:
            self._refused_before += self._block.refused
        self._block = self._make_block()
        chain = [self._block, *self._form.unpackers()]
        if len(chain) > 1:
            graph.connect(*chain)
        return chain[-1]

    def counters(self) -> Mapping[str, int]:
        """Packets that were no whole number of samples."""
        now = 0 if self._block is None else self._block.refused
        return {"packets_refused": self._refused_before + now}

    @abstractmethod
    def _listen(self) -> None:
        """Make the socket.  Raises :class:`InputError`."""

    @abstractmethod
    def _make_block(self) -> PacketSource: ...


class UdpSource(NetworkSource):
    """Datagrams sent to ``address`` (host:port), which is an address of this machine."""

    def __init__(self, address: str, form: SampleFormat, **settings: float):
        super().__init__(f"udp {address}", form, **settings)
        try:
            self._address = host_and_port(address, default_host="0.0.0.0")
        except ValueError:
            raise InputError(f"--udp {address}: not [HOST:]PORT") from None
        self._socket: socket.socket | None = None

    def _listen(self) -> None:
        try:
            family, kind, _, _, where = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[
                0
            ]
            self._socket = socket.socket(family, kind)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
            self._socket.setblocking(False)
            self._socket.bind(where)
        except OSError as error:
            raise InputError(f"{self.name}: {error.strerror or error}") from None

    def _make_block(self) -> PacketSource:
        # One socket for the whole run: there is no connection that could be lost.
        return DatagramSource(self._socket, self._form)


class ZmqSource(NetworkSource):
    """Messages of a ZeroMQ publisher at ``address`` (as tcp://host:port); raw, without tags."""

    def __init__(self, address: str, form: SampleFormat, **settings: float):
        super().__init__(f"zmq {address}", form, **settings)
        self._address = address
        self._socket: object | None = None

    def _listen(self) -> None:
        try:
            import zmq
        except ImportError:
            raise InputError(
                "--zmq needs the Python package zmq: apt-get install python3-zmq"
            ) from None
        self._socket = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        try:
            self._socket.connect(self._address)
        except zmq.ZMQError as error:
            raise InputError(
                f"{self.name}: {error.strerror} (an address is as tcp://localhost:5555)"
            ) from None

    def _make_block(self) -> PacketSource:
        # ZeroMQ connects again by itself.
        return SubscriberSource(self._socket, self._form)


def _settings(args: argparse.Namespace, option: str) -> dict[str, float]:
    if args.samp_rate is None:
        raise InputError(f"{option} needs the sample rate (--samp-rate)")
    return {
        "rate": args.samp_rate,
        "freq_hz": args.freq or 0.0,
        "lost_after_s": args.lost_after,
    }


def _open_udp(args: argparse.Namespace) -> LiveSource:
    form = format_by_name(args.format or "cf32")
    source = UdpSource(args.udp, form, **_settings(args, "--udp"))
    source.open()
    return source


def _open_zmq(args: argparse.Namespace) -> LiveSource:
    form = format_by_name(args.format or "cf32")
    source = ZmqSource(args.zmq, form, **_settings(args, "--zmq"))
    source.open()
    return source


_OBEYS = ("--samp-rate", "--freq", "--format", "--reconnect", "--lost-after")

UDP = SourceKind(
    "--udp", "[HOST:]PORT", "samples in datagrams sent to this address", _OBEYS, _open_udp
)
ZMQ = SourceKind(
    "--zmq", "ADDR", "samples from a ZeroMQ publisher, as tcp://host:port", _OBEYS, _open_zmq
)
