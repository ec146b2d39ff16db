# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training for int8: what is learnt is what the int8 file computes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from kdamc_training import networks, recipe, run_settings
from kdamc_training.cli import main
from kdamc_training.compression import qat
from kdamc_training.compression.int8 import Scheme, open_target, quantize
from kdamc_training.errors import UserError
from kdamc_training.export import export, load_checkpoint
from kdamc_training.networks import registry
from kdamc_training.onnx_models import open_model
from kdamc_training.planar import linear
from kdamc_training.records import read_record
from kdamc_training.speed import untrained
from test_int8 import LENGTH, error, frames, toys, weights
from test_networks_export import settle_batch_norms

assert networks and toys


@pytest.fixture(params=["plain_conv", "live_conv", "inceptionnet"])
def prepared(request):
    """A network whose ranges have followed a few batches."""
    options = {"filters": 8, "hidden": 16} if request.param == "inceptionnet" else {}
    torch.manual_seed(0)
    module = untrained(request.param, options, ["a", "b", "c"], LENGTH)
    settle_batch_norms(module)
    qat.prepare(module.network).train()
    with torch.no_grad():
        for seed in range(20):
            module.network(torch.from_numpy(frames(64, seed)))
    return module.eval()


def test_the_int8_file_computes_what_was_learnt(prepared, tmp_path):
    export(prepared, tmp_path / "float.onnx")
    model = onnx.load(tmp_path / "float.onnx")
    ranges = qat.ranges_by_node(prepared.network, model.graph, LENGTH)
    quantized, _ = quantize(model, frames(256), Scheme(ranges=ranges))
    onnx.save(quantized, tmp_path / "int8.onnx")
    x = frames(200, seed=99)
    with torch.no_grad():
        learnt = prepared.network(torch.from_numpy(x)).numpy()
    found = {kind: open_model(str(tmp_path / f"{kind}.onnx")) for kind in ("float", "int8")}
    errors = {kind: error(opened.run(x).logits, learnt) for kind, opened in found.items()}
    # The inputs of one are not rounded; the other rounds once more, before the heads.
    assert errors["int8"] < 1.5 * errors["float"]


def test_settled_ranges_are_those_of_the_file(prepared, tmp_path):
    export(prepared, tmp_path / "float.onnx")
    model = onnx.load(tmp_path / "float.onnx")
    ranges = qat.ranges_by_node(prepared.network, model.graph, LENGTH)
    # Frames of a scale whose own ranges are far off.
    quantized, _ = quantize(model, frames(64) / 8, Scheme(ranges=ranges))
    scales = {tensor.name: tensor for tensor in quantized.graph.initializer}
    convolutions = [node for node in quantized.graph.node if node.op_type == "Conv"]
    made_by = {node.output[0]: node for node in quantized.graph.node}
    assert len(convolutions) == len(ranges)
    for node in convolutions:
        low, high = ranges[node.name]
        scale = onnx.numpy_helper.to_array(scales[made_by[node.input[0]].input[1]])
        assert scale == pytest.approx((high - low) / 255, rel=1e-5)


def test_rounded_weights_are_those_of_the_file(prepared, tmp_path):
    export(prepared, tmp_path / "float.onnx")
    model = linear(onnx.load(tmp_path / "float.onnx"))
    quantized, _ = quantize(model, frames(64))
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in quantized.graph.initializer}
    convolutions = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    before = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for name in convolutions:
        whole = before[name]
        scale = tensors[f"{name}_scale"].reshape(-1, *[1] * (whole.ndim - 1))
        assert np.allclose(tensors[f"{name}_quantized"] * scale, whole, rtol=1e-4, atol=1e-7)
    assert len(weights(quantized)) == len(convolutions)


def test_gradients_pass_through_and_ranges_follow():
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 3))
    plain_keys = set(layer.state_dict())
    qat.prepare(layer)
    assert set(layer.state_dict()) - plain_keys == {"0.input_range.low", "0.input_range.high"}
    x = torch.tensor(frames(4)).requires_grad_()
    layer.eval()(x)
    assert float(layer[0].input_range.high) == 0.0  # of training batches only
    layer.train()(x).sum().backward()
    assert layer[0].weight.grad.abs().min() > 0 and x.grad.abs().sum() > 0
    low, high = float(x.detach().min()), float(x.detach().max())
    ends = layer[0].input_range
    assert (float(ends.low), float(ends.high)) == pytest.approx((low, high))
    layer(2 * x)
    assert float(ends.high) == pytest.approx(high + 0.01 * high)
    # Outside the range a value is clipped and has no gradient.
    big = torch.full((1, 2, 3), 10.0, requires_grad=True)
    layer.eval()(big).sum().backward()
    assert (big.grad == 0).all()


def test_finishing_leaves_the_network_as_it_was(prepared):
    x = torch.from_numpy(frames(8))
    before = prepared.network(x)
    plain = qat.finished(prepared.network)
    assert torch.equal(prepared.network(x), before)
    kinds = {type(layer).__name__ for layer in plain.modules()}
    assert not any("Rounded" in kind or "Range" in kind for kind in kinds)
    assert qat.finished(plain) is plain
    assert qat.ranges_by_node(plain, None, LENGTH) == {}


def test_refused_by_name(capsys):
    lstm = registry.create("lstm2", classes=3, frame_length=LENGTH)
    with pytest.raises(UserError, match="no convolution to train for int8"):
        qat.prepare(lstm)
    run = ["run", "plain/rml2016.10a", "--budget", "smoke", "--set"]
    assert main([*run, "train.quantize=int4"]) == 1
    assert "'train.quantize' is 'int4'" in capsys.readouterr().err


def test_settings_of_other_runs_stay_as_they_were():
    loaded = recipe.load(recipe.find("plain/rml2016.10a"), "smoke")
    assert "quantize" not in run_settings.settings_of(loaded, "student", 0)["train"]
    changed = recipe.load(
        recipe.find("plain/rml2016.10a"), "smoke", ["members.student.train.quantize=int8"]
    )
    assert run_settings.settings_of(changed, "student", 0)["train"]["quantize"] == "int8"


def test_a_recipe_trains_for_int8(toy_file: Path, tmp_path, capsys):
    learn = ["publish=[]", "data.snr=[]", "augment={}", "train.learning_rate=0.01"]
    changes = [*learn, "train.quantize=int8", "train.epochs=3"]
    arguments = ["run", "plain/rml2016.10a", "--budget", "smoke", "--work", str(tmp_path)]
    arguments += ["--data", str(toy_file), "--split", "crosstlnet"]
    assert main([*arguments, *(word for text in changes for word in ("--set", text))]) == 0
    folder = tmp_path / "plain" / "rml2016.10a-smoke" / "student-s0"
    network = load_checkpoint(folder / "last.ckpt").network
    ends = [layer for layer in network.modules() if isinstance(layer, qat.InputRange)]
    assert len(ends) == 4 and all(float(layer.high) > 0 for layer in ends)
    out = tmp_path / "student.onnx"
    capsys.readouterr()
    command = ["quantize", str(folder), str(out), "--json", str(tmp_path / "record.json")]
    assert main([*command, "--seconds", "0.01", "--work", str(tmp_path)]) == 0
    found = read_record(tmp_path / "record.json")
    assert found["quantization"]["trained_for_it"] is True
    # What the run measured, rounded in torch, is what the file gives.
    simulated = read_record(folder / "record.json")["test"]["overall"]
    assert simulated > 0.5
    assert found["int8"]["test"]["overall"] == pytest.approx(simulated, abs=0.02)
    assert main(["litmus", str(folder / "last.ckpt"), str(toy_file), "--frames", "50"]) == 0
    assert set(open_target(str(folder)).ranges) < set(found["quantization"]["nodes"])
    assert main([*command, "--weight-bits", "8", "--work", str(tmp_path)]) == 1
    assert "was trained for weights of 7 bits" in capsys.readouterr().err
