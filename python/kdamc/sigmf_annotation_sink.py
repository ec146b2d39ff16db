# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SigMF Annotation Sink block: decisions to a SigMF metadata file."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pmt
from gnuradio import gr

from . import metadata
from .guard import Guarded, guarded_handler, handle_waiting
from .receiver.sigmf_reader import SUFFIXES
from .receiver.sigmf_report import AnnotationFile
from .receiver.sources import Source, open_file

_GENERATOR = "gr-kdamc sigmf_annotation_sink"


class sigmf_annotation_sink(Guarded, gr.basic_block):
    """Write one SigMF annotation for each decision, beside the recording that they are about.

    Message port ``decisions`` takes the PDUs of the port of that name of a KD AMC Classifier.
    The file is written when the flowgraph ends, whole or not at all; an older one of that name is
    replaced.  A decision that is under way when the flowgraph ends is not in it unless the last
    sample of the stream has a tag ``eos``.

    Positions count samples of the recording from its first one.  Where the classifier's sample
    rate differs from the recording's, they are scaled by the ratio.

    Args:
        file: the ``.sigmf-meta`` file to write.
        recording: the recording that the samples come from (SigMF, WAV or raw samples with a
            suffix that names their format), which the file then describes; "": the file has
            annotations only.
        sample_rate: in Hz, of raw samples or of no recording.
        freq_hz: what 0 Hz of such samples stands for; decisions without a frequency lie there.
        bandwidth_hz: between the edges of an annotation; 0: the sample rate.

    Raises :class:`InputError` when made for a file or a setting that cannot be used.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        recording: str | os.PathLike[str] = "",
        sample_rate: float = 32e3,
        freq_hz: float = 0.0,
        bandwidth_hz: float = 0.0,
    ) -> None:
        gr.basic_block.__init__(self, name="SigMF Annotation Sink", in_sig=None, out_sig=None)
        if not (math.isfinite(bandwidth_hz) and bandwidth_hz >= 0):
            raise ValueError(f"bandwidth_hz must be 0 or more, not {bandwidth_hz}")
        if not (math.isfinite(sample_rate) and sample_rate > 0):
            raise ValueError(f"sample_rate must be over 0, not {sample_rate}")
        if os.fspath(recording):
            source = _open_recording(Path(recording), sample_rate, freq_hz)
            header, first = source.sigmf_header(), source.segments[0]
            self._rate, self._freq_hz = first.sample_rate, first.freq_hz
        else:
            info = {
                "core:datatype": "cf32_le",
                "core:sample_rate": sample_rate,
                "core:metadata_only": True,
            }
            header = info, [{"core:sample_start": 0, "core:frequency": freq_hz}], 0
            self._rate, self._freq_hz = sample_rate, freq_hz
        self._file = AnnotationFile(Path(file), header, bandwidth_hz or self._rate, _GENERATOR)
        self._port = pmt.intern("decisions")
        self.message_port_register_in(self._port)
        self.set_msg_handler(self._port, self._take_decision)

    def start(self) -> bool:
        """Begin anew: positions count from 0 at every start."""
        self._file.clear()
        return True

    def stop(self) -> bool:
        """Write the file."""
        handle_waiting(self, self._port, self._take_decision)
        try:
            if self.error is None:
                self._file.write()
        except Exception as error:
            self.fail(error)
        return True

    @guarded_handler
    def _take_decision(self, message: Any) -> None:
        decision = metadata.read_decision(message)
        ratio = self._rate / decision.sample_rate
        self._file.add(
            replace(
                decision,
                sample_start=round(decision.sample_start * ratio),
                sample_count=max(1, round(decision.sample_count * ratio)),
                freq_hz=decision.freq_hz or self._freq_hz,
            )
        )


def _open_recording(path: Path, sample_rate: float, freq_hz: float) -> Source:
    """The recording; what it says of itself is not said again."""
    if path.suffix.lower() in SUFFIXES:
        return open_file(path, None, None, None)
    if path.suffix.lower() == ".wav":
        return open_file(path, None, None, freq_hz)
    return open_file(path, None, sample_rate, freq_hz)
