#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""An rtl_tcp server without a dongle: plays bytes, I then Q, in real time to one client at a time.

    rtl_tcp_server.py --port 0 --pattern signal

prints ``port N`` when it listens and, at its end (SIGTERM, SIGINT), a JSON object of its counters.
As with a dongle, samples do not wait: what the client takes too late is dropped, and counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter, deque

import numpy as np

#: Greeting: magic, tuner (5 is an R820T), number of its gains.
GREETING = struct.pack(">4sII", b"RTL0", 5, 29)
SET_FREQUENCY, SET_SAMPLE_RATE = 1, 2
_COMMAND = struct.Struct(">BI")
_DEFAULT_RATE = 2_048_000
#: Seconds of samples a piece.
_PIECE_S = 0.01
#: The kernel's own buffer is kept short, or it would hide how late a client is.
_SEND_BUFFER = 1 << 18


def counter_pattern() -> bytes:
    """A period of 65,536 samples that count: the low byte is I, the high one Q."""
    return np.arange(1 << 16, dtype="<u2").tobytes()


def counter_breaks(samples: np.ndarray, last: int | None = None) -> tuple[int, int]:
    """How many of these complex samples do not follow the one before, and the last count.

    ``last`` is the count of the sample before the first; samples are (byte - 127.5) / 128, or
    another straight line through bytes that keeps 127.5 at 0.
    """
    parts = np.ascontiguousarray(samples, np.complex64).view(np.float32).reshape(-1, 2)
    low, high = np.rint(parts * 128 + 127.4).astype(np.int64).clip(0, 255).T
    counts = low + 256 * high
    if last is not None:
        counts = np.concatenate([[last], counts])
    return int(np.count_nonzero(np.diff(counts) % (1 << 16) != 1)), int(counts[-1])


def signal_pattern(samples_per_symbol: int = 96, snr_db: float = 20.0, seed: int = 1) -> bytes:
    """A seamless period of about a million samples of QPSK in noise (SNR in the signal's band)."""
    random = np.random.default_rng(seed)
    symbols = (1 << 20) // samples_per_symbol
    count = symbols * samples_per_symbol
    points = np.exp(1j * np.pi / 4 * (2 * random.integers(0, 4, symbols) + 1))
    spectrum = np.tile(np.fft.fft(points), samples_per_symbol)
    # A root raised cosine, drawn where it is defined: in frequency, cycles a symbol.
    turns = np.abs(np.fft.fftfreq(count) * samples_per_symbol)
    rolloff = 0.35
    edge = np.clip((turns - (1 - rolloff) / 2) / rolloff, 0, 1)
    wave = np.fft.ifft(spectrum * np.cos(np.pi / 2 * edge))
    wave /= np.sqrt(np.mean(np.abs(wave) ** 2))
    noise = random.standard_normal((count, 2)) @ [1, 1j] / np.sqrt(2)
    noisy = wave + noise * np.sqrt(samples_per_symbol) * 10 ** (-snr_db / 20)
    parts = noisy.astype(np.complex64).view(np.float32) / (4 * np.std(noisy))
    return np.clip(np.rint(parts * 128 + 127.5), 0, 255).astype(np.uint8).tobytes()


def garbage_pattern() -> bytes:
    """Bytes without any sense."""
    return np.random.default_rng(2).integers(0, 256, (1 << 20) + 2, np.uint8).tobytes()


PATTERNS = {"signal": signal_pattern, "counter": counter_pattern, "garbage": garbage_pattern}


class RtlTcpServer:
    """Serves ``pattern``, over and over, on ``host``:``port`` (0: any free one).

    ``buffer_s`` seconds of samples may wait for the client.  ``greeting`` is sent first; after
    ``silent_after_s`` seconds of samples (None: never) nothing more is sent.
    """

    def __init__(
        self,
        pattern: bytes,
        host: str = "127.0.0.1",
        port: int = 0,
        buffer_s: float = 0.5,
        greeting: bytes = GREETING,
        silent_after_s: float | None = None,
    ):
        self._period = pattern
        self._twice = memoryview(pattern + pattern)
        self._buffer_s = buffer_s
        self._greeting = greeting
        self._silent_after_s = silent_after_s
        self.sample_rate = _DEFAULT_RATE
        self.frequency_hz = 0
        self.sent_bytes = 0
        self.dropped_bytes = 0
        self.clients = 0
        self.commands: Counter[int] = Counter()
        self.last_command: dict[int, int] = {}
        self._closing = threading.Event()
        self._client: socket.socket | None = None
        self._listener = socket.create_server((host, port), backlog=1)
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up and listen no more."""
        self._closing.set()
        client = self._client
        if client is not None:
            with contextlib.suppress(OSError):  # it may have gone first
                client.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def counters(self) -> dict[str, int]:
        """What happened so far."""
        return {
            "clients": self.clients,
            "sent_samples": self.sent_bytes // 2,
            "dropped_samples": self.dropped_bytes // 2,
            "sample_rate": self.sample_rate,
            "frequency_hz": self.frequency_hz,
        }

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            with client:
                self.clients += 1
                self._client = client
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    client.sendall(self._greeting)
                    self._play(client)
                except OSError:
                    pass  # the client went
                self._client = None

    def _play(self, client: socket.socket) -> None:
        gone = threading.Event()
        waiting: deque[memoryview] = deque()
        changed = threading.Condition()

        def listen() -> None:
            rest = b""
            while True:
                try:
                    piece = client.recv(4096)
                except OSError:
                    piece = b""
                if not piece:
                    break
                rest += piece
                whole = len(rest) - len(rest) % _COMMAND.size
                for command, value in _COMMAND.iter_unpack(rest[:whole]):
                    self._obey(command, value)
                rest = rest[whole:]
            with changed:
                gone.set()
                changed.notify()

        def send() -> None:
            while True:
                with changed:
                    changed.wait_for(lambda: waiting or gone.is_set())
                    if gone.is_set():
                        return
                    piece = waiting.popleft()
                try:
                    client.sendall(piece)
                except OSError:
                    gone.set()
                    return
                self.sent_bytes += len(piece)

        threads = [threading.Thread(target=work, daemon=True) for work in (listen, send)]
        for thread in threads:
            thread.start()
        position, made, due = 0, 0.0, time.monotonic()
        while not (gone.is_set() or self._closing.is_set()):
            # The rate may change while this runs: samples are counted by pieces of time.
            due += _PIECE_S
            gone.wait(max(0.0, due - time.monotonic()))
            made += self.sample_rate * _PIECE_S
            size = 2 * int(made)
            made -= int(made)
            piece = self._piece(position, size)
            position = (position + size) % len(self._period)
            if self._silent_after_s is not None:
                self._silent_after_s -= _PIECE_S
                if self._silent_after_s < 0:
                    continue
            with changed:
                waiting.append(piece)
                while len(waiting) * _PIECE_S > self._buffer_s:
                    self.dropped_bytes += len(waiting.popleft())
                changed.notify()
        gone.set()
        with changed:
            changed.notify()
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()

    def _piece(self, position: int, size: int) -> memoryview:
        """``size`` bytes of the pattern without end, from ``position`` of its period."""
        if size <= len(self._period):
            return self._twice[position : position + size]
        rounds = (position + size) // len(self._period) + 1
        return memoryview(self._period * rounds)[position : position + size]

    def _obey(self, command: int, value: int) -> None:
        self.commands[command] += 1
        self.last_command[command] = value
        if command == SET_SAMPLE_RATE:
            self.sample_rate = value
        elif command == SET_FREQUENCY:
            self.frequency_hz = value


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1234)
    parser.add_argument("--pattern", choices=PATTERNS, default="signal")
    parser.add_argument("--buffer", metavar="S", type=float, default=0.5)
    options = parser.parse_args()
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    server = RtlTcpServer(PATTERNS[options.pattern](), options.host, options.port, options.buffer)
    print(f"port {server.port}", flush=True)
    told.wait()
    server.close()
    print(json.dumps(server.counters()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
