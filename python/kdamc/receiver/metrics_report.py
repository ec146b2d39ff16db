# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ``/metrics`` page for Prometheus."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from .command_line import host_and_port
from .errors import InputError
from .records import DecisionRecord, SignalRecord, Summary

_ALL_ADDRESSES = "0.0.0.0"
#: What becomes of frames: these counters of ``stats`` are one metric.
_FRAMES = ("classified", "gated", "refused", "dropped")
#: Other counters: key of ``stats``, metric, help.
_COUNTERS = {
    "frames_in": ("kdamc_frames_in", "Frames cut from the samples"),
    "overflows": ("kdamc_overflows", "Gaps in what the radio delivered"),
    "samples_lost": ("kdamc_samples_lost", "Samples lost in those gaps"),
    "samples_received": ("kdamc_samples_received", "Samples that a live source gave"),
    "reconnects": ("kdamc_reconnects", "Times that a lost source was opened again"),
    "packets_refused": ("kdamc_packets_refused", "Packets that were no whole number of samples"),
    "unsent": ("kdamc_unsent", "Records left out of slow network outputs"),
}
#: Values of now.
_GAUGES = {
    "queue_fill": ("kdamc_queue_fill_ratio", "Share of the queue before the network in use"),
    "frames_per_second": ("kdamc_frames_per_second", "Frames classified a second"),
    "elapsed_s": ("kdamc_elapsed_seconds", "Time since the run began"),
}
_QUANTILES = {"latency_p50_ms": "0.5", "latency_p99_ms": "0.99"}


class MetricsReport:
    """Serves ``http://HOST:PORT/metrics`` while the run lasts.

    ``address`` is ``[HOST:]PORT``; without a host, all addresses of the machine.
    Raises :class:`InputError` if it cannot be listened on.
    """

    def __init__(self, address: str, source: str, model: str):
        try:
            import prometheus_client
        except ImportError:
            raise InputError("--metrics needs the Python package prometheus_client") from None
        try:
            host, port = host_and_port(address, default_host=_ALL_ADDRESSES)
        except ValueError as error:
            raise InputError(f"--metrics {address}: {error}") from None
        self._info = {"source": source, "model": model}
        self._lock = threading.Lock()
        self._stats: Mapping[str, Any] = {}
        # Classifiers count from their own start, a run may have several, and counters here
        # must not fall.
        self._ended: Counter[str] = Counter()
        self._decisions: Counter[str] = Counter()
        self._signals: Counter[str] = Counter()
        self._ongoing: set[int] = set()
        registry = prometheus_client.CollectorRegistry()
        registry.register(self)
        try:
            self._server, _ = prometheus_client.start_http_server(port, host, registry)
        except OSError as error:
            raise InputError(f"--metrics {address}: {error.strerror or error}") from None

    def decision(self, record: DecisionRecord) -> None:
        """Count a decision."""
        with self._lock:
            self._decisions[record.label] += 1

    def signal(self, record: SignalRecord) -> None:
        """Count a signal when it has ended."""
        with self._lock:
            if record.ongoing:
                self._ongoing.add(record.number)
            else:
                self._ongoing.discard(record.number)
                self._signals[record.label] += 1

    def stats(self, stats: Mapping[str, Any]) -> None:
        """Show these counters from now on."""
        with self._lock:
            for key in (*_FRAMES, *_COUNTERS):
                before = self._stats.get(key, 0)
                if stats.get(key, 0) < before:
                    self._ended[key] += before
            self._stats = dict(stats)

    def summary(self, summary: Summary) -> None:
        """Close the page."""
        self._server.shutdown()
        self._server.server_close()

    def collect(self) -> Iterator[Any]:
        """The metrics of now; called for each visit."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            InfoMetricFamily,
        )

        with self._lock:
            stats, ended = dict(self._stats), Counter(self._ended)
            decisions, signals = dict(self._decisions), dict(self._signals)
            ongoing = len(self._ongoing)

        def total(key: str) -> float:
            return float(ended[key] + stats.get(key, 0))

        yield InfoMetricFamily("kdamc_receiver", "What is received, and by what", self._info)
        frames = CounterMetricFamily(
            "kdamc_frames", "Frames by what became of them", labels=["result"]
        )
        for key in _FRAMES:
            frames.add_metric([key], total(key))
        yield frames
        for key, (name, text) in _COUNTERS.items():
            yield CounterMetricFamily(name, text, value=total(key))
        for name, text, counts in (
            ("kdamc_decisions", "Decisions by label", decisions),
            ("kdamc_signals", "Signals that have ended, by label", signals),
        ):
            family = CounterMetricFamily(name, text, labels=["label"])
            for label, count in counts.items():
                family.add_metric([label], count)
            yield family
        yield GaugeMetricFamily("kdamc_signals_ongoing", "Signals that last", value=ongoing)
        for key, (name, text) in _GAUGES.items():
            if key in stats:
                yield GaugeMetricFamily(name, text, value=float(stats[key]))
        latency = GaugeMetricFamily(
            "kdamc_latency_seconds", "From a frame's samples to its decision", labels=["quantile"]
        )
        for key, quantile in _QUANTILES.items():
            if key in stats:
                latency.add_metric([quantile], float(stats[key]) / 1e3)
        yield latency
