# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine room: one session and one worker a model, one bounded queue a client.

Clients hand in chunks of frames; the worker forms batches across clients, runs them and hands
each chunk back to its client in order.  ONNX Runtime releases the GIL while it computes, so a
radio goes on receiving meanwhile.  Imports neither GNU Radio nor torch.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from .kdamc_python import FRAME_GATED, FRAME_OK
from .model import Model, Outputs, find_model, open_model

log = logging.getLogger(__name__)

#: Frames in one call of the runtime. Longer batches leave the caches, shorter ones pay
#: overhead for every call; script/bench measures both sides.
BATCH_FRAMES = 256


class Chunk:
    """A buffer of consecutive frames of one segment, and later their results.

    Rows of ``start``, ``power``, ``noise_power``, ``snr_est_db``, ``flags`` exist for every
    frame (``rows`` of them); ``iq`` holds the ``delivered`` frames whose flags are 0, densely.
    """

    def __init__(self, frames: int, frame_len: int) -> None:
        self.iq = np.empty((frames, 2, frame_len), np.float32)
        self.start = np.empty(frames, np.uint64)
        self.power = np.empty(frames, np.float32)
        self.noise_power = np.empty(frames, np.float32)
        self.snr_est_db = np.empty(frames, np.float32)
        self.flags = np.empty(frames, np.uint8)
        self.clear(None)

    def clear(self, segment: Any) -> None:
        """Make the buffer empty, for frames of ``segment``."""
        self.segment = segment
        self.rows = 0
        self.delivered = 0
        self.ends_segment = False
        self.next_start = 0
        self.outputs: Outputs | None = None
        self.since = time.monotonic()

    @property
    def gated(self) -> int:
        """Frames that the gate alone withheld; the other withheld ones are unfit."""
        return int(np.count_nonzero(self.flags[: self.rows] == FRAME_GATED))

    @property
    def has_room(self) -> bool:
        """Whether another frame fits and may be added."""
        return self.rows < len(self.flags) and not self.ends_segment


@dataclass
class Lost:
    """Stands in a queue where chunks were dropped; the counts of their frames."""

    dropped: int = 0
    gated: int = 0
    refused: int = 0
    ends_segment: bool = False
    next_start: int = 0


class Receiver(Protocol):
    """Who hands in chunks; both are called in the worker's thread, one at a time."""

    def on_result(self, result: Chunk | Lost) -> None:
        """Take a classified chunk, or note what was lost; the chunk is reused afterwards."""

    def on_error(self, error: BaseException) -> None:
        """The model or ``on_result`` failed; nothing more comes."""


class Client:
    """One bounded queue of an engine.

    ``live``: when all buffers are full the oldest waiting chunk is dropped and counted.
    Otherwise claiming blocks until there is room, and nothing is lost.
    """

    def __init__(self, engine: Engine, receiver: Receiver, live: bool, queue_frames: int) -> None:
        self.engine = engine
        self.error: BaseException | None = None
        self.latencies: deque[float] = deque(maxlen=1024)
        self._receiver = receiver
        self._live = live
        self._changed = engine.changed
        self._queue: deque[Chunk | Lost] = deque()
        self._unfinished = 0
        self._buffers = max(2, -(-queue_frames // BATCH_FRAMES))
        length = engine.model.input_size
        self._free = [Chunk(BATCH_FRAMES, length) for _ in range(self._buffers)]

    @property
    def model(self) -> Model:
        """The engine's model."""
        return self.engine.model

    @property
    def fill(self) -> float:
        """Share of the buffers that wait for the network or are in its hands."""
        return 1 - len(self._free) / self._buffers

    def claim(self, segment: Any) -> Chunk:
        """A chunk with room for frames of ``segment``; hand it back with :meth:`submit`.

        The newest waiting chunk is filled up before another buffer is used, so that a stream
        in small pieces does not fill the queue with nearly empty buffers.
        """
        with self._changed:
            self._raise_error()
            if self._queue:
                newest = self._queue[-1]
                if isinstance(newest, Chunk) and newest.segment is segment and newest.has_room:
                    self._unfinished -= 1
                    return self._queue.pop()
            if not self._free and self._live:
                self._drop_oldest()
            while not self._free:
                self._changed.wait()
                self._raise_error()
            chunk = self._free.pop()
        chunk.clear(segment)
        return chunk

    def submit(self, chunk: Chunk) -> None:
        """Put a claimed chunk at the end of the queue."""
        with self._changed:
            self._queue.append(chunk)
            self._unfinished += 1
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until everything submitted was handed to the receiver."""
        with self._changed:
            while self._unfinished and self.error is None:
                self._changed.wait()
            self._raise_error()

    def wait(self, seconds: float) -> None:
        """Wait until a result is handed over or something is submitted, at most so long."""
        with self._changed:
            self._changed.wait(seconds)

    def close(self) -> None:
        """Leave the engine; what still waits is forgotten."""
        self.engine.leave(self)

    def _drop_oldest(self) -> None:
        # The worker may hold every chunk; then there is nothing to drop, only to wait for.
        lost = self._queue[0] if self._queue and isinstance(self._queue[0], Lost) else None
        position = 0 if lost is None else 1
        if position >= len(self._queue):
            return
        chunk = self._queue[position]
        del self._queue[position]
        if lost is None:
            lost = Lost()
            self._queue.appendleft(lost)
        else:
            self._unfinished -= 1
        lost.dropped += chunk.delivered
        lost.gated += chunk.gated
        lost.refused += chunk.rows - chunk.delivered - chunk.gated
        lost.ends_segment |= chunk.ends_segment
        lost.next_start = chunk.next_start
        self._free.append(chunk)

    def _raise_error(self) -> None:
        if self.error is not None:
            raise RuntimeError(str(self.error)) from self.error

    # What follows is called by the engine, with the condition held where it says so.

    def take(self) -> Chunk | Lost | None:
        """The oldest waiting item (condition held)."""
        return self._queue.popleft() if self._queue else None

    def hand_over(self, item: Chunk | Lost) -> None:
        """Give a result to the receiver and the buffer back (worker's thread)."""
        try:
            if self.error is None:
                self._receiver.on_result(item)
        except BaseException as error:
            self.fail(error)
        if isinstance(item, Chunk):
            self.latencies.append(time.monotonic() - item.since)
        with self._changed:
            if isinstance(item, Chunk):
                self._free.append(item)
            self._unfinished -= 1
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Stop working for this client and say why, once."""
        with self._changed:
            if self.error is not None:
                return
            self.error = error
            self._changed.notify_all()
        self._receiver.on_error(error)


class Engine:
    """One model's session and its worker thread; shared by all clients that name it alike."""

    _rooms: ClassVar[dict[Any, Engine]] = {}
    _rooms_lock = threading.Lock()

    def __init__(self, key: Any, model: Model) -> None:
        self.model = model
        self.changed = threading.Condition()
        self._key = key
        self._clients: list[Client] = []
        self._worker: threading.Thread | None = None
        self._scratch: np.ndarray | None = None

    @classmethod
    def of(cls, name_or_path: str, **settings: Any) -> Engine:
        """The engine of a model, opened if nobody uses it yet.

        ``settings`` are those of :func:`gnuradio.kdamc.model.open_model`, which says what is
        raised.  A file that was replaced since is another model.
        """
        path = find_model(name_or_path).resolve()
        stat = path.stat()
        key = (path, stat.st_mtime_ns, stat.st_size, repr(sorted(settings.items())))
        with cls._rooms_lock:
            engine = cls._rooms.get(key)
        # Opening takes long; it happens outside of the lock, and the first one in stays.
        if engine is None:
            opened = cls(key, open_model(path, **settings))
            with cls._rooms_lock:
                engine = cls._rooms.setdefault(key, opened)
        return engine

    def join(self, receiver: Receiver, live: bool, queue_frames: int) -> Client:
        """A new client; ``queue_frames`` bounds the frames that wait for it."""
        client = Client(self, receiver, live, queue_frames)
        with self.changed:
            self._clients.append(client)
            if self._worker is None:
                name = f"kdamc {self.model.name}"
                self._worker = threading.Thread(target=self._work, name=name, daemon=True)
                self._worker.start()
        with self._rooms_lock:
            self._rooms.setdefault(self._key, self)
        return client

    def leave(self, client: Client) -> None:
        """Forget a client; the last one to leave ends the worker."""
        with self.changed:
            if client in self._clients:
                self._clients.remove(client)
            last = not self._clients
            self.changed.notify_all()
        if last:
            with self._rooms_lock:
                if self._rooms.get(self._key) is self and not self._clients:
                    del self._rooms[self._key]

    def _work(self) -> None:
        while True:
            with self.changed:
                work = self._collect()
                while not work:
                    if not self._clients:
                        self._worker = None
                        return
                    self.changed.wait()
                    work = self._collect()
            chunks = [item for _, item in work if isinstance(item, Chunk) and item.delivered]
            try:
                self._classify(chunks)
            except BaseException as error:
                log.error("%s", error)
                for client, _ in work:
                    client.fail(error)
            for client, item in work:
                client.hand_over(item)

    def _collect(self) -> list[tuple[Client, Chunk | Lost]]:
        """Up to a batch of waiting frames, from each client in turn (condition held)."""
        work: list[tuple[Client, Chunk | Lost]] = []
        frames = 0
        found = True
        while found and frames < BATCH_FRAMES:
            found = False
            for client in self._clients:
                item = client.take() if frames < BATCH_FRAMES else None
                if item is not None:
                    found = True
                    work.append((client, item))
                    frames += item.delivered if isinstance(item, Chunk) else 0
        # Whoever was first is last next time.
        self._clients[:] = self._clients[1:] + self._clients[:1]
        return work

    def _classify(self, chunks: list[Chunk]) -> None:
        needs_power = self.model.info.normalise_mode == "none"

        def power_of(chunk: Chunk) -> np.ndarray | None:
            if not needs_power:
                return None
            return chunk.power[: chunk.rows][chunk.flags[: chunk.rows] == FRAME_OK]

        total = sum(chunk.delivered for chunk in chunks)
        if len(chunks) == 1:
            chunk = chunks[0]
            chunk.outputs = self.model.run(chunk.iq[:total], power_of(chunk))
        elif chunks:
            if self._scratch is None:
                shape = (2 * BATCH_FRAMES, 2, self.model.input_size)
                self._scratch = np.empty(shape, np.float32)
            at = 0
            for chunk in chunks:
                self._scratch[at : at + chunk.delivered] = chunk.iq[: chunk.delivered]
                at += chunk.delivered
            power = np.concatenate([power_of(c) for c in chunks]) if needs_power else None
            outputs = self.model.run(self._scratch[:total], power)
            at = 0
            for chunk in chunks:
                chunk.outputs = outputs[at : at + chunk.delivered]
                at += chunk.delivered
