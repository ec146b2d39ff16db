# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""What amc_rx leaves behind and sends out, also when it is killed or its disk is full.

The network (see qa_support) calls a frame of 16 samples I or Q, after the axis it lies on.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import jsonschema
import numpy as np
import pmt
import pytest
import sigmf
from gnuradio import blocks, gr
from gnuradio.kdamc.receiver import records
from gnuradio.kdamc.receiver.command_line import host_and_port
from gnuradio.kdamc.receiver.console import LiveConsole, PlainConsole
from gnuradio.kdamc.receiver.errors import InputError
from gnuradio.kdamc.receiver.json_report import JsonReport
from gnuradio.kdamc.receiver.metrics_report import MetricsReport
from gnuradio.kdamc.receiver.publisher import Publisher
from gnuradio.kdamc.receiver.record_report import RecordReport
from gnuradio.kdamc.receiver.segments import Segment
from gnuradio.kdamc.receiver.sigmf_reader import open_sigmf
from gnuradio.kdamc.receiver.sigmf_report import SigmfReport
from gnuradio.kdamc.receiver.waterfall_report import MAX_ROWS, Spectra, WaterfallReport

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "python" / "kdamc")]

from qa_support import axis_signal, write_model  # noqa: E402
from receiver_command import APP  # noqa: E402

SCHEMA = json.loads((ROOT / "docs" / "amc_rx.schema.json").read_text())
FRAME = 16
RATE = 16000
PATIENCE = 60  # seconds, for what takes far less on a machine that is not busy

DECISION = records.DecisionRecord(
    label="BPSK", confidence=0.9, entropy=0.3, snr_db=12.0, time=1.0, sample_start=100,
    sample_count=50, freq_hz=1e6, model="m", frames_used=2, frames_gated=0, frames_dropped=0,
)  # fmt: skip
SIGNAL = records.SignalRecord(
    number=1, start=0.5, stop=2.0, sample_start=500, sample_count=1500, freq_hz=100.4e6,
    bandwidth_hz=12.5e3, symbol_rate_hz=9600.0, snr_db=14.2, label="GFSK", confidence=0.97,
    entropy=0.1, model="m", frames_used=40, frames_dropped=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model and a recording that the tests share."""
    path = tmp_path_factory.mktemp("outputs")
    write_model(path / "axis.onnx", FRAME)
    (axis_signal("IQI", 100 * FRAME) * 0.5).astype("<c8").tofile(path / "iqi.cf32")
    return path


@pytest.fixture
def sim(folder):
    """The command that receives the simulated radio until it is told to end."""
    return [
        *APP, "--sim", "--duration", "1e6", "--model", str(folder / "axis.onnx"),
        "--decision-frames", "64",
    ]  # fmt: skip


def wait_until(condition, what):
    """Wait for something that another process does."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return value


@contextmanager
def running(command, **options):
    """A process that is killed at the end if it has not ended."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    process = subprocess.Popen(list(map(str, command)), **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def free_port():
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def size(path):
    """Bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def check_lines(path):
    """Every line is a whole record of the schema; returns them."""
    text = path.read_text()
    assert text.endswith("\n")
    lines = [json.loads(line) for line in text.splitlines()]
    check_records(lines)
    return lines


def check_records(lines):
    """Hold records against the schema; nothing may be in them that it does not name."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for kind in ("decision", "signal", "stats", "summary"):
        of_kind = [line for line in lines if line["type"] == kind]
        for line in (*of_kind[:5], *of_kind[-5:]):
            validator.validate(line)
            assert set(line) <= set(SCHEMA["$defs"][kind]["properties"])


def summary():
    """That of a run that found nothing."""
    return records.Summary("s", "m", 1e3, -20.0)


class Silence:
    """A source that has no samples, for reports that only want to know what it is."""

    is_complex = True
    name = "silence"

    def __init__(self, *segments):
        self.segments = list(segments) or [Segment(0, 1000, 1e3)]

    def sigmf_header(self):
        return {"core:datatype": "cf32_le", "core:sample_rate": 1e3}, [{"core:sample_start": 0}], 0


# JSON lines.


def test_records_are_those_of_the_schema(folder, tmp_path):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    out = tmp_path / "out.jsonl"
    subprocess.run(
        [
            *APP, "--as-is", "--file", folder / "iqi.cf32", "--samp-rate", str(RATE), "--model",
            folder / "axis.onnx", "--json", out, "--quiet",
        ],
        check=True, timeout=PATIENCE,
    )  # fmt: skip
    lines = check_lines(out)
    assert {line["type"] for line in lines} == {"decision", "stats", "summary"}
    assert lines[-1]["schema"] == records.SCHEMA_VERSION == 1


def test_signals_in_json(tmp_path):
    report = JsonReport(tmp_path / "out.jsonl")
    report.signal(replace(SIGNAL, ongoing=True))
    report.signal(replace(SIGNAL, symbol_rate_hz=None, snr_db=float("nan"), truth="GFSK"))
    report.decision(replace(DECISION, symbol_rate_hz=9600.0))
    end = summary()
    end.add_signal(SIGNAL)
    report.summary(end)
    found, decision, last = check_lines(tmp_path / "out.jsonl")
    assert list(found) == list(SCHEMA["$defs"]["signal"]["properties"])
    assert (found["symbol_rate_hz"], found["snr_db"], found["ongoing"]) == (None, None, False)
    assert decision["symbol_rate_hz"] == 9600.0 and "bandwidth_hz" not in decision
    assert (last["signals"], last["decisions"]) == (1, 0)
    assert last["signal_labels"]["GFSK"]["count"] == 1


# Ends that nobody asked for.


@pytest.mark.parametrize("lines", [1, 400, 1500])
def test_killed(sim, tmp_path, lines):
    out, pair = tmp_path / "out.jsonl", tmp_path / "rec.sigmf-meta"
    marks = tmp_path / "marks.sigmf-meta"
    command = [*sim, "--json", out, "--record", pair, "--sigmf", marks, "--quiet"]
    with running(command) as process:
        # A line is shorter than 400 bytes, and so are metadata without annotations than 1000.
        wait_until(lambda: size(out) > 400 * lines and size(marks) > 1000 < size(pair), "lines")
        process.send_signal(signal.SIGKILL)
        assert process.wait(PATIENCE) == -signal.SIGKILL
    assert len(check_lines(out)) >= lines
    recording = sigmf.sigmffile.fromfile(str(pair))
    recording.validate()
    annotations = recording.get_annotations()
    assert annotations
    last = annotations[-1]
    end = last["core:sample_start"] + last["core:sample_count"]
    assert 0 < end <= recording.sample_count
    assert len(recording.read_samples(count=1000)) == 1000
    assert open_sigmf(pair).segments[0].count == recording.sample_count
    sigmf.SigMFFile(metadata=json.loads(marks.read_text())).validate()
    # What was being written when it was killed may lie there under another name, no more.
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {
        "out.jsonl", "marks.sigmf-meta", "rec.sigmf-meta", "rec.sigmf-data",
    }  # fmt: skip


@contextmanager
def small_disk(path):
    """A file system of 4 MB, where the machine lets us mount one."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def check_full(process, names, tmp_path, reason):
    """The run ends with one line that names a file, and every file is whole."""
    printed, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert printed == ""
    assert len(errors.splitlines()) == 1
    assert errors.startswith("amc_rx: error: ")
    assert reason in errors
    assert any(str(tmp_path / name) in errors for name in names)
    check_lines(tmp_path / "out.jsonl")
    if "rec.sigmf-data" in names:
        recording = sigmf.sigmffile.fromfile(str(tmp_path / "rec.sigmf-meta"))
        recording.validate()
        assert recording.sample_count > 1000
        open_sigmf(tmp_path / "rec.sigmf-meta")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--record", "rec"], ["rec.sigmf-data", "out.jsonl", "rec.sigmf-meta"]),
        (["--sigmf", "marks.sigmf-meta"], ["out.jsonl", "marks.sigmf-meta"]),
    ],
)
def test_full_disk(sim, tmp_path, options, names):
    with small_disk(tmp_path / "disk") as disk:
        paths = [option if option.startswith("-") else disk / option for option in options]
        with running([*sim, "--json", disk / "out.jsonl", "--quiet", *paths]) as process:
            check_full(process, names, disk, "No space left")


def test_file_size_limit(sim, tmp_path):
    limit = 1_000_001  # amid a sample and amid a line
    command = [*sim, "--json", tmp_path / "out.jsonl", "--quiet", "--record", tmp_path / "rec"]
    with running(
        command,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    ) as process:
        check_full(process, ["rec.sigmf-data"], tmp_path, "File too large")
    assert size(tmp_path / "rec.sigmf-data") == 1_000_000


def test_line_that_does_not_fit_is_taken_back(tmp_path):
    code = f"""
import resource, sys
from gnuradio.kdamc.receiver.json_report import JsonReport
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
report = JsonReport(Path({str(tmp_path / "out.jsonl")!r}))
try:
    while True:
        report.stats({{"x": 1, "text": "y" * 83}})
except OSError as error:
    sys.exit(str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "out.jsonl: File too large" in done.stderr
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert len(lines) == 1000 // (len(lines[0]) + 1)
    assert {json.loads(line)["x"] for line in lines} == {1}


# Recordings and annotations.


def test_recording_is_what_came(folder, tmp_path):
    subprocess.run(
        [
            *APP, "--as-is", "--file", folder / "iqi.cf32", "--samp-rate", str(RATE),
            "--freq", "1e8", "--model", folder / "axis.onnx", "--quiet",
            "--record", tmp_path / "rec.sigmf-data", "--decision-frames", "10", "--duration", "0.2",
        ],
        check=True, timeout=PATIENCE,
    )  # fmt: skip
    data = (folder / "iqi.cf32").read_bytes()
    assert (tmp_path / "rec.sigmf-data").read_bytes() == data[: 3200 * 8]
    recording = sigmf.sigmffile.fromfile(str(tmp_path / "rec.sigmf-meta"))
    recording.validate()
    assert recording.get_captures() == [{"core:sample_start": 0, "core:frequency": 1e8}]
    annotations = recording.get_annotations()
    assert [a["core:label"] for a in annotations] == ["I"] * 10 + ["Q"] * 10
    assert [a["core:sample_start"] for a in annotations] == list(range(0, 3200, 160))


def test_recording_of_a_recording_with_captures(folder, tmp_path):
    samples = axis_signal("IQ", 50 * FRAME).astype("<c8") * 0.5
    samples.tofile(tmp_path / "two.sigmf-data")
    half = len(samples) // 2
    metadata = {
        "global": {
            "core:datatype": "cf32_le", "core:version": "1.2.6", "core:sample_rate": RATE,
        },
        "captures": [
            {"core:sample_start": 0, "core:frequency": 1e8},
            {
                "core:sample_start": half, "core:frequency": 2e8,
                "core:datetime": "2020-01-01T00:00:00.25Z",
            },
        ],
        "annotations": [],
    }  # fmt: skip
    (tmp_path / "two.sigmf-meta").write_text(json.dumps(metadata))
    subprocess.run(
        [
            *APP, "--as-is", "--file", tmp_path / "two.sigmf-meta", "--model", folder / "axis.onnx",
            "--record", tmp_path / "rec", "--quiet", "--decision-frames", "50",
        ],
        check=True, timeout=PATIENCE,
    )  # fmt: skip
    assert (tmp_path / "rec.sigmf-data").read_bytes() == samples.tobytes()
    before, after = open_sigmf(tmp_path / "two.sigmf-meta"), open_sigmf(tmp_path / "rec.sigmf-meta")
    assert after.segments[0] == before.segments[0]
    assert after.segments[1] == before.segments[1]
    labels = [a["core:label"] for a in after.metadata["annotations"]]
    assert labels == ["I", "Q"]


def test_retuning_begins_a_capture(tmp_path):
    def tag(offset, key, value):
        return gr.tag_utils.python_to_tag((offset, pmt.intern(key), value, pmt.PMT_F))

    segment = Segment(0, None, 1e3, 1e8, (1577836800, 0.5))
    report = RecordReport(tmp_path / "rec", Silence(segment), 100.0)
    tags = [
        tag(0, "rx_freq", pmt.from_double(1e8)),
        tag(3000, "rx_freq", pmt.from_double(2e8)),
        tag(5000, "rx_time", pmt.make_tuple(pmt.from_uint64(1577836900), pmt.from_double(0.0))),
        tag(6000, "rx_time", pmt.make_tuple(pmt.from_uint64(1577836901), pmt.from_double(0.0))),
    ]
    samples = np.arange(10000).astype(np.complex64)
    graph = gr.top_block()
    report.connect(graph, blocks.vector_source_c(samples, False, 1, tags), segment, True)
    graph.run()
    report.signal(SIGNAL)
    report.signal(replace(SIGNAL, number=2, sample_start=9000))  # not all of it is recorded
    report.summary(summary())
    assert report.error is None
    assert np.array_equal(np.fromfile(tmp_path / "rec.sigmf-data", "<c8"), samples)
    recording = open_sigmf(tmp_path / "rec.sigmf-meta")
    assert [(s.start, s.freq_hz, s.time) for s in recording.segments] == [
        (0, 1e8, (1577836800, 0.5)), (3000, 2e8, (1577836803, 0.5)), (5000, 2e8, (1577836900, 0)),
    ]  # fmt: skip
    (annotation,) = recording.metadata["annotations"]
    assert annotation["kdamc:number"] == 1


def test_signals_in_sigmf(tmp_path):
    path = tmp_path / "out.sigmf-meta"
    report = SigmfReport(path, Silence(), 100.0)
    report.signal(replace(SIGNAL, number=2, sample_start=700))
    report.signal(replace(SIGNAL, ongoing=True))
    report.signal(SIGNAL)
    report.decision(replace(DECISION, bandwidth_hz=300.0))
    report.stats({})  # there before the end
    assert len(json.loads(path.read_text())["annotations"]) == 3
    report.summary(summary())
    metadata = json.loads(path.read_text())
    sigmf.SigMFFile(metadata=metadata).validate()
    decision, first, second = metadata["annotations"]
    assert decision["core:freq_upper_edge"] - decision["core:freq_lower_edge"] == 300.0
    assert (first["kdamc:number"], second["kdamc:number"]) == (1, 2)
    assert first["core:freq_lower_edge"] == 100.4e6 - 6250
    assert first["core:freq_upper_edge"] == 100.4e6 + 6250
    assert (first["core:sample_start"], first["core:sample_count"]) == (500, 1500)
    assert (first["core:label"], first["kdamc:confidence"]) == ("GFSK", 0.97)
    assert (first["kdamc:symbol_rate"], first["kdamc:snr_db"]) == (9600.0, 14.2)


# The network.


@contextmanager
def broker(port, folder):
    """An MQTT broker on a port."""
    program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if program is None:
        pytest.skip("no mosquitto on this system")
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")

    def answers():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with running([program, "-c", settings]) as process:
        wait_until(answers, "the broker does not listen")
        yield process


def test_zmq(sim):
    import zmq

    port = free_port()
    with running([*sim, "--throttle", "--zmq-pub", f"127.0.0.1:{port}", "--quiet"]) as process:
        with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
            subscriber.linger = 0
            subscriber.rcvtimeo = 1000 * PATIENCE
            subscriber.subscribe(b"kdamc.")
            subscriber.connect(f"tcp://127.0.0.1:{port}")
            found = {}
            while set(found) != {"kdamc.decision", "kdamc.stats", "kdamc.summary"}:
                topic, payload = subscriber.recv_multipart()
                complete = len(found) == 1 and topic.decode() not in found
                found[topic.decode()] = json.loads(payload)
                if complete:
                    process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, printed, errors) == (0, "", "")
    check_records(list(found.values()))
    assert all(topic == f"kdamc.{record['type']}" for topic, record in found.items())


def test_mqtt(sim, tmp_path):
    from paho.mqtt import client as mqtt

    port = free_port()
    with broker(port, tmp_path) as server:
        messages = queue.Queue()
        subscriber = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        subscriber.on_message = lambda client, data, message: messages.put(message)
        ready = threading.Event()
        subscriber.on_subscribe = lambda *_: ready.set()
        subscriber.on_connect = lambda *_: subscriber.subscribe("radio/7/#")
        subscriber.connect("127.0.0.1", port)
        subscriber.loop_start()
        assert ready.wait(PATIENCE)

        mqtt_options = ["--mqtt", f"127.0.0.1:{port}", "--mqtt-topic", "radio/7"]
        with running([*sim, "--throttle", "--quiet", *mqtt_options]) as process:
            found = {}
            while set(found) != {f"radio/7/{kind}" for kind in ("decision", "stats", "summary")}:
                message = messages.get(timeout=PATIENCE)
                found[message.topic] = json.loads(message.payload)
                if len(found) == 2:
                    process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        subscriber.disconnect()
        subscriber.loop_stop()
        check_records(list(found.values()))
        assert all(topic.endswith(record["type"]) for topic, record in found.items())

        # The broker goes away: the run goes on, and says what it could not send.
        out = tmp_path / "out.jsonl"
        with running([*sim, "--throttle", "--quiet", *mqtt_options, "--json", out]) as process:
            wait_until(lambda: size(out) > 0, "no line")
            server.kill()
            server.wait()
            wait_until(
                lambda: (
                    [1 for line in out.read_text().splitlines()[:-1] if '"unsent": ' in line]
                    and json.loads(
                        [li for li in out.read_text().splitlines()[:-1] if '"unsent": ' in li][-1]
                    )["unsent"]
                    > 10
                ),
                "no record was left out",
            )
            process.send_signal(signal.SIGINT)
            printed, errors = process.communicate(timeout=PATIENCE)
            assert (process.returncode, printed, errors) == (0, "", "")
        last = check_lines(out)[-1]
        assert (last["ended"], last["dropped"]) == ("interrupted", 0)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--mqtt", "127.0.0.1:{port}"], "no broker"),
        (["--mqtt", "127.0.0.1:0"], "no port"),
        (["--mqtt", "127.0.0.1:{taken}", "--mqtt-topic", "a/#"], "topic"),
        (["--zmq-pub", "tcp://127.0.0.1:{taken}"], "in use"),
        (["--zmq-pub", "nonsense"], "--zmq-pub nonsense"),
        (["--metrics", "127.0.0.1:{taken}"], "in use"),
        (["--metrics", "http"], "no port"),
        (["--record", "absent/rec"], "absent"),
        (["--report", "absent/out.png"], "absent"),
        (["--report", "out.pdf"], "PNG"),
        (["--json", "same", "--sigmf", "same"], "being read, or written"),
        (["--json", "same.sigmf-data", "--record", "same"], "being read, or written"),
    ],
)
def test_refused_before_anything_is_written(sim, tmp_path, options, reason):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ports = {"port": free_port(), "taken": listener.getsockname()[1]}
        done = subprocess.run(
            [*sim, "--json", "out.jsonl", *(option.format(**ports) for option in options)],
            capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert reason in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_host_and_port():
    assert host_and_port("broker", 1883) == ("broker", 1883)
    assert host_and_port("broker:99", 1883) == ("broker", 99)
    assert host_and_port("[::1]", 1883) == ("::1", 1883)
    assert host_and_port("[::1]:99", 1883) == ("::1", 99)
    assert host_and_port("9100", default_host="0.0.0.0") == ("0.0.0.0", 9100)
    assert host_and_port("127.0.0.1:9100") == ("127.0.0.1", 9100)
    for text in ("", ":99", "broker:", "broker:x", "broker:70000"):
        with pytest.raises(ValueError, match=r"port|host"):
            host_and_port(text, 1883)


class Stuck(Publisher):
    """A network that takes nothing until it is let go."""

    def __init__(self):
        super().__init__()
        self.open, self.sent, self.closed = threading.Event(), [], False
        self.begin()

    def send(self, kind, payload):
        self.open.wait(PATIENCE)
        self.sent.append(json.loads(payload))
        return True

    def close(self, deadline):
        self.closed = True


def test_slow_network_holds_nothing_up():
    report = Stuck()
    for _ in range(5000):
        report.decision(DECISION)
    assert 5000 - 1024 - 1 <= report.unsent <= 5000 - 1024
    report.open.set()
    report.summary(summary())
    assert report.closed
    assert len(report.sent) == 5000 - report.unsent + 1
    assert report.sent[-1]["type"] == "summary"


def metrics_of(port):
    """``{(name, labels): value}`` of a metrics page."""
    from prometheus_client.parser import text_string_to_metric_families

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as page:
        text = page.read().decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics(sim):
    port = free_port()
    with running([*sim, "--throttle", "--quiet", "--metrics", f"127.0.0.1:{port}"]) as process:

        def classified():
            try:
                found = metrics_of(port)
            except OSError:
                return None
            return found if found["kdamc_frames_total", ("result", "classified")] else None

        found = wait_until(classified, "no frame was counted")
        later = wait_until(
            lambda: (
                (now := metrics_of(port))["kdamc_frames_in_total",]
                > found["kdamc_frames_in_total",]
                and now
            ),
            "nothing goes on",
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    assert later["kdamc_frames_in_total",] >= sum(
        later["kdamc_frames_total", ("result", result)]
        for result in ("classified", "gated", "refused", "dropped")
    )
    assert sum(value for key, value in later.items() if key[0] == "kdamc_decisions_total") > 0
    assert 0 <= later["kdamc_queue_fill_ratio",] <= 1
    assert later["kdamc_latency_seconds", ("quantile", "0.99")] > 0
    for name in ("kdamc_overflows_total", "kdamc_unsent_total", "kdamc_signals_ongoing"):
        assert later[name,] == 0


def test_metrics_never_fall():
    port = free_port()
    report = MetricsReport(f"127.0.0.1:{port}", "s", "m")
    for classified in (10, 30, 5):  # a second classifier begins at 0
        report.stats({"classified": classified, "latency_p50_ms": float("nan")})
    report.signal(replace(SIGNAL, ongoing=True))
    report.signal(replace(SIGNAL, number=2, ongoing=True))
    report.signal(replace(SIGNAL, number=2))
    found = metrics_of(port)
    report.summary(summary())
    assert found["kdamc_frames_total", ("result", "classified")] == 35
    assert found["kdamc_signals_ongoing",] == 1
    assert found["kdamc_signals_total", ("label", "GFSK")] == 1


# The picture, and what is printed.


def test_waterfall_shows_where_power_is(tmp_path):
    from matplotlib.image import imread

    rate, count = 100e3, 200_000
    segment = Segment(0, count, rate, 433e6)
    report = WaterfallReport(tmp_path / "out.png", Silence(segment), 10e3)
    samples = np.zeros(count, np.complex64)
    on = slice(count // 4, count // 2)
    samples[on] = np.exp(2j * np.pi * 0.25 * np.arange(count))[on]
    graph = gr.top_block()
    report.connect(graph, blocks.vector_source_c(samples, True), segment, True)
    graph.run()
    assert report.error is None
    rows = report._spectra.rows
    assert 300 < len(rows) <= MAX_ROWS
    for _, start, stop, power in rows:
        inside = on.start <= start and stop <= on.stop
        if inside:
            # A tone of full scale, a quarter of the rate above the middle.
            assert abs(np.argmax(power) - 0.75 * len(power)) <= 1
            assert power.max() == pytest.approx(1.0, rel=0.01)
        elif stop <= on.start or start >= on.stop:
            assert power.max() < 1e-6
    report.signal(
        replace(
            SIGNAL, sample_start=on.start, sample_count=on.stop - on.start,
            freq_hz=433.025e6, bandwidth_hz=20e3,
        )
    )  # fmt: skip
    end = summary()
    end.add_signal(SIGNAL)
    report.summary(end)
    picture = imread(tmp_path / "out.png")
    assert picture.shape[0] > 600 and picture.shape[1] > 800
    # The box is in colour, the waterfall is grey: its edges lie where the signal lies.
    height, width = picture.shape[:2]
    waterfall = picture[: int(0.9 * height), : int(0.9 * width), :3]
    coloured = np.ptp(waterfall, axis=2) > 0.2
    columns, rows = np.flatnonzero(coloured.any(axis=0)), np.flatnonzero(coloured.any(axis=1))
    assert columns.min() > 0.5 * width
    assert 0.2 * height < rows.min() < 0.35 * height
    assert 0.4 * height < rows.max() < 0.6 * height


def test_waterfall_of_an_endless_run_stays_small():
    spectra, segments = Spectra(), [Segment(0, None, 1.0), Segment(90_000, None, 1.0)]
    rng = np.random.default_rng(1)
    total = 0.0
    for at in range(100_000):
        power = rng.random(4, np.float32)
        total += power.sum()
        spectra.add(segments[at >= 90_000], at, at + 1, power)
        assert len(spectra.rows) < MAX_ROWS
    spectra.flush()
    assert len(spectra.rows) > MAX_ROWS // 4
    # Every sample is in one row, and none is in two; the power is what it was.
    edges = [row[1:3] for row in spectra.rows]
    assert edges[0][0] == 0 and edges[-1][1] == 100_000
    assert all(before[1] == after[0] for before, after in pairwise(edges))
    kept = sum((stop - start) * power.sum() for _, start, stop, power in spectra.rows)
    assert kept == pytest.approx(total, rel=0.01)


def test_report_of_a_run(folder, tmp_path):
    from matplotlib.image import imread

    subprocess.run(
        [
            *APP, "--as-is", "--file", folder / "iqi.cf32", "--samp-rate", str(RATE), "--model",
            folder / "axis.onnx", "--report", tmp_path / "out.png", "--quiet",
        ],
        check=True, timeout=PATIENCE,
    )  # fmt: skip
    assert imread(tmp_path / "out.png").std() > 0.1


@pytest.mark.parametrize(("columns", "rate"), [(80, "rate"), (130, "symbol rate")])
def test_signals_on_the_console(capsys, monkeypatch, columns, rate):
    monkeypatch.setenv("COLUMNS", str(columns))
    console = LiveConsole("a band", rows=3)
    for number in range(1, 6):
        last = replace(SIGNAL, number=number, ongoing=number in (1, 5), freq_hz=100e6 + number)
        console.signal(replace(last, ongoing=True))
        console.signal(last)
    end = summary()
    end.add_signal(SIGNAL)
    console.summary(end)
    shown = capsys.readouterr().out
    for word in (rate, "9.6 kBd", "12.5 kHz", "GFSK", "0.97", "14.2 dB", "0.500 s", "1.50 s ..."):
        assert word in shown
    assert "1 signals" in shown
    # Those that last stay, of the others the newest.
    assert all(f"100.00000{number} MHz" in shown for number in (1, 4, 5))
    assert not any(f"100.00000{number} MHz" in shown for number in (2, 3))


def test_signals_as_lines(capsys):
    console = PlainConsole()
    console.signal(replace(SIGNAL, ongoing=True))
    assert capsys.readouterr().out == ""
    console.signal(replace(SIGNAL, truth="BPSK"))
    (line,) = capsys.readouterr().out.splitlines()
    for word in ("0.500 s", "1.50 s", "100.400000 MHz", "12.5 kHz", "9.6 kBd", "BPSK WRONG"):
        assert word in line


def test_mqtt_address_is_checked_first():
    from gnuradio.kdamc.receiver.mqtt_report import MqttReport

    with pytest.raises(InputError, match="no port"):
        MqttReport("host:many", "t")
