# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks and their registry."""

import pytest
import torch
from kdamc_training import networks as networks
from kdamc_training.errors import UserError
from kdamc_training.networks import registry
from kdamc_training.networks.features import phase_steps
from torch import nn


def test_plain_conv_has_the_stated_size():
    network = registry.create("plain_conv", classes=11, frame_length=128)
    assert sum(p.numel() for p in network.parameters()) == 38_283
    assert network(torch.randn(3, 2, 128)).shape == (3, 11)


def test_plain_conv_sees_phase_steps_over_the_lags_it_is_given():
    network = registry.create("plain_conv", classes=11, frame_length=128, lags=(1, 8)).eval()
    assert network.body[0].in_channels == 7
    iq = torch.randn(3, 2, 128)
    torch.testing.assert_close(
        network(iq), network.head(pooled(network.body(phase_steps(iq, (1, 8)))))
    )


def pooled(features):
    return torch.cat([features.mean(dim=2), features.amax(dim=2)], dim=1)


def test_phase_steps_of_a_turning_phasor():
    time = torch.arange(6)
    iq = 2.0 * torch.stack([torch.cos(0.3 * time), torch.sin(0.3 * time)])[None]
    i, q, amplitude, cosine, sine = phase_steps(iq, (1,))[0]
    torch.testing.assert_close(torch.stack([i, q]), iq[0])
    torch.testing.assert_close(amplitude, torch.full((6,), 2.0))
    torch.testing.assert_close(cosine[1:], torch.full((5,), 0.3).cos())
    torch.testing.assert_close(sine[1:], torch.full((5,), 0.3).sin())
    assert cosine[0] == 0 and sine[0] == 0


def test_phase_steps_of_zeros_are_finite():
    assert torch.isfinite(phase_steps(torch.zeros(1, 2, 8), (1, 3))).all()


def test_a_network_from_outside_can_be_named():
    @registry.register("outside")
    def outside(*, classes, frame_length):
        return nn.Sequential(nn.Flatten(), nn.Linear(2 * frame_length, classes))

    assert registry.create("outside", classes=3, frame_length=8)(torch.zeros(1, 2, 8)).shape == (
        1,
        3,
    )
    with pytest.raises(ValueError, match="outside exists already"):
        registry.register("outside")(outside)


def test_unknown_networks_and_options_are_named():
    with pytest.raises(UserError, match="plain_conv"):
        registry.create("other", classes=3, frame_length=8)
    with pytest.raises(UserError, match="depth"):
        registry.create("plain_conv", classes=3, frame_length=8, depth=2)
    with pytest.raises(UserError, match="one length"):
        registry.create("plain_conv", classes=3, frame_length=8, widths=[1])
