# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Speeds as ratios of things measured in turn in one run; script/bench starts it.

A machine's speed drifts, so each figure is the median of pairs: one side, the other side, again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import h5py
import numpy as np
import pmt
from gnuradio import blocks, gr, kdamc
from gnuradio.kdamc import kdamc_python as kernel
from gnuradio.kdamc.engine import BATCH_FRAMES
from rich.console import Console
from rich.table import Table

FRAME_LEN = 128
GATE = 1e-6
SIZES = (32 << 10, 128 << 20)
REPLAY_FRAMES = 220_000
DISPLAY_DECISIONS_PER_SECOND = 30
DISPLAY_SECONDS = 15.0
DISPLAY_ROUNDS = 3


def numpy_frames(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel does, without the SNR estimate: power, gate, RMS 1, (n, 2, L)."""
    frames = x.reshape(-1, FRAME_LEN)
    power = np.mean(frames.real**2 + frames.imag**2, axis=1)
    passed = frames[power > GATE] / np.sqrt(power[power > GATE])[:, None]
    return np.stack([passed.real, passed.imag], axis=1), power


def kernel_over_numpy(size: int) -> float:
    """Median ratio of the kernel's speed, called from Python, to NumPy's."""
    n = size // 8
    x = np.random.default_rng(1).standard_normal((n, 2), np.float32).view(np.complex64)[:, 0]
    rows = n // FRAME_LEN + 1
    iq = np.empty((rows, 2, FRAME_LEN), np.float32)
    table = [np.empty(rows, np.uint64)] + [np.empty(rows, np.float32) for _ in range(3)]
    table.append(np.empty(rows, np.uint8))
    frames = kernel.FrameKernel(FRAME_LEN, FRAME_LEN, GATE)
    repeats = max(1, (64 << 20) // size)

    def seconds(call: object) -> float:
        begin = time.perf_counter()
        for _ in range(repeats):
            call()
        return time.perf_counter() - begin

    ratios = []
    for _ in range(7):
        theirs = seconds(lambda: numpy_frames(x))
        ours = seconds(lambda: frames.process(x, iq, *table))
        ratios.append(theirs / ours)
    return median(ratios)


def kernel_over_memcpy(program: Path) -> dict[str, float]:
    """Median ratio of the kernel's input bytes/s, called from C++, to memcpy's."""
    said = json.loads(subprocess.run([program], check=True, capture_output=True).stdout)
    return {size: said[size]["ratio"] for size in map(str, SIZES)}


def bare_frames_per_second(model: kdamc.Model, seconds: float) -> float:
    """A loop around the runtime's session, one thread, nothing else."""
    frames = np.random.default_rng(1).standard_normal(
        (BATCH_FRAMES, 2, model.input_size), np.float32
    )
    session, name = model._session, model._input
    session.run(None, {name: frames})
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        session.run(None, {name: frames})
        count += BATCH_FRAMES
    return count / (time.perf_counter() - begin)


def flowgraph_frames_per_second(name: str, frames: int, input_size: int) -> float:
    """Vector source, KD AMC Classifier, message sink, offline: frames over its run time."""
    samples = np.random.default_rng(2).standard_normal((1000 * input_size, 2), np.float32)
    source = blocks.vector_source_c(samples.view(np.complex64)[:, 0].tolist(), True)
    head = blocks.head(8, frames * input_size)
    classifier = kdamc.kd_amc_classifier(
        name, mode="offline", decision_frames=2048, decision_interval=0
    )
    sink = blocks.message_debug()
    tb = gr.top_block()
    tb.connect(source, head, classifier)
    tb.msg_connect(classifier, "decisions", sink, "store")
    begin = time.perf_counter()
    tb.run()
    spent = time.perf_counter() - begin
    if classifier.error is not None or classifier.stats()["classified"] != frames:
        raise RuntimeError(f"the flowgraph lost frames: {classifier.error}")
    return frames / spent


def flowgraph_over_ort(name: str, rounds: int) -> float:
    """Median ratio in this process, on the processors it may use."""
    model = kdamc.open_model(name)
    fps = bare_frames_per_second(model, 1.0)
    frames = int(fps * 3)
    ratios = []
    before = bare_frames_per_second(model, 1.0)
    for _ in range(rounds):
        inside = flowgraph_frames_per_second(name, frames, model.input_size)
        after = bare_frames_per_second(model, 1.0)
        ratios.append(inside / ((before + after) / 2))
        before = after
    return median(ratios)


def in_own_process(code: str, **environment: str) -> float:
    """What code that begins with ``import benchmarks`` prints last, in another process."""
    folder = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, sys.argv[1])\n{code}", folder],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return float(done.stdout.split()[-1])


def pinned(name: str, processors: int, rounds: int) -> float:
    """:func:`flowgraph_over_ort` in a process of its own on so many processors."""
    allowed = sorted(os.sched_getaffinity(0))[:processors]
    return in_own_process(
        f"import os; os.sched_setaffinity(0, {allowed})\n"
        f"import benchmarks; print(benchmarks.flowgraph_over_ort({name!r}, {rounds}))"
    )


def write_noise(path: Path, frames: int, model: kdamc.Model) -> None:
    """A data set file of noise for a model: how right it is takes no time."""
    random = np.random.default_rng(3)
    with h5py.File(path, "w") as file:
        x = file.create_dataset("X", (frames, 2, model.input_size), np.float32)
        for first in range(0, frames, 1 << 14):
            part = x[first : first + (1 << 14)]
            x[first : first + len(part)] = random.standard_normal(part.shape, np.float32)
        file["Y"] = random.integers(0, len(model.classes), frames, np.uint8)
        file["Z"] = np.zeros(frames, np.int8)
        file.attrs["classes"] = list(model.classes)
        file.attrs["sample_rate"] = 1e6
        file.attrs["samples_per_symbol"] = (8.0, 8.0)


def bare_replay_seconds(path: Path, model: kdamc.Model) -> float:
    """Read batches from the file, scale them to RMS 1, run them: one thread, nothing else."""
    session, name = model._session, model._input
    begin = time.perf_counter()
    with h5py.File(path) as file:
        x = file["X"]
        for first in range(0, len(x), BATCH_FRAMES):
            frames = x[first : first + BATCH_FRAMES].astype(np.float32, copy=False)
            power = np.einsum("ijk,ijk->i", frames, frames) / frames.shape[2]
            frames = frames / np.sqrt(power)[:, None, None]
            session.run(None, {name: frames})
    return time.perf_counter() - begin


def replay_over_ort(path: Path, name: str, rounds: int) -> dict[str, float]:
    """Median ratios of the time that amc_replay.py takes to that of a bare loop over the file.

    ``command`` counts all from its start to its exit, ``flowgraph`` what it says that its
    flowgraph took.
    """
    program = Path(__file__).resolve().parents[1] / "apps" / "amc_replay.py"
    command = [sys.executable, str(program), str(path), "--model", name]
    model = kdamc.open_model(name)
    ratios: dict[str, list[float]] = {"command": [], "flowgraph": []}
    before = bare_replay_seconds(path, model)
    for _ in range(rounds):
        begin = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        spent = time.perf_counter() - begin
        inside = float(done.stdout.splitlines()[-1].split(" s,")[0])
        after = bare_replay_seconds(path, model)
        ratios["command"].append(2 * spent / (before + after))
        ratios["flowgraph"].append(2 * inside / (before + after))
        before = after
    return {kind: median(found) for kind, found in ratios.items()}


class MessageCounter(gr.basic_block):
    """Counts messages and keeps none."""

    def __init__(self) -> None:
        gr.basic_block.__init__(self, name="Message Counter", in_sig=[], out_sig=[])
        self.count = 0
        self.message_port_register_in(pmt.intern("in"))
        self.set_msg_handler(pmt.intern("in"), self.take)

    def take(self, _message: object) -> None:
        """One more."""
        self.count += 1


def load_of_decisions(shown: bool, seconds: float) -> float:
    """Share of a processor that this process takes to take decisions, and to show them if asked.

    Every decision has another label and posterior than the one before; statistics come once a
    second.
    """
    from gnuradio.kdamc import metadata
    from gnuradio.kdamc.decision import Decision
    from PyQt5.QtCore import QTimer
    from PyQt5.QtWidgets import QApplication

    application = QApplication([])
    classes = kdamc.open_model("").classes
    random = np.random.default_rng(4)
    messages = []
    for k in range(100):
        posterior = random.dirichlet(np.full(len(classes), 0.3)).astype(np.float32)
        decision = Decision(
            label=classes[posterior.argmax()], confidence=float(posterior.max()),
            posterior=posterior, entropy=1.0, snr_db=10 + k / 100, sample_start=8192 * k,
            sample_count=8192, rx_time=None, freq_hz=0.0, sample_rate=250e3, model="benchmark",
            frames_used=64, frames_gated=0, frames_dropped=0,
        )  # fmt: skip
        meta = metadata.decision_to_pmt(decision)
        meta = pmt.dict_add(meta, pmt.intern("classes"), pmt.intern(",".join(classes)))
        messages.append(pmt.cons(meta, metadata.f32vector(posterior)))
    stats = metadata.dictionary({"dropped": 0, "frames_per_second": 1920.0})

    sink = kdamc.kd_amc_display() if shown else MessageCounter()
    if shown:
        sink.qwidget().resize(500, 600)
        sink.qwidget().show()
    sender = gr.basic_block(name="Sender", in_sig=None, out_sig=None)
    ports = {name: pmt.intern(name) for name in ("decisions", "stats")}
    tb = gr.top_block()
    for name, port in ports.items():
        sender.message_port_register_out(port)
        tb.msg_connect(sender, name, sink, name if shown else "in")
    sent = 0

    def send() -> None:
        nonlocal sent
        sender.message_port_pub(ports["decisions"], messages[sent % len(messages)])
        if sent % DISPLAY_DECISIONS_PER_SECOND == 0:
            sender.message_port_pub(ports["stats"], stats)
        sent += 1

    timer = QTimer()
    timer.timeout.connect(send)
    timer.start(1000 // DISPLAY_DECISIONS_PER_SECOND)
    tb.start()
    marks: list[tuple[float, float]] = []

    def mark() -> None:
        marks.append((time.perf_counter(), time.process_time()))
        if len(marks) == 2:
            application.quit()

    QTimer.singleShot(2000, mark)  # by then windows are open and fonts are loaded
    QTimer.singleShot(2000 + int(1000 * seconds), mark)
    application.exec_()
    tb.stop()
    tb.wait()
    (began, before), (ended, after) = marks
    return (after - before) / (ended - began)


def display_cpu_share(rounds: int) -> float:
    """Median share of a processor that showing 30 decisions a second takes."""

    def share(shown: bool) -> float:
        call = f"benchmarks.load_of_decisions({shown}, {DISPLAY_SECONDS})"
        return in_own_process(
            f"import benchmarks; print({call}, flush=True)", QT_QPA_PLATFORM="offscreen"
        )

    return median(share(True) - share(False) for _ in range(rounds))


def resident_bytes() -> int:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def soak(name: str, minutes: float, console: Console) -> dict[str, float]:
    """The classifier as fast as it goes, offline, all ports in use: does its memory grow?

    The first tenth of the time is for buffers and caches to fill.
    """
    samples = np.random.default_rng(2).standard_normal((1000 * FRAME_LEN, 2), np.float32)
    source = blocks.vector_source_c(samples.view(np.complex64)[:, 0].tolist(), True)
    classifier = kdamc.kd_amc_classifier(name, mode="offline", publish_frames=True)
    counter, sink = MessageCounter(), blocks.null_sink(8)
    tb = gr.top_block()
    tb.connect(source, classifier, sink)
    for port in ("decisions", "frames", "stats"):
        tb.msg_connect(classifier, port, counter, "in")
    tb.start()
    begin, sizes = time.monotonic(), []
    while (elapsed := time.monotonic() - begin) < 60 * minutes and classifier.error is None:
        time.sleep(1)
        sizes.append((elapsed, resident_bytes()))
        console.print(f"{elapsed:5.0f} s {sizes[-1][1] / 2**20:8.1f} MiB", end="\r")
    stats = classifier.stats()
    tb.stop()
    tb.wait()
    if classifier.error is not None:
        raise RuntimeError(f"the soak ended early: {classifier.error}")
    settled = [(t, size) for t, size in sizes if t > 6 * minutes]
    slope = np.polyfit(*np.array(settled, float).T, 1)[0]
    return {
        "minutes": minutes,
        "frames": stats["classified"],
        "dropped": stats["dropped"],
        "frames_per_second": stats["classified"] / elapsed,
        "messages": counter.count,
        "start_mib": settled[0][1] / 2**20,
        "end_mib": settled[-1][1] / 2**20,
        "mib_per_minute": slope * 60 / 2**20,
    }


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=15, help="pairs a flowgraph ratio")
    parser.add_argument(
        "--soak", metavar="MINUTES", type=float, help="instead: run so long, watch the memory"
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="instead: amc_rx through rtl_tcp, its CPU, its losses, the highest rate without any",
    )
    parser.add_argument(
        "--scan",
        action="store_true",
        help="instead: scans of bands up to 20 MS/s, and ways to isolate signals",
    )
    parser.add_argument(
        "--minutes",
        metavar="MINUTES",
        type=float,
        default=1.0,
        help="how long --live takes for each of its runs (default %(default)s)",
    )
    parser.add_argument(
        "--display", action="store_true", help="instead: what showing decisions takes"
    )
    parser.add_argument(
        "--replay",
        metavar="DATASET",
        type=Path,
        help=f"replay this file, not {REPLAY_FRAMES:,} frames of noise",
    )
    parser.add_argument("--kernel-bench", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    console = Console()

    if options.soak or options.live or options.scan:
        if options.soak:
            found = soak("", options.soak, console)
        elif options.scan:
            import scan_bench

            with console.status("scans"):
                found = {"processor": processor(), **scan_bench.measure()}
        else:
            import live_bench  # needs gr-osmosdr

            with console.status("amc_rx through rtl_tcp"):
                found = live_bench.measure(options.minutes)
        console.print_json(data=found)
        if options.json:
            options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        return

    if options.display:
        with console.status("display"):
            share = display_cpu_share(DISPLAY_ROUNDS)
        found = {"processor": processor(), "display_cpu_share": share}
        console.print_json(data=found)
        if options.json:
            options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        return

    with console.status("kernel and memcpy"):
        over_memcpy = kernel_over_memcpy(options.kernel_bench)
    with console.status("kernel and NumPy"):
        over_numpy = {str(size): kernel_over_numpy(size) for size in SIZES}
    with console.status("models"):
        speeds = {
            name: bare_frames_per_second(kdamc.open_model(name), 3.0)
            for name in kdamc.installed_models()
        }
    fastest = max(speeds, key=speeds.get)
    with console.status(f"flowgraph with {fastest}"):
        over_ort = {
            "two_cores": pinned(fastest, 2, options.rounds),
            "one_core": pinned(fastest, 1, options.rounds),
        }
    with console.status("display"):
        display_share = display_cpu_share(DISPLAY_ROUNDS)
    with console.status(f"replay with {fastest}"), tempfile.TemporaryDirectory() as folder:
        data = options.replay
        if data is None:
            data = Path(folder) / "noise.h5"
            write_noise(data, REPLAY_FRAMES, kdamc.open_model(fastest))
        over_loop = replay_over_ort(data, fastest, max(1, options.rounds // 3))

    table = Table(title=f"{processor()}, {os.cpu_count()} processors")
    table.add_column("measured")
    table.add_column("ratio", justify="right")
    for size in map(str, SIZES):
        table.add_row(
            f"kernel over memcpy, calls of {int(size):,} bytes", f"{over_memcpy[size]:.2f}"
        )
    for size in map(str, SIZES):
        table.add_row(f"kernel over NumPy, calls of {int(size):,} bytes", f"{over_numpy[size]:.1f}")
    table.add_row(
        f"flowgraph over bare runtime, two cores ({fastest})", f"{over_ort['two_cores']:.3f}"
    )
    table.add_row("flowgraph over bare runtime, pinned to one core", f"{over_ort['one_core']:.3f}")
    table.add_row(
        "time of amc_replay's flowgraph over a bare loop", f"{over_loop['flowgraph']:.3f}"
    )
    table.add_row("time of amc_replay from start to exit", f"{over_loop['command']:.3f}")
    table.add_row(
        f"processor time of the display, {DISPLAY_DECISIONS_PER_SECOND} decisions/s",
        f"{display_share:.3f}",
    )
    for name, speed in speeds.items():
        table.add_row(f"frames/s of {name}, one thread, batch {BATCH_FRAMES}", f"{speed:,.0f}")
    console.print(table)
    if options.json:
        record = {
            "processor": processor(),
            "kernel_over_memcpy": over_memcpy,
            "kernel_over_numpy": over_numpy,
            "flowgraph_over_ort": over_ort,
            "replay_over_ort": over_loop,
            "display_cpu_share": display_share,
            "flowgraph_model": fastest,
            "frames_per_second": speeds,
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
