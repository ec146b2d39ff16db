# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a source through front end and classifier, and hand what is found to the reports."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import pmt
from gnuradio import blocks, gr

from .. import metadata
from .errors import InputError
from .front_end import FrontEnd, FrontEndPlan
from .records import (
    SCHEMA_VERSION,
    DecisionLike,
    DecisionRecord,
    FoundSignalLike,
    SignalRecord,
    Summary,
)
from .segments import Segment
from .sources import LiveSource, Source
from .stream_monitor import StreamMonitor

log = logging.getLogger(__name__)

_POLL_S = 0.1
_STATS_S = 1.0
#: Told to end, a flowgraph that has failed gets this long, and one in order that long.
_FAILED_PATIENCE_S = 1.0
_PATIENCE_S = 15.0
#: A flowgraph whose radio is lost may sit in its driver for ever.
_LOST_PATIENCE_S = 3.0
#: Pauses between attempts to open a lost radio again, seconds.
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
#: GNU Radio counts the parts of a joined stream in 32 bits.
_MAX_JOIN = (1 << 31) - 1
_COUNTERS = ("frames_in", "classified", "gated", "refused", "dropped")


class DeviceLostError(RuntimeError):
    """A live source gave no more samples, and was not to be, or could not be, opened again."""


class Classifier(Protocol):
    """What the receiver wants of a classifier block, besides being one."""

    error: BaseException | None

    def stats(self) -> Mapping[str, Any]:
        """Counters since the start."""

    def nitems_read(self, port: int) -> int:
        """Samples taken so far."""


#: Makes a classifier or a scanner for a segment: (segment at its rate, what it calls with a
#: decision or a found signal).
MakeClassifier = Callable[[Segment, Callable[["DecisionLike | FoundSignalLike"], None]], Classifier]


#: Makes a block that finds a signal, for a segment at the rate of its input.
MakeFollower = Callable[[Segment], gr.basic_block]


class Report(Protocol):
    """Somewhere to write to.

    Decisions and signals come one at a time, from a thread of the flowgraph, counters and the
    summary from the main thread.  A network output that had to leave records out counts them in
    an attribute ``unsent``.
    """

    def decision(self, record: DecisionRecord) -> None: ...

    def signal(self, record: SignalRecord) -> None:
        """A signal that has ended or, where ``record.ongoing``, its state until now."""

    def stats(self, stats: Mapping[str, Any]) -> None: ...

    def summary(self, summary: Summary) -> None: ...


class Tap(Protocol):
    """Something that takes the source's own samples, beside the classifier."""

    error: BaseException | None

    def connect(
        self, graph: gr.top_block, samples: gr.basic_block, segment: Segment, is_complex: bool
    ) -> None:
        """Build what takes the samples of ``segment``, and no others, from ``samples``."""


class _Flag:
    """An event that a signal handler may set.

    An Event takes a lock, and would wait for ever for the piece of itself that it interrupts.
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Raise the flag."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether the flag was raised."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Let this time pass, then tell."""
        time.sleep(seconds)
        return self._is_set


class Receiver:
    """One run over a source.

    ``plan`` is the front end for one segment's rate; ``segments`` those of the source's segments
    (or shortened ones) to run; ``refresh`` is called some ten times a second; ``taps`` get the
    samples as the source gives them.  ``make_follower`` makes what looks for a signal between the
    front end and the classifier; then positions of decisions follow from their times.
    Every segment gets a flowgraph of its own, because samples across a change of frequency or a
    gap belong together in no filter and no frame.  A live source that ends, or gives no sample
    for a while, is lost: with ``reconnect`` it is opened again, which begins a segment.
    """

    def __init__(
        self,
        source: Source,
        segments: Sequence[Segment],
        plan: FrontEndPlan,
        make_classifier: MakeClassifier,
        reports: Sequence[Report],
        summary: Summary,
        throttle: bool = False,
        refresh: Callable[[], None] = lambda: None,
        taps: Sequence[Tap] = (),
        reconnect: bool = False,
        make_follower: MakeFollower | None = None,
    ):
        self._source = source
        self._segments = segments
        self._plan = plan
        self._make_classifier = make_classifier
        self._reports = reports
        self._summary = summary
        self._throttle = throttle
        self._refresh = refresh
        self._taps = taps
        self._reconnect = reconnect
        self._make_follower = make_follower
        self._monitor: StreamMonitor | None = None
        # Of monitors before this one: gaps, samples that they lack, samples that came, and how
        # many monitors saw any.
        self._live_before = (0, 0, 0, 0)
        # Flowgraphs that did not end, which must not be destroyed.
        self._stuck: list[Any] = []
        self._stopping = _Flag()
        #: Signals of the segments before this one.
        self._signals_before = 0
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        #: Whether the flowgraph refused to end: the process then should not wait for it.
        self.is_stuck = False

    def stop(self) -> None:
        """End the run soon, as if the source had ended; may be called from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Run to the end, then write the summary.

        Raises what the flowgraph or a report raised, or :class:`DeviceLostError`; the other reports
        are written all the same.
        """
        started = time.monotonic()
        try:
            if isinstance(self._source, LiveSource):
                self._run_live(self._source, self._segments[0], started)
            else:
                for segment in self._segments:
                    if self._stopping.is_set():
                        break
                    self._run_segment(segment, started)
        except BaseException as error:
            self._fail(error)
        self._summary.elapsed_s = time.monotonic() - started
        if isinstance(self._failure, DeviceLostError):
            self._summary.ended = "device lost"
        elif self._failure is not None:
            self._summary.ended = "error"
        elif self._stopping.is_set():
            self._summary.ended = "interrupted"
        self._summary.unsent = self._unsent()
        for report in self._reports:
            try:
                report.summary(self._summary)
            except Exception as error:
                self._fail(error)
        if self._failure is not None:
            raise self._failure

    def report_signal(self, record: SignalRecord) -> None:
        """Hand a signal to the reports; called by one thread at a time."""
        try:
            if not record.ongoing:
                self._summary.add_signal(record)
            for report in self._reports:
                report.signal(record)
        except Exception as error:
            log.debug("report failed", exc_info=True)
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._failure is None:
                self._failure = error
        self._stopping.set()

    def _run_live(self, source: LiveSource, segment: Segment, started: float) -> None:
        """Run a live source until it has given what ``segment`` asks, or is lost."""
        pause = _FIRST_PAUSE_S
        asked = segment.count
        is_first = True
        while True:
            whole, part = divmod(time.time(), 1.0)
            segment = replace(segment, time=(int(whole), part))
            try:
                loss = self._run_segment(segment, started)
            except InputError as error:
                if is_first:
                    raise
                log.info("%s", error)
                loss = str(error)
            received = 0 if self._monitor is None else self._monitor.received
            self._forget_monitor()
            if loss is None or self._stopping.is_set():
                return
            if not self._reconnect:
                raise DeviceLostError(f"{source.name}: device lost: {loss}")
            pause = _FIRST_PAUSE_S if received else min(2 * pause, _LONGEST_PAUSE_S)
            left = None
            if asked is not None:
                # Time goes on while there are no samples.
                seconds = asked / segment.sample_rate - (time.monotonic() - started)
                left = round((seconds - pause) * segment.sample_rate)
                pause = max(0.0, min(pause, seconds))
            end = time.monotonic() + pause
            while not self._stopping.wait(_POLL_S) and time.monotonic() < end:
                self._refresh()
            if self._stopping.is_set() or (left is not None and left <= 0):
                return
            segment = replace(segment, start=segment.start + received, count=left)
            is_first = False

    def _run_segment(self, segment: Segment, started: float) -> str | None:
        """Run a flowgraph; why it ended if the source was lost, else None."""
        graph = gr.top_block("amc_rx")
        at_classifier = replace(
            segment,
            sample_rate=self._plan.output_rate,
            freq_hz=segment.freq_hz + self._plan.tune_hz,
        )
        monitor = None
        if self._source.is_live:
            monitor = StreamMonitor(segment, self._source.reports_overflows)
        self._monitor = monitor

        def on_result(result: DecisionLike | FoundSignalLike) -> None:
            if hasattr(result, "ongoing"):
                self._on_signal(segment, monitor, classifier, result)
            else:
                self._on_decision(segment, monitor, result)

        classifier = self._make_classifier(at_classifier, on_result)
        follower = None if self._make_follower is None else self._make_follower(at_classifier)
        self._assemble(graph, segment, classifier, follower)
        finished = threading.Event()

        def wait_for_end() -> None:
            try:
                graph.wait()
            finally:
                finished.set()

        before = {key: getattr(self._summary, key) for key in _COUNTERS}
        signal_before = self._summary.duration_s
        graph.start()
        # A daemon: a flowgraph that never ends must not keep the process.
        threading.Thread(target=wait_for_end, name="flowgraph", daemon=True).start()
        told_to_stop: float | None = None
        loss: str | None = None
        opened = time.monotonic()
        next_stats = time.monotonic() + _STATS_S
        while not finished.wait(_POLL_S):
            self._look_for_errors(classifier, follower)
            now = time.monotonic()
            if loss is None and told_to_stop is None:
                loss = self._silence(opened, now)
            if self._stopping.is_set() or loss is not None:
                if told_to_stop is None:
                    told_to_stop = now
                    graph.stop()
                if now > told_to_stop + self._patience(loss):
                    self.is_stuck = True
                    self._stuck += [graph, classifier, follower, monitor]
                    if loss is None:
                        self._fail(TimeoutError("the flowgraph did not end"))
                    break
            if now >= next_stats:
                next_stats = now + _STATS_S
                self._report_stats(classifier.stats(), now - started)
            self._refresh()
        self._look_for_errors(classifier, follower)
        stats = classifier.stats()
        self._signals_before += int(stats.get("signals", 0))
        for key, count in before.items():
            setattr(self._summary, key, count + int(stats.get(key, 0)))
        worked_off = (follower or classifier).nitems_read(0) / self._plan.output_rate
        self._summary.duration_s = signal_before + worked_off
        self._report_stats(stats, time.monotonic() - started)
        if loss is None and self._monitor is not None and not self._stopping.is_set():
            received = self._monitor.received
            if segment.count is None or received < segment.count:
                loss = f"it ended after {received:,} samples"
        return loss

    def _patience(self, loss: str | None) -> float:
        if loss is not None:
            return _LOST_PATIENCE_S
        return _PATIENCE_S if self._failure is None else _FAILED_PATIENCE_S

    def _silence(self, opened: float, now: float) -> str | None:
        """Why a live source counts as lost, if it gives no more samples."""
        if self._monitor is None:
            return None
        last = self._monitor.last_arrival
        limit = self._source.lost_after_s
        if now - (opened if last is None else last) <= limit:
            return None
        return f"no sample{'' if last is None else ' more'} in {limit:g} s"

    def _live_stats(self) -> dict[str, Any]:
        """Counters of a live source, over all its segments."""
        gaps, lost, received, opened = self._live_before
        if self._monitor is not None:
            gaps += self._monitor.overflows
            lost += self._monitor.lost
            received += self._monitor.received
            opened += self._monitor.received > 0
        return {
            "overflows": gaps,
            "samples_lost": lost,
            "inferred": not self._source.reports_overflows,
            "samples_received": received,
            "reconnects": max(0, opened - 1),
            **self._source.counters(),
        }

    def _forget_monitor(self) -> None:
        found = self._summary.live = self._live_stats()
        opened = self._live_before[3] + (self._monitor is not None and self._monitor.received > 0)
        self._live_before = (
            found["overflows"], found["samples_lost"], found["samples_received"], opened,
        )  # fmt: skip
        self._monitor = None

    def _look_for_errors(self, *blocks_of_run: Any) -> None:
        for part in (*blocks_of_run, self._monitor, *self._taps):
            if part is not None and part.error is not None:
                self._fail(part.error)

    def _unsent(self) -> int:
        return sum(getattr(report, "unsent", 0) for report in self._reports)

    def _assemble(
        self,
        graph: gr.top_block,
        segment: Segment,
        classifier: Classifier,
        follower: gr.basic_block | None,
    ) -> None:
        plan = self._plan
        item = gr.sizeof_gr_complex if plan.is_complex else gr.sizeof_float
        last: gr.basic_block = self._source.connect(graph, segment)

        def then(block: gr.basic_block) -> None:
            nonlocal last
            graph.connect(last, block)
            last = block

        if self._monitor is not None:
            then(self._monitor)
        if self._throttle:
            then(blocks.throttle(item, segment.sample_rate))
        for tap in self._taps:
            tap.connect(graph, last, segment, plan.is_complex)
        count = segment.count
        if count is not None and plan.flush and count <= _MAX_JOIN:
            joined = blocks.stream_mux(item, [count, plan.flush])
            graph.connect(blocks.null_source(item), (joined, 1))
            then(joined)
            count += plan.flush
        if count is not None:
            then(blocks.head(item, count))
        if not plan.is_transparent:
            then(FrontEnd(plan))
            if self._monitor is not None:
                # Here rate and frequency are others than the source's tags say.
                for key in (metadata.TAG_RATE, metadata.TAG_FREQ):
                    tag_gate = blocks.tag_gate(gr.sizeof_gr_complex)
                    tag_gate.set_single_key(pmt.symbol_to_string(key))
                    then(tag_gate)
            if segment.count is not None:
                then(blocks.head(gr.sizeof_gr_complex, plan.output_count(segment.count)))
        if follower is not None:
            if segment.count is not None and plan.output_count(segment.count) < _MAX_JOIN:
                # One sample more, with the tag that gets out what the follower still holds.
                end = gr.python_to_tag((0, metadata.TAG_EOS, pmt.PMT_T, pmt.PMT_F))
                last_sample = blocks.vector_source_c([0j], False, 1, [end])
                count_and_end = [plan.output_count(segment.count), 1]
                joined = blocks.stream_mux(gr.sizeof_gr_complex, count_and_end)
                graph.connect(last_sample, (joined, 1))
                then(joined)
            then(follower)
        then(classifier)

    def _on_decision(
        self, segment: Segment, monitor: StreamMonitor | None, decision: DecisionLike
    ) -> None:
        try:
            first, count = self._place(segment, monitor, decision)
            start = segment.start + first
            clock = segment if monitor is None else monitor
            freq_hz = segment.freq_hz + self._plan.tune_hz
            record = DecisionRecord(
                label=decision.label,
                confidence=float(decision.confidence),
                entropy=float(decision.entropy),
                snr_db=None if decision.snr_db is None else float(decision.snr_db),
                time=clock.seconds_at(start),
                sample_start=start,
                sample_count=count,
                freq_hz=decision.freq_hz if self._make_follower else freq_hz,
                model=decision.model,
                frames_used=decision.frames_used,
                frames_gated=decision.frames_gated,
                frames_dropped=decision.frames_dropped,
                truth=self._source.true_label(start, count),
                symbol_rate_hz=decision.symbol_rate_hz,
                bandwidth_hz=decision.bandwidth_hz,
            )
            self._summary.add(record)
            for report in self._reports:
                report.decision(record)
        except Exception as error:
            # Raised here it would end a thread of the flowgraph, and the run would hang.
            log.debug("report failed", exc_info=True)
            self._fail(error)

    def _place(
        self, segment: Segment, monitor: StreamMonitor | None, decision: DecisionLike
    ) -> tuple[int, int]:
        """First sample and number of samples of a decision, in the segment's samples."""
        if self._make_follower is None:
            return self._plan.source_range(
                decision.sample_start, decision.sample_count, segment.count
            )
        count = round(decision.sample_count * segment.sample_rate / decision.sample_rate)
        if monitor is not None:
            return monitor.sample_at(decision.rx_time), count
        at = (decision.rx_time[0] - segment.time[0]) + (decision.rx_time[1] - segment.time[1])
        first = max(0, round(at * segment.sample_rate))
        if segment.count is not None:
            first = min(first, segment.count)
            count = min(count, segment.count - first)
        return first, count

    def _on_signal(
        self,
        segment: Segment,
        monitor: StreamMonitor | None,
        scanner: Classifier,
        found: FoundSignalLike,
    ) -> None:
        """A signal as the scanner found it, in terms of the source."""
        first, count = self._plan.source_range(found.start, found.stop - found.start, segment.count)
        start = segment.start + first
        clock = segment if monitor is None else monitor
        self.report_signal(
            SignalRecord(
                number=self._signals_before + found.number,
                start=clock.seconds_at(start),
                stop=clock.seconds_at(start + count),
                sample_start=start,
                sample_count=count,
                freq_hz=segment.freq_hz + self._plan.tune_hz + found.centre_hz,
                bandwidth_hz=found.bandwidth_hz,
                symbol_rate_hz=found.symbol_rate_hz,
                snr_db=found.snr_db,
                label=found.label,
                confidence=found.confidence,
                entropy=found.entropy,
                model=str(scanner.stats()["model"]),
                frames_used=found.frames_used,
                frames_dropped=found.frames_lost,
                ongoing=found.ongoing,
                truth=self._source.true_label(start, count),
            )
        )

    def _report_stats(self, stats: Mapping[str, Any], elapsed_s: float) -> None:
        record = {
            "schema": SCHEMA_VERSION,
            "elapsed_s": elapsed_s,
            **stats,
            **(self._live_stats() if self._source.is_live else {}),
            "unsent": self._unsent(),
        }
        try:
            for report in self._reports:
                report.stats(record)
        except Exception as error:
            self._fail(error)
