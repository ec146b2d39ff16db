# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every source is, and what its kind is on the command line."""

from __future__ import annotations

import argparse
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnuradio import gr

from ..errors import InputError
from ..segments import Segment, datetime_text


class Source(ABC):
    """Samples, complex or real, in one or more segments."""

    #: One line for people: what this is.
    name: str
    #: Whether the samples are complex; real ones are floats.
    is_complex: bool = True
    #: Whether a second reading gives the same samples, so that a first look is allowed.
    is_repeatable: bool = True
    #: Whether the samples come in their own time: then what is too late for them is dropped.
    is_live: bool = False
    #: The parts in order, all of one sample rate; only the last may be without an end.
    segments: list[Segment]
    #: The files that it reads, which no report may overwrite.
    files: tuple[Path, ...] = ()

    @abstractmethod
    def connect(self, graph: gr.top_block, segment: Segment) -> gr.basic_block:
        """Build what delivers ``segment`` into ``graph``; return the block to connect from.

        The stream may be longer than the segment.
        """

    def true_label(self, start: int, count: int) -> str | None:
        """What is being sent in these samples, if the source knows and it is one thing."""
        return None

    def sigmf_header(self) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
        """SigMF global object and captures that describe the source, and its ``core:offset``.

        These are of complex samples that are in no file; who reads a file says which.
        """
        segment = self.segments[0]
        info = {
            "core:datatype": "cf32_le",
            "core:sample_rate": segment.sample_rate,
            "core:metadata_only": True,
            "core:description": self.name,
        }
        return info, [capture(segment)], 0


class LiveSource(Source):
    """A radio or a receiver on a network: one segment without an end, until it is lost.

    :meth:`connect` opens what is not open yet; connected again, it is opened anew.
    """

    is_live = True
    is_repeatable = False
    #: Whether ``rx_time`` tags tell every gap; if not, gaps are inferred from the clock.
    reports_overflows: bool = False
    #: Seconds without a sample after which it counts as lost.
    lost_after_s: float

    def __init__(self, name: str, rate: float, freq_hz: float, lost_after_s: float):
        self.name = name
        self.segments = [Segment(0, None, rate, freq_hz)]
        self.lost_after_s = lost_after_s

    @abstractmethod
    def open(self) -> None:
        """Find out whether it can be used.

        ``segments`` then say what it delivers, which may differ a little from what was asked.
        Raises :class:`InputError`.
        """

    def counters(self) -> Mapping[str, int]:
        """More to report, in all since the start."""
        return {}


def capture(segment: Segment, offset: int = 0) -> dict[str, Any]:
    """The SigMF capture of a segment."""
    found: dict[str, Any] = {"core:sample_start": segment.start + offset}
    if segment.freq_hz:
        found["core:frequency"] = segment.freq_hz
    moment = datetime_text(segment.time)
    if moment is not None:
        found["core:datetime"] = moment
    return found


def check_rate(rate: float) -> float:
    """The rate, Hz.  Raises :class:`InputError` if no stream can have it."""
    if not (math.isfinite(rate) and rate > 0):
        raise InputError(f"a sample rate of {rate:g} Hz is impossible (--samp-rate)")
    return rate


@dataclass(frozen=True)
class SourceKind:
    """One kind of source on the command line.

    ``option`` selects it, with an argument unless ``metavar`` is None; ``obeys`` are the source
    options that it understands, all others are refused; ``open`` makes the source from the
    parsed command line.
    """

    option: str
    metavar: str | None
    help: str
    obeys: tuple[str, ...]
    open: Callable[[argparse.Namespace], Source]
