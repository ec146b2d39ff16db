# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""SigMF: one annotation a decision, beside the recording that they are about."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..decision import Decision
from ..whole_file import is_writable, write_whole
from .errors import InputError
from .labels import signal_detail
from .records import DecisionRecord, Summary, finite
from .sigmf_reader import validate_metadata
from .sources import Source

NAMESPACE = "kdamc"
_VERSION = "1.2.6"
_MAX_LABEL = 20
_EXTENSIONS = [
    {"name": NAMESPACE, "version": "1.0.0", "optional": True},
    {"name": "signal", "version": "1.0.0", "optional": True},
]


class AnnotationFile:
    """Collects annotations and writes a valid ``.sigmf-meta`` file at the end, or none.

    ``header`` describes the recording (see :meth:`.sources.Source.sigmf_header`);
    ``bandwidth_hz`` is how wide an annotation is drawn around its frequency.  The file replaces
    an older one only when it is complete.
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
        info, self._captures, self._offset = header
        own = {extension["name"] for extension in _EXTENSIONS}
        declared = [e for e in info.get("core:extensions", []) if e.get("name") not in own]
        self._global = {
            **info,
            "core:version": _VERSION,
            "core:generator": generator,
            "core:extensions": declared + _EXTENSIONS,
        }
        self._annotations: list[dict[str, Any]] = []
        # Whatever the source's own metadata holds must pass before the run, not after it.
        validate_metadata(self._metadata())

    def clear(self) -> None:
        """Forget all decisions."""
        self._annotations.clear()

    def add(self, record: DecisionRecord | Decision) -> None:
        """Keep a decision; its samples are those of the recording."""
        annotation: dict[str, Any] = {
            "core:sample_start": record.sample_start + self._offset,
            "core:sample_count": record.sample_count,
            "core:freq_lower_edge": record.freq_hz - self._bandwidth_hz / 2,
            "core:freq_upper_edge": record.freq_hz + self._bandwidth_hz / 2,
            "core:label": record.label[:_MAX_LABEL],
            "core:generator": self._generator,
            "core:comment": f"confidence {record.confidence:.3f}, model {record.model}",
            "core:uuid": str(uuid.uuid4()),
            f"{NAMESPACE}:label": record.label,
            f"{NAMESPACE}:confidence": record.confidence,
            f"{NAMESPACE}:entropy": record.entropy,
            f"{NAMESPACE}:snr_db": record.snr_db,
            f"{NAMESPACE}:model": record.model,
        }
        detail = signal_detail(record.label)
        if detail is not None:
            annotation["signal:detail"] = detail
        known = {key: value for key, value in finite(annotation).items() if value is not None}
        self._annotations.append(known)

    def write(self) -> None:
        """Write the file.  Raises :class:`InputError` if it would be invalid, or OSError."""
        self._annotations.sort(key=lambda annotation: annotation["core:sample_start"])
        metadata = self._metadata()
        validate_metadata(metadata)
        text = json.dumps(metadata, indent=2, allow_nan=False, ensure_ascii=False)
        write_whole(self._path, text + "\n")

    def _metadata(self) -> dict[str, Any]:
        return {
            "global": self._global,
            "captures": self._captures,
            "annotations": self._annotations,
        }


class SigmfReport:
    """Annotations of a receiver's run; see :class:`AnnotationFile` for what is raised."""

    def __init__(self, path: Path, source: Source, bandwidth_hz: float):
        self._file = AnnotationFile(path, source.sigmf_header(), bandwidth_hz, "gr-kdamc amc_rx")

    def decision(self, record: DecisionRecord) -> None:
        """Keep a decision."""
        self._file.add(record)

    def stats(self, stats: Mapping[str, Any]) -> None:
        """Counters are not annotations."""

    def summary(self, summary: Summary) -> None:
        """Write the file; see :meth:`AnnotationFile.write`."""
        self._file.write()
