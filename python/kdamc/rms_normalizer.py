# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RMS Normalizer block: frame vectors of RMS 1."""

from __future__ import annotations

import numpy as np
from gnuradio import gr

from .frame_slicer import BUFFERED_FRAMES, vector_of
from .guard import Guarded, guarded_work
from .kdamc_python import normalize_rms


class rms_normalizer(Guarded, gr.sync_block):
    """Scale complex vectors of ``frame_len`` samples to RMS 1 in the C++ kernel.

    Silent vectors and those with a sample that is not finite become zeros; ``refused()`` counts
    them.  Raises ValueError for a length under 1.
    """

    def __init__(self, frame_len: int = 1024) -> None:
        if frame_len < 1:
            raise ValueError(f"frame_len must be at least 1, not {frame_len}")
        gr.sync_block.__init__(
            self,
            name="RMS Normalizer",
            in_sig=[vector_of(np.complex64, frame_len)],
            out_sig=[vector_of(np.complex64, frame_len)],
        )
        self._refused = 0
        self._len = frame_len
        self.set_min_output_buffer(BUFFERED_FRAMES)

    def refused(self) -> int:
        """Vectors so far that have no RMS."""
        return self._refused

    @guarded_work
    def work(self, input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Scale what is there."""
        out = output_items[0]
        # Vectors of one sample arrive flat.
        frames = np.ascontiguousarray(input_items[0][: len(out)]).reshape(len(out), self._len)
        self._refused += normalize_rms(frames, out.reshape(len(out), self._len))
        return len(out)
