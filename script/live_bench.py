# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a live radio costs: amc_rx through rtl_tcp; ``script/bench --live`` starts it.

The server is the one of the tests: it plays in real time, keeps half a second, and drops and
counts what is taken later. One channel is classified, a QPSK signal of 25 kBd.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from gnuradio import blocks, gr, kdamc
from gnuradio.kdamc.receiver.front_end import plan_front_end
from gnuradio.kdamc.receiver.receive import Receiver
from gnuradio.kdamc.receiver.records import Summary
from gnuradio.kdamc.receiver.segments import Segment, limit_duration
from gnuradio.kdamc.receiver.sources.hardware import OsmosdrRadio, RadioSettings
from gnuradio.kdamc.signal_tap import WantedRate

TOP = Path(__file__).resolve().parents[1]
TESTS = TOP / "apps" / "tests"
sys.path.insert(0, str(TESTS))

from rtl_tcp_server import counter_breaks  # noqa: E402

RATE = 2.4e6
SYMBOL_RATE = 25e3
FREQ = 433.9e6
#: Tried one after the other until samples are dropped, Hz; a dongle has 3.2 MHz at most.
RATES = (2.4e6, 3.2e6, 4.8e6, 6.4e6, 8e6, 9.6e6, 12.8e6, 16e6, 20e6)
_TRY_S = 10.0
#: What starts and settles is not measured, seconds.
_SETTLE_S = 2.0


class Radio(OsmosdrRadio):
    """As the application's, but the server may be faster than a dongle."""

    RTL_RATES = ((1.0, 1e9),)


@contextmanager
def server(pattern: str) -> Iterator[tuple[int, dict[str, int]]]:
    """The server's port, and its counters when the context has ended."""
    process = subprocess.Popen(
        [sys.executable, TESTS / "rtl_tcp_server.py", "--port", "0", "--pattern", pattern],
        stdout=subprocess.PIPE,
        text=True,
    )
    counters: dict[str, int] = {}
    try:
        yield int(process.stdout.readline().split()[1]), counters
    finally:
        process.send_signal(signal.SIGTERM)
        counters |= json.loads(process.communicate()[0])


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_share(pid: int, seconds: float) -> float:
    """CPU seconds a second that a process uses in the next ``seconds``."""
    used, begin = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(pid) - used) / (time.monotonic() - begin)


def open_radio(port: int, rate: float) -> Radio:
    """The radio that the server plays."""
    radio = Radio(f"rtl_tcp=127.0.0.1:{port}", RadioSettings(rate, FREQ))
    radio.open()
    return radio


def into_null_sink(port: int) -> None:
    """The source and nothing else, until the process is killed."""
    radio = open_radio(port, RATE)
    graph = gr.top_block()
    graph.connect(radio.connect(graph, radio.segments[0]), blocks.null_sink(gr.sizeof_gr_complex))
    graph.run()


class CounterTap:
    """Looks whether the samples of the server's counter follow each other."""

    error = None

    def __init__(self) -> None:
        self.breaks = self.samples = 0
        self._sink: CounterSink | None = None

    def connect(
        self, graph: gr.top_block, samples: gr.basic_block, _segment: Segment, _is_complex: bool
    ) -> None:
        """See :class:`gnuradio.kdamc.receiver.receive.Tap`."""
        self._sink = CounterSink(self)
        graph.connect(samples, self._sink)


class CounterSink(gr.sync_block):
    """The block of :class:`CounterTap`."""

    def __init__(self, counts: CounterTap) -> None:
        gr.sync_block.__init__(self, "Counter Sink", in_sig=[np.complex64], out_sig=None)
        self._counts = counts
        self._last: int | None = None

    def work(self, input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Count breaks."""
        breaks, self._last = counter_breaks(input_items[0], self._last)
        self._counts.breaks += breaks
        self._counts.samples += len(input_items[0])
        return len(input_items[0])


def receive(port: int, rate: float, seconds: float, counts: bool) -> dict[str, Any]:
    """Classify in this process; what was lost on the way."""
    radio = open_radio(port, rate)
    model = kdamc.open_model("")
    plan = plan_front_end(rate, True, 0.0, SYMBOL_RATE, WantedRate.of(model.info).per_symbol())
    summary = Summary(radio.name, model.name, rate, -200.0)
    taps = [CounterTap()] if counts else []

    def classifier(segment: Segment, on_decision: Any) -> kdamc.kd_amc_classifier:
        return kdamc.kd_amc_classifier(
            str(model.path), segment.sample_rate, mode="live", on_decision=on_decision
        )

    segments = limit_duration(radio.segments, seconds)
    Receiver(radio, segments, plan, classifier, [], summary, taps=taps).run()
    found = {
        "decisions": summary.decisions,
        "frames_dropped": summary.dropped,
        "samples_lost": summary.live["samples_lost"],
        "samples": summary.live["samples_received"],
    }
    if counts:
        found |= {"counted": taps[0].samples, "counter_breaks": taps[0].breaks}
    return found


def in_a_process(*arguments: object) -> dict[str, Any]:
    """:func:`receive` in a process of its own: one is at its start as the other was."""
    done = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def application(seconds: float, *front_end: object) -> dict[str, Any]:
    """amc_rx with these options: CPU, what it says at its end, and what the server counted."""
    with tempfile.TemporaryDirectory() as folder, server("signal") as (port, counters):
        path = Path(folder) / "out.jsonl"
        process = subprocess.Popen(
            [
                sys.executable, TOP / "apps" / "amc_rx.py", "--osmosdr",
                f"rtl_tcp=127.0.0.1:{port}", "--freq", str(FREQ), "--samp-rate", str(RATE),
                *map(str, front_end), "--quiet", "--json", path,
            ]
        )  # fmt: skip
        while not path.exists() or '"decision"' not in path.read_text(encoding="utf-8"):
            if process.poll() is not None:
                raise RuntimeError("amc_rx ended early")
            time.sleep(0.1)
        time.sleep(_SETTLE_S)
        share = cpu_share(process.pid, seconds)
        process.send_signal(signal.SIGINT)
        process.wait()
        summary = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    return {"cpu": share, "summary": summary, "server": counters}


def null_share(seconds: float) -> float:
    """CPU seconds a second of the source into a null sink."""
    with server("signal") as (port, _):
        process = subprocess.Popen(
            [sys.executable, __file__, "null", str(port)], stderr=subprocess.DEVNULL
        )
        time.sleep(3 * _SETTLE_S)
        share = cpu_share(process.pid, seconds)
        process.kill()
        process.wait()
    return share


def highest_rate() -> float:
    """The highest of :data:`RATES` at which nothing is dropped; 0 if it is dropped at all."""
    best = 0.0
    for rate in RATES:
        with server("signal") as (port, counters):
            found = in_a_process("receive", port, rate, _TRY_S)
        if counters["dropped_samples"] or found["frames_dropped"] or found["samples_lost"]:
            break
        best = rate
    return best


def _lost(run: dict[str, Any]) -> int:
    """Samples and frames that a run of the application lost anywhere."""
    summary = run["summary"]
    return run["server"]["dropped_samples"] + summary["dropped"] + summary["samples_lost"]


def measure(minutes: float) -> dict[str, Any]:
    """All figures; takes about ``minutes`` and two more."""
    seconds = 60 * minutes
    run = application(seconds, "--symbol-rate", SYMBOL_RATE)
    following = application(min(seconds, 30.0))
    null = null_share(min(seconds, 30.0))
    with server("counter") as (port, counters):
        counted = in_a_process("receive", port, RATE, seconds, "count")
    summary = run["summary"]
    return {
        "rtl_tcp_rate": RATE,
        "rtl_tcp_minutes": minutes,
        "rtl_tcp_model": summary["model"],
        "rtl_tcp_cpu_share": run["cpu"] - null,
        "rtl_tcp_cpu_all": run["cpu"],
        "rtl_tcp_cpu_null_sink": null,
        "rtl_tcp_cpu_share_following": following["cpu"] - null,
        "rtl_tcp_drops": counters["dropped_samples"] + _lost(run) + _lost(following),
        "rtl_tcp_samples": summary["samples_received"],
        "rtl_tcp_decisions": summary["decisions"],
        "rtl_tcp_counted": counted["counted"],
        "rtl_tcp_counter_breaks": counted["counter_breaks"],
        "rtl_tcp_highest_rate": highest_rate(),
    }


if __name__ == "__main__":
    if sys.argv[1] == "null":
        into_null_sink(int(sys.argv[2]))
    else:
        port, rate, seconds = int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
        print(json.dumps(receive(port, rate, seconds, "count" in sys.argv[5:])))
