# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Frame Slicer block: a complex stream to frame vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from . import metadata
from .decision import Segment
from .guard import Guarded, guarded_work

# Frames that a port's buffer should hold: by default a vector of 1,024 samples has room for 8.
BUFFERED_FRAMES = 512
# Samples that are waited for at the most, unless a single frame is longer.
_MOST_SAMPLES = 1 << 13
_MAX_FRAME_LEN = 1 << 20
_MAX_HOP = 1 << 30


def vector_of(dtype: Any, length: int) -> Any:
    """A port's type; vectors of one item are plain items."""
    return dtype if length == 1 else (dtype, length)


class frame_slicer(Guarded, gr.basic_block):
    """Cut a complex stream into vectors of ``frame_len`` samples, one every ``hop`` samples.

    Input: complex samples.  Output: complex vectors of ``frame_len``, unscaled.  Frames with a
    mean power under ``gate_db`` (dB over 1; -200: none) are left out.  No frame extends over a
    change of ``rx_freq`` or ``rx_rate`` or a gap in ``rx_time``; such tags move to the first
    frame after them.  A ``frame_start`` tag (absolute first sample, hop) stands on every frame
    whose start does not follow from the one before.

    Raises ValueError for a length or hop under 1.
    """

    def __init__(self, frame_len: int = 1024, hop: int = 0, gate_db: float = -200.0) -> None:
        hop = hop or frame_len
        if not (1 <= frame_len <= _MAX_FRAME_LEN and 1 <= hop <= _MAX_HOP):
            raise ValueError(
                f"frame_len must be 1 to {_MAX_FRAME_LEN} and hop 1 to {_MAX_HOP},"
                f" not {frame_len} and {hop}"
            )
        gr.basic_block.__init__(
            self,
            name="Frame Slicer",
            in_sig=[np.complex64],
            out_sig=[vector_of(np.complex64, frame_len)],
        )
        self._len = frame_len
        self._hop = hop
        self.set_gate_db(gate_db)
        self._segment = Segment()
        self._skip = 0  # samples before the next frame, beyond what is in the buffer
        self._expected: int | None = None
        self._carried: dict[str, tuple[Any, Any]] = {}
        self.set_tag_propagation_policy(gr.TPP_DONT)
        self.set_min_output_buffer(BUFFERED_FRAMES)
        # Sizes the buffer before the block, so that one frame always fits.
        self.set_relative_rate(1, max(min(hop, _MOST_SAMPLES), frame_len))

    def set_gate_db(self, gate_db: float) -> None:
        """Mean power of a frame, dB over 1, under which it is left out."""
        self._gate = 0.0 if gate_db <= -200 else 10 ** (gate_db / 10)

    def start(self) -> bool:
        """Begin at sample 0, as the scheduler does at every start."""
        self._segment, self._skip, self._expected = Segment(), 0, None
        self._carried.clear()
        return True

    def forecast(self, noutput_items: int, ninputs: int) -> list[int]:
        """Samples for the asked frames, as they overlap."""
        if self._skip:
            return [1]
        wanted = (noutput_items - 1) * self._hop + self._len
        return [min(wanted, max(_MOST_SAMPLES, self._len))]

    @guarded_work
    def general_work(self, input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Copy the frames that are complete."""
        samples, out = input_items[0], output_items[0]
        first = self.nitems_read(0)
        at = min(self._skip, len(samples))
        self._skip -= at
        limit = len(samples)
        for tag in sorted(
            self.get_tags_in_range(0, first, first + limit), key=lambda tag: tag.offset
        ):
            here = tag.offset - first
            segment = metadata.after_tag(self._segment, tag.key, tag.value, tag.offset)
            if segment is self._segment and not self._is_known(tag.key):
                continue
            if segment is not self._segment:
                if here > at:
                    limit = here  # frames before the change first; the tag is met again
                    break
                # A change in a gap between frames: the next frame starts there.
                at, self._skip = here, 0
            self._segment = segment
            if self._is_known(tag.key):
                self._carried[pmt.symbol_to_string(tag.key)] = (tag.key, tag.value)
        available = limit - at
        count = max(0, (available - self._len) // self._hop + 1) if available > 0 else 0
        count = min(count, len(out))
        written = 0
        if count:
            block = samples[at : at + (count - 1) * self._hop + self._len]
            frames = np.lib.stride_tricks.sliding_window_view(block, self._len)[:: self._hop]
            starts = first + at + self._hop * np.arange(count)
            if self._gate > 0:
                power = np.einsum("ij,ij->i", frames, frames.conj()).real / self._len
                passed = power >= self._gate
                frames, starts = frames[passed], starts[passed]
            written = len(frames)
            out[:written] = frames.reshape(out[:written].shape)
            self._tag(starts)
            at += count * self._hop
        if limit < len(samples) and limit - at < self._len:
            at = limit  # what is left before the change is no frame
        used = min(at, len(samples))
        self._skip += at - used
        self.consume(0, used)
        return written

    @staticmethod
    def _is_known(key: Any) -> bool:
        return any(
            pmt.eqv(key, known)
            for known in (metadata.TAG_FREQ, metadata.TAG_RATE, metadata.TAG_TIME)
        )

    def _tag(self, starts: np.ndarray) -> None:
        if not len(starts):
            return
        written = self.nitems_written(0)
        for key, value in self._carried.values():
            self.add_item_tag(0, written, key, value)
        self._carried.clear()
        expected = np.append(
            -1 if self._expected is None else self._expected, starts[:-1] + self._hop
        )
        for k in np.flatnonzero(starts != expected):
            value = pmt.cons(pmt.from_uint64(int(starts[k])), pmt.from_uint64(self._hop))
            self.add_item_tag(0, written + int(k), metadata.TAG_FRAME, value)
        self._expected = int(starts[-1]) + self._hop
