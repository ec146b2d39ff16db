# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SigMF recording of the samples that a run receives, with what was found in them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from gnuradio import blocks, gr

from .. import decision, metadata
from ..guard import WORK_DONE
from .errors import InputError
from .records import DecisionRecord, SignalRecord, Summary
from .segments import Segment, datetime_text
from .sigmf_reader import DATA_SUFFIX, META_SUFFIX, SUFFIXES
from .sigmf_report import AnnotationFile
from .sink_tap import SinkTap
from .sources import Source

_GENERATOR = "gr-kdamc amc_rx"
#: Pieces smaller than this are waited for a little, so that few calls write much; in samples.
_PIECE = 1 << 14
_NAP_S = 0.005
#: The scheduler sizes the buffer before a block by its history: room for what comes meanwhile.
_HISTORY = 1 << 17


def recording_paths(name: Path) -> tuple[Path, Path]:
    """Metadata and data file of the recording that ``name``, with or without suffix, means."""
    base = name.with_suffix("") if name.suffix in SUFFIXES else name
    return (base.with_name(base.name + META_SUFFIX), base.with_name(base.name + DATA_SUFFIX))


class SampleFile:
    """The data of a recording, written in whole samples.

    Raises OSError, with the name of the file in its text; what is written then is valid.
    """

    def __init__(self, path: Path, sample_bytes: int):
        self._path = path
        self._sample_bytes = sample_bytes
        #: Samples written so far.
        self.count = 0
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise OSError(f"{path}: {error.strerror or error}") from None

    def write(self, samples: np.ndarray) -> None:
        """Append samples."""
        rest = memoryview(samples).cast("B")
        written = 0
        try:
            while written < len(rest):
                written += os.write(self._file, rest[written:])
        except OSError as error:
            self.count += written // self._sample_bytes
            os.ftruncate(self._file, self.count * self._sample_bytes)
            raise OSError(f"{self._path}: {error.strerror or error}") from None
        self.count += len(samples)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class RecordSink(gr.sync_block):
    """Samples into a file; ``on_change(segment, sample)`` where a tag says that they change.

    GNU Radio's file sinks cannot say what went wrong; this one keeps it in ``error`` and is done.
    """

    def __init__(
        self,
        file: SampleFile,
        is_complex: bool,
        segment: decision.Segment,
        on_change: Callable[[decision.Segment, int], None],
    ):
        item = np.complex64 if is_complex else np.float32
        gr.sync_block.__init__(self, "record_sink", [item], [])
        self.set_history(_HISTORY)
        self.error: BaseException | None = None
        self._file = file
        self._segment = segment
        self._on_change = on_change

    def work(self, input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Write what is there."""
        samples = input_items[0][_HISTORY - 1 :]
        try:
            self._look_at_tags(len(samples))
            self._file.write(samples)
        except BaseException as error:
            self.error = error
            return WORK_DONE
        if len(samples) < _PIECE:
            time.sleep(_NAP_S)
        return len(samples)

    def _look_at_tags(self, count: int) -> None:
        first = self.nitems_read(0)
        changed: dict[int, decision.Segment] = {}
        for tag in sorted(self.get_tags_in_window(0, 0, count), key=lambda tag: tag.offset):
            after = metadata.after_tag(self._segment, tag.key, tag.value, tag.offset)
            if after is not self._segment:
                self._segment = changed[tag.offset] = after
        for offset, segment in changed.items():
            self._on_change(segment, self._file.count + offset - first)


class RecordReport(SinkTap):
    """Records a source as ``cf32_le`` (or ``rf32_le``) with metadata that grow with it.

    ``name`` with or without a SigMF suffix names both files; older ones are replaced when the
    first samples come.  The metadata are renewed while the run lasts and never describe samples
    that are not in the file, so that a run that is killed leaves a recording that can be read.
    A new frequency and a gap in time begin a capture.

    A report and a tap at once.  ``bandwidth_hz`` as in :class:`AnnotationFile`.
    Raises :class:`InputError` if the folder is not there or not writable.
    """

    def __init__(self, name: Path, source: Source, bandwidth_hz: float):
        meta_path, self._data_path = recording_paths(name)
        if self._data_path.is_dir():
            raise InputError(f"{self._data_path}: cannot be written")
        info = {
            "core:datatype": "cf32_le" if source.is_complex else "rf32_le",
            "core:sample_rate": source.segments[0].sample_rate,
            "core:recorder": _GENERATOR,
            "core:description": source.name,
        }
        self._metadata = AnnotationFile(meta_path, (info, [], 0), bandwidth_hz, _GENERATOR)
        self._item_bytes = gr.sizeof_gr_complex if source.is_complex else gr.sizeof_float
        self._file: SampleFile | None = None
        # Where segments of the source begin: in the source, and in the recording.
        self._starts: list[tuple[int, int]] = []
        self._capture: dict[str, Any] = {}

    def connect(
        self, graph: gr.top_block, samples: gr.basic_block, segment: Segment, is_complex: bool
    ) -> None:
        """Record ``segment`` from ``samples``."""
        if self._file is None:
            self._metadata.write()
            self._file = SampleFile(self._data_path, self._item_bytes)
        first = decision.Segment(segment.freq_hz, segment.sample_rate, segment.time, 0)
        self._starts.append((segment.start, self._file.count))
        self._begin_capture(first, self._file.count)
        self._sink = RecordSink(self._file, is_complex, first, self._begin_capture)
        chain: list[gr.basic_block] = [samples]
        if segment.count is not None:
            chain.append(blocks.head(self._item_bytes, segment.count))
        # The copy has the large buffer that the sink asks for, rather than the source, where it
        # would delay decisions.
        graph.connect(*chain, blocks.copy(self._item_bytes), self._sink)

    def decision(self, record: DecisionRecord) -> None:
        """Keep a decision as an annotation."""
        self._metadata.add(self._placed(record))

    def signal(self, record: SignalRecord) -> None:
        """Keep a signal as an annotation when it has ended."""
        if not record.ongoing:
            self._metadata.add_signal(self._placed(record))

    def stats(self, stats: Mapping[str, Any]) -> None:
        """Bring the metadata up to date."""
        if self._file is not None:
            self._metadata.renew(self._file.count)

    def summary(self, summary: Summary) -> None:
        """Close the recording; see :meth:`AnnotationFile.write`."""
        if self._file is not None:
            self._file.close()
            self._metadata.write(self._file.count)

    def _begin_capture(self, segment: decision.Segment, sample: int) -> None:
        capture: dict[str, Any] = {
            "core:sample_start": sample,
            "core:frequency": segment.freq_hz,
        }
        moment = datetime_text(segment.time)
        if moment is not None:
            capture["core:datetime"] = moment
        self._metadata.add_capture(capture)

    def _placed(self, record: Any) -> Any:
        """The same record, its samples counted in the recording."""
        source_start, recorded = max(
            start for start in self._starts if start[0] <= record.sample_start
        )
        return replace(record, sample_start=record.sample_start - source_start + recorded)
