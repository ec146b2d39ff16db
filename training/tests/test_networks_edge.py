# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""VTCNN2, the residual and the inception network of the edge paper."""

import pytest
import torch
from kdamc_training import complexity
from kdamc_training.networks import registry
from torch import nn

SMALL = {
    "vtcnn2": {"filters": (16, 8), "hidden": 16},
    "resnet_edge": {"filters": 8, "hidden": 16},
    "inceptionnet": {"filters": 8, "hidden": 16},
}


@pytest.mark.parametrize(
    ("name", "parameters", "hidden_inputs", "macs"),
    [
        ("vtcnn2", 2_830_427, 10_560, 19_126_016),
        ("resnet_edge", 3_450_433, 13_200, 21_307_616),
        ("inceptionnet", 10_142_033, 39_300, 30_407_916),
    ],
)
def test_sizes_are_the_papers(name, parameters, hidden_inputs, macs):
    network = registry.create(name, classes=11, frame_length=128)
    assert complexity.parameters(network) == parameters
    assert complexity.keras_parameters(network) == parameters
    assert network.hidden.weight.shape == (256, hidden_inputs)
    assert complexity.macs(network, 128) == macs


@pytest.mark.parametrize("name", sorted(SMALL))
def test_what_the_hidden_layer_is_given_can_be_had(name):
    network = registry.create(name, classes=5, frame_length=64, **SMALL[name]).eval()
    iq = torch.randn(3, 2, 64)
    given = []
    network.hidden.register_forward_hook(lambda _, inputs, __: given.append(inputs[0]))
    assert network(iq).shape == (3, 5)
    torch.testing.assert_close(network.hidden_input(iq), given[0])
    assert given[0].min() >= 0.0


@pytest.mark.parametrize("name", sorted(SMALL))
def test_dropout_acts_in_training_only(name):
    network = registry.create(name, classes=5, frame_length=64, **SMALL[name])
    iq = torch.randn(3, 2, 64)
    assert not torch.equal(network(iq), network(iq))
    network.eval()
    assert torch.equal(network(iq), network(iq))
    sure = registry.create(name, classes=5, frame_length=64, dropout=0.0, **SMALL[name])
    assert torch.equal(sure(iq), sure(iq))


def test_vtcnn2_can_drop_early():
    network = registry.create(
        "vtcnn2", classes=5, frame_length=64, dropout=0.0, early_dropout=0.5, **SMALL["vtcnn2"]
    )
    iq = torch.randn(3, 2, 64)
    assert not torch.equal(network(iq), network(iq))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_training_tells_two_classes_apart(name):
    torch.manual_seed(0)
    network = registry.create(name, classes=2, frame_length=64, **SMALL[name])
    # Class 0 turns by 1 rad a sample, class 1 does not turn.
    label = torch.arange(32) % 2
    phase = 6.28 * torch.rand(32, 1) + torch.where(label == 0, 1.0, 0.0)[:, None] * torch.arange(64)
    iq = torch.stack([phase.cos(), phase.sin()], dim=1)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = nn.functional.cross_entropy(network(iq), label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
