# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that the distilled ones are compared with."""

import pytest
import torch
from kdamc_training import complexity
from kdamc_training.networks import registry
from kdamc_training.networks.shufflenet import shuffle
from kdamc_training.networks.ulcnn import ULCNN
from torch import nn

# Parameters, the same as Keras counts them, multiply-accumulates; 11 classes, 128 samples.
SIZES = {
    "cldnn": (1_027_113, 1_026_913, 17_678_406),
    "cnn_lstm": (499_979, 499_723, 16_581_312),
    "cnniq": (858_123, 858_123, 78_775_680),
    "lstm2": (201_099, 200_075, 25_298_304),
    "mcldnn": (406_199, 405_175, 48_589_568),
    "mobilenet": (208_291, 213_763, 2_612_992),
    "pet_cgdnn": (71_871, 71_871, 8_117_723),
    "resnet_lstm": (7_406_203, 7_412_923, 36_015_856),
    "shufflenet": (64_475, 70_595, 706_896),
    "ulcnn": (9_271, 9_719, 192_032),
}


@pytest.mark.parametrize("name", sorted(SIZES))
def test_sizes(name):
    network = registry.create(name, classes=11, frame_length=128)
    parameters, keras, macs = SIZES[name]
    assert complexity.parameters(network) == parameters
    assert complexity.keras_parameters(network) == keras
    assert complexity.macs(network, 128) == macs


@pytest.mark.parametrize("name", sorted(SIZES))
def test_every_parameter_is_trained(name):
    # With some other seeds the two hidden units of one of ULCNN's attentions are both at rest.
    torch.manual_seed(3)
    network = registry.create(name, classes=5, frame_length=96)
    logits = network(torch.randn(4, 2, 96))
    assert logits.shape == (4, 5)
    nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    untouched = [
        parameter_name
        for parameter_name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
    ]
    assert untouched == []


@pytest.mark.parametrize("name", ["mobilenet", "pet_cgdnn", "shufflenet", "ulcnn"])
def test_training_tells_two_classes_apart(name):
    torch.manual_seed(0)
    network = registry.create(name, classes=2, frame_length=64)
    # Class 0 turns by 1 rad a sample, class 1 does not turn.
    label = torch.arange(32) % 2
    phase = 6.28 * torch.rand(32, 1) + torch.where(label == 0, 1.0, 0.0)[:, None] * torch.arange(64)
    iq = torch.stack([phase.cos(), phase.sin()], dim=1)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(network(iq), label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_shuffle_takes_one_channel_of_each_group_in_turn():
    x = torch.arange(6.0)[None, :, None]
    assert shuffle(x, 3).flatten().tolist() == [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]


def test_ulcnn_begins_with_a_complex_convolution():
    torch.manual_seed(0)
    entry = ULCNN(classes=3, frame_length=16).entry[0]
    iq = torch.randn(2, 2, 16)
    entry.eval()
    entry.norm.eps = 0.0
    weight = torch.complex(entry.real.weight, entry.imaginary.weight)[:, 0]
    bias = torch.complex(entry.real.bias, entry.imaginary.bias)
    signal = nn.functional.pad(torch.complex(iq[:, 0], iq[:, 1]), (2, 2)).unfold(1, 5, 1)
    expected = torch.einsum("nlk,ck->ncl", signal, weight) + bias[:, None]
    given = entry(iq)
    torch.testing.assert_close(torch.complex(given[:, :16], given[:, 16:]), expected)


def test_ulcnn_gives_in_evaluation_what_its_batch_norm_says():
    torch.manual_seed(0)
    entry = ULCNN(classes=3, frame_length=16).entry[0]
    iq = torch.randn(8, 2, 16)
    entry.norm.momentum = 1.0
    nn.init.uniform_(entry.norm.weight, 0.5, 1.5)
    nn.init.uniform_(entry.norm.bias)
    trained = entry(iq)
    # The running variance is the unbiased one, the batch's own is not.
    values = 8 * 16
    entry.norm.running_var *= (values - 1) / values
    torch.testing.assert_close(entry.eval()(iq), trained)


def test_lstm2_begins_by_forgetting_little():
    recurrent = registry.create("lstm2", classes=11, frame_length=128).recurrent
    for layer in range(2):
        gates = getattr(recurrent, f"bias_ih_l{layer}").unflatten(0, (4, -1))
        assert (gates[1] == 1).all() and not gates[[0, 2, 3]].any()
        maps = getattr(recurrent, f"weight_hh_l{layer}")
        torch.testing.assert_close(maps.T @ maps, torch.eye(128), rtol=0, atol=1e-4)
