#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replay a data set through a flowgraph and measure how well a model classifies it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from gnuradio import gr
from gnuradio.kdamc.contract import ModelError
from gnuradio.kdamc.data_file import SNR_UNKNOWN, DataFileError
from gnuradio.kdamc.receiver.command_line import (
    BAD_INPUT,
    FAILED,
    INTERRUPTED,
    Parser,
    number,
    one_line,
)
from gnuradio.kdamc.receiver.errors import InputError
from gnuradio.kdamc.whole_file import is_writable, write_whole

PROGRAM = "amc_replay"
POLL_S = 0.05
#: Drawing takes time from the flowgraph.
REFRESH_S = 0.25
#: Told to end, a flowgraph gets this long.
PATIENCE_S = 15.0
#: One decision for the whole run: only the frames are looked at.
ALL_FRAMES = 1 << 30
BAR = 24
ACCURACY_PLOT, CONFUSION_PLOT = "accuracy_by_snr.png", "confusion.png"


def snr_range(text: str) -> tuple[int, int]:
    """An argparse type: LOW:HIGH, whole dB."""
    try:
        low, high = (int(part) for part in text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW:HIGH in whole dB") from None
    if low > high:
        raise argparse.ArgumentTypeError(f"{text!r}: the lower end comes first")
    return low, high


def build_parser() -> Parser:
    """The command line."""
    parser = Parser(prog=PROGRAM, description=__doc__, allow_abbrev=False)
    parser.add_argument("data", metavar="DATASET", type=Path, help="data set file (HDF5)")
    parser.add_argument(
        "--model", metavar="NAME|FILE", default="", help="ONNX model, by name or file"
    )
    frames = parser.add_argument_group("frames")
    frames.add_argument("--classes", metavar="A,B,...", default="", help="only these classes")
    frames.add_argument(
        "--snr",
        metavar="LOW:HIGH",
        type=snr_range,
        help="only these SNR labels (dB); a negative LOW needs the form --snr=LOW:HIGH",
    )
    frames.add_argument("--shuffle", action="store_true", help="in random order")
    frames.add_argument(
        "--seed", metavar="N", type=number(int, 0), default=1, help="of that order (default 1)"
    )
    run = parser.add_argument_group("run")
    run.add_argument("--json", metavar="FILE", type=Path, help="write the record")
    run.add_argument("--plots", metavar="DIR", type=Path, help="draw accuracy and confusion")
    run.add_argument("--quiet", action="store_true", help="print nothing but errors")
    run.add_argument("--verbose", action="store_true", help="log to stderr")
    return parser


def check_outputs(args: argparse.Namespace) -> None:
    """Refuse what could not be written, or would overwrite what is being read."""

    def check(path: Path) -> None:
        if path.resolve() == args.data.resolve():
            raise InputError(f"{path}: is being read by this very run")
        if not is_writable(path):
            raise InputError(f"{path}: cannot be written")

    if args.json is not None:
        check(args.json)
    if args.plots is not None:
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            raise InputError("plots need the Python package matplotlib") from None
        try:
            args.plots.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{args.plots}: {error.strerror or error}") from None
        for name in (ACCURACY_PLOT, CONFUSION_PLOT):
            check(args.plots / name)


class Replay:
    """A flowgraph: the data set, the classifier, the comparison.

    Raises DataFileError, ModelError or InputError for what cannot be used.
    """

    def __init__(self, args: argparse.Namespace):
        from gnuradio.kdamc.accuracy_sink import accuracy_sink
        from gnuradio.kdamc.kd_amc_classifier import kd_amc_classifier
        from gnuradio.kdamc.model import open_model
        from gnuradio.kdamc.rml_source import rml_source

        low, high = args.snr or (-128, SNR_UNKNOWN)
        self.source = rml_source(
            args.data,
            args.classes,
            low,
            high,
            "shuffled" if args.shuffle else "file",
            args.seed,
            tags=False,
        )
        self.model = model = open_model(args.model)
        if model.classes != self.source.classes():
            raise InputError(
                f"{model.name} knows {', '.join(model.classes)}; {args.data} holds "
                f"{', '.join(self.source.classes())}"
            )
        length = self.source.frame_length()
        if model.input_size != length:
            raise InputError(
                f"{model.name} takes frames of {model.input_size} samples; {args.data} has {length}"
            )
        self.classifier = kd_amc_classifier(
            str(model.path),
            sample_rate=self.source.sample_rate(),
            mode="offline",
            decision_frames=ALL_FRAMES,
            decision_interval=0.0,
            publish_frames=True,
            stats_interval=0.0,
        )
        self.sink = accuracy_sink(self.source, model=model, stats_interval=0.0)
        self.graph = gr.top_block(PROGRAM)
        self.graph.connect(self.source, self.classifier)
        self.graph.msg_connect(self.classifier, "frames", self.sink, "frames")
        self._stopping = threading.Event()
        #: Whether the flowgraph refused to end: the process then should not wait for it.
        self.is_stuck = False

    def stop(self) -> None:
        """End the run soon; may be called from a signal handler."""
        self._stopping.set()

    def run(self, refresh: Any) -> bool:
        """Run to the end; ``refresh`` is told the frames so far some times a second.

        Returns False if :meth:`stop` came first.  Raises what a block of the flowgraph raised.
        """
        finished = threading.Event()

        def wait_for_end() -> None:
            try:
                self.graph.wait()
            finally:
                finished.set()

        self.graph.start()
        # A daemon: a flowgraph that never ends must not keep the process.
        threading.Thread(target=wait_for_end, name="flowgraph", daemon=True).start()
        told_to_stop, next_refresh = None, 0.0
        while not finished.wait(POLL_S):
            if told_to_stop is None and (self._stopping.is_set() or self._error() is not None):
                told_to_stop = time.monotonic()
                self.graph.stop()
            if told_to_stop is not None and time.monotonic() > told_to_stop + PATIENCE_S:
                self.is_stuck = True
                raise self._error() or TimeoutError("the flowgraph did not end")
            if time.monotonic() >= next_refresh:
                next_refresh = time.monotonic() + REFRESH_S
                refresh(self.sink.frames())
        error = self._error()
        if error is not None:
            raise error
        return not self._stopping.is_set()

    def _error(self) -> BaseException | None:
        blocks = (self.source, self.classifier, self.sink)
        return next((block.error for block in blocks if block.error is not None), None)

    def record(self) -> dict[str, Any]:
        """The record of the run.  Raises InputError unless every frame was classified once."""
        stats, frames = self.sink.stats(), self.source.frames()
        lost = frames - stats["frames"]
        if lost or stats["unmatched"]:
            raise InputError(
                f"{lost:,} of {frames:,} frames were not classified: silent or not finite"
            )
        return self.sink.record()


class Console:
    """Progress and tables for people; nothing if ``quiet``.

    Raises InputError if the Python package rich is missing.
    """

    def __init__(self, quiet: bool, frames: int, title: str):
        try:
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError:
            if quiet:
                self._progress = self._console = None
                return
            raise InputError("the table needs the Python package rich (or --quiet)") from None
        self._console = RichConsole(quiet=quiet, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,} of {task.total:,} frames"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=self._console,
            auto_refresh=False,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=frames, speed="")
        self._began = time.monotonic()

    def start(self) -> None:
        """Show the progress."""
        if self._progress is not None:
            self._began = time.monotonic()
            self._progress.start()

    def refresh(self, frames: int) -> None:
        """Show how far it is."""
        if self._progress is not None:
            speed = frames / max(time.monotonic() - self._began, 1e-9)
            self._progress.update(self._task, completed=frames, speed=f"{speed:,.0f} frames/s")
            self._progress.refresh()

    def stop(self) -> None:
        """Take the progress away."""
        if self._progress is not None:
            self._progress.stop()

    def show(self, record: dict[str, Any], model: str, seconds: float) -> None:
        """Print the tables and the sum."""
        if self._console is None:
            return
        from rich.table import Table

        confusion = np.array(record["confusion"])
        by_class = confusion.sum(axis=1)
        by_label = Table(title=f"{model} on {record['data']['file']}")
        for name in ("SNR label", "accuracy"):
            by_label.add_column(name, justify="right")
        by_label.add_column("", min_width=BAR)
        for value, share in record["by_snr"].items():
            text = "unknown" if int(value) == SNR_UNKNOWN else f"{value} dB"
            by_label.add_row(text, f"{share:.1%}", "█" * round(BAR * share))
        classes = Table()
        for name in ("class", "frames", "recall", "precision", "F1", "most often called, if wrong"):
            is_text = name in ("class", "most often called, if wrong")
            classes.add_column(name, justify="left" if is_text else "right")
        for index, name in enumerate(record["classes"]):
            if not by_class[index]:
                continue
            scores, wrong = record["scores"][name], confusion[index].copy()
            wrong[index] = 0
            worst = int(wrong.argmax())
            classes.add_row(
                name,
                f"{by_class[index]:,}",
                f"{scores['recall']:.1%}",
                f"{scores['precision']:.1%}",
                f"{scores['f1']:.3f}",
                f"{record['classes'][worst]} ({wrong[worst] / by_class[index]:.1%})"
                if wrong[worst]
                else "",
            )
        self._console.print(by_label)
        self._console.print(classes)
        self._console.print(
            f"overall {record['overall']:.2%} of {record['frames']:,} frames, "
            f"calibration error {record['ece']:.4f}"
        )
        self._console.print(f"{seconds:.2f} s, {record['frames'] / seconds:,.0f} frames/s")


def draw(record: dict[str, Any], model: str, folder: Path) -> None:
    """Write the plots.  Raises OSError."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    title = f"{model} on {record['data']['file']}"
    known = [index for index, value in enumerate(record["snr_labels"]) if value != SNR_UNKNOWN]
    labels = [record["snr_labels"][index] for index in known]
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for position, name in enumerate(record["classes"]):
        shares = [record["by_class"][name][index] for index in known]
        if any(share is not None for share in shares):
            percent = [np.nan if share is None else 100 * share for share in shares]
            axes.plot(
                labels,
                percent,
                label=name,
                linewidth=1,
                color=matplotlib.colormaps["tab20"](position % 20),
            )
    overall = [100 * record["by_snr"][str(value)] for value in labels]
    axes.plot(labels, overall, "k.-", label="all", linewidth=2)
    axes.set(title=title, xlabel="SNR label (dB)", ylabel="accuracy (%)", ylim=(0, 101))
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    figure.savefig(folder / ACCURACY_PLOT, dpi=120)
    pyplot.close(figure)

    confusion = np.array(record["confusion"], float)
    shares = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    count = len(record["classes"])
    side = 3 + 0.42 * count
    figure, axes = pyplot.subplots(figsize=(side, side), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.argwhere(np.round(shares) > 0):
        axes.text(
            column,
            row,
            f"{shares[row, column]:.0f}",
            ha="center",
            va="center",
            fontsize="small",
            color="white" if shares[row, column] > 50 else "black",
        )
    axes.set_xticks(range(count), record["classes"], rotation=90)
    axes.set_yticks(range(count), record["classes"])
    axes.set(title=f"{title}\n% of a class's frames", xlabel="called", ylabel="is")
    figure.savefig(folder / CONFUSION_PLOT, dpi=120)
    pyplot.close(figure)


def run(args: argparse.Namespace) -> int:
    """Replay as the command line says and return the exit status.

    Raises InputError, DataFileError or ModelError for what cannot be used.
    """
    replay = Replay(args)
    check_outputs(args)
    console = Console(args.quiet, replay.source.frames(), replay.model.name)
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: replay.stop())
    began = time.monotonic()
    try:
        console.start()
        try:
            complete = replay.run(console.refresh)
        finally:
            console.stop()
        seconds = time.monotonic() - began
        if not complete:
            done, frames = replay.sink.frames(), replay.source.frames()
            print(
                f"{PROGRAM}: interrupted after {done:,} of {frames:,} frames, nothing is written",
                file=sys.stderr,
            )
            return INTERRUPTED
        record = replay.record()
        if args.json is not None:
            write_whole(args.json, json.dumps(record, indent=1) + "\n")
        if args.plots is not None:
            draw(record, replay.model.name, args.plots)
        console.show(record, replay.model.name, seconds)
    except BrokenPipeError:
        # Whoever read the lines has seen enough; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        logging.debug("run failed", exc_info=True)
        print(f"{PROGRAM}: error: {one_line(error)}", file=sys.stderr)
        if replay.is_stuck:
            sys.stdout.flush()
            os._exit(FAILED)
        return FAILED
    return 0


def main() -> int:
    """Parse, run, and turn bad input into one line and an exit status."""
    args = build_parser().parse_args()
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.ERROR,
        format=f"{PROGRAM}: %(levelname)s: %(message)s",
    )
    try:
        return run(args)
    except (InputError, DataFileError, ModelError) as error:
        print(f"{PROGRAM}: error: {one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        # Before the run began: nothing is written yet.
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
