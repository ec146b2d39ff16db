# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people see: a live table in a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, TextIO

from .errors import InputError
from .records import DecisionRecord, SignalRecord, Summary
from .segments import EPOCH_S

#: Decisions further apart than this do not share a line, seconds.
_PAUSE_S = 2.0
#: A signal may drift by this share of its bandwidth and still be at the same place.
_DRIFT = 0.1
#: From so many columns on the table of signals has lines and bars.
_WIDE = 118


def time_text(seconds: float) -> str:
    """A time for people: UTC of the day for dates, else seconds."""
    if abs(seconds) >= EPOCH_S:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
        return moment.strftime("%H:%M:%S.%f")[:-3]
    return f"{seconds:.3f} s"


def freq_text(hertz: float) -> str:
    """A frequency for people."""
    for unit, scale in (("GHz", 1e9), ("MHz", 1e6), ("kHz", 1e3)):
        if abs(hertz) >= scale:
            return f"{hertz / scale:.6g} {unit}" if unit == "kHz" else f"{hertz / scale:.6f} {unit}"
    return f"{hertz:g} Hz"


def snr_text(snr_db: float | None) -> str:
    """An SNR for people; a dash where there is no estimate."""
    return "-" if snr_db is None else f"{snr_db:.1f} dB"


def width_text(hertz: float) -> str:
    """A bandwidth for people, to three digits."""
    return freq_text(float(f"{hertz:.3g}"))


def rate_text(baud: float | None) -> str:
    """A symbol rate for people; a dash where there is no estimate."""
    if baud is None:
        return "-"
    return f"{baud / 1e3:.4g} kBd" if baud >= 1e3 else f"{baud:.4g} Bd"


def duration_text(record: SignalRecord) -> str:
    """How long a signal lasted, or has lasted until now."""
    seconds = record.stop - record.start
    if seconds >= 100:
        return f"{seconds:.0f} s"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.0f} ms"


def truth_text(record: DecisionRecord | SignalRecord) -> str:
    """What was sent, and whether the label says so."""
    if record.truth is None:
        return ""
    return f"{record.truth} {'ok' if record.is_right else 'WRONG'}"


_ONLY_IF_ANY = ("overflows", "unsent")


def stats_text(stats: Mapping[str, Any]) -> str:
    """The classifier's counters in a line."""
    parts = []
    for key, text in (
        ("classified", "{:,} frames"),
        ("frames_per_second", "{:,.0f} frames/s"),
        ("gated", "{:,} gated"),
        ("dropped", "{:,} dropped"),
        ("latency_p50_ms", "p50 {:.1f} ms"),
        ("latency_p99_ms", "p99 {:.1f} ms"),
        ("overflows", "{:,} overflows"),
        ("unsent", "{:,} unsent"),
    ):
        value = stats.get(key)
        if value is not None and value == value and (value or key not in _ONLY_IF_ANY):
            parts.append(text.format(value))
    return ", ".join(parts)


def summary_lines(summary: Summary) -> list[str]:
    """The end of a run in lines."""
    found = f"{summary.decisions} decisions"
    if summary.signals:
        found = f"{summary.signals} signals" + (f", {found}" if summary.decisions else "")
    lines = [
        f"{found} by {summary.model} ({summary.ended}), "
        f"{summary.classified:,} frames, {summary.gated:,} gated, {summary.dropped:,} dropped",
        f"{summary.duration_s:.2f} s of signal in {summary.elapsed_s:.2f} s"
        + (f" ({summary.real_time_factor:.1f} x real time)" if summary.real_time_factor else ""),
    ]
    for label, count, share, median in [*summary.signal_labels(), *summary.labels()]:
        lines.append(f"  {label:<12}{count:>8}{share:>8.1%}   median confidence {median:.2f}")
    if summary.judged:
        lines.append(
            f"right: {summary.right} of {summary.judged} with one signal throughout "
            f"({summary.right / summary.judged:.1%})"
        )
    live = summary.live
    if live.get("overflows") or live.get("reconnects"):
        lines.append(
            f"{live['overflows']:,} overflows{' (inferred)' if live['inferred'] else ''}, "
            f"{live['samples_lost']:,} samples lost, opened again {live['reconnects']:,} times"
        )
    if summary.unsent:
        lines.append(f"{summary.unsent:,} records were left out of slow network outputs")
    return lines


class PlainConsole:
    """A line a decision, or a signal when it has ended."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stdout

    def decision(self, record: DecisionRecord) -> None:
        """Print a decision."""
        self._print(
            f"{time_text(record.time):>14}  {freq_text(record.freq_hz):>16}  {record.label:<10} "
            f"{record.confidence:5.2f}  {snr_text(record.snr_db):>8}  {truth_text(record)}".rstrip()
        )

    def signal(self, record: SignalRecord) -> None:
        """Print a signal when it has ended."""
        if not record.ongoing:
            self._print(
                f"{time_text(record.start):>14}  {duration_text(record):>8}  "
                f"{freq_text(record.freq_hz):>16}  {width_text(record.bandwidth_hz):>12}  "
                f"{rate_text(record.symbol_rate_hz):>10}  {record.label:<10} "
                f"{record.confidence:5.2f}  {snr_text(record.snr_db):>8}  "
                f"{truth_text(record)}".rstrip()
            )

    def stats(self, stats: Mapping[str, Any]) -> None:
        """Counters come with the summary."""

    def refresh(self) -> None:
        """Nothing is kept back."""

    def summary(self, summary: Summary) -> None:
        """Print the summary."""
        for line in summary_lines(summary):
            self._print(line)

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


@dataclass
class _Run:
    """Decisions in a row that say the same, as one row of the table."""

    first: DecisionRecord
    last: DecisionRecord
    truth: str | None
    confidence_sum: float = 0.0
    count: int = 0

    def takes(self, record: DecisionRecord) -> bool:
        """Whether a decision says the same, at the same place, without a pause."""
        return (
            record.label == self.first.label
            and abs(record.freq_hz - self.first.freq_hz) <= _DRIFT * (record.bandwidth_hz or 0.0)
            and (record.truth is None or self.truth in (None, record.truth))
            and record.time - self.last.time < _PAUSE_S
        )

    def add(self, record: DecisionRecord) -> None:
        """Take a decision in."""
        self.last = record
        self.truth = self.truth or record.truth
        self.confidence_sum += record.confidence
        self.count += 1


class LiveConsole:
    """A table of what was found last, redrawn in place.

    Decisions in a row that agree share a line: at some tens a second nobody could read them.
    Signals have a table of their own, a line each, which takes the place of the decisions' if
    ``is_scan`` or with the first signal; of more than fit, those that last stay.
    """

    def __init__(self, title: str, rows: int = 18, is_scan: bool = False):
        try:
            from rich.console import Console
            from rich.live import Live
        except ImportError:
            raise InputError("the live table needs the Python package rich (or --quiet)") from None

        self._title = title
        self._rows = rows
        self._runs: deque[_Run] = deque(maxlen=rows)
        self._is_scan = is_scan
        self._signals: dict[int, SignalRecord] = {}
        self._stats = ""
        self._has_truth = False
        # Decisions arrive in a thread of the flowgraph, drawing happens in the main one.
        self._lock = threading.Lock()
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False)

    def decision(self, record: DecisionRecord) -> None:
        """Show a decision at the next refresh."""
        with self._lock:
            if not self._runs or not self._runs[-1].takes(record):
                self._runs.append(_Run(record, record, record.truth))
            self._runs[-1].add(record)
            self._has_truth |= record.truth is not None

    def signal(self, record: SignalRecord) -> None:
        """Show a signal at the next refresh."""
        with self._lock:
            self._is_scan = True
            self._signals[record.number] = record
            ended = [n for n, signal in self._signals.items() if not signal.ongoing]
            if len(self._signals) > self._rows and ended:
                del self._signals[min(ended)]
            self._has_truth |= record.truth is not None

    def stats(self, stats: Mapping[str, Any]) -> None:
        """Show counters at the next refresh."""
        with self._lock:
            self._stats = stats_text(stats)

    def refresh(self) -> None:
        """Redraw; the first time takes the terminal over."""
        self._live.start()
        self._live.update(self._table(), refresh=True)

    def summary(self, summary: Summary) -> None:
        """Draw a last time, leave the table on the screen, and print the summary below it."""
        with self._lock:
            self._stats = ""  # of the last second; the summary tells the whole
        self.refresh()
        self._live.stop()
        for line in summary_lines(summary):
            self._console.print(line, highlight=False, markup=False)

    def _table(self) -> Any:
        from rich.table import Table

        table = Table(title=self._title, expand=False)
        with self._lock:
            table.caption = self._stats
            if self._is_scan:
                self._fill_with_signals(table)
            else:
                self._fill_with_decisions(table)
        return table

    def _fill_with_decisions(self, table: Any) -> None:
        from rich.text import Text

        table.add_column("time", justify="right")
        table.add_column("frequency", justify="right")
        table.add_column("label", min_width=10)
        table.add_column("confidence", min_width=15)
        table.add_column("SNR", justify="right")
        table.add_column("decisions", justify="right")
        if self._has_truth:
            table.add_column("sent")
        for run in self._runs:
            last = replace(run.last, truth=run.truth)
            row = [
                time_text(run.first.time),
                freq_text(last.freq_hz),
                Text(last.label, style="bold"),
                _confidence_bar(run.confidence_sum / run.count),
                snr_text(last.snr_db),
                str(run.count),
            ]
            table.add_row(*row, *self._truth_cells(last))

    def _fill_with_signals(self, table: Any) -> None:
        from rich.text import Text

        wide = self._console.width >= _WIDE
        rate = "symbol rate"
        if not wide:
            table.box, table.padding, rate = None, (0, 0, 0, 1), "rate"
        table.add_column("#", justify="right", no_wrap=True)
        table.add_column("label", min_width=7, no_wrap=True)
        table.add_column("confidence" if wide else "conf", min_width=15 if wide else 4)
        for name in ("centre", "bandwidth", rate, "SNR", "start", "duration"):
            table.add_column(name, justify="right", no_wrap=True)
        if self._has_truth:
            table.add_column("sent")
        for number, signal in sorted(self._signals.items()):
            duration = duration_text(signal)
            start = time_text(signal.start)
            row = [
                str(number),
                Text(signal.label, style="bold"),
                _confidence_bar(signal.confidence) if wide else f"{signal.confidence:.2f}",
                freq_text(signal.freq_hz),
                width_text(signal.bandwidth_hz),
                rate_text(signal.symbol_rate_hz),
                snr_text(signal.snr_db),
                start if wide or start.endswith("s") else start.partition(".")[0],
                Text(f"{duration} ...", style="green") if signal.ongoing else f"{duration}    ",
            ]
            table.add_row(*row, *self._truth_cells(signal))

    def _truth_cells(self, record: DecisionRecord | SignalRecord) -> list[Any]:
        """The last column, if there is one."""
        if not self._has_truth:
            return []
        from rich.text import Text

        style = {None: "dim", True: "green", False: "red"}[record.is_right]
        return [Text(truth_text(record), style=style)]


def _confidence_bar(confidence: float) -> str:
    return f"{confidence:.2f} {'█' * round(10 * confidence)}"
