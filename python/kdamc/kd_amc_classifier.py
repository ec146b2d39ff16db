# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The KD AMC Classifier block: complex samples in, labelled and timed decisions out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from . import metadata
from .channel import Channel, Counters, FrameBatch
from .contract import ModelError
from .decision import Decision, DecisionSettings, Segment
from .delay_line import DelayLine
from .engine import Engine
from .guard import Guarded, guarded_handler, guarded_work

# The scheduler sizes the buffer before a block by its history: this gives it room for as many
# samples again. With the default of 8,192 a network would get batches of a few dozen frames.
# Live the room is a compromise: a throttled source fills it in one go, which delays decisions.
_HISTORY = {"live": 1 << 15, "offline": 1 << 17}

# How long the stream output looks away when its input pauses.
_PAUSE_S = 0.01

_CLASSES = pmt.intern("classes")

#: What may change while the block runs: each has a ``set_`` method, and is a key of commands.
LIVE_SETTINGS = (
    "model",
    "sample_rate",
    "rx_freq",
    "hop",
    "gate_db",
    "decision_frames",
    "decision_interval",
    "unknown_threshold",
    "publish_frames",
    "stats_interval",
    "tag_deadline",
)

# Samples that may wait to be copied out before more are read.
_BACKLOG = 1 << 16


class kd_amc_classifier(Guarded, gr.basic_block):
    """Classify the modulation of a stream with a distilled ONNX network.

    Keep a reference to the block: GNU Radio 3.10.5 does not keep Python blocks alive.

    Input (optional): complex samples; stream tags ``rx_freq``, ``rx_rate``, ``rx_time`` are
    honoured, ``eos`` on the last sample publishes the decision under way.  Output (optional):
    the same samples, delayed until their decision exists, with an ``amc_decision`` tag on its
    first sample.  All other tags keep their samples.  Offline, samples of a decision that is
    under way when the input ends leave only if its last sample has an ``eos`` tag.

    Message ports: ``iq`` takes c32vector PDUs (``rx_freq``, ``sample_rate``, ``rx_time``), each
    a segment of its own; ``command`` takes a dictionary or a pair of :data:`LIVE_SETTINGS`, each
    of which also has a ``set_`` method.  ``decisions`` gives a PDU a decision (payload: the fused
    posterior, in the order of ``classes``, a comma-separated string in its metadata), ``frames``
    a PDU a batch of frames if ``publish_frames``, ``stats`` a dictionary every
    ``stats_interval`` seconds.

    Args:
        model: name of an installed model, a file, or "" for the default model.
        sample_rate: in Hz; a tag ``rx_rate`` overrules it.
        hop: samples between frame starts; 0: the frame length.
        decision_frames: frames fused into one decision.
        decision_interval: seconds (of samples) after which a decision ends anyway; 0: never.
        gate_db: mean power of a frame, dB over 1, under which it is withheld; -200: none.
        unknown_threshold: confidence under which the label is ``unknown``, at 0 it never is;
            below 0: the model's own, or 0.5. A model's own score of the unknown holds beside it.
        mode: "live" drops the oldest frames when the network is too slow; "offline" waits for
            it, so that nothing is lost: ``work`` returns when its frames are decided, unless
            more input is there already, which brings the next call.
        rx_freq: in Hz, until a tag says otherwise.
        rx_time: seconds or (seconds, fraction) of the first sample, until a tag says otherwise.
        queue_frames: frames that may wait for the network.
        tag_deadline: live, seconds after which the stream output goes on untagged.
        publish_frames: publish every frame on ``frames``.
        stats_interval: seconds between ``stats`` messages; 0: none.
        intra_op_threads, spinning: ONNX Runtime's threads, and whether they spin when idle.
        classes, layout, normalise_mode, output, input_size: what a third-party model lacks.
        on_decision: called with each :class:`Decision` in the worker's thread, the trailing
            partial one included (its message may be lost when the flowgraph stops).

    Raises :class:`ModelError` or ValueError when made; while running, a setting that cannot be
    used is refused, logged and published on ``stats`` as ``setting_refused``, and the old one works
    on. Any other error ends the flowgraph and is kept in ``error``.
    """

    def __init__(
        self,
        model: str = "",
        sample_rate: float = 32e3,
        hop: int = 0,
        decision_frames: int = 64,
        decision_interval: float = 1.0,
        gate_db: float = -200.0,
        unknown_threshold: float = -1.0,
        mode: str = "live",
        rx_freq: float = 0.0,
        rx_time: float | tuple[int, float] | None = None,
        queue_frames: int = 4096,
        tag_deadline: float = 1.0,
        publish_frames: bool = False,
        stats_interval: float = 1.0,
        intra_op_threads: int = 1,
        spinning: bool = False,
        classes: Sequence[str] | str | None = None,
        layout: str | None = None,
        normalise_mode: str | None = None,
        output: str | None = None,
        input_size: int | None = None,
        on_decision: Callable[[Decision], None] | None = None,
    ) -> None:
        gr.basic_block.__init__(
            self,
            name="KD AMC Classifier",
            in_sig=gr.py_io_signature(0, 1, [np.complex64]),
            out_sig=gr.py_io_signature(0, 1, [np.complex64]),
        )
        if mode not in _HISTORY:
            raise ValueError(f"mode must be {' or '.join(_HISTORY)}, not {mode!r}")
        self._live = mode == "live"
        self._past = _HISTORY[mode] - 1  # old samples before the new ones in every call
        self._explicit = {
            "intra_op_threads": intra_op_threads,
            "spinning": spinning,
            "classes": classes or None,
            "layout": layout or None,
            "normalise_mode": normalise_mode or None,
            "output": output or None,
            "input_size": input_size or None,
        }
        self._settings = DecisionSettings(
            _checked_frames(decision_frames),
            _checked_interval(decision_interval),
            _threshold(unknown_threshold),
        )
        self._hop = _checked_hop(hop)
        self._gate_power = _gate_power(gate_db)
        self._tag_deadline = _checked_deadline(tag_deadline)
        self._publish_frames = publish_frames
        self._stats_interval = _checked_stats_interval(stats_interval)
        self._on_decision = on_decision
        self._first_segment = Segment(
            _checked_freq(rx_freq), _checked_rate(sample_rate), _time(rx_time), 0
        )
        self._segment = self._first_segment

        # Of every model in use so far: a decision may leave after its model was replaced.
        self._class_names: dict[str, Any] = {}
        engine = self._engine_of(model)
        self._queue_frames = queue_frames
        self._stream = self._channel(engine, self._take_stream_decisions)
        # PDUs have positions and decisions of their own; most flowgraphs have none.
        self._pdus: Channel | None = None

        self._delay = DelayLine()
        self._late = 0
        # Changes asked for by other threads; made between two pieces of the stream.
        self._asked: dict[str, Any] = {}
        self._asked_lock = threading.Lock()
        self._stats_at = time.monotonic()
        self._stats_frames = 0

        self.set_history(self._past + 1)
        self.set_tag_propagation_policy(gr.TPP_DONT)
        self._ports = {
            name: pmt.intern(name) for name in ("decisions", "frames", "stats", "iq", "command")
        }
        for name in ("decisions", "frames", "stats"):
            self.message_port_register_out(self._ports[name])
        for name, handler in (("iq", self._take_pdu), ("command", self._take_command)):
            self.message_port_register_in(self._ports[name])
            self.set_msg_handler(self._ports[name], handler)

    # Settings that may change while running.

    def set_model(self, model: str) -> bool:
        """Go on with another model; False (and the old one stays) if it cannot be used."""
        try:
            engine = self._engine_of(model)
        except (ModelError, TypeError) as error:
            return self._refuse(f"model {str(model)[:80]!r}", error)
        return self._ask("engine", engine)

    def set_hop(self, hop: int) -> bool:
        """Samples between frame starts; 0: the frame length."""
        return self._change("hop", hop, _checked_hop)

    def set_gate_db(self, gate_db: float) -> bool:
        """Mean power of a frame, dB over 1, under which it is withheld."""
        return self._change("gate_db", gate_db, _gate_power)

    def set_rx_freq(self, rx_freq: float) -> bool:
        """In Hz, from the next sample on, until a tag says otherwise."""
        return self._change("rx_freq", rx_freq, _checked_freq)

    def set_sample_rate(self, sample_rate: float) -> bool:
        """In Hz, from the next sample on, until a tag says otherwise."""
        return self._change("sample_rate", sample_rate, _checked_rate)

    def set_publish_frames(self, publish_frames: bool) -> bool:
        """Whether every frame is published on ``frames``."""
        return self._change("publish_frames", publish_frames, bool)

    def set_decision_frames(self, decision_frames: int) -> bool:
        """Frames fused into one decision; holds from the decision under way."""
        return self._change("decision_frames", decision_frames, _checked_frames, self._settings)

    def set_decision_interval(self, decision_interval: float) -> bool:
        """Seconds after which a decision ends anyway; 0: never."""
        return self._change(
            "decision_interval", decision_interval, _checked_interval, self._settings
        )

    def set_unknown_threshold(self, unknown_threshold: float) -> bool:
        """Below 0: the model's own."""
        return self._change("unknown_threshold", unknown_threshold, _threshold, self._settings)

    def set_tag_deadline(self, tag_deadline: float) -> bool:
        """Live, seconds after which the stream output goes on untagged."""
        return self._change("_tag_deadline", tag_deadline, _checked_deadline, self)

    def set_stats_interval(self, stats_interval: float) -> bool:
        """Seconds between ``stats`` messages; 0: none."""
        return self._change("_stats_interval", stats_interval, _checked_stats_interval, self)

    def model(self) -> str:
        """Name of the model in use."""
        return self._stream.client.model.name

    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the posteriors."""
        return self._stream.client.model.classes

    def stats(self) -> dict[str, Any]:
        """Counters since the start, and latency from sample to decision in milliseconds.

        ``frames_per_second`` is the rate since the last ``stats`` message, ``queue_fill`` the
        share of the queue before the network that is in use, 0 to 1.
        """
        channels = [c for c in (self._stream, self._pdus) if c is not None]
        total = sum((c.counters for c in channels), Counters())
        waits = np.array([w for c in channels for w in list(c.client.latencies)])
        p50, p99 = np.percentile(waits, (50, 99)) * 1e3 if len(waits) else (np.nan, np.nan)
        elapsed = max(time.monotonic() - self._stats_at, 1e-9)
        return {
            **asdict(total),
            "late": self._late,
            "frames_per_second": (total.classified - self._stats_frames) / elapsed,
            "latency_p50_ms": float(p50),
            "latency_p99_ms": float(p99),
            "queue_fill": max(c.client.fill for c in channels),
            "model": self.model(),
        }

    # What GNU Radio calls.

    def forecast(self, noutput_items: int, ninputs: int) -> list[int]:
        """Nothing is needed while samples wait to leave (live, in any case), else a new one."""
        waiting = self._delay.end > self._delay.first
        if not self._live:
            waiting = waiting and self._stream.settled > self._delay.first
        return [0 if waiting else self._past + 1] * ninputs

    @guarded_work
    def general_work(self, input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Read what is there, give what is settled."""
        self._make_changes()
        read = 0
        if input_items:
            with_output = bool(output_items)
            if not with_output or self._backlog() < _BACKLOG:
                # A part of the room: while these are classified the next ones are written.
                samples = input_items[0][self._past :]
                part = samples[: (self._past + 1) // 4]
                self._read(part, with_output)
                read = len(part)
                # With more input at hand there is a next call, and the network need not pause.
                if not self._live and len(part) == len(samples):
                    self._stream.drain()
        self._publish_stats()
        if not output_items:
            return 0
        written = self._write(output_items[0])
        if written == 0 and read == 0:
            # Live, without input: until a decision comes or the deadline passes.
            self._stream.wait(_PAUSE_S)
        return written

    def start(self) -> bool:
        """Count positions from 0, as the scheduler does at every start."""
        try:
            self._delay = DelayLine()
            self._segment = self._first_segment
            for channel in (self._stream, self._pdus):
                if channel is not None and self.error is None:
                    channel.begin()
        except BaseException as error:
            self.fail(error)
        return True

    def stop(self) -> bool:
        """Publish the decision under way; ``on_decision`` gets it even if the message is lost."""
        for channel in (self._stream, self._pdus):
            try:
                if channel is not None:
                    channel.leave()
            except BaseException as error:
                self.fail(error)
        return True

    def _read(self, samples: np.ndarray, keep: bool) -> None:
        first = self.nitems_read(0)
        n = len(samples)
        tags = [
            (tag.offset, tag.key, tag.value)
            for tag in sorted(
                self.get_tags_in_range(0, first, first + n), key=lambda tag: tag.offset
            )
        ]
        if keep:
            self._delay.put(samples, tags)
        at = 0
        for offset, key, value in tags:
            here = offset - first
            if pmt.eqv(key, metadata.TAG_EOS):
                self._stream.push(samples[at : here + 1], self._segment)
                self._stream.cut(offset + 1)
                at = here + 1
                continue
            segment = metadata.after_tag(self._segment, key, value, offset)
            if segment is not self._segment:
                if here > at:
                    self._stream.push(samples[at:here], self._segment)
                    at = here
                self._segment = segment
        if at < n:
            self._stream.push(samples[at:], self._segment)
        self.consume(0, n)

    def _backlog(self) -> int:
        return min(self._stream.settled, self._delay.end) - self._delay.first

    def _write(self, out: np.ndarray) -> int:
        until = self._stream.settled
        if self._live:
            until = max(until, self._delay.older_than(self._tag_deadline))
        count, tags, late = self._delay.take(out, until)
        self._late += late
        for offset, key, value in tags:
            self.add_item_tag(0, offset, key, value)
        return count

    @guarded_handler
    def _take_pdu(self, message: Any) -> None:
        if not pmt.is_pair(message) or not pmt.is_c32vector(pmt.cdr(message)):
            self._refuse("message on iq", ValueError("not a PDU with a c32vector"))
            return
        self._make_changes()
        if self._pdus is None:
            self._pdus = self._channel(self._stream.client.engine, self._take_decisions)
        samples = np.array(pmt.c32vector_elements(pmt.cdr(message)), np.complex64)
        meta = pmt.car(message)
        if not pmt.is_dict(meta):
            meta = pmt.make_dict()

        def number(key: Any, default: float) -> float:
            return metadata.read_number(pmt.dict_ref(meta, key, pmt.PMT_NIL), default)

        rate = number(metadata.META_RATE, self._segment.sample_rate)
        channel = self._pdus
        segment = replace(
            self._segment,
            freq_hz=number(metadata.META_FREQ, self._segment.freq_hz),
            sample_rate=rate if rate > 0 else self._segment.sample_rate,
            time=metadata.read_time(pmt.dict_ref(meta, metadata.META_TIME, pmt.PMT_NIL)),
            time_at=channel.position,
        )
        channel.push(samples, segment)
        channel.cut(channel.position)
        if not self._live:
            channel.drain()
        self._publish_stats()

    @guarded_handler
    def _take_command(self, message: Any) -> None:
        try:
            if pmt.is_dict(message) and not pmt.is_null(message):
                items = pmt.to_python(message)
            else:
                items = {pmt.to_python(pmt.car(message)): pmt.to_python(pmt.cdr(message))}
            items = dict(items)
        except Exception:
            self._refuse("command", ValueError("neither a dictionary nor a pair"))
            return
        setters = {name: getattr(self, f"set_{name}") for name in LIVE_SETTINGS}
        for key, value in items.items():
            setter = setters.get(str(key))
            if setter is None:
                self._refuse(f"command {key!r}", ValueError(f"known are {', '.join(setters)}"))
                continue
            try:
                setter(value)
            except Exception as error:
                self._refuse(f"command {key!r}", error)

    # Inside.

    def _engine_of(self, model: str) -> Engine:
        engine = Engine.of(os.fspath(model), **self._explicit)
        names = ",".join(engine.model.classes)
        self._class_names[engine.model.name] = pmt.intern(names)
        return engine

    def _channel(self, engine: Engine, on_decisions: Callable[[list[Decision]], None]) -> Channel:
        return Channel(
            engine,
            self._settings,
            live=self._live,
            queue_frames=self._queue_frames,
            hop=self._hop,
            gate_power=self._gate_power,
            on_decisions=on_decisions,
            on_frames=self._frames_callback(),
            on_error=self.fail,
        )

    def _frames_callback(self) -> Callable[[FrameBatch], None] | None:
        return self._take_frames if self._publish_frames else None

    def _change(
        self, name: str, value: Any, check: Callable[[Any], Any], at_once: Any = None
    ) -> bool:
        """Check a setting; make it that attribute ``at_once``, or ask for it."""
        try:
            checked = check(value)
        except ValueError as error:
            return self._refuse(name.strip("_"), error)
        except TypeError:
            return self._refuse(name.strip("_"), ValueError(f"not a number: {value!r:.80}"))
        if at_once is None:
            return self._ask(name, checked)
        setattr(at_once, name, checked)
        return True

    def _ask(self, what: str, value: Any) -> bool:
        with self._asked_lock:
            self._asked[what] = value
        return True

    def _make_changes(self) -> None:
        if not self._asked:
            return
        with self._asked_lock:
            asked, self._asked = self._asked, {}
        self._hop = asked.get("hop", self._hop)
        self._gate_power = asked.get("gate_db", self._gate_power)
        self._publish_frames = asked.get("publish_frames", self._publish_frames)
        place = {
            field: asked[name]
            for name, field in (("rx_freq", "freq_hz"), ("sample_rate", "sample_rate"))
            if name in asked
        }
        self._first_segment = replace(self._first_segment, **place)
        self._segment = metadata.moved(self._segment, self._stream.position, **place)
        for channel in (self._stream, self._pdus):
            if channel is None:
                continue
            if "hop" in asked:
                channel.set_hop(self._hop)
            if "gate_db" in asked:
                channel.set_gate_power(self._gate_power)
            if "publish_frames" in asked:
                channel.set_on_frames(self._frames_callback())
            if "engine" in asked:
                channel.use(asked["engine"])

    def _take_stream_decisions(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            self._delay.decided(decision.sample_start, metadata.decision_to_pmt(decision))
        self._take_decisions(decisions)

    def _take_decisions(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            meta = metadata.decision_to_pmt(decision)
            meta = pmt.dict_add(meta, _CLASSES, self._class_names[decision.model])
            payload = metadata.f32vector(decision.posterior)
            self.message_port_pub(self._ports["decisions"], pmt.cons(meta, payload))
            if self._on_decision is not None:
                self._on_decision(decision)

    def _take_frames(self, batch: FrameBatch) -> None:
        model = batch.model
        posteriors = np.exp(batch.log_posteriors)
        good = batch.flags == 0
        segment, n = batch.segment, len(batch.log_posteriors)
        if n == 0:
            return
        meta = metadata.dictionary({"model": model.name, "classes": ",".join(model.classes)})
        for key, vector in (
            ("labels", pmt.init_u8vector(n, posteriors.argmax(axis=1).tolist())),
            ("sample_start", pmt.init_u64vector(n, batch.start[good].tolist())),
            ("snr_db", metadata.f32vector(batch.snr_est_db[good])),
        ):
            meta = pmt.dict_add(meta, pmt.intern(key), vector)
        time_of_first = segment.time_of(int(batch.start[good][0]))
        meta = metadata.place_to_pmt(meta, time_of_first, segment.freq_hz, segment.sample_rate)
        self.message_port_pub(self._ports["frames"], pmt.cons(meta, metadata.f32vector(posteriors)))

    def _publish_stats(self) -> None:
        now = time.monotonic()
        if self._stats_interval <= 0 or now - self._stats_at < self._stats_interval:
            return
        stats = self.stats()
        self._stats_at, self._stats_frames = now, stats["classified"]
        self.message_port_pub(self._ports["stats"], metadata.dictionary(stats))

    def _refuse(self, what: str, error: Exception) -> bool:
        text = f"{what} refused: {error}"
        gr.logger(self.alias()).warn(text)
        self.message_port_pub(self._ports["stats"], metadata.dictionary({"setting_refused": text}))
        return False


def _whole(name: str, value: float, low: int, high: int) -> int:
    if not (np.isfinite(value) and int(value) == value and low <= value <= high):
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value}")
    return int(value)


def _checked_hop(hop: int) -> int:
    """0 stands for the frame length."""
    return _whole("hop", hop, 0, 1 << 30)


def _checked_frames(frames: int) -> int:
    return _whole("decision_frames", frames, 1, 1 << 30)


def _checked_seconds(name: str, seconds: float) -> float:
    if not (np.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{name} must be 0 or more seconds, not {seconds}")
    return float(seconds)


def _checked_interval(seconds: float) -> float:
    return _checked_seconds("decision_interval", seconds)


def _checked_deadline(seconds: float) -> float:
    return _checked_seconds("tag_deadline", seconds)


def _checked_stats_interval(seconds: float) -> float:
    return _checked_seconds("stats_interval", seconds)


def _checked_rate(sample_rate: float) -> float:
    if not (np.isfinite(sample_rate) and sample_rate > 0):
        raise ValueError(f"sample_rate must be over 0, not {sample_rate}")
    return float(sample_rate)


def _checked_freq(rx_freq: float) -> float:
    if not np.isfinite(rx_freq):
        raise ValueError(f"rx_freq must be a finite number, not {rx_freq}")
    return float(rx_freq)


def _gate_power(gate_db: float) -> float:
    if not gate_db < 200:
        raise ValueError(f"gate_db must be under 200 dB, not {gate_db}")
    return 0.0 if gate_db <= -200 else float(10 ** (gate_db / 10))


def _threshold(unknown_threshold: float) -> float | None:
    if np.isnan(unknown_threshold):
        raise ValueError("unknown_threshold must be a number")
    return None if unknown_threshold < 0 else float(unknown_threshold)


def _time(rx_time: float | tuple[int, float] | None) -> tuple[int, float] | None:
    if rx_time is None:
        return None
    whole, part = rx_time if isinstance(rx_time, tuple) else divmod(rx_time, 1.0)
    if not (np.isfinite(whole) and whole >= 0 and 0 <= part < 1):
        raise ValueError(f"rx_time must be 0 or more seconds, not {rx_time}")
    return int(whole), float(part)
