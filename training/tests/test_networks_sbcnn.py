# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""SBCNN, its student, and IBCNN."""

import pytest
import torch
from kdamc_training import complexity
from kdamc_training.errors import UserError
from kdamc_training.networks import registry
from kdamc_training.networks.ibcnn import picture
from kdamc_training.networks.sbcnn import Residual, convolution
from torch import nn
from torch.nn import functional


@pytest.mark.parametrize(
    ("name", "keras", "trained", "macs"),
    [
        ("sbcnn_student", 16_024, 15_768, 18_350_848),
        ("sbcnn", 71_624, 70_504, 34_309_632),
        ("ibcnn", 141_784, 139_272, 34_867_968),
    ],
)
def test_sizes_are_the_papers(name, keras, trained, macs):
    network = registry.create(name, classes=24, frame_length=1024)
    assert complexity.keras_parameters(network) == keras
    assert complexity.parameters(network) == trained
    assert complexity.macs(network, 1024) == macs


def test_even_kernels_get_the_odd_zero_at_the_end():
    layer = convolution(1, 1, (1, 8))
    nn.init.ones_(layer[1].weight)
    nn.init.zeros_(layer[1].bias)
    impulse = torch.zeros(1, 1, 2, 16)
    impulse[..., 8] = 1.0
    assert layer[:2](impulse)[0, 0].tolist() == 2 * [[0.0] * 4 + [1.0] * 8 + [0.0] * 4]


def test_a_convolution_ends_in_batch_norm_and_relu():
    torch.manual_seed(1)
    layer = convolution(3, 5, (1, 3))
    x = torch.randn(4, 3, 2, 16)
    expected = functional.batch_norm(layer[:-2](x), None, None, training=True, eps=layer[-2].eps)
    assert expected.min() < -1
    torch.testing.assert_close(layer(x), expected.clamp_min(0))


def test_a_residual_adds_what_its_entry_gives():
    torch.manual_seed(2)
    block = Residual(3, 4, [(5, (1, 8)), (4, (1, 1))]).eval()
    x = torch.randn(2, 3, 2, 16)
    entered = block.entry(x)
    expected = block.body[1](block.body[0](entered)) + entered
    torch.testing.assert_close(block(x), expected)
    assert (block.body(entered) > 0).any() and (entered > 0).any()


def test_pools_are_of_maxima_in_block_a_and_a_mean_at_the_end():
    torch.manual_seed(3)
    network = registry.create("sbcnn_student", classes=24, frame_length=64).eval()
    iq = torch.randn(3, 2, 64)
    first, second, _, third, fourth, _ = network.body
    halved = second(first(iq[:, None])).unflatten(3, (-1, 2)).amax(dim=4)
    quartered = fourth(third(halved)).unflatten(3, (-1, 2)).amax(dim=4)
    torch.testing.assert_close(network(iq), network.head(quartered.mean(dim=(2, 3))))


def test_sbcnn_takes_the_mean_of_both_rows_after_block_b():
    torch.manual_seed(4)
    network = registry.create("sbcnn", classes=24, frame_length=64).eval()
    iq = torch.randn(3, 2, 64)
    block_a, block_b, _, block_c, block_d = network.body
    one_row = block_b(block_a(iq[:, None])).mean(dim=2, keepdim=True)
    expected = network.head(block_d(block_c(one_row)).mean(dim=(2, 3)))
    torch.testing.assert_close(network(iq), expected)


def test_ibcnn_classifies_the_picture_of_its_first_stage():
    torch.manual_seed(5)
    network = registry.create("ibcnn", classes=24, frame_length=64).eval()
    iq = torch.randn(3, 2, 64)
    first, second, third, _, block, _, *rest = network.body
    x = third(second(first(picture(network.signal(iq)))))
    x = block(x.unflatten(2, (-1, 2)).amax(dim=3))
    x = x.unflatten(2, (-1, 2)).amax(dim=3)
    for last in rest:
        x = last(x)
    torch.testing.assert_close(network(iq), network.head[-1](x.mean(dim=(2, 3))))


def test_ibcnn_drops_a_fifth_before_its_dense_layer():
    torch.manual_seed(6)
    network = registry.create("ibcnn", classes=24, frame_length=64)
    entering = []
    network.head[-1].register_forward_pre_hook(lambda layer, inputs: entering.append(inputs[0]))
    with torch.no_grad():
        network.train().head(torch.ones(100, 128))
    kept = entering[0]
    assert (kept == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert kept.max().item() == pytest.approx(1 / 0.8)


def test_picture_has_256_levels_and_lets_gradients_through():
    logits = (
        10.0 * torch.randn(5, 24, generator=torch.Generator().manual_seed(0))
    ).requires_grad_()
    image = picture(logits)
    assert image.shape == (5, 1, 24, 1)
    levels = 255 * image.detach()
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0.0)
    assert levels.amin(dim=2).eq(0).all() and levels.amax(dim=2).round().eq(255).all()
    spans = logits.detach().amax(dim=1) - logits.detach().amin(dim=1)
    shifted = logits.detach() - logits.detach().amin(dim=1, keepdim=True)
    torch.testing.assert_close(
        image.detach()[:, 0, :, 0], shifted / spans[:, None], atol=0.51 / 255, rtol=0.0
    )
    image[0, 0, logits[0].argsort()[12], 0].backward()
    assert logits.grad[0, logits[0].argsort()[12]].item() == pytest.approx(1 / spans[0].item())


def test_picture_of_bfloat16_logits_has_exact_levels():
    levels = 255 * picture(torch.tensor([[0.0, 1.0, 2.0, 3.0]], dtype=torch.bfloat16)).flatten()
    torch.testing.assert_close(levels, torch.tensor([0.0, 85.0, 170.0, 255.0]))


def test_picture_of_equal_logits_is_black():
    assert picture(torch.full((2, 5), 3.0)).eq(0).all()


def test_ibcnn_refuses_too_few_classes():
    with pytest.raises(UserError, match="at least 4"):
        registry.create("ibcnn", classes=3, frame_length=128)


@pytest.mark.parametrize("name", ["sbcnn_student", "sbcnn", "ibcnn"])
def test_training_tells_two_classes_apart(name):
    torch.manual_seed(0)
    network = registry.create(name, classes=4, frame_length=64)
    # Class 0 turns by 1 rad a sample, class 1 does not turn.
    label = torch.arange(32) % 2
    phase = 6.28 * torch.rand(32, 1) + torch.where(label == 0, 1.0, 0.0)[:, None] * torch.arange(64)
    iq = torch.stack([phase.cos(), phase.sin()], dim=1)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        loss = nn.functional.cross_entropy(network(iq), label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    if name == "ibcnn":
        assert all(p.grad.abs().sum() > 0 for p in network.signal.head.parameters())
