# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that would say something else than its network is not written."""

import numpy as np
import onnxruntime
import pytest
import torch
from gnuradio.kdamc import contract
from kdamc_training.checkpoints import bare_module
from kdamc_training.errors import UserError
from kdamc_training.export import export, load_checkpoint
from kdamc_training.networks import registry

LENGTH = 32


class Dense(torch.nn.Module):
    """As a user's network may be; ``of`` does something to the frames first."""

    def __init__(self, *, classes, frame_length):
        super().__init__()
        self.layer = torch.nn.Linear(2 * frame_length, classes)

    def of(self, iq):
        return iq

    def forward(self, iq):
        return self.layer(self.of(iq).flatten(1))


class Branching(Dense):
    def of(self, iq):
        return -iq if iq.mean() > 0 else iq


class Looping(Dense):
    def of(self, iq):
        return torch.stack([iq[at] / iq[at].abs().amax() for at in range(len(iq))])


class Transforming(Dense):
    def of(self, iq):
        return torch.view_as_real(torch.fft.fft(torch.complex(iq[:, 0], iq[:, 1])))


class NoNumber(Dense):
    def of(self, iq):
        return iq * float("nan") if torch.onnx.is_in_onnx_export() else iq


class OneFrameLess(Dense):
    """Of one frame it gives no batch."""

    def forward(self, iq):
        return super().forward(iq).squeeze()


@pytest.fixture
def module_of(monkeypatch):
    """The module of a network class."""
    monkeypatch.setattr(registry, "_networks", {})

    def made(kind):
        registry.register(kind.__name__)(kind)
        torch.manual_seed(0)
        describes = {
            "dataset": "none",
            "samples_per_symbol": [8],
            "recipe": "none",
            "command": "a test",
        }
        return bare_module(kind.__name__, {}, ["a", "b", "c"], LENGTH, describes)

    return made


def test_a_network_as_it_should_be_is_written(module_of, tmp_path):
    module = module_of(Dense)
    export(module, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(
        str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    iq = torch.randn(9, 2, LENGTH)
    (logits,) = session.run(None, {contract.INPUT_NAME: iq.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, module.network(iq).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Branching, "exported it is another: logits differs by"),
        (NoNumber, "exported it is another: logits differs by nan"),
        (Looping, "exported it is another: "),
        (OneFrameLess, "exported it is another: of 1 frames logits has shape"),
        (Transforming, "ONNX cannot hold it: .*complex"),
    ],
)
def test_what_would_say_something_else_is_refused(kind, says, module_of, tmp_path):
    with pytest.raises(UserError, match=f"network {kind.__name__}: {says}"):
        export(module_of(kind), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_rounding_that_decides_on_single_frames_is_no_other_network(module_of, tmp_path):
    """As attention by hashing does: some frames come out otherwise in another runtime."""

    class Rounding(Dense):
        def of(self, iq):
            if torch.onnx.is_in_onnx_export():
                return iq
            odd = (iq[:, :1, :1] > 1.0).float()
            return iq + odd * 10.0

    export(module_of(Rounding), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").is_file()


def test_what_torch_did_not_write_is_told_without_its_advice(tmp_path):
    other = tmp_path / "model.onnx"
    other.write_bytes(b"\x08\x07 no checkpoint")
    with pytest.raises(UserError) as error:
        load_checkpoint(other)
    assert "not a checkpoint of this package" in str(error.value)
    assert "weights_only" not in str(error.value)
