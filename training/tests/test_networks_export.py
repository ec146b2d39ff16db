# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every network of the registry as ONNX: what a frame gives there is what it gives in torch."""

import io
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from gnuradio.kdamc import contract
from kdamc_training import networks as networks
from kdamc_training.networks import registry

# Smaller than the published ones where those are large; the graph is of the same kind.
OPTIONS: dict[str, dict] = {
    "vtcnn2": {"filters": (16, 8), "hidden": 16},
    "resnet_edge": {"filters": 8, "hidden": 16},
    "resnet_lstm": {"states": 16},
    "inceptionnet": {"filters": 8, "hidden": 16},
}

CLASSES = 11
FRAME_LENGTH = 64


def exported(network: torch.nn.Module) -> onnx.ModelProto:
    """``network`` as ``kdamc_training.export`` writes it, before the metadata."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.randn(2, 2, FRAME_LENGTH),),
            file,
            input_names=[contract.INPUT_NAME],
            output_names=[contract.LOGITS_NAME],
            dynamic_axes={contract.INPUT_NAME: {0: "n"}, contract.LOGITS_NAME: {0: "n"}},
            opset_version=contract.MAX_OPSET,
            dynamo=False,
        )
    return onnx.load_from_string(file.getvalue())


def settle_batch_norms(network: torch.nn.Module) -> None:
    """Running statistics and weights other than the ones of a new batch norm."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.uniform_(layer.bias, -0.3, 0.3)
            torch.nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)


@pytest.mark.parametrize("name", registry.names())
def test_onnx_agrees_with_torch(name):
    torch.manual_seed(0)
    network = registry.create(
        name, classes=CLASSES, frame_length=FRAME_LENGTH, **OPTIONS.get(name, {})
    )
    settle_batch_norms(network)
    model = exported(network)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for n in (1, 5):
        iq = torch.randn(n, 2, FRAME_LENGTH)
        (logits,) = session.run([contract.LOGITS_NAME], {contract.INPUT_NAME: iq.numpy()})
        with torch.no_grad():
            expected = network(iq).numpy()
        assert expected.shape == (n, CLASSES) and np.ptp(expected) > 0.0
        np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-3)
