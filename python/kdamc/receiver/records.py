# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a receiver reports: decisions in the source's own samples, and their sum."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .labels import NOISE, UNKNOWN


class DecisionLike(Protocol):
    """What a classifier's decision must have to be reported."""

    label: str
    confidence: float
    entropy: float
    snr_db: float | None
    sample_start: int
    sample_count: int
    model: str
    frames_used: int
    frames_gated: int
    frames_dropped: int


@dataclass(frozen=True)
class DecisionRecord:
    """A decision as it is reported.

    ``time`` in seconds (see :class:`~.segments.Segment`); ``sample_start`` and ``sample_count``
    in samples of the source; ``freq_hz`` is what the classifier saw at 0 Hz; ``truth`` is what
    was sent, where the source knows.
    """

    label: str
    confidence: float
    entropy: float
    snr_db: float | None
    time: float
    sample_start: int
    sample_count: int
    freq_hz: float
    model: str
    frames_used: int
    frames_gated: int
    frames_dropped: int
    truth: str | None = None

    @property
    def is_right(self) -> bool | None:
        """Whether the label is what was sent; None where that is not known."""
        if self.truth is None:
            return None
        if self.truth == NOISE:
            return self.label == UNKNOWN
        return _parts(self.label) == _parts(self.truth)

    def as_json(self) -> dict[str, Any]:
        """The record of a JSON line."""
        record: dict[str, Any] = {
            "type": "decision",
            "label": self.label,
            "confidence": self.confidence,
            "entropy": self.entropy,
            "snr_db": self.snr_db,
            "time": self.time,
            "sample_start": self.sample_start,
            "sample_count": self.sample_count,
            "freq_hz": self.freq_hz,
            "model": self.model,
            "frames_used": self.frames_used,
            "frames_gated": self.frames_gated,
            "frames_dropped": self.frames_dropped,
        }
        if self.truth is not None:
            record["truth"] = self.truth
        return record


def _parts(label: str) -> frozenset[str]:
    """A label's letters and digits apart, so that QAM16, 16QAM and 16-QAM are one."""
    return frozenset(re.findall(r"[A-Z]+|\d+", label.upper()))


def finite(value: Any) -> Any:
    """The same, with every number that JSON lacks (NaN, infinities) replaced by None.

    NumPy's numbers become Python's, tuples become lists.
    """
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class ConfidenceTally:
    """Counts values between 0 and 1 in bins, so that an endless run stays small."""

    _BINS = 1000

    def __init__(self) -> None:
        self._counts = [0] * (self._BINS + 1)
        self.count = 0

    def add(self, confidence: float) -> None:
        """Count a value."""
        self._counts[round(min(max(confidence, 0.0), 1.0) * self._BINS)] += 1
        self.count += 1

    def median(self) -> float:
        """The (lower) median, to half a thousandth."""
        half, seen = (self.count + 1) // 2, 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= half:
                return index / self._BINS
        return 1.0


@dataclass
class Summary:
    """Everything a run came to.

    Frames are counted once each: classified, gated (too weak), refused (silent or not finite) or
    dropped (live, when the machine was too slow).
    """

    source: str
    model: str
    sample_rate: float
    gate_db: float
    confidences: dict[str, ConfidenceTally] = field(default_factory=dict)
    frames_in: int = 0
    classified: int = 0
    gated: int = 0
    refused: int = 0
    dropped: int = 0
    duration_s: float = 0.0
    elapsed_s: float = 0.0
    right: int = 0
    judged: int = 0
    ended: str = "end of input"

    def add(self, record: DecisionRecord) -> None:
        """Count a decision."""
        self.confidences.setdefault(record.label, ConfidenceTally()).add(record.confidence)
        if record.is_right is not None:
            self.judged += 1
            self.right += record.is_right

    @property
    def decisions(self) -> int:
        """How many decisions there were."""
        return sum(tally.count for tally in self.confidences.values())

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of signal worked off in a second."""
        return self.duration_s / self.elapsed_s if self.elapsed_s > 0 else None

    def labels(self) -> list[tuple[str, int, float, float]]:
        """``(label, count, share, median confidence)``, the most frequent first."""
        total = self.decisions
        rows = [
            (label, tally.count, tally.count / total, tally.median())
            for label, tally in self.confidences.items()
        ]
        return sorted(rows, key=lambda row: (-row[1], row[0]))

    def as_json(self) -> dict[str, Any]:
        """The record of the last JSON line."""
        record: dict[str, Any] = {
            "type": "summary",
            "source": self.source,
            "model": self.model,
            "sample_rate": self.sample_rate,
            "gate_db": self.gate_db,
            "decisions": self.decisions,
            "labels": {
                label: {"count": count, "share": share, "median_confidence": median}
                for label, count, share, median in self.labels()
            },
            "frames_in": self.frames_in,
            "classified": self.classified,
            "gated": self.gated,
            "refused": self.refused,
            "dropped": self.dropped,
            "duration_s": self.duration_s,
            "elapsed_s": self.elapsed_s,
            "real_time_factor": self.real_time_factor,
            "ended": self.ended,
        }
        if self.judged:
            record["judged"] = self.judged
            record["right"] = self.right
        return record
