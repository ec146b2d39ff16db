#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Classify the modulation of what a radio, a recording or a simulation delivers."""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gnuradio.kdamc.contract import LAYOUTS, NORMALISE_MODES, OUTPUTS, ModelError
from gnuradio.kdamc.receiver.command_line import (
    BAD_INPUT,
    FAILED,
    INTERRUPTED,
    Parser,
    number,
    one_line,
)
from gnuradio.kdamc.receiver.console import LiveConsole, PlainConsole
from gnuradio.kdamc.receiver.errors import InputError
from gnuradio.kdamc.receiver.front_end import FrontEndPlan, plan_front_end, plan_whole_band
from gnuradio.kdamc.receiver.gate import OPEN_DB, look_for_gate
from gnuradio.kdamc.receiver.json_report import JsonReport
from gnuradio.kdamc.receiver.metrics_report import MetricsReport
from gnuradio.kdamc.receiver.mqtt_report import MqttReport
from gnuradio.kdamc.receiver.receive import Receiver, Report, Tap
from gnuradio.kdamc.receiver.record_report import RecordReport, recording_paths
from gnuradio.kdamc.receiver.records import DecisionLike, FoundSignalLike, Summary
from gnuradio.kdamc.receiver.segments import Segment, limit_duration
from gnuradio.kdamc.receiver.sigmf_report import SigmfReport
from gnuradio.kdamc.receiver.sources import Source, add_source_options, open_source
from gnuradio.kdamc.receiver.waterfall_report import WaterfallReport
from gnuradio.kdamc.receiver.zmq_report import ZmqReport

PROGRAM = "amc_rx"


def gate(text: str) -> float | None:
    """An argparse type: ``auto`` (None), ``off``, or dBFS."""
    if text == "auto":
        return None
    if text == "off":
        return OPEN_DB
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not OPEN_DB <= value <= -OPEN_DB / 2:
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto, off nor a level in dBFS")
    return value


def build_parser() -> Parser:
    """The command line."""
    parser = Parser(prog=PROGRAM, description=__doc__, allow_abbrev=False)
    add_source_options(parser)
    signals = parser.add_argument_group("front end")
    found = signals.add_mutually_exclusive_group()
    found.add_argument(
        "--follow",
        action="store_true",
        help="find the strongest signal, filter and resample it as the model wants it, and follow "
        "it; what --tune and --symbol-rate tell is not estimated (default, unless an option of "
        "this group says otherwise or the radio is simulated)",
    )
    found.add_argument(
        "--as-is",
        action="store_true",
        help="the samples hold one signal, at 0 Hz and the rate that the model wants",
    )
    signals.add_argument(
        "--tune", metavar="HZ", type=float, help="move this frequency of the samples to 0"
    )
    signals.add_argument(
        "--symbol-rate",
        metavar="HZ",
        type=float,
        help="resample to the samples a symbol that the model wants",
    )
    signals.add_argument(
        "--samples-per-symbol",
        metavar="N",
        type=number(float, 0, above=True),
        help="instead of what the model wants",
    )
    signals.add_argument(
        "--bandwidth", metavar="HZ", type=float, help="filter to this two-sided bandwidth"
    )
    signals.add_argument(
        "--gate-db",
        metavar="DBFS",
        type=gate,
        default=None,
        help="ignore frames of less power: a level, off, or auto, which looks whether a source "
        "has passages of noise alone (default auto)",
    )
    signals.add_argument(
        "--ring",
        metavar="S",
        type=number(float, 1),
        default=2.0,
        help="samples kept by --follow and --scan, 8 bytes each (default %(default)s s)",
    )
    signals.add_argument(
        "--min-bandwidth",
        metavar="HZ",
        type=number(float, 0),
        default=0.0,
        help="--follow and --scan ignore what is narrower",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        metavar="NAME|FILE",
        default="",
        help="ONNX model, by name or file (default: the one that --list-models says)",
    )
    model.add_argument(
        "--list-models", action="store_true", help="list what --model knows, and end"
    )
    model.add_argument("--classes", metavar="A,B,...", help="class names of a third-party model")
    model.add_argument(
        "--layout", choices=LAYOUTS, metavar="LAYOUT", help=f"its input: {', '.join(LAYOUTS)}"
    )
    model.add_argument(
        "--normalise",
        choices=NORMALISE_MODES,
        metavar="MODE",
        help=f"its scaling: {', '.join(NORMALISE_MODES)}",
    )
    model.add_argument(
        "--output", choices=OUTPUTS, metavar="KIND", help=f"its output: {', '.join(OUTPUTS)}"
    )
    scan = parser.add_argument_group("scan")
    scan.add_argument(
        "--scan",
        action="store_true",
        help="search the whole band for signals, classify and list each one",
    )
    scan.add_argument(
        "--max-signals",
        metavar="N",
        type=number(int, 1),
        default=16,
        help="classified at once; more are listed as unknown (default %(default)s)",
    )
    decisions = parser.add_argument_group("decisions")
    decisions.add_argument(
        "--decision-frames",
        metavar="N",
        type=number(int, 1),
        default=32,
        help="frames that decide together (default %(default)s)",
    )
    decisions.add_argument(
        "--decision-interval",
        metavar="S",
        type=number(float, 0, above=True),
        default=1.0,
        help="longest decision (default %(default)s s)",
    )
    decisions.add_argument(
        "--hop",
        metavar="N",
        type=number(int, 1),
        help="samples between frame starts (default: a frame's length)",
    )
    decisions.add_argument(
        "--unknown-threshold",
        metavar="P",
        type=number(float, 0, 1),
        help="below this confidence a label is unknown (default: the model's)",
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--throttle",
        action="store_true",
        help="in real time; frames are dropped, and counted, if the machine is too slow",
    )
    run.add_argument(
        "--duration", metavar="S", type=number(float, 0, above=True), help="end after this much"
    )
    run.add_argument("--quiet", action="store_true", help="print nothing but errors")
    run.add_argument("--verbose", action="store_true", help="log to stderr")
    outputs = parser.add_argument_group("outputs")
    outputs.add_argument("--json", metavar="FILE", type=Path, help="write JSON lines")
    outputs.add_argument("--sigmf", metavar="FILE", type=Path, help="write SigMF annotations")
    outputs.add_argument(
        "--record", metavar="FILE", type=Path, help="write the samples as a SigMF recording"
    )
    outputs.add_argument(
        "--report", metavar="FILE.png", type=Path, help="draw a waterfall with what was found"
    )
    outputs.add_argument(
        "--zmq-pub", metavar="ADDR", help="publish by ZeroMQ at this address, as tcp://*:5556"
    )
    outputs.add_argument(
        "--mqtt", metavar="HOST[:PORT]", help="publish to an MQTT broker (port 1883)"
    )
    outputs.add_argument(
        "--mqtt-topic",
        metavar="PREFIX",
        default="kdamc",
        help="topics are PREFIX/decision and so on (default %(default)s)",
    )
    outputs.add_argument(
        "--metrics", metavar="[HOST:]PORT", help="serve /metrics for Prometheus while it runs"
    )
    return parser


def list_models() -> None:
    """Print name, frame length and classes of every installed model."""
    from gnuradio.kdamc.model import default_model, installed_models, open_model

    default = default_model()
    for name, path in installed_models().items():
        try:
            model = open_model(path)
        except ModelError as error:
            print(f"{name}: not usable: {error}")
            continue
        mark = " (default)" if name == default else ""
        print(f"{name}{mark}: {model.input_size} samples, {', '.join(model.classes)}")


def third_party_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What the user says of a model instead of the model itself."""
    settings = {
        "classes": args.classes,
        "layout": args.layout,
        "normalise_mode": args.normalise,
        "output": args.output,
    }
    return {name: value for name, value in settings.items() if value is not None}


def follows(args: argparse.Namespace) -> bool:
    """Whether the signal is to be looked for."""
    told = (args.tune, args.symbol_rate, args.bandwidth)
    known = args.as_is or args.sim or any(value is not None for value in told)
    return args.follow or not (known or args.scan)


def plan(args: argparse.Namespace, source: Source, model: Any) -> FrontEndPlan:
    """The front end that the source needs for the model."""
    from gnuradio.kdamc.signal_tap import WantedRate

    wanted, info = args.samples_per_symbol, model.info
    if wanted is None and (info.oversampling or info.samples_per_symbol):
        wanted = WantedRate.of(info).per_symbol()
    return plan_front_end(
        source.segments[0].sample_rate,
        source.is_complex,
        args.tune or 0.0,
        args.symbol_rate,
        wanted,
        args.bandwidth,
    )


def check_outputs(args: argparse.Namespace, source: Source) -> None:
    """Refuse to overwrite what is being read, or to write two things into one file."""
    outputs = [path for path in (args.json, args.sigmf, args.report) if path is not None]
    if args.record is not None:
        outputs += recording_paths(args.record)
    taken = [path.resolve() for path in source.files]
    for path in outputs:
        if path.resolve() in taken:
            raise InputError(f"{path}: is being read, or written, by this very run")
        taken.append(path.resolve())


#: Options of one signal's front end, which a scan sets for each signal by itself.
_FOR_ONE_SIGNAL = (
    "follow", "as_is", "tune", "symbol_rate", "samples_per_symbol", "bandwidth", "gate_db", "hop",
)  # fmt: skip


def check_front_end(args: argparse.Namespace) -> None:
    """Refuse what a scan, or a front end that looks for the signal, does not obey."""
    if args.follow and args.bandwidth is not None:
        raise InputError("--bandwidth does not apply to --follow, which measures it")
    if args.as_is and (args.tune, args.symbol_rate, args.bandwidth) != (None, None, None):
        raise InputError("--as-is leaves nothing to tune, resample or filter")
    for name in _FOR_ONE_SIGNAL:
        if args.scan and getattr(args, name):
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} does not apply to --scan, which looks for itself")


def run(args: argparse.Namespace) -> int:
    """Receive as the command line says and return the exit status.

    Raises InputError or ModelError for what cannot be used, before anything is written.
    """
    from gnuradio.kdamc.kd_amc_classifier import kd_amc_classifier
    from gnuradio.kdamc.model import open_model
    from gnuradio.kdamc.signal_front_end import signal_front_end
    from gnuradio.kdamc.signal_scanner import signal_scanner
    from gnuradio.kdamc.signal_tap import WantedRate

    check_front_end(args)
    source = open_source(args)
    explicit = third_party_settings(args)
    model = open_model(args.model, **explicit)
    rate = source.segments[0].sample_rate
    if args.scan or follows(args):
        front_end = plan_whole_band(rate, source.is_complex)
    else:
        front_end = plan(args, source, model)
    segments = source.segments
    if args.duration is not None:
        segments = limit_duration(segments, args.duration)
    count = segments[0].count if segments else 0
    if count is not None and front_end.output_count(count) == 0:
        raise InputError(f"{source.name}: nothing to classify, too few samples: {count}")
    check_outputs(args, source)
    gate_db = args.gate_db
    mode = "live" if args.throttle or source.is_live else "offline"
    threshold = -1.0 if args.unknown_threshold is None else args.unknown_threshold

    def make_classifier(
        segment: Segment, on_decision: Callable[[DecisionLike], None]
    ) -> kd_amc_classifier:
        return kd_amc_classifier(
            model=str(model.path),
            sample_rate=segment.sample_rate,
            hop=args.hop or 0,
            decision_frames=args.decision_frames,
            decision_interval=args.decision_interval,
            gate_db=gate_db,
            unknown_threshold=threshold,
            mode=mode,
            rx_freq=segment.freq_hz,
            rx_time=segment.time,
            on_decision=on_decision,
            **explicit,
        )

    def make_follower(segment: Segment) -> signal_front_end:
        wanted = WantedRate.of(model.info)
        if args.samples_per_symbol is not None:
            wanted = WantedRate(args.samples_per_symbol)
        return signal_front_end(
            segment.sample_rate,
            samples_per_symbol=wanted.samples_per_symbol,
            oversampling=wanted.oversampling or 0.0,
            # Real samples were turned so that the middle of their band is at 0 Hz.
            tune=None if args.tune is None else args.tune - front_end.tune_hz,
            symbol_rate=args.symbol_rate or 0.0,
            min_bandwidth=args.min_bandwidth,
            audio=not source.is_complex,
            ring_seconds=args.ring,
            rx_freq=segment.freq_hz,
            rx_time=segment.time,
        )

    def make_scanner(
        segment: Segment, on_signal: Callable[[FoundSignalLike], None]
    ) -> signal_scanner:
        return signal_scanner(
            model=str(model.path),
            sample_rate=segment.sample_rate,
            mode=mode,
            max_signals=args.max_signals,
            ring_seconds=args.ring,
            min_bandwidth=args.min_bandwidth,
            unknown_threshold=threshold,
            audio=not source.is_complex,
            rx_freq=segment.freq_hz,
            rx_time=segment.time,
            on_signal=on_signal,
            **explicit,
        )

    if gate_db is None:
        gate_db = OPEN_DB
        if source.is_repeatable and not args.scan:
            follower = make_follower(segments[0]) if follows(args) else None
            gate_db = look_for_gate(source, front_end, model.input_size, follower)
    reports, taps, refresh = open_reports(args, source, model.name, front_end)
    summary = Summary(source.name, model.name, source.segments[0].sample_rate, gate_db)
    receiver = Receiver(
        source,
        segments,
        front_end,
        make_scanner if args.scan else make_classifier,
        reports,
        summary,
        args.throttle,
        refresh,
        taps,
        bool(args.reconnect),
        make_follower if follows(args) else None,
    )
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: receiver.stop())
    status = 0
    try:
        receiver.run()
    except BrokenPipeError:
        # Whoever read the lines has seen enough; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        logging.debug("run failed", exc_info=True)
        print(f"{PROGRAM}: error: {one_line(error)}", file=sys.stderr)
        status = FAILED
    if receiver.is_stuck:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def open_reports(
    args: argparse.Namespace, source: Source, model: str, front_end: FrontEndPlan
) -> tuple[list[Report], list[Tap], Callable[[], None]]:
    """Reports in the order in which they are told, taps, and what redraws the console.

    What may refuse comes first, what leaves a file last.  Raises InputError.
    """
    width = annotation_width(args, front_end)
    console: LiveConsole | PlainConsole | None = None
    if not args.quiet and sys.stdout.isatty():
        console = LiveConsole(f"{source.name}, {model}", is_scan=args.scan)
    elif not args.quiet:
        console = PlainConsole()
    network: list[Report] = []
    files: list[Report] = []
    taps: list[Tap] = []
    if args.zmq_pub is not None:
        network.append(ZmqReport(args.zmq_pub))
    if args.metrics is not None:
        network.append(MetricsReport(args.metrics, source.name, model))
    if args.mqtt is not None:
        network.append(MqttReport(args.mqtt, args.mqtt_topic))
    for option, kind in (("report", WaterfallReport), ("record", RecordReport)):
        path = getattr(args, option)
        if path is not None:
            tap = kind(path, source, width)
            taps.append(tap)
            files.insert(0, tap)
    if args.sigmf is not None:
        marks = SigmfReport(args.sigmf, source, width)
        files.insert(0, marks)
        if source.is_live:
            taps.append(marks)
    if args.json is not None:
        files.insert(0, JsonReport(args.json))
    # The console is told last, since it may go away.
    reports = [*files, *network, *([] if console is None else [console])]
    return reports, taps, (lambda: None) if console is None else console.refresh


def annotation_width(args: argparse.Namespace, front_end: FrontEndPlan) -> float:
    """Hertz between the edges of an annotation: the signal's, as far as the user said."""
    if args.bandwidth is not None:
        return args.bandwidth
    if args.symbol_rate is not None:
        return args.symbol_rate
    return front_end.bandwidth_hz


def main() -> int:
    """Parse, run, and turn bad input into one line and an exit status."""
    args = build_parser().parse_args()
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.ERROR,
        format=f"{PROGRAM}: %(levelname)s: %(message)s",
    )
    try:
        if args.list_models:
            list_models()
            return 0
        return run(args)
    except (InputError, ModelError) as error:
        print(f"{PROGRAM}: error: {one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        # Before the run began: nothing is written yet.
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
