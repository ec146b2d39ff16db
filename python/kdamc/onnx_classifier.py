# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ONNX Classifier block: frame vectors to logits and PDUs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from . import metadata
from .engine import BATCH_FRAMES, Chunk, Client, Engine, Lost
from .frame_slicer import BUFFERED_FRAMES, vector_of
from .guard import Guarded, guarded_work
from .kdamc_python import FRAME_OK, planar_frames


class onnx_classifier(Guarded, gr.basic_block):
    """Run every frame vector through a network.

    Input: complex vectors of the model's frame length, of RMS 1 (put an RMS Normalizer before
    it; a model with another ``normalise_mode`` rescales).  Output (optional): float vectors of
    logits, one an input vector, in the order of ``classes()``; NaN for a vector that is silent or
    not finite, which is left out of the PDUs.  Message port ``frames``: a PDU
    a batch with the model's name, its classes, ``labels`` (u8vector) and, where the frames'
    ``frame_start`` tags say so, ``sample_start`` (u64vector); payload: calibrated posteriors.

    Args as :class:`kd_amc_classifier`.  Raises :class:`ModelError` when made; an error while
    running ends the flowgraph and is kept in ``error``.
    """

    def __init__(
        self,
        model: str = "",
        intra_op_threads: int = 1,
        spinning: bool = False,
        classes: Sequence[str] | str | None = None,
        layout: str | None = None,
        normalise_mode: str | None = None,
        output: str | None = None,
        input_size: int | None = None,
    ) -> None:
        engine = Engine.of(
            os.fspath(model),
            intra_op_threads=intra_op_threads,
            spinning=spinning,
            classes=classes or None,
            layout=layout or None,
            normalise_mode=normalise_mode or None,
            output=output or None,
            input_size=input_size or None,
        )
        self._len = engine.model.input_size
        self._classes = engine.model.classes
        gr.basic_block.__init__(
            self,
            name="ONNX Classifier",
            in_sig=[vector_of(np.complex64, self._len)],
            out_sig=gr.py_io_signature(0, 1, [(np.float32, len(self._classes))]),
        )
        self._engine = engine
        self._client: Client | None = engine.join(self, live=False, queue_frames=BATCH_FRAMES)
        self._logits: list[np.ndarray] = []
        self._next: tuple[int, int] | None = None
        self._port = pmt.intern("frames")
        self.message_port_register_out(self._port)
        self.set_tag_propagation_policy(gr.TPP_ONE_TO_ONE)
        self.set_min_output_buffer(BUFFERED_FRAMES)

    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self._classes

    def forecast(self, noutput_items: int, ninputs: int) -> list[int]:
        """One vector for each row of logits."""
        return [noutput_items] * ninputs

    @guarded_work
    def general_work(self, input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Classify what is there, a batch at most."""
        n = min([len(input_items[0]), BATCH_FRAMES] + [len(out) for out in output_items])
        frames = np.ascontiguousarray(input_items[0][:n]).reshape(n, self._len)
        # Silent frames and those that are not finite never reach the network.
        energy = np.einsum("ij,ij->i", frames.view(np.float32), frames.view(np.float32))
        fit = np.isfinite(energy) & (energy > 0)
        logits = np.full((n, len(self._classes)), np.nan, np.float32)
        if fit.any():
            chunk = self._client.claim(None)
            chunk.rows = chunk.delivered = count = int(np.count_nonzero(fit))
            planar_frames(frames if count == n else frames[fit], chunk.iq)
            chunk.flags[:count] = FRAME_OK
            chunk.power[:count] = 1.0
            self._client.submit(chunk)
            self._client.drain()
            logits[fit] = self._logits.pop()
        self._publish(logits, fit)
        self.consume(0, n)
        if output_items:
            output_items[0][:n] = logits
            return n
        return 0

    def start(self) -> bool:
        """Go back to the engine after a stop."""
        if self._client is None and self.error is None:
            self._client = self._engine.join(self, live=False, queue_frames=BATCH_FRAMES)
        self._next = None
        return True

    def stop(self) -> bool:
        """Leave the engine, which then forgets this block."""
        if self._client is not None:
            self._client.close()
            self._client = None
        return True

    def on_result(self, result: Chunk | Lost) -> None:
        """Keep the logits of the batch that ``general_work`` waits for."""
        self._logits.append(result.outputs.logits)

    def on_error(self, error: BaseException) -> None:
        """Keep the first error and end the flowgraph."""
        self.fail(error)

    def _publish(self, logits: np.ndarray, fit: np.ndarray) -> None:
        model = self._engine.model
        starts = self._starts(len(logits))
        posteriors = np.exp(model.log_posteriors(logits[fit]))
        n = len(posteriors)
        if n == 0:
            return
        meta = metadata.dictionary({"model": model.name, "classes": ",".join(model.classes)})
        labels = pmt.init_u8vector(n, posteriors.argmax(axis=1).tolist())
        meta = pmt.dict_add(meta, pmt.intern("labels"), labels)
        if starts is not None:
            known = np.array(starts, np.uint64)[fit].tolist()
            meta = pmt.dict_add(meta, pmt.intern("sample_start"), pmt.init_u64vector(n, known))
        self.message_port_pub(self._port, pmt.cons(meta, metadata.f32vector(posteriors)))

    def _starts(self, n: int) -> list[int] | None:
        """First samples of the next n frames, from the slicer's tags."""
        first = self.nitems_read(0)
        known: dict[int, Any] = {
            tag.offset - first: tag.value
            for tag in self.get_tags_in_range(0, first, first + n, metadata.TAG_FRAME)
        }
        starts: list[int] = []
        for k in sorted({0, *known}):
            if k in known:
                start, hop = pmt.car(known[k]), pmt.cdr(known[k])
                self._next = (pmt.to_uint64(start), pmt.to_uint64(hop))
            if self._next is None:
                return None
            until = min((j for j in known if j > k), default=n)
            start, hop = self._next
            starts += [start + hop * i for i in range(until - k)]
            self._next = (start + hop * (until - k), hop)
        return starts
