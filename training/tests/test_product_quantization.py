# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Product quantization: exactness, compression rates, training, and what the ONNX file holds."""

import math
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from gnuradio.kdamc import contract
from kdamc_training import networks as networks
from kdamc_training.compression.product_quantization import (
    ProductQuantized,
    ProductQuantizedLinear,
    compression_rate,
    file_rate,
    quantize,
)
from kdamc_training.errors import UserError
from kdamc_training.networks import registry
from torch import nn

# The first dense layer of the edge paper's networks at 128 samples: inputs, and Table II for
# P = 2, 8, 16 as the paper's formula gives it.
TABLE = {
    "vtcnn2": (10560, (39.65, 35.53, 31.20)),
    # Printed as 49.56; the other two are printed as here.
    "resnet_edge": (13200, (49.09, 42.92, 36.76)),
    # Printed as 133.20, 95.80, 69.76: a layer of about 39,200 inputs.
    "inceptionnet": (39300, (133.50, 95.97, 69.80)),
}


def made_up(inputs: int, outputs: int, blocks: int, size: int = 256) -> ProductQuantized:
    """Random codebook and codes, for what does not need k-means."""
    rng = np.random.default_rng(0)
    return ProductQuantized(
        rng.normal(0.0, 0.02, (blocks, size, outputs // blocks)).astype(np.float32),
        rng.integers(0, size, (inputs, blocks), dtype=np.uint8),
    )


def export(network: nn.Module, example: torch.Tensor, path: Path) -> onnx.ModelProto:
    """``network`` in ``path``, with the settings of ``kdamc_training.export``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (example,),
            str(path),
            input_names=[contract.INPUT_NAME],
            output_names=[contract.LOGITS_NAME],
            dynamic_axes={contract.INPUT_NAME: {0: "n"}, contract.LOGITS_NAME: {0: "n"}},
            opset_version=contract.MAX_OPSET,
            dynamo=False,
        )
    model = onnx.load(str(path))
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("name", TABLE)
def test_compression_rates_are_the_formulas(name):
    inputs, expected = TABLE[name]
    network = registry.create(name, classes=11, frame_length=128)
    assert network.hidden.weight.shape == (256, inputs)
    rates = [compression_rate(inputs, 256, blocks) for blocks in (2, 8, 16)]
    np.testing.assert_allclose(rates, expected, atol=0.006)


@pytest.mark.parametrize("blocks", [2, 8, 16])
def test_what_is_stored_is_the_formula_at_32_bits(blocks):
    quantized = made_up(1000, 64, blocks)
    assert quantized.nbytes == 4 * 256 * 64 + 1000 * blocks
    assert quantized.stored_rate == pytest.approx(compression_rate(1000, 64, blocks, bits=32))


def test_vtcnn2_file_rate():
    network = registry.create("vtcnn2", classes=11, frame_length=128)
    parameters = sum(p.numel() for p in network.parameters())
    weights = network.hidden.weight.numel()
    stored = compression_rate(10560, 256, 2, bits=32)
    assert stored == pytest.approx(38.17, abs=0.005)
    assert file_rate(parameters, weights, stored) == pytest.approx(14.30, abs=0.005)
    # Were all parameters 64 bits, as the paper counts.
    in_paper = compression_rate(10560, 256, 2)
    assert file_rate(parameters, weights, in_paper) == pytest.approx(14.50, abs=0.005)


def test_a_cluster_for_each_row_is_exact():
    weight = np.random.default_rng(0).normal(size=(200, 12)).astype(np.float32)
    for centroids in (200, 256):
        quantized = quantize(weight, 3, centroids)
        assert quantized.codes.dtype == np.uint8 and quantized.codebook.dtype == np.float32
        assert quantized.codes.shape == (200, 3) and quantized.codebook.shape == (3, 200, 4)
        np.testing.assert_array_equal(quantized.dense(), weight)


def test_rows_that_repeat_leave_no_cluster_empty_handed():
    rng = np.random.default_rng(0)
    few = rng.normal(size=(5, 4)).astype(np.float32)[rng.integers(0, 5, 100)]
    many = rng.normal(size=(100, 4)).astype(np.float32)
    quantized = quantize(np.hstack([few, many]), 2, 16)
    assert quantized.codebook.shape == (2, 16, 4)
    np.testing.assert_array_equal(quantized.dense()[:, :4], few)
    assert len(np.unique(quantized.codes[:, 1])) == 16
    # Seventeen different rows, nearly all of them zero: 16 clusters, none of them empty.
    lonely = np.zeros((400, 4), np.float32)
    lonely[:16] = many[:16]
    assert len(np.unique(quantize(lonely, 1, 16).codes)) == 16


def test_rows_go_to_the_nearest_centroid_and_centroids_to_the_mean():
    weight = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    quantized = quantize(weight, 2, 32)
    for block in range(2):
        rows = weight[:, 4 * block : 4 * block + 4]
        book, codes = quantized.codebook[block], quantized.codes[:, block]
        distance = ((rows[:, None] - book) ** 2).sum(-1)
        assert (distance.argmin(1) == codes).mean() > 0.995
        for code in range(32):
            np.testing.assert_allclose(book[code], rows[codes == code].mean(0), atol=0.02)
    again = quantize(weight, 2, 32)
    np.testing.assert_array_equal(again.codes, quantized.codes)


def test_more_centroids_or_blocks_lose_less():
    weight = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)

    def error(blocks: int, centroids: int) -> float:
        return float(np.square(quantize(weight, blocks, centroids).dense() - weight).mean())

    assert error(2, 64) < error(2, 16) < error(2, 4)
    assert error(4, 16) < error(2, 16) < error(1, 16)


def test_what_cannot_be_quantized_is_refused():
    weight = np.ones((40, 12), np.float32)
    for arguments, says in (
        ((weight, 5), "12 outputs cannot be cut into 5"),
        ((weight, 16), "12 outputs cannot be cut into 16"),
        ((weight, 0), "cannot be cut into 0"),
        ((weight, 2, 257), "centroids is 257"),
        ((weight, 2, 0), "centroids is 0"),
        ((weight * np.nan, 2), "not all values are finite"),
        ((weight[0], 2), "not the shape"),
        ((weight[:0], 2), "not the shape"),
    ):
        with pytest.raises(UserError, match=says):
            quantize(*arguments)


def test_layer_is_the_product_with_the_dense_matrix():
    torch.manual_seed(0)
    linear = nn.Linear(300, 16)
    layer = ProductQuantizedLinear(quantize(linear.weight.detach().numpy().T, 4, 32), linear.bias)
    x = torch.randn(7, 300)
    dense = torch.from_numpy(layer.quantized().dense())
    torch.testing.assert_close(layer(x), x @ dense + linear.bias)
    assert layer.quantized().codebook.shape == (4, 32, 4)
    without = ProductQuantizedLinear(layer.quantized())
    torch.testing.assert_close(without(x), x @ dense)
    # With a centroid for each row it is the layer itself.
    few = nn.Linear(50, 16)
    exact = ProductQuantizedLinear(quantize(few.weight.detach().numpy().T, 4), few.bias)
    torch.testing.assert_close(exact(x[:, :50]), few(x[:, :50]))


def test_frozen_layer_passes_gradients_and_keeps_its_weight():
    layer = ProductQuantizedLinear(made_up(40, 8, 2, 16), np.zeros(8))
    assert [name for name, p in layer.named_parameters() if p.requires_grad] == ["bias"]
    x = torch.randn(5, 40, requires_grad=True)
    layer(x).square().sum().backward()
    assert x.grad.any() and layer.bias.grad.any() and layer.codebook.grad is None


def test_codebook_gets_the_sum_of_its_rows_gradients():
    layer = ProductQuantizedLinear(made_up(40, 8, 2, 16), np.zeros(8))
    layer.codebook.requires_grad_(True)
    x = torch.randn(5, 40)
    weight = torch.from_numpy(layer.quantized().dense()).requires_grad_()
    (x @ weight).square().sum().backward()
    layer(x).square().sum().backward()
    expected = torch.zeros(2, 16, 4)
    for row in range(40):
        for block in range(2):
            expected[block, layer.codes[row, block].item()] += weight.grad[
                row, 4 * block : 4 * block + 4
            ]
    torch.testing.assert_close(layer.codebook.grad.reshape(2, 16, 4), expected)


@pytest.mark.parametrize("blocks", [2, 16])
def test_onnx_file_holds_codebook_and_codes_only(blocks, tmp_path):
    torch.manual_seed(0)
    network = registry.create("vtcnn2", classes=11, frame_length=128)
    example = torch.randn(2, 2, 128)
    original, path = tmp_path / "original.onnx", tmp_path / "quantized.onnx"
    export(network, example, original)
    quantized = made_up(10560, 256, blocks)
    parameters = sum(p.numel() for p in network.parameters())
    network.hidden = ProductQuantizedLinear(quantized, network.hidden.bias)
    model = export(network, example, path)

    claimed = file_rate(parameters, 10560 * 256, quantized.stored_rate)
    assert original.stat().st_size / path.stat().st_size == pytest.approx(claimed, rel=0.005)
    assert "Gather" in {node.op_type for node in model.graph.node}
    largest = max(math.prod(tensor.dims) for tensor in model.graph.initializer)
    assert largest < 10560 * 256 / 10
    (codes,) = [t for t in model.graph.initializer if tuple(t.dims) == (10560, blocks)]
    assert codes.data_type == onnx.TensorProto.UINT8

    before = path.read_bytes()
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "opened.onnx")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    assert path.read_bytes() == before
    # What ONNX Runtime made of it in memory looks nothing up: it is as fast as a dense layer.
    opened = onnx.load(options.optimized_model_filepath)
    assert "Gather" not in {node.op_type for node in opened.graph.node}
    for n in (1, 5):
        iq = torch.randn(n, 2, 128)
        (logits,) = session.run([contract.LOGITS_NAME], {contract.INPUT_NAME: iq.numpy()})
        with torch.no_grad():
            expected = network(iq).numpy()
        assert np.ptp(expected) > 0.01
        np.testing.assert_allclose(logits, expected, atol=1e-4)
