# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Signal Scanner block: a band in, a list of its signals out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from . import metadata
from .band_scanner import BandScanner, FoundSignal, ScanCounters
from .decision import Segment
from .engine import Engine
from .guard import Guarded, guarded_work

_SIGNALS, _STATS = pmt.intern("signals"), pmt.intern("stats")
_MODES = ("live", "offline")


class signal_scanner(Guarded, gr.sync_block):
    """Find the signals of a band, and classify each with a distilled ONNX network.

    Keep a reference to the block: GNU Radio 3.10.5 does not keep Python blocks alive.

    Input: complex samples of the band; stream tags ``rx_freq``, ``rx_rate`` and ``rx_time`` are
    honoured: signals end where the tuning changes or time has a gap. ``eos`` on the last sample
    ends all signals.

    Message ports: ``signals`` gives a PDU a signal when it ends, and one a second or so with
    ``ongoing`` while it lasts (metadata: see :func:`metadata.signal_to_pmt`; no payload);
    ``stats`` gives a dictionary every ``stats_interval`` seconds.

    Args:
        model: name of an installed model, a file, or "" for the default model.
        sample_rate: in Hz; a tag ``rx_rate`` overrules it.
        mode: "live" drops the oldest frames when the network is too slow, "offline" waits.
        max_signals: that are classified at once; others are listed as unknown.
        ring_seconds: of samples that are kept (8 bytes each), at least 1.
        min_bandwidth: in Hz, of a signal that counts.
        unknown_threshold: confidence under which the label is ``unknown``, at 0 it never is;
            below 0: the model's own, or 0.5. A model's own score of the unknown holds beside it.
        ignore_dc: leave out a spike at 0 Hz.
        audio: the band is what a receiver's filter left of a wider one.
        rx_freq: in Hz, until a tag says otherwise.
        rx_time: seconds or (seconds, fraction) of the first sample, until a tag says otherwise.
        queue_frames: frames of a signal that may wait for the network.
        stats_interval: seconds between ``stats`` messages; 0: none.
        classes, layout, normalise_mode, output, input_size: what a third-party model lacks.
        on_signal: called with each :class:`FoundSignal`, samples counted from the block's first
            one, in the block's thread; those that last when the flowgraph stops included (their
            messages may be lost).

    Raises :class:`ModelError` or ValueError.
    """

    def __init__(
        self,
        model: str = "",
        sample_rate: float = 2e6,
        mode: str = "live",
        max_signals: int = 16,
        ring_seconds: float = 2.0,
        min_bandwidth: float = 0.0,
        unknown_threshold: float = -1.0,
        ignore_dc: bool = True,
        audio: bool = False,
        rx_freq: float = 0.0,
        rx_time: float | tuple[int, float] | None = None,
        queue_frames: int = 4096,
        stats_interval: float = 1.0,
        classes: Sequence[str] | str | None = None,
        layout: str | None = None,
        normalise_mode: str | None = None,
        output: str | None = None,
        input_size: int | None = None,
        on_signal: Callable[[FoundSignal], None] | None = None,
    ) -> None:
        gr.sync_block.__init__(self, name="Signal Scanner", in_sig=[np.complex64], out_sig=None)
        if mode not in _MODES:
            raise ValueError(f"mode must be {' or '.join(_MODES)}, not {mode!r}")
        if not sample_rate > 0:
            raise ValueError(f"sample_rate must be above 0, not {sample_rate!r}")
        self._engine = Engine.of(
            model,
            classes=classes or None,
            layout=layout or None,
            normalise_mode=normalise_mode or None,
            output=output or None,
            input_size=input_size or None,
        )
        self._settings = {
            "live": mode == "live",
            "max_signals": max_signals,
            "ring_seconds": ring_seconds,
            "min_bandwidth_hz": min_bandwidth,
            "unknown_threshold": None if unknown_threshold < 0 else unknown_threshold,
            "ignore_dc": ignore_dc,
            "audio": audio,
            "queue_frames": queue_frames,
        }
        clock = (0, rx_time) if isinstance(rx_time, int | float) else rx_time
        self._first_segment = Segment(rx_freq, float(sample_rate), clock, 0)
        self._stats_interval = stats_interval
        self._on_signal = on_signal
        self._asked_freq: float | None = None
        self.message_port_register_out(_SIGNALS)
        self.message_port_register_out(_STATS)
        self._begin()

    def start(self) -> bool:
        """Begin at sample 0, as the scheduler does at every start."""
        self._begin()
        return True

    def stop(self) -> bool:
        """End the signals that last."""
        try:
            if self.error is None:
                self._scanner.finish()
        except Exception as error:
            self.fail(error)
        return True

    def set_rx_freq(self, rx_freq: float) -> None:
        """Hz that 0 Hz of the samples stands for, from the next sample on: signals end there."""
        self._asked_freq = float(rx_freq)

    def set_unknown_threshold(self, unknown_threshold: float) -> None:
        """Confidence under which a signal is unknown; below 0: the model's own."""
        threshold = None if unknown_threshold < 0 else float(unknown_threshold)
        self._settings["unknown_threshold"] = self._scanner.unknown_threshold = threshold

    def set_stats_interval(self, stats_interval: float) -> None:
        """Seconds between ``stats`` messages; 0: none."""
        self._stats_interval = float(stats_interval)

    def stats(self) -> dict[str, Any]:
        """Counters since the start."""
        counters = self._before + self._scanner.counters
        return {
            **vars(counters),
            "ongoing": len(self._scanner.search.tracks),
            "model": self._engine.model.name,
        }

    @guarded_work
    def work(self, input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Scan all samples."""
        samples = input_items[0]
        first, at = self.nitems_read(0), 0
        asked, self._asked_freq = self._asked_freq, None
        if asked is not None and asked != self._segment.freq_hz:
            self._renew(metadata.moved(self._segment, first, freq_hz=asked), first)
        tags = self.get_tags_in_range(0, first, first + len(samples))
        for tag in sorted(tags, key=lambda tag: tag.offset):
            segment = metadata.after_tag(self._segment, tag.key, tag.value, tag.offset)
            here = tag.offset - first
            ends = pmt.eqv(tag.key, metadata.TAG_EOS)
            if segment is not self._segment or ends:
                here += ends
                self._scanner.push(samples[at:here])
                at = here
                self._renew(segment, first + here)
        self._scanner.push(samples[at:])
        now = time.monotonic()
        if self._stats_interval > 0 and now - self._told >= self._stats_interval:
            self._told = now
            self.message_port_pub(_STATS, metadata.dictionary(self.stats()))
        return len(samples)

    def _begin(self) -> None:
        self._before = ScanCounters()
        self._told = time.monotonic()
        self._set(self._first_segment, 0)

    def _renew(self, segment: Segment, sample: int) -> None:
        """End all signals; ``segment`` begins at ``sample``."""
        self._scanner.finish()
        self._before = self._before + self._scanner.counters
        self._set(segment, sample)

    def _set(self, segment: Segment, sample: int) -> None:
        self._segment = segment
        numbered = self._before.signals

        def report(found: FoundSignal) -> None:
            self._report(
                segment,
                replace(
                    found,
                    number=found.number + numbered,
                    start=found.start + sample,
                    stop=found.stop + sample,
                ),
            )

        self._scanner = BandScanner(self._engine, segment.sample_rate, report, **self._settings)

    def _report(self, segment: Segment, found: FoundSignal) -> None:
        if self._on_signal is not None:
            self._on_signal(found)
        meta = metadata.signal_to_pmt(found, segment, self._engine.model.name)
        self.message_port_pub(_SIGNALS, pmt.cons(meta, pmt.PMT_NIL))
