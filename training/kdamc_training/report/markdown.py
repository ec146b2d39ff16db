# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Markdown: tables, and numbers written the same way everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

NOTHING = "-"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table, with a blank line after; columns that hold nothing but figures are set right."""
    figures = [all(_is_figure(row[at]) for row in rows) for at in range(len(header))]
    rule = ["---:" if right else "---" for right in figures]
    cells = [header, rule, *rows]
    return [*("| " + " | ".join(row) + " |" for row in cells), ""]


def percent(share: float | None, digits: int = 2) -> str:
    """A share as percent, without the sign."""
    return NOTHING if share is None else f"{100 * share:.{digits}f}"


def spread(mean: float, std: float | None, digits: int = 2) -> str:
    """Mean ± standard deviation of shares, as percent; of nan nothing."""
    if math.isnan(mean):
        return NOTHING
    return percent(mean, digits) + ("" if std is None else f" ± {percent(std, digits)}")


def whole(values: Sequence[int]) -> str:
    """A whole number with commas, or the range of several."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def band(low: int, high: int) -> str:
    """The name of a band of SNR labels."""
    return f"{low}..{high} dB"


def link(title: str) -> str:
    """A link to the heading ``title`` of the same page."""
    kept = (letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return f"[{title}](#{''.join(kept).replace(' ', '-')})"


def _is_figure(cell: str) -> bool:
    return cell == NOTHING or cell.lstrip("+-")[:1].isdigit()
