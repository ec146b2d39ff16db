# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The litmus: passes for every network, and tells a file that is not the network's."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from kdamc_training import litmus
from kdamc_training import networks as networks
from kdamc_training.cli import main
from kdamc_training.datasets.dataset_file import DataSetInfo, DataSetWriter
from kdamc_training.errors import UserError
from kdamc_training.export import export
from kdamc_training.networks import registry
from kdamc_training.speed import untrained
from test_networks_export import CLASSES, FRAME_LENGTH, OPTIONS, settle_batch_norms

SMALL = OPTIONS | {
    "clst": {"blocks": 1},
    "crosstlnet": {"width": 16, "hidden": 8},
    "mld_student": {"width": 16, "heads": 2},
    "mld_teacher": {
        "layers": 2,
        "width": 16,
        "heads": 2,
        "feed_forward": 16,
        "convolutions": (4, 4, 4),
    },
}

NAMES = [f"class {index}" for index in range(CLASSES)]


@pytest.fixture(scope="module")
def noise_file(tmp_path_factory) -> Path:
    """300 frames of noise at any scale."""
    path = tmp_path_factory.mktemp("litmus") / "noise.h5"
    rng = np.random.default_rng(1)
    info = DataSetInfo(tuple(NAMES), 1e3, (8.0, 8.0), "noise 1", 1, "2026-01-01")
    with DataSetWriter(path, info, 300, FRAME_LENGTH) as writer:
        x = rng.normal(0, 0.01, (300, 2, FRAME_LENGTH)).astype(np.float32)
        writer.append(x, np.arange(300) % CLASSES, np.zeros(300), np.arange(300))
    return path


def toy(name: str):
    torch.manual_seed(0)
    module = untrained(name, SMALL.get(name, {}), NAMES, FRAME_LENGTH)
    settle_batch_norms(module)
    return module


@pytest.mark.parametrize("name", registry.names())
def test_every_network_passes(name, noise_file):
    pairs = litmus.litmus(toy(name), noise_file, 40)
    assert [(pair.first, pair.second) for pair in pairs] == [
        ("torch", "ONNX Runtime"),
        ("torch", "GNU Radio"),
        ("ONNX Runtime", "GNU Radio"),
    ]
    assert all(pair.agree and pair.difference < 1e-3 for pair in pairs)


def test_one_changed_weight_fails(noise_file, tmp_path, capsys):
    module = toy("plain_conv")
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    export(module, good)
    model = onnx.load(str(good))
    (bias,) = (part for part in model.graph.initializer if part.name.endswith("head.bias"))
    values = onnx.numpy_helper.to_array(bias).copy()
    values[3] += 0.01
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    onnx.save(model, str(bad))

    assert all(pair.agree for pair in litmus.litmus(module, noise_file, 40, good))
    by_torch, by_block, between = litmus.litmus(module, noise_file, 40, bad)
    assert not by_torch.agree and not by_block.agree and between.agree
    assert by_torch.difference == pytest.approx(0.01, abs=1e-4)


def test_labels_may_differ_only_at_a_tie():
    one = np.array([[1.0, 1.0004, 0.0], [0.0, 2.0, 0.0]])
    other = np.array([[1.0003, 1.0, 0.0], [0.0, 2.0, 0.0]])
    pair = litmus.compare("a", one, "b", other)
    assert pair.labels == 1 and pair.unexcused == 0 and pair.agree
    pair = litmus.compare("a", one, "b", other[::-1])
    assert pair.unexcused == 1 and not pair.agree
    assert not litmus.compare("a", one, "b", other * np.nan).agree


def test_the_command_says_so_by_its_status(noise_file, toy_file, tmp_path, capsys):
    from lightning import Trainer

    module = toy("plain_conv")
    checkpoint = tmp_path / "toy.ckpt"
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(module)
    trainer.save_checkpoint(checkpoint, weights_only=True)
    command = ["litmus", str(checkpoint), str(noise_file), "--frames", "20"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "20 frames" in out and "GNU Radio" in out

    with torch.no_grad():
        module.network.head.bias += 0.01
    export(module, tmp_path / "other.onnx")
    assert main([*command, "--model", str(tmp_path / "other.onnx")]) == 1
    assert "DIFFER" in capsys.readouterr().out

    with pytest.raises(UserError, match="samples"):
        litmus.litmus(module, toy_file)
