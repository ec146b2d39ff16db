# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""SigMF: one annotation a decision or signal, beside the recording that they are about."""

from __future__ import annotations

import json
import threading
import time
import uuid
from bisect import insort
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gnuradio import gr

from ..decision import Decision
from ..whole_file import is_writable, write_whole
from .errors import InputError
from .labels import signal_detail
from .records import DecisionRecord, SignalRecord, Summary, finite, json_text
from .segments import Segment
from .sigmf_reader import validate_metadata
from .sources import Source, capture

NAMESPACE = "kdamc"
_VERSION = "1.2.6"
_MAX_LABEL = 20
_EXTENSIONS = [
    {"name": NAMESPACE, "version": "1.0.0", "optional": True},
    {"name": "signal", "version": "1.0.0", "optional": True},
]
#: While a run lasts its file is renewed after this time, or after so many times what writing it
#: took, so that a long list costs no more of the machine than a short one.
_RENEW_S = 2.0
_RENEW_SHARE = 20


class AnnotationFile:
    """Collects annotations and writes a valid ``.sigmf-meta`` file, or none.

    ``header`` describes the recording (see :meth:`.sources.Source.sigmf_header`);
    ``bandwidth_hz`` is how wide the annotation of a decision is drawn that does not know.  The
    file replaces an older one only when it is complete.  Annotations may come from another
    thread than calls to write.
    Raises :class:`InputError` if the folder is not there or not writable, or if the header is
    no valid metadata.
    """

    def __init__(
        self,
        path: Path,
        header: tuple[dict[str, Any], list[dict[str, Any]], int],
        bandwidth_hz: float,
        generator: str,
    ):
        self._path = path
        if not is_writable(path):
            raise InputError(f"{path}: cannot be written")
        self._bandwidth_hz = bandwidth_hz
        self._generator = generator
        info, captures, self._offset = header
        self._captures = list(captures)
        own = {extension["name"] for extension in _EXTENSIONS}
        declared = [e for e in info.get("core:extensions", []) if e.get("name") not in own]
        self._global = {
            **info,
            "core:version": _VERSION,
            "core:generator": generator,
            "core:extensions": declared + _EXTENSIONS,
        }
        # (first sample, sample after the last, JSON), in order: renewing a file costs little.
        self._annotations: list[tuple[int, int, str]] = []
        self._lock = threading.Lock()
        self._is_new = False
        self._renew_at = 0.0
        # Whatever the source's own metadata holds must pass before the run, not after it.
        validate_metadata(json.loads(self._text(None)))

    def clear(self) -> None:
        """Forget all decisions."""
        with self._lock:
            self._annotations.clear()

    def add_capture(self, capture: dict[str, Any]) -> None:
        """Append a capture; one of the same first sample is replaced."""
        start = capture["core:sample_start"]
        with self._lock:
            if self._captures and self._captures[-1]["core:sample_start"] == start:
                self._captures.pop()
            self._captures.append(capture)
            self._is_new = True

    def add(self, record: DecisionRecord | Decision) -> None:
        """Keep a decision; its samples are those of the recording."""
        width = getattr(record, "bandwidth_hz", None) or self._bandwidth_hz
        self._keep(record, width, symbol_rate=getattr(record, "symbol_rate_hz", None))

    def add_signal(self, record: SignalRecord) -> None:
        """Keep a signal; its samples are those of the recording."""
        self._keep(
            record, record.bandwidth_hz, number=record.number, symbol_rate=record.symbol_rate_hz
        )

    def _keep(
        self, record: DecisionRecord | Decision | SignalRecord, width: float, **more: Any
    ) -> None:
        first = record.sample_start + self._offset
        own = {
            "label": record.label,
            "confidence": record.confidence,
            "entropy": record.entropy,
            "snr_db": record.snr_db,
            "model": record.model,
            **more,
        }
        annotation: dict[str, Any] = {
            "core:sample_start": first,
            "core:sample_count": record.sample_count,
            "core:freq_lower_edge": record.freq_hz - width / 2,
            "core:freq_upper_edge": record.freq_hz + width / 2,
            "core:label": record.label[:_MAX_LABEL],
            "core:generator": self._generator,
            "core:comment": f"confidence {record.confidence:.3f}, model {record.model}",
            "core:uuid": str(uuid.uuid4()),
            **{f"{NAMESPACE}:{key}": value for key, value in own.items()},
            "signal:detail": signal_detail(record.label),
        }
        known = {key: value for key, value in finite(annotation).items() if value is not None}
        with self._lock:
            insort(self._annotations, (first, first + record.sample_count, json_text(known)))
            self._is_new = True

    def renew(self, until: int | None = None) -> None:
        """Write what there is so far, unless nothing is new or the last time is not long ago.

        ``until`` leaves out what goes beyond this sample, which is not in the recording yet.
        Raises OSError.
        """
        began = time.monotonic()
        if not self._is_new or began < self._renew_at:
            return
        self._is_new = until is not None
        self._write(self._text(until))
        took = time.monotonic() - began
        self._renew_at = began + took + max(_RENEW_S, _RENEW_SHARE * took)

    def write(self, until: int | None = None) -> None:
        """Write the file; ``until`` as in :meth:`renew`.

        Raises :class:`InputError` if it would be invalid, or OSError.
        """
        text = self._text(until)
        validate_metadata(json.loads(text))
        self._write(text)

    def _write(self, text: str) -> None:
        try:
            write_whole(self._path, text)
        except OSError as error:
            raise OSError(f"{self._path}: {error.strerror or error}") from None

    def _text(self, until: int | None) -> str:
        with self._lock:
            captures = [
                capture
                for index, capture in enumerate(self._captures)
                if index == 0 or until is None or capture["core:sample_start"] < until
            ]
            described = {"global": self._global, "captures": captures}
            head = json.dumps(described, indent=2, allow_nan=False, ensure_ascii=False)
            lines = [text for _, end, text in self._annotations if until is None or end <= until]
        annotations = ",\n    ".join(lines)
        body = f"[\n    {annotations}\n  ]" if lines else "[]"
        return f'{head[:-2]},\n  "annotations": {body}\n}}\n'


class SigmfReport:
    """Annotations of a receiver's run; see :class:`AnnotationFile` for what is raised.

    Of a source that is live it wants to be a tap, too: then its captures tell when the source was
    opened, and opened again.
    """

    error: BaseException | None = None

    def __init__(self, path: Path, source: Source, bandwidth_hz: float):
        self._file = AnnotationFile(path, source.sigmf_header(), bandwidth_hz, "gr-kdamc amc_rx")

    def connect(
        self, graph: gr.top_block, samples: gr.basic_block, segment: Segment, is_complex: bool
    ) -> None:
        """Take no samples, but note where and when they begin."""
        self._file.add_capture(capture(segment))

    def decision(self, record: DecisionRecord) -> None:
        """Keep a decision."""
        self._file.add(record)

    def signal(self, record: SignalRecord) -> None:
        """Keep a signal when it has ended."""
        if not record.ongoing:
            self._file.add_signal(record)

    def stats(self, stats: Mapping[str, Any]) -> None:
        """Bring the file up to date: a run that is killed leaves it."""
        self._file.renew()

    def summary(self, summary: Summary) -> None:
        """Write the file; see :meth:`AnnotationFile.write`."""
        self._file.write()
