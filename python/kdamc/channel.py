# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""One stream of samples on its way through kernel, engine and decisions.

Everything that a block does except GNU Radio itself: a block with a stream and a PDU port has
two channels, a scanner one for each signal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .decision import Decision, DecisionMaker, DecisionSettings, Segment
from .engine import Chunk, Client, Engine, Lost
from .kdamc_python import FRAME_OK, FrameKernel
from .model import Model


@dataclass
class Counters:
    """What became of the frames of a channel since it was made.

    ``frames_in`` = ``classified`` + ``gated`` + ``refused`` + ``dropped`` + frames still under
    way; ``refused`` frames are silent or not finite.
    """

    frames_in: int = 0
    classified: int = 0
    gated: int = 0
    refused: int = 0
    dropped: int = 0
    decisions: int = 0

    def __add__(self, other: Counters) -> Counters:
        return Counters(*(a + b for a, b in zip(vars(self).values(), vars(other).values())))  # noqa: B905


@dataclass(frozen=True)
class FrameBatch:
    """Every frame of a classified chunk.

    ``start`` (n,) absolute samples; ``flags`` (n,) :data:`FRAME_OK` or why it was withheld;
    ``power`` (n,) mean power; ``snr_est_db`` (n,) dB or NaN; ``log_posteriors`` (k, classes) of
    the k frames that were classified, in order.  Arrays are views, valid during the callback.
    """

    model: Model
    segment: Segment
    start: np.ndarray
    flags: np.ndarray
    power: np.ndarray
    snr_est_db: np.ndarray
    log_posteriors: np.ndarray


class Channel:
    """Samples in, decisions out.

    ``push``, ``cut``, ``use``, ``begin`` and ``leave`` belong to one thread; results arrive in
    the engine's worker thread through ``on_decisions`` (and ``on_frames``), errors through
    ``on_error``.
    """

    def __init__(
        self,
        engine: Engine,
        settings: DecisionSettings,
        *,
        live: bool,
        queue_frames: int,
        hop: int = 0,
        gate_power: float = 0.0,
        on_decisions: Callable[[list[Decision]], None],
        on_error: Callable[[BaseException], None],
        on_frames: Callable[[FrameBatch], None] | None = None,
    ) -> None:
        self.counters = Counters()
        #: Samples before this one belong to no decision that is still to come.
        self.settled = 0
        self._settings = settings
        self._live = live
        self._queue_frames = queue_frames
        self._hop = hop
        self._gate_power = gate_power
        self._on_decisions = on_decisions
        self._on_frames = on_frames
        self._on_error = on_error
        self._segment = Segment()
        self._enter(engine, 0)

    @property
    def client(self) -> Client:
        """The engine's queue in use."""
        return self._client

    @property
    def position(self) -> int:
        """Absolute index of the next sample to be pushed."""
        return self._kernel.position

    def push(self, samples: np.ndarray, segment: Segment) -> None:
        """Continue the stream with ``samples`` (n,) complex64 of ``segment``.

        A segment other than before starts anew: frames and decisions end where it begins.
        """
        if segment is not self._segment:
            self.cut(self.position)
            self._segment = segment
        while True:
            chunk = self._client.claim(segment)
            row, packed = chunk.rows, chunk.delivered
            room = len(chunk.flags) - row
            try:
                consumed, rows, delivered = self._kernel.process(
                    samples,
                    chunk.iq[packed : packed + room],
                    chunk.start[row:],
                    chunk.power[row:],
                    chunk.noise_power[row:],
                    chunk.snr_est_db[row:],
                    chunk.flags[row:],
                )
                chunk.rows += rows
                chunk.delivered += delivered
                chunk.next_start = self._kernel.next_start
                self.counters.frames_in += rows
            finally:
                self._client.submit(chunk)
            if consumed == len(samples) and rows < room:
                return
            samples = samples[consumed:]

    def cut(self, position: int) -> None:
        """The stream is broken: the decision under way ends, ``position`` starts a frame."""
        chunk = self._client.claim(self._segment)
        chunk.ends_segment = True
        chunk.next_start = position
        self._client.submit(chunk)
        self._kernel.restart(position)

    def drain(self) -> None:
        """Wait until all that was pushed is classified and reported."""
        self._client.drain()

    def use(self, engine: Engine) -> None:
        """Go on with another model; samples of frames not yet complete are kept."""
        pending = self._kernel.pending()
        position = self.position - len(pending)
        self.cut(position)
        self._client.drain()
        self._client.close()
        self._enter(engine, position)
        self.push(pending, self._segment)

    def set_hop(self, hop: int) -> None:
        """Samples between frame starts; 0: the frame length."""
        self._kernel.hop = hop or self._kernel.frame_len
        self._hop = hop

    def set_gate_power(self, gate_power: float) -> None:
        """Mean power under which a frame is gated."""
        self._kernel.gate_power = gate_power
        self._gate_power = gate_power

    def set_on_frames(self, on_frames: Callable[[FrameBatch], None] | None) -> None:
        """Who is told of every frame from now on, if anyone."""
        self._on_frames = on_frames

    def begin(self) -> None:
        """Start anew at sample 0, back in the engine if the channel had left it."""
        self.settled = 0
        if self._left:
            self._enter(self._client.engine, 0)
        else:
            self._kernel.restart(0)

    def wait(self, seconds: float) -> None:
        """Wait until something changes in the engine, but not longer than so."""
        self._client.wait(seconds)

    def leave(self) -> None:
        """Decide what is under way and leave the engine, which then forgets this channel."""
        if self._left:
            return
        try:
            self.cut(self.position)
            self.drain()
        finally:
            self._left = True
            self._client.close()

    def _enter(self, engine: Engine, position: int) -> None:
        length = engine.model.input_size
        self._kernel = FrameKernel(length, self._hop or length, self._gate_power)
        self._kernel.restart(position)
        self._left = False
        self._maker = DecisionMaker(engine.model, self._settings)
        self._client = engine.join(self, self._live, self._queue_frames)

    # The engine's side.

    def on_result(self, result: Chunk | Lost) -> None:
        """Turn a chunk's results into decisions (worker's thread)."""
        maker, counters = self._maker, self.counters
        if isinstance(result, Lost):
            withheld = result.gated + result.refused
            if result.ends_segment or withheld:
                self._report(maker.withheld(withheld))
            maker.dropped(result.dropped)
            counters.dropped += result.dropped
            counters.gated += result.gated
            counters.refused += result.refused
        else:
            self._report(self._decide(result))
        if result.ends_segment:
            self._report(maker.close())
        open_since = maker.open_since
        self.settled = result.next_start if open_since is None else open_since

    def on_error(self, error: BaseException) -> None:
        """Pass an error of the engine on (worker's thread)."""
        self._on_error(error)

    def _decide(self, chunk: Chunk) -> list[Decision]:
        maker, rows, outputs = self._maker, chunk.rows, chunk.outputs
        flags = chunk.flags[:rows]
        self.counters.classified += chunk.delivered
        done: list[Decision] = []

        def feed(rows: slice, frames: slice) -> None:
            """Frames of consecutive rows."""
            done.extend(
                maker.feed(
                    chunk.segment,
                    chunk.start[rows],
                    outputs.logits[frames],
                    chunk.power[rows],
                    chunk.noise_power[rows],
                    None if outputs.snr_db is None else outputs.snr_db[frames],
                    None if outputs.unknown_score is None else outputs.unknown_score[frames],
                )
            )

        withheld = rows - chunk.delivered
        if withheld == 0:
            if rows:
                feed(slice(0, rows), slice(0, rows))
        else:
            gated = chunk.gated
            self.counters.gated += gated
            self.counters.refused += withheld - gated
            # Runs of good frames, parted by runs of withheld ones.
            good = np.flatnonzero(flags == FRAME_OK)
            row = first = 0
            for after in (np.flatnonzero(np.diff(good, append=rows + 1) > 1) + 1).tolist():
                begin, end = int(good[first]), int(good[after - 1]) + 1
                if begin > row:
                    done += maker.withheld(begin - row)
                feed(slice(begin, end), slice(first, after))
                row, first = end, after
            if rows > row:
                done += maker.withheld(rows - row)
        on_frames = self._on_frames  # another thread may change it meanwhile
        if on_frames is not None and outputs is not None:
            on_frames(
                FrameBatch(
                    maker.model,
                    chunk.segment,
                    chunk.start[:rows],
                    flags,
                    chunk.power[:rows],
                    chunk.snr_est_db[:rows],
                    maker.model.log_posteriors(outputs.logits),
                )
            )
        return done

    def _report(self, decisions: list[Decision]) -> None:
        if decisions:
            self.counters.decisions += len(decisions)
            self._on_decisions(decisions)
