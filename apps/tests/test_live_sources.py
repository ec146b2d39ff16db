# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live sources through amc_rx's command line: rtl_tcp by gr-osmosdr, ZeroMQ, UDP; and their loss.

The network (see qa_support) calls a frame of 16 samples I or Q, after the axis it lies on.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pmt
import pytest
from gnuradio import blocks, gr
from gnuradio.kdamc.receiver.overflow import OverflowEstimator
from gnuradio.kdamc.receiver.segments import Segment
from gnuradio.kdamc.receiver.sources import add_source_options, open_source
from gnuradio.kdamc.receiver.stream_monitor import StreamMonitor

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "python" / "kdamc")]

from qa_support import axis_signal, write_model  # noqa: E402
from receiver_command import APP, amc_rx_command  # noqa: E402
from rtl_tcp_server import (  # noqa: E402
    SET_FREQUENCY,
    RtlTcpServer,
    counter_breaks,
    garbage_pattern,
)

RATE = 250_000
FRAME = 16
SET_GAIN, SET_PPM = 4, 5
#: A busy machine is slow; a test that waits this long has failed.
PATIENCE_S = 60


def has(module):
    """Whether a driver's Python module is installed."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


needs_osmosdr = pytest.mark.skipif(not has("osmosdr"), reason="gr-osmosdr is not installed")
needs_zmq = pytest.mark.skipif(not has("zmq"), reason="python3-zmq is not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The network of known answers."""
    path = tmp_path_factory.mktemp("live") / "axis.onnx"
    write_model(path, FRAME)
    return path


def axis_bytes(axis):
    """Samples on one axis as a dongle gives them."""
    parts = (0.5 * axis_signal(axis, 1 << 16)).astype("<c8").view("f4")
    return np.clip(np.rint(parts * 128 + 127.5), 0, 255).astype(np.uint8).tobytes()


@pytest.fixture
def serve():
    """Makes servers, and ends them with the test."""
    servers = []

    def make(pattern, **settings):
        servers.append(RtlTcpServer(pattern, **settings))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def radio(server):
    """Options for a server."""
    return [
        "--osmosdr", f"rtl_tcp=127.0.0.1:{server.port}", "--freq", "433.9e6", "--samp-rate", RATE,
    ]  # fmt: skip


class Run:
    """amc_rx in the background, writing JSON lines."""

    def __init__(self, tmp_path, model, *arguments):
        self.path = tmp_path / "out.jsonl"
        self.path.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            amc_rx_command(
                *arguments, "--model", model, "--decision-frames", 400, "--json", self.path,
                "--quiet",
            ),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def interrupt(self):
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def records(self, kind):
        """The whole lines so far that are of this type."""
        if not self.path.exists():
            return []
        lines = self.path.read_text().split("\n")[:-1]
        return [record for record in map(json.loads, lines) if record["type"] == kind]

    def await_decisions(self, count, label=None):
        """Wait until there are so many, of this label if it matters."""
        end = time.monotonic() + PATIENCE_S
        while sum(label in (None, d["label"]) for d in self.records("decision")) < count:
            assert self._process.poll() is None, self._process.stderr.read()
            assert time.monotonic() < end, "no decisions"
            time.sleep(0.05)

    def finish(self, status, errors=0):
        """Wait for the end; the summary, and what was said on stderr in so many lines."""
        printed, said = self._process.communicate(timeout=PATIENCE_S)
        assert (self._process.returncode, printed) == (status, ""), said
        assert len(said.splitlines()) == errors, said
        assert len(self.records("summary")) == (0 if status == 2 else 1)
        return (self.records("summary") or [None])[0], said


@needs_osmosdr
def test_rtl_tcp_gives_decisions(serve, tmp_path, model):
    server = serve(axis_bytes("Q"))
    marks = tmp_path / "out.sigmf-meta"
    with Run(
        tmp_path, model, *radio(server), "--gain", 20, "--ppm", 7, "--duration", 2, "--sigmf", marks
    ) as run:
        summary, _ = run.finish(0)
    decisions = run.records("decision")
    assert {d["label"] for d in decisions} == {"Q"}
    assert {d["freq_hz"] for d in decisions} == {433.9e6}
    assert abs(decisions[0]["time"] - time.time()) < PATIENCE_S
    assert decisions[-1]["time"] - decisions[0]["time"] == pytest.approx(2, abs=1)
    assert server.sample_rate == RATE
    assert server.last_command[SET_FREQUENCY] == 433_900_000
    assert server.last_command[SET_PPM] == 7
    assert server.last_command[SET_GAIN] in range(190, 211)
    assert summary["ended"] == "end of input"
    assert summary["inferred"] is True
    assert summary["duration_s"] == pytest.approx(2)
    assert summary["samples_received"] >= 2 * RATE
    assert run.records("stats")[-1]["overflows"] == summary["overflows"]
    assert len(json.loads(marks.read_text())["annotations"]) == len(decisions)


@needs_osmosdr
@pytest.mark.parametrize("how", ["closed", "silent"])
def test_a_lost_radio_ends_the_run_with_its_results(serve, tmp_path, model, how):
    server = serve(axis_bytes("I"), silent_after_s=None if how == "closed" else 2.0)
    marks = tmp_path / "out.sigmf-meta"
    with Run(tmp_path, model, *radio(server), "--sigmf", marks, "--lost-after", 1) as run:
        run.await_decisions(3)
        if how == "closed":
            server.close()
        summary, said = run.finish(1, errors=1)
    assert "device lost" in said
    assert summary["ended"] == "device lost"
    assert summary["decisions"] == len(run.records("decision")) >= 3
    assert len(json.loads(marks.read_text())["annotations"]) == summary["decisions"]


@needs_osmosdr
def test_a_lost_radio_is_opened_again(serve, tmp_path, model):
    first = serve(axis_bytes("I"))
    marks = tmp_path / "out.sigmf-meta"
    options = ("--reconnect", "--lost-after", 1, "--sigmf", marks)
    with Run(tmp_path, model, *radio(first), *options) as run:
        run.await_decisions(3)
        first.close()
        time.sleep(2)
        serve(axis_bytes("Q"), port=first.port)
        run.await_decisions(3, "Q")
        run.interrupt()
        summary, _ = run.finish(0)
    assert summary["ended"] == "interrupted"
    assert summary["reconnects"] == 1
    decisions = run.records("decision")
    labels = [d["label"] for d in decisions]
    before = labels.count("I")
    assert labels == before * ["I"] + (len(labels) - before) * ["Q"]
    starts = [d["sample_start"] for d in decisions]
    times = [d["time"] for d in decisions]
    assert starts == sorted(set(starts))
    assert times == sorted(times)
    # Time went on while there was nothing to receive.
    assert times[before] - times[before - 1] > 1.5
    captures = json.loads(marks.read_text())["captures"]
    assert starts[before] in [capture["core:sample_start"] for capture in captures[1:]]
    assert captures[0]["core:datetime"] < captures[-1]["core:datetime"]


@needs_osmosdr
def test_interrupt_while_the_radio_is_away(serve, tmp_path, model):
    server = serve(axis_bytes("I"))
    with Run(tmp_path, model, *radio(server), "--reconnect", "--lost-after", 0.5) as run:
        run.await_decisions(1)
        server.close()
        time.sleep(3)
        run.interrupt()
        summary, _ = run.finish(0)
    assert summary["ended"] == "interrupted"


@needs_osmosdr
def test_garbage_from_rtl_tcp(serve, tmp_path, model):
    with Run(tmp_path, model, *radio(serve(garbage_pattern())), "--duration", 1) as run:
        summary, _ = run.finish(0)
    assert summary["frames_in"] == RATE // FRAME
    with Run(tmp_path, model, *radio(serve(b"GET", greeting=b"HTTP/1.1 400"))) as run:
        _, said = run.finish(2, errors=1)
    assert "no rtl_tcp server" in said


@needs_osmosdr
def test_a_server_that_is_busy(tmp_path, model):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        arguments = ("--osmosdr", f"rtl_tcp=127.0.0.1:{port}", "--freq", 1e8, "--samp-rate", RATE)
        with Run(tmp_path, model, *arguments) as run:
            _, said = run.finish(2, errors=1)
    assert "another client has it" in said


@needs_osmosdr
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--samp-rate", 5e6), "225001..300000, 900001..3200000 Hz (--samp-rate)"),
        (("--samp-rate", 500e3), "a sample rate of 500000 Hz is not possible"),
        (("--freq", 5e9), "24000000..1766000000 Hz (--freq)"),
        (("--gain", 80), "0..49.6 dB (--gain)"),
        (("--antenna", "TX"), "there is RX (--antenna)"),
    ],
)
def test_what_the_radio_cannot_do(serve, tmp_path, model, options, reason):
    server = serve(axis_bytes("I"))
    with Run(tmp_path, model, *radio(server), *options) as run:
        _, said = run.finish(2, errors=1)
    assert reason in said
    assert not run.path.exists()


@needs_osmosdr
def test_no_sample_is_missing_or_twice():
    server = subprocess.Popen(
        [
            sys.executable, str(Path(__file__).with_name("rtl_tcp_server.py")), "--port", "0",
            "--pattern", "counter", "--buffer", "10",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        port = server.stdout.readline().split()[1]
        parser = ArgumentParser()
        add_source_options(parser)
        source = open_source(
            parser.parse_args(
                ["--osmosdr", f"rtl_tcp=127.0.0.1:{port}", "--freq", "1e8", "--samp-rate", "1e6"]
            )
        )
        segment = source.segments[0]
        graph = gr.top_block()
        monitor = StreamMonitor(segment, source.reports_overflows)
        head, sink = blocks.head(8, 1_000_000), blocks.vector_sink_c()
        graph.connect(source.connect(graph, segment), monitor, head, sink)
        graph.run()
        samples = np.asarray(sink.data())
        assert counter_breaks(samples) == (0, (len(samples) - 1) % (1 << 16))
    finally:
        server.terminate()
        counted = json.loads(server.communicate(timeout=PATIENCE_S)[0])
    assert counted["dropped_samples"] == 0


class Sender:
    """Sends packets in a thread until the test ends, a thousand samples in a millisecond or so."""

    def __init__(self, send, packets):
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(send, packets), daemon=True)
        self._thread.start()

    def _run(self, send, packets):
        while not self._ending.is_set():
            for packet in packets:
                send(packet)
                self._ending.wait(0.001)

    def close(self):
        """Send no more."""
        self._ending.set()
        self._thread.join()


def packets_with_garbage(axis, scalar):
    """Packets of samples as complex ``scalar`` parts, and others that are no samples."""
    parts = (0.5 * axis_signal(axis, 1000)).astype("<c8").view("f4")
    if scalar == "i2":
        parts = np.rint(parts * 32767)
    good = parts.astype("<" + scalar).tobytes()
    return [good[:1600], b"", b"x", good[:800], good[:999], b"\xff" * 1601, good]


@pytest.mark.parametrize("kind", ["udp", pytest.param("zmq", marks=needs_zmq)])
@pytest.mark.parametrize(("form", "scalar"), [("cf32", "f4"), ("cs16", "i2")])
def test_packets_and_garbage(tmp_path, model, kind, form, scalar):
    if kind == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address, out = f"127.0.0.1:{port}", socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        def send(packet):
            out.sendto(packet, ("127.0.0.1", port))
    else:
        import zmq

        out = zmq.Context.instance().socket(zmq.PUB)
        out.setsockopt(zmq.LINGER, 0)
        address, send = f"tcp://127.0.0.1:{out.bind_to_random_port('tcp://127.0.0.1')}", out.send
    sender = Sender(send, packets_with_garbage("Q", scalar))
    try:
        with Run(
            tmp_path, model, f"--{kind}", address, "--format", form, "--samp-rate", 100e3,
            "--duration", 2, "--lost-after", 30,
        ) as run:  # fmt: skip
            summary, _ = run.finish(0)
    finally:
        sender.close()
        out.close()
    # Nothing was shifted by the packets in between: all is on the axis that was sent.
    assert {d["label"] for d in run.records("decision")} == {"Q"}
    assert summary["frames_in"] == 200_000 // FRAME
    assert summary["refused"] == 0
    assert summary["packets_refused"] > 0


def test_a_network_without_a_sender(tmp_path, model):
    with Run(tmp_path, model, "--udp", "127.0.0.1:0", "--samp-rate", 1e5, "--lost-after", 1) as run:
        _, said = run.finish(2, errors=1)
    assert "HOST" in said
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        options = ("--udp", f"127.0.0.1:{port}", "--samp-rate", 1e5, "--lost-after", 1)
        with Run(tmp_path, model, *options) as run:
            _, said = run.finish(2, errors=1)
    assert "in use" in said
    with Run(tmp_path, model, *options) as run:
        summary, said = run.finish(1, errors=1)
    assert "no sample in 1 s" in said
    assert summary["ended"] == "device lost"


NO_RADIO = ("--freq", "1e8", "--samp-rate", "1e6")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--uhd", "type=absent"), "No devices found"),
        (("--soapy", "driver=absent"), "soapysdr-module"),
        pytest.param(("--osmosdr", "absent=0"), "No devices", marks=needs_osmosdr),
        pytest.param(("--osmosdr", "rtl_tcp=127.0.0.1:1"), "refused", marks=needs_osmosdr),
        (("--uhd", "", "--osmosdr", "rtl=0"), "not allowed with"),
        (("--uhd", "", "--ppm", "3"), "--ppm does not apply to --uhd"),
        (("--uhd", "", "--format", "cs16"), "--format does not apply to --uhd"),
        (("--uhd", "", "--throttle"), "--throttle does not apply to --uhd"),
        (("--udp", "5000", "--gain", "3"), "--gain does not apply to --udp"),
        (("--sim", "--bias-tee"), "--bias-tee does not apply to --sim"),
        (("--sim", "--reconnect"), "--reconnect does not apply to --sim"),
        (("--sim", "--gain", "loud"), "neither auto nor a gain"),
        (("--zmq", "nonsense"), "tcp://"),
        (("--udp", "host:port"), "HOST"),
    ],
)
def test_one_line_for_what_cannot_be_used(tmp_path, model, arguments, reason):
    driver = arguments[0][2:]
    if driver in ("uhd", "soapy") and not has(f"gnuradio.{driver}"):
        pytest.skip(f"gr-{driver} is not installed")
    with Run(tmp_path, model, *arguments, *NO_RADIO) as run:
        _, said = run.finish(2, errors=1)
    assert reason in said
    assert not run.path.exists()


def test_a_missing_driver_is_named(tmp_path, model):
    # As Python sees a package that is not there.
    (tmp_path / "osmosdr.py").write_text("raise ModuleNotFoundError(\"No module named 'osmosdr'\")")
    code = (
        "import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); sys.argv.pop(0); "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), *APP[1:], "--osmosdr", "rtl=0", *NO_RADIO],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2
    assert "apt-get install gr-osmosdr" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# Losses, told from the clock.


def watch(estimator, arrivals):
    """What an estimator finds lost at (time, samples so far)."""
    return [lost for now, count in arrivals if (lost := estimator.update(now, count))]


def stream(seconds, rate, step=0.01):
    """Regular arrivals."""
    return [(i * step, round(i * step * rate)) for i in range(round(seconds / step))]


def test_clocks_that_differ_lose_nothing():
    for ppm in (-100, 100):
        estimator = OverflowEstimator(1e6)
        assert watch(estimator, stream(3600, 1e6 * (1 + ppm / 1e6))) == []
        assert estimator.deficit == pytest.approx(-ppm * 3600, rel=0.01)


def test_samples_that_come_late_are_not_lost():
    random = np.random.default_rng(1)
    held, arrivals = 0, []
    for now, count in stream(120, 1e6):
        if 30 <= now < 33 or random.random() < 0.5:
            continue
        held = max(held, count - int(random.integers(0, 100_000)))
        arrivals.append((now, held))
    assert watch(OverflowEstimator(1e6), arrivals) == []


def test_a_step_is_a_loss():
    arrivals = [(now, n - (300_000 if now >= 20 else 0)) for now, n in stream(60, 1e6)]
    (lost,) = watch(OverflowEstimator(1e6), arrivals)
    assert lost == pytest.approx(300_000, rel=0.02)


def test_a_source_that_is_always_too_slow():
    estimator = OverflowEstimator(1e6)
    assert sum(watch(estimator, stream(600, 0.99e6))) == pytest.approx(6e6, rel=0.05)


def test_gaps_that_a_driver_tells():
    def at(offset, seconds, part):
        tag = gr.tag_t()
        tag.offset, tag.key = offset, pmt.intern("rx_time")
        tag.value = pmt.make_tuple(pmt.from_uint64(seconds), pmt.from_double(part))
        return tag

    rate, start = 1e6, 1_700_000_000
    tags = [at(0, start, 0.5), at(50_000, start, 0.55), at(60_000, start, 0.561)]
    samples = np.arange(12 << 13).astype(np.complex64)
    source = blocks.vector_source_c(samples, False, 1, tags)
    monitor = StreamMonitor(Segment(1000, None, rate, 1e8), reports_overflows=True)
    sink = blocks.vector_sink_c()
    graph = gr.top_block()
    graph.connect(source, monitor, sink)
    graph.run()
    assert np.array_equal(sink.data(), samples)
    # The tag at 50,000 goes on where the first one said; 1,000 samples lack before 60,000.
    assert (monitor.overflows, monitor.lost, monitor.received) == (1, 1000, len(samples))
    assert monitor.seconds_at(1000) == start + 0.5
    assert monitor.seconds_at(1000 + 59_999) == pytest.approx(start + 0.559999, abs=1e-6)
    assert monitor.seconds_at(1000 + 60_000) == pytest.approx(start + 0.561, abs=1e-6)
    found = {(tag.offset, pmt.symbol_to_string(tag.key)) for tag in sink.tags()}
    assert found == {(n, key) for n in (0, 60_000) for key in ("rx_freq", "rx_rate", "rx_time")}
