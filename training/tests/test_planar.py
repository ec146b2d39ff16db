# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Convolutions written as two-dimensional ones give the same values, and the way back is exact."""

import io
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kdamc_training.networks import registry
from kdamc_training.planar import is_planar, linear, planar
from torch import nn

ONE_DIMENSIONAL = ("clst", "kd_cnn", "kd_mobilenet", "mobilenet", "plain_conv", "shufflenet")


def exported(network, length=64):
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2, 2, length),),
            stream,
            input_names=["iq"],
            dynamic_axes={"iq": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    return onnx.load_from_string(stream.getvalue())


def outputs(model, frames):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"iq": frames})


def ranks(model):
    """Dimensions of the windows of all convolutions and pools."""
    return [
        len(entry.ints)
        for node in model.graph.node
        for entry in node.attribute
        if entry.name == "kernel_shape"
    ]


def frames(n=3, length=64):
    return np.random.default_rng(0).standard_normal((n, 2, length)).astype(np.float32)


def assert_same(one, other, length=64):
    for a, b in zip(
        outputs(one, frames(length=length)), outputs(other, frames(length=length)), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)


class Residual(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return torch.cat([x + self.body(x), x], dim=1)


@pytest.mark.parametrize("name", ONE_DIMENSIONAL)
def test_networks(name):
    model = exported(registry.create(name, classes=5, frame_length=128), 128)
    planes = planar(model)
    assert set(ranks(model)) == {1} and set(ranks(planes)) == {2}
    assert_same(model, planes, 128)


@settings(deadline=None, max_examples=25)
@given(
    widths=st.lists(st.sampled_from([2, 4, 6]), min_size=1, max_size=3),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    dilation=st.sampled_from([1, 2]),
    depthwise=st.booleans(),
    pool=st.sampled_from([None, nn.MaxPool1d(2), nn.AvgPool1d(3, 2, 1)]),
    even=st.booleans(),
)
def test_there_and_back(widths, kernel, stride, dilation, depthwise, pool, even):
    layers, channels = [], 2
    for width in widths:
        pad = dilation * (kernel // 2)
        groups = 2 if depthwise else 1
        layers += [nn.Conv1d(channels, width, kernel, stride, pad, dilation, groups), nn.ReLU()]
        layers += [pool] if pool else []
        same = nn.Conv1d(width, width, 3, padding=1)
        layers += [Residual(nn.Sequential(same, nn.Sigmoid()))] if even else []
        channels = 2 * width if even else width
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten())
    model = exported(network)
    planes = planar(model)
    assert_same(model, planes)
    back = linear(planes)
    assert list(back.graph.node) == list(model.graph.node)
    assert list(back.graph.initializer) == list(model.graph.initializer)


def test_what_is_between_convolutions_goes_along():
    network = nn.Sequential(
        nn.Conv1d(2, 4, 3),
        nn.ReLU(),
        Residual(nn.Conv1d(4, 4, 3, padding=1)),
        nn.MaxPool1d(2),
        nn.Conv1d(8, 4, 3),
        nn.Flatten(),
        nn.Linear(4 * 29, 3),
    )
    planes = planar(exported(network))
    kinds = [node.op_type for node in planes.graph.node]
    assert kinds.count("Unsqueeze") == kinds.count("Squeeze") == 1


def test_the_model_given_stays():
    model = exported(registry.create("plain_conv", classes=5, frame_length=64))
    before = model.SerializeToString()
    planes = planar(model)
    assert model.SerializeToString() == before
    assert planar(planes) is planes and is_planar(planes) and not is_planar(model)
    assert linear(model) is model


def test_outputs_keep_their_rank():
    """A convolution whose values the graph gives stays as it is, with its weights."""
    model = exported(nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Conv1d(4, 3, 1)))
    planes = planar(model)
    assert sorted(ranks(planes)) == [1, 2]
    assert_same(model, planes)


def test_two_dimensional_convolutions_are_left_alone():
    network = nn.Sequential(nn.Unflatten(1, (1, 2)), nn.Conv2d(1, 2, (2, 3)), nn.Flatten())
    model = exported(network)
    assert planar(model) is model


def test_weights_used_elsewhere_stay_lines():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv1d(2, 2, 3, padding=1)

        def forward(self, iq):
            return self.first(iq).mean(dim=2) * self.first.weight.mean()

    model = exported(Shared())
    # The exporter folds the mean; here the weights are given once more, as an output would.
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    model.graph.node.append(onnx.helper.make_node("Identity", [node.input[1]], ["again"]))
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("again", onnx.TensorProto.FLOAT, [2, 2, 3])
    )
    planes = planar(model)
    assert ranks(planes) == [1]
    assert_same(model, planes)
