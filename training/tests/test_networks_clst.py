# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""ClST and its two students."""

import io
import math
import warnings

import onnx
import onnxruntime
import pytest
import torch
from kdamc_training import complexity
from kdamc_training import networks as networks
from kdamc_training.errors import UserError
from kdamc_training.networks import registry
from kdamc_training.networks.clst import ConvolutionalTransformer, ParallelAttention
from torch import nn
from torch.nn import functional

SIZE = {"classes": 11, "frame_length": 128}
NAMES = ["clst", "kd_cnn", "kd_mobilenet"]


@pytest.fixture(autouse=True)
def one_thread():
    """Steps of tiny networks are too short to share: threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "count", "macs"),
    [
        ("clst", 416_425, 6_720_984),
        ("kd_cnn", 26_379, 717_504),
        ("kd_mobilenet", 16_675, 406_048),
    ],
)
def test_sizes_are_the_stated_ones(name, count, macs):
    network = registry.create(name, **SIZE)
    assert parameters(network) == count
    assert complexity.macs(network, 128) == macs


@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 5])
def test_blocks_halve_the_tokens(blocks):
    network = registry.create("clst", **SIZE, blocks=blocks).eval()
    iq = torch.randn(3, 2, 128)
    outputs = network.outputs(iq, attention=True)
    assert outputs.logits.shape == (3, 11) and outputs.attention == ()
    shapes = [(3, 64, 32), (3, 32, 64), (3, 16, 128), (3, 8, 128), (3, 4, 128)]
    assert [tuple(f.shape) for f in outputs.features] == shapes[:blocks]
    torch.testing.assert_close(network(iq), outputs.logits)


def test_the_mean_of_the_last_tokens_is_classified():
    torch.manual_seed(5)
    network = registry.create("clst", **SIZE).eval()
    outputs = network.outputs(torch.randn(3, 2, 128))
    last = outputs.features[-1]
    torch.testing.assert_close(outputs.logits, network.head(last.mean(dim=1)))
    assert (last.std(dim=1) > 1e-3).any()


def test_psca_weighs_channels_and_places():
    torch.manual_seed(1)
    attention = ParallelAttention(16)
    x = torch.randn(2, 16, 20)
    channel = attention.channels(x.mean(dim=2)) + attention.channels(x.max(dim=2).values)
    pooled = torch.stack([x.mean(dim=1), x.max(dim=1).values, x.std(dim=1, correction=0)], dim=1)
    place = functional.conv1d(pooled, attention.places.weight, attention.places.bias, padding=3)
    weights = channel.sigmoid()[:, :, None] * place.sigmoid()
    torch.testing.assert_close(attention(x), x * weights, rtol=1e-4, atol=1e-5)
    # Weights are far from all alike.
    assert weights.std() > 0.01
    # Where all channels are alike, the deviation must have a slope.
    flat = torch.ones(1, 16, 20, requires_grad=True)
    attention(flat).sum().backward()
    assert torch.isfinite(flat.grad).all()


def test_psca_can_be_left_out():
    with_psca, without = (registry.create("clst", **SIZE, psca=psca) for psca in (True, False))
    assert not any(isinstance(m, ParallelAttention) for m in without.modules())
    # One for the embedding and one for each block: hidden layers of width / 8 and 22 for places.
    widths = (32, 32, 64, 128, 128)
    added = sum(2 * w * (w // 8) + w // 8 + w + 22 for w in widths)
    assert parameters(with_psca) - parameters(without) == added


def test_ctp_looks_at_half_as_many_keys():
    torch.manual_seed(2)
    layer = ConvolutionalTransformer(8, heads=1, feed_forward=16, dropout=0.0).eval()
    x = torch.randn(2, 8, 12)
    tokens = x.transpose(1, 2)
    normed = layer.norm_attention(tokens).transpose(1, 2)
    query, key, value = (make(normed) for make in (layer.query, layer.key, layer.value))
    assert query.shape == (2, 8, 12) and key.shape == value.shape == (2, 8, 6)
    weights = (query.transpose(1, 2) @ key / math.sqrt(8)).softmax(dim=2)
    middle = tokens + layer.out(weights @ value.transpose(1, 2))
    expected = middle + layer.feed_forward(layer.norm_feed_forward(middle))
    torch.testing.assert_close(layer(x), expected.transpose(1, 2))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name):
    torch.manual_seed(3)
    network = registry.create(name, **SIZE)
    functional.cross_entropy(network(torch.randn(8, 2, 128)), torch.arange(8)).backward()
    for key, parameter in network.named_parameters():
        # A constant added to all keys changes no weight.
        if not key.endswith("key.2.bias"):
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [128, 200])
def test_exported_graphs_agree(name, length):
    torch.manual_seed(4)
    network = registry.create(name, classes=5, frame_length=length)
    # Running statistics of real frames, not those of a new batch norm.
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 1.0
    network(torch.randn(16, 2, length))
    network.eval()
    nn.init.normal_(network.head.weight)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.randn(2, 2, length),),
            buffer,
            input_names=["iq"],
            output_names=["logits"],
            dynamic_axes={"iq": {0: "n"}, "logits": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    graph = onnx.load_from_string(buffer.getvalue()).graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    for n in (1, 5):
        # Frames of many sizes, as a new network hardly tells frames of noise apart.
        iq = torch.linspace(0.2, 2.0, n)[:, None, None] * torch.randn(n, 2, length)
        with torch.no_grad():
            logits = network(iq)
        (got,) = session.run(None, {"iq": iq.numpy()})
        torch.testing.assert_close(torch.from_numpy(got), logits, rtol=0, atol=1e-4)
    assert logits.std(dim=0).min() > 1e-2


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("clst", {"blocks": 0}, "blocks is 0"),
        ("clst", {"blocks": 6}, "1 to 5"),
        ("clst", {"widths": [48], "blocks": 1, "head_width": 5}, "multiple of heads"),
        ("kd_cnn", {"widths": [8]}, "one length"),
        ("kd_mobilenet", {"strides": [1]}, "one length"),
    ],
)
def test_impossible_options_are_named(name, options, says):
    with pytest.raises(UserError, match=says):
        registry.create(name, **{**SIZE, **options})
