# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""int8: what 8 bits allow, calibrated on validation frames alone, refused by name, recorded."""

import dataclasses
import hashlib
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from gnuradio.kdamc import contract
from kdamc_training import calibration, networks, pipeline
from kdamc_training.cli import main
from kdamc_training.compression import int8
from kdamc_training.compression.int8 import Scheme, quantize
from kdamc_training.datasets.dataset_file import (
    DataSetFile,
    DataSetInfo,
    DataSetWriter,
    rms_normalised,
)
from kdamc_training.errors import UserError
from kdamc_training.export import UnknownOutput, export
from kdamc_training.onnx_models import logits_of, open_model, outputs_for
from kdamc_training.planar import linear
from kdamc_training.recipe import DataSection, data_section
from kdamc_training.records import read_record
from kdamc_training.speed import untrained
from kdamc_training.unknown import Energy
from test_networks_export import settle_batch_norms

LENGTH = 64
NETWORKS = {
    "plain_conv": {},
    "live_conv": {},
    "resnet_edge": {"filters": 8, "hidden": 16},
    "inceptionnet": {"filters": 8, "hidden": 16},
}
assert networks


def frames(count: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, 2, LENGTH)).astype(np.float32)
    return rms_normalised(x)


@pytest.fixture(scope="module")
def toys(tmp_path_factory) -> dict[str, Path]:
    """Untrained networks as ONNX files."""
    folder = tmp_path_factory.mktemp("toys")
    paths = {}
    for name, options in NETWORKS.items():
        torch.manual_seed(0)
        module = untrained(name, options, ["a", "b", "c"], LENGTH)
        settle_batch_norms(module)
        paths[name] = folder / f"{name}.onnx"
        export(module, paths[name])
    return paths


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "int8.onnx"
    onnx.save(model, path)
    return path


def error(found: np.ndarray, right: np.ndarray) -> float:
    """RMS of the difference over the spread of what is right."""
    return float(np.sqrt(np.mean((found - right) ** 2)) / np.std(right))


def run_as(path: Path, folder: Path) -> set[str]:
    """Kinds of nodes that ONNX Runtime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return {node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_int8_agrees_to_what_8_bits_allow(name, toys, tmp_path):
    quantized, nodes = quantize(onnx.load(toys[name]), frames(256))
    path = saved(quantized, tmp_path)
    kinds = run_as(path, tmp_path)
    assert "QLinearConv" in kinds
    assert not kinds & {"Conv", "FusedConv"}
    assert sum("Conv" in node for node in nodes) >= 4
    before, after = open_model(str(toys[name])), open_model(str(path))
    x = frames(200, seed=1)
    expected, found = before.run(x), after.run(x)
    assert 0 < error(found.logits, expected.logits) < 0.1
    if expected.snr_db is not None:
        # Of frames that differ little for an untrained network.
        assert error(found.snr_db, expected.snr_db) < 0.2
    assert (found.snr_db is None) == (expected.snr_db is None)


def test_what_a_file_says_stays_as_it_was(toys, tmp_path):
    before = onnx.load(toys["live_conv"])
    after, _ = quantize(before, frames(64))
    assert before == onnx.load(toys["live_conv"])
    assert after.ByteSize() < 0.45 * before.ByteSize()
    assert after.metadata_props == before.metadata_props
    assert [(entry.domain, entry.version) for entry in after.opset_import] == [("", 17)]
    assert after.graph.input == before.graph.input
    assert [value.name for value in after.graph.output] == [
        contract.LOGITS_NAME,
        contract.SNR_NAME,
    ]
    assert len(open_model(str(saved(after, tmp_path))).run(frames(3)).logits) == 3


def weights(model: onnx.ModelProto) -> list[np.ndarray]:
    """int8 tensors of more than one axis."""
    tensors = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    return [tensor for tensor in tensors if tensor.dtype == np.int8 and tensor.ndim > 1]


def test_7_bits_leave_room_and_8_are_closer(toys, tmp_path):
    model, x = onnx.load(toys["plain_conv"]), frames(400, seed=2)
    right = open_model(str(toys["plain_conv"])).run(x).logits
    errors = {}
    for bits, largest in ((7, 64), (8, 127)):
        quantized, _ = quantize(model, frames(256), Scheme(weight_bits=bits))
        for tensor in weights(quantized):
            # Every channel has a scale of its own and uses all of it.
            peaks = np.abs(tensor.astype(int)).reshape(len(tensor), -1).max(axis=1)
            assert (peaks == largest).all()
        errors[bits] = error(open_model(str(saved(quantized, tmp_path))).run(x).logits, right)
    assert errors[8] < errors[7]


RUN = """
import sys, numpy, onnxruntime
for path in sys.argv[2:]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    numpy.save(path + ".npy", session.run(["logits"], {"iq": numpy.load(sys.argv[1])})[0])
"""


@pytest.mark.skipif(
    platform.machine() != "x86_64" or shutil.which("qemu-x86_64") is None,
    reason="no qemu-user to run as a processor without VNNI",
)
def test_7_bits_are_exact_without_vnni_where_8_saturate(tmp_path):
    torch.manual_seed(0)
    module = untrained("plain_conv", {}, ["a", "b", "c"], LENGTH)
    settle_batch_norms(module)
    with torch.no_grad():
        for layer in module.network.modules():
            if isinstance(layer, torch.nn.Conv1d):
                layer.weight.abs_()  # sums of products of one sign are the largest
    export(module, tmp_path / "float.onnx")
    x = frames(32)
    np.save(tmp_path / "x.npy", x)
    paths = []
    for bits in (7, 8):
        quantized, _ = quantize(onnx.load(tmp_path / "float.onnx"), x, Scheme(weight_bits=bits))
        paths.append(tmp_path / f"{bits}.onnx")
        onnx.save(quantized, paths[-1])
    # AVX2 and no VNNI.
    emulated = ["qemu-x86_64", "-cpu", "Haswell", sys.executable, "-c", RUN]
    subprocess.run(
        [*emulated, *map(str, [tmp_path / "x.npy", *paths])], check=True, capture_output=True
    )
    there = [np.load(f"{path}.npy") for path in paths]
    right = open_model(str(tmp_path / "float.onnx")).run(x).logits
    assert error(there[0], open_model(str(paths[0])).run(x).logits) < 1e-4
    assert error(there[0], right) < 0.1 < error(there[1], right)


def test_named_nodes_stay_float_and_other_kinds_can_go(toys, tmp_path):
    model = onnx.load(toys["plain_conv"])
    first = next(node.name for node in model.graph.node if node.op_type == "Conv")
    kept, nodes = quantize(model, frames(64), Scheme(keep_float=(first,)))
    assert first not in nodes and len(weights(kept)) == 3
    heads, _ = quantize(model, frames(64), Scheme(operators=("Conv", "Gemm")))
    assert len(weights(heads)) == 5


def test_settled_ranges_are_used_instead_of_the_frames(toys):
    model = linear(onnx.load(toys["plain_conv"]))
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    quantized, _ = quantize(model, frames(64), Scheme(ranges={first.name: (-1.0, 4.1)}))
    scales = {tensor.name: tensor for tensor in quantized.graph.initializer}
    (node,) = (
        node
        for node in quantized.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] == first.input[0]
    )
    scale, zero = (onnx.numpy_helper.to_array(scales[name]) for name in node.input[1:])
    assert scale == pytest.approx(0.02) and zero == 50


def test_refused_by_name(toys, tmp_path):
    model = onnx.load(toys["plain_conv"])
    for scheme, words in (
        (Scheme(weight_bits=4), "weights of 4 bits"),
        (Scheme(keep_float=("nothing",)), "no node 'nothing'"),
        (Scheme(operators=("LSTM",)), "no LSTM to quantize"),
    ):
        with pytest.raises(UserError, match=words):
            quantize(model, frames(8), scheme)
    with pytest.raises(UserError, match="no frames to calibrate on"):
        quantize(model, frames(0))
    again, _ = quantize(model, frames(8))
    with pytest.raises(UserError, match="quantized already"):
        quantize(again, frames(8))


def test_a_run_that_shipped_int8_alone_is_quantized_from_its_checkpoint(toy_run, tmp_path):
    run = tmp_path / "student-s0"
    shutil.copytree(toy_run, run)
    before = int8.open_target(str(run))
    onnx.save(quantize(before.model, frames(16).repeat(2, axis=2))[0], run / "small.onnx")
    (run / "small.md").write_text("its card")
    after = int8.open_target(str(run))
    assert not any(node.op_type == "QuantizeLinear" for node in after.model.graph.node)
    assert after.model.graph == before.model.graph and after.name == "student-s0"


def test_targets_are_refused_by_name(toys, tmp_path):
    file = str(toys["plain_conv"])
    for given, more, words in (
        ("none.onnx", {}, "no such model file"),
        ("none", {}, "no recipe 'none'"),
        (file, {}, "does not name its recipe"),
        (file, {"recipe_name": "none"}, "no recipe 'none'"),
        ("clst/rml2016.10a-3pct", {"budget": "reduced"}, "publishes no member"),
        (str(tmp_path), {"recipe_name": "plain/rml2016.10a"}, "goes with an ONNX file"),
        (str(tmp_path), {}, "not a record"),
    ):
        with pytest.raises(UserError, match=words):
            int8.open_target(given, **more)


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory) -> Path:
    """A student of two epochs, its generated data beside it."""
    work = tmp_path_factory.mktemp("work")
    change = ["--set", "publish=[]"]
    arguments = ["run", "plain/rml2016.10a", "--budget", "smoke", "--work", str(work), *change]
    assert main(arguments) == 0
    return work / "plain" / "rml2016.10a-smoke" / "student-s0"


def rows(x: np.ndarray) -> set[bytes]:
    return {frame.tobytes() for frame in np.ascontiguousarray(x)}


def part(chosen) -> np.ndarray:
    with DataSetFile(chosen.path) as data:
        return rms_normalised(data.x[:][chosen.chosen])


def test_the_record_and_what_it_was_calibrated_on(toy_run, tmp_path, capsys, monkeypatch):
    used = []

    def spy(model, calibrated_on, scheme):
        used.append(calibrated_on)
        return quantize(model, calibrated_on, scheme)

    monkeypatch.setattr(int8, "quantize", spy)
    out, json_file = tmp_path / "student.onnx", tmp_path / "record.json"
    work = toy_run.parents[2]
    arguments = ["quantize", str(toy_run), str(out), "--json", str(json_file), "--frames", "20"]
    capsys.readouterr()
    assert main([*arguments, "--work", str(work), "--seconds", "0.01"]) == 0
    printed = capsys.readouterr().out
    found = read_record(json_file)

    settings = read_record(toy_run / "record.json")["settings"]
    parts = pipeline.prepare_data(data_section(settings["data"]), work / "data", 1)
    assert len(used[0]) == 20
    assert rows(used[0]) <= rows(part(parts.validation))
    assert not rows(used[0]) & rows(part(parts.test))
    # As the temperature; the fusion is fitted on runs, which are no test data either.
    model = open_model(str(out))
    fitted = calibration.fit(model, parts.validation, parts.runs)
    assert parts.runs != parts.test.path
    with DataSetFile(parts.validation.path) as data:
        logits = logits_of(model, data, parts.validation.chosen)
    right = calibration.fit_temperature(logits, parts.validation.labels()[0])
    assert model.info.temperature == right == fitted.temperature
    assert model.info.fusion == fitted.fusion
    assert found["int8"]["calibration"] == dataclasses.asdict(fitted)

    says = model.info.metadata
    assert set(contract.REQUIRED_KEYS) <= set(says)
    assert says[contract.KEY_ARCHITECTURE] == "plain_conv"
    assert says[contract.KEY_GENERATOR_CMD].startswith("kdamc-train quantize")
    how = json.loads(says[contract.KEY_QUANTIZATION])
    assert how == found["quantization"]
    assert how["calibrated_on"].startswith("20 validation frames of rml2016.10a")
    assert how["trained_for_it"] is False
    assert how["float32_sha256"] == found["float32"]["model"]["sha256"]
    sha256 = hashlib.sha256(out.read_bytes()).hexdigest()
    assert found["int8"]["model"]["sha256"] == sha256
    assert found["int8"]["bytes"] == out.stat().st_size < found["float32"]["bytes"]

    with DataSetFile(parts.test.path) as data:
        called = logits_of(model, data).argmax(axis=1)
        right = float((called == data.y[:]).mean())
    assert json.loads(says[contract.KEY_ACCURACY])["overall"] == right
    tests = {kind: found[kind]["test"] for kind in ("float32", "int8")}
    assert tests["int8"]["overall"] == right
    assert tests["int8"]["frames"] == tests["float32"]["frames"] == len(parts.test)
    gap = found["difference"]
    assert gap["overall"] == tests["int8"]["overall"] - tests["float32"]["overall"]
    assert gap["by_snr"].keys() == tests["int8"]["by_snr"].keys() == {"0", "2", "4"}
    assert 0 <= gap["changed"] < 0.2
    for size, ratio in found["speed_ratio"].items():
        speed = [found[kind]["frames_per_second"][size] for kind in ("int8", "float32")]
        assert ratio == speed[0] / speed[1]
    assert found["faster"] == all(ratio > 1 for ratio in found["speed_ratio"].values())
    assert ("NOT faster" in printed) == (not found["faster"])
    assert found["int8"]["decisions"]["1"]["decisions"] > 0


def test_what_would_fail_is_refused_before_data_are_made(toy_run, tmp_path, capsys):
    for more, words in (
        ([str(tmp_path / "none" / "o.onnx")], "does not exist"),
        ([str(tmp_path / "o.onnx"), "--frames", "0"], "at least one frame"),
        ([str(tmp_path / "o.onnx"), "--seconds", "0"], "seconds is 0"),
        ([str(tmp_path / "o.onnx"), "--float", "no"], "student-s0: the model has no node 'no'"),
    ):
        assert main(["quantize", str(toy_run), *more, "--work", str(tmp_path)]) == 1
        assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_integer_features_of_a_processor(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("processor : 0\nflags\t\t: fpu avx2 avx512_vnni avx512f sse\n")
    assert int8.cpu_features(path) == ["avx2", "avx512f", "avx512_vnni"]
    path.write_text("Features\t: fp asimd asimddp\n")
    assert int8.cpu_features(path) == ["asimd", "asimddp"]
    assert int8.cpu_features(tmp_path / "none") == []


@pytest.fixture
def received_file(tmp_path) -> Path:
    """Tones and noise in 40 passes of 6 frames each, with what was drawn for each frame."""
    rng = np.random.default_rng(3)
    info = DataSetInfo(("low", "high", "noise"), 1e3, (4.0, 4.0), "toy 1", 3, "2026-01-01")
    path = tmp_path / "received.h5"
    kinds = {"snr_db": np.float32, "oversampling": np.float32}
    passes, count = 40, 6
    with DataSetWriter(path, info, 3 * passes * count, LENGTH, draw_types=kinds) as writer:
        for number in range(3 * passes):
            label = number % 3
            tone = np.exp(2j * np.pi * (0.02, 0.2, 0.0)[label] * np.arange(LENGTH))
            noise = rng.normal(size=(count, 2, LENGTH))
            x = (label < 2) * np.stack([tone.real, tone.imag]) + 0.3 * noise
            draws = {"snr_db": np.full(count, 10.0), "oversampling": rng.uniform(2, 12, count)}
            writer.append(
                x.astype(np.float32),
                np.full(count, label),
                np.full(count, 10),
                np.full(count, number),
                draws,
            )
    return path


def test_three_outputs_and_the_threshold_of_the_unknown(received_file, tmp_path):
    torch.manual_seed(0)
    module = untrained("live_conv", {}, ["low", "high", "noise"], LENGTH)
    settle_batch_norms(module)
    path = tmp_path / "three.onnx"
    export(module, path, unknown=UnknownOutput(Energy(), -1e3))
    data = DataSection(file=str(received_file), split="crosstlnet")
    parts = pipeline.prepare_data(data, tmp_path, 1)
    with DataSetFile(received_file) as file:
        scores = outputs_for(open_model(str(path)), file, parts.validation.chosen).unknown_score
    threshold = float(np.quantile(scores, 0.9))
    export(module, path, unknown=UnknownOutput(Energy(), threshold))
    target = int8.Target(onnx.load(path), "three", "mine", "paper", data)
    out = tmp_path / "out.onnx"
    found = int8.record(target, out, "test", calibration_frames=50, seconds=0.01, work=tmp_path)
    model = open_model(str(out))
    shown = model.run(frames(5))
    assert shown.snr_db.shape == shown.unknown_score.shape == (5,)
    with DataSetFile(received_file) as file:
        after = outputs_for(model, file, parts.validation.chosen)
    rejected = (after.unknown_score > model.info.unknown_threshold).mean()
    assert rejected == pytest.approx(0.1, abs=0.02)
    assert model.info.unknown_threshold != threshold
    assert found["int8"]["calibration"]["unknown_threshold"] == model.info.unknown_threshold
    assert found["float32"]["calibration"]["unknown_threshold"] == threshold
    # Without runs the temperature, too, is that of the validation frames.
    labels, _ = parts.validation.labels()
    fitted = calibration.fit_temperature(after.logits, labels)
    assert model.info.temperature == pytest.approx(fitted, rel=1e-4)
    assert 0 < found["difference"]["snr_db"] < 3.0
    assert found["int8"]["received"]["snr_error_db_by_snr"].keys() == {"10"}
    assert "decisions" not in found["int8"]
