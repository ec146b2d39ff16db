# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples and tags that wait until what is said of them is known."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np

from .metadata import TAG_DECISION


class DelayLine:
    """A queue of samples that keeps absolute positions, and tags them with decisions.

    One thread puts and takes; :meth:`decided` may be called by another.
    """

    def __init__(self) -> None:
        self._pieces: deque[tuple[float, np.ndarray]] = deque()
        self._tags: deque[tuple[int, Any, Any]] = deque()
        self._decisions: deque[tuple[int, Any]] = deque()
        #: Absolute index of the oldest sample inside.
        self.first = 0
        #: Absolute index after the newest sample inside.
        self.end = 0

    def put(self, samples: np.ndarray, tags: list[tuple[int, Any, Any]]) -> None:
        """Append a copy of ``samples`` and their ``tags`` (absolute sample, key, value)."""
        if len(samples):
            self._pieces.append((time.monotonic(), samples.copy()))
            self.end += len(samples)
        self._tags.extend(tags)

    def older_than(self, seconds: float) -> int:
        """Absolute index before which all samples have waited longer than ``seconds``."""
        limit, position = time.monotonic() - seconds, self.first
        for arrived, piece in self._pieces:
            if arrived > limit:
                break
            position += len(piece)
        return position

    def decided(self, sample: int, value: Any) -> None:
        """A decision that starts at ``sample``; forgotten where no samples are kept."""
        if self.end:
            self._decisions.append((sample, value))

    def take(self, out: np.ndarray, until: int) -> tuple[int, list[tuple[int, Any, Any]], int]:
        """Move samples before position ``until`` into ``out``.

        Returns how many, their tags (absolute sample, key, value), and how many decisions came
        after their first sample had left.
        """
        count = max(0, min(len(out), until - self.first, self.end - self.first))
        begin, written, late = self.first, 0, 0
        while written < count:
            arrived, piece = self._pieces.popleft()
            part = piece[: count - written]
            out[written : written + len(part)] = part
            written += len(part)
            if len(part) < len(piece):
                self._pieces.appendleft((arrived, piece[len(part) :]))
        self.first += count
        tags = []
        while self._tags and self._tags[0][0] < self.first:
            tags.append(self._tags.popleft())
        while self._decisions and self._decisions[0][0] < self.first:
            sample, value = self._decisions.popleft()
            if sample < begin:
                late += 1
            else:
                tags.append((sample, TAG_DECISION, value))
        return count, tags, late
