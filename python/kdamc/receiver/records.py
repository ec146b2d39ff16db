# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a receiver reports: decisions in the source's own samples, and their sum."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .labels import NOISE, UNKNOWN

#: Version of the records that :meth:`as_json` makes; ``stats`` and ``summary`` say it.  It rises
#: when a field changes its meaning or goes away, not when one is added.
SCHEMA_VERSION = 1


class DecisionLike(Protocol):
    """What a classifier's decision must have to be reported."""

    label: str
    confidence: float
    entropy: float
    snr_db: float | None
    sample_start: int
    sample_count: int
    sample_rate: float
    rx_time: tuple[int, float] | None
    freq_hz: float
    bandwidth_hz: float | None
    symbol_rate_hz: float | None
    model: str
    frames_used: int
    frames_gated: int
    frames_dropped: int


class FoundSignalLike(Protocol):
    """What a scanner's signal must have to be reported: see ``band_scanner.FoundSignal``."""

    number: int
    start: int
    stop: int
    ongoing: bool
    centre_hz: float
    bandwidth_hz: float
    symbol_rate_hz: float | None
    snr_db: float
    label: str
    confidence: float
    entropy: float
    frames_used: int
    frames_lost: int


@dataclass(frozen=True)
class DecisionRecord:
    """A decision as it is reported.

    ``time`` in seconds (see :class:`~.segments.Segment`); ``sample_start`` and ``sample_count``
    in samples of the source; ``freq_hz`` is what the classifier saw at 0 Hz; ``truth`` is what
    was sent, where the source knows; ``symbol_rate_hz`` and ``bandwidth_hz`` are the front end's
    estimates, where it makes any.
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
    symbol_rate_hz: float | None = None
    bandwidth_hz: float | None = None

    @property
    def is_right(self) -> bool | None:
        """Whether the label is what was sent; None where that is not known."""
        return is_right(self.label, self.truth)

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
        for name in ("truth", "symbol_rate_hz", "bandwidth_hz"):
            if getattr(self, name) is not None:
                record[name] = getattr(self, name)
        return record


@dataclass(frozen=True)
class SignalRecord:
    """One signal that a scan found, from its start to its end.

    ``number`` counts signals from 1 in the order in which they started.  ``start`` and ``stop``
    in seconds (see :class:`~.segments.Segment`); ``sample_start`` and ``sample_count`` in
    samples of the source; ``freq_hz`` is the centre, absolute; ``snr_db`` is that in the
    occupied band.  What is not known is None.

    ``ongoing`` marks the state until now of a signal that still lasts.  Such records go to the
    live outputs only (console, ZMQ, MQTT); every signal ends with one record that is not
    ongoing, also when it is the run that ends.
    """

    number: int
    start: float
    stop: float
    sample_start: int
    sample_count: int
    freq_hz: float
    bandwidth_hz: float
    symbol_rate_hz: float | None
    snr_db: float | None
    label: str
    confidence: float
    entropy: float
    model: str
    frames_used: int
    frames_dropped: int
    ongoing: bool = False
    truth: str | None = None

    @property
    def is_right(self) -> bool | None:
        """Whether the label is what was sent; None where that is not known."""
        return is_right(self.label, self.truth)

    def as_json(self) -> dict[str, Any]:
        """The record of a JSON line."""
        record: dict[str, Any] = {
            "type": "signal",
            "number": self.number,
            "start": self.start,
            "stop": self.stop,
            "sample_start": self.sample_start,
            "sample_count": self.sample_count,
            "freq_hz": self.freq_hz,
            "bandwidth_hz": self.bandwidth_hz,
            "symbol_rate_hz": self.symbol_rate_hz,
            "snr_db": self.snr_db,
            "label": self.label,
            "confidence": self.confidence,
            "entropy": self.entropy,
            "model": self.model,
            "frames_used": self.frames_used,
            "frames_dropped": self.frames_dropped,
            "ongoing": self.ongoing,
        }
        if self.truth is not None:
            record["truth"] = self.truth
        return record


def is_right(label: str, truth: str | None) -> bool | None:
    """Whether ``label`` is what was sent; None where that is not known."""
    if truth is None:
        return None
    if truth == NOISE and label == UNKNOWN:  # the answer of models without a class for noise
        return True
    return _parts(label) == _parts(truth)


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


def json_text(record: Mapping[str, Any]) -> str:
    """A record as JSON without line breaks; see :func:`finite`."""
    return json.dumps(finite(record), allow_nan=False, ensure_ascii=False)


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
    signal_confidences: dict[str, ConfidenceTally] = field(default_factory=dict)
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
    #: A live source's counters at the end.
    live: Mapping[str, Any] = field(default_factory=dict)
    #: Records that a network output could not get rid of in time.
    unsent: int = 0

    def add(self, record: DecisionRecord) -> None:
        """Count a decision."""
        self._count(self.confidences, record)

    def add_signal(self, record: SignalRecord) -> None:
        """Count a signal that has ended."""
        self._count(self.signal_confidences, record)

    def _count(
        self, tallies: dict[str, ConfidenceTally], record: DecisionRecord | SignalRecord
    ) -> None:
        tallies.setdefault(record.label, ConfidenceTally()).add(record.confidence)
        if record.is_right is not None:
            self.judged += 1
            self.right += record.is_right

    @property
    def decisions(self) -> int:
        """How many decisions there were."""
        return sum(tally.count for tally in self.confidences.values())

    @property
    def signals(self) -> int:
        """How many signals there were."""
        return sum(tally.count for tally in self.signal_confidences.values())

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of signal worked off in a second."""
        return self.duration_s / self.elapsed_s if self.elapsed_s > 0 else None

    def labels(self) -> list[tuple[str, int, float, float]]:
        """``(label, count, share, median confidence)`` of decisions, the most frequent first."""
        return _shares(self.confidences)

    def signal_labels(self) -> list[tuple[str, int, float, float]]:
        """The same of signals."""
        return _shares(self.signal_confidences)

    def as_json(self) -> dict[str, Any]:
        """The record of the last JSON line."""
        record: dict[str, Any] = {
            "type": "summary",
            "schema": SCHEMA_VERSION,
            "source": self.source,
            "model": self.model,
            "sample_rate": self.sample_rate,
            "gate_db": self.gate_db,
            "decisions": self.decisions,
            "labels": _as_json(self.labels()),
            "signals": self.signals,
            "signal_labels": _as_json(self.signal_labels()),
            "frames_in": self.frames_in,
            "classified": self.classified,
            "gated": self.gated,
            "refused": self.refused,
            "dropped": self.dropped,
            "duration_s": self.duration_s,
            "elapsed_s": self.elapsed_s,
            "real_time_factor": self.real_time_factor,
            "unsent": self.unsent,
            **self.live,
            "ended": self.ended,
        }
        if self.judged:
            record["judged"] = self.judged
            record["right"] = self.right
        return record


def _shares(tallies: Mapping[str, ConfidenceTally]) -> list[tuple[str, int, float, float]]:
    total = sum(tally.count for tally in tallies.values())
    rows = [
        (label, tally.count, tally.count / total, tally.median())
        for label, tally in tallies.items()
    ]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def _as_json(rows: list[tuple[str, int, float, float]]) -> dict[str, Any]:
    return {
        label: {"count": count, "share": share, "median_confidence": median}
        for label, count, share, median in rows
    }
