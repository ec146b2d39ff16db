# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals of no class, and the loss that they are for."""

import math

import numpy as np
import pytest
import torch
from kdamc_training import preflight, recipe
from kdamc_training.distillation import registry as losses
from kdamc_training.distillation.outlier_exposure import NO_CLASS
from kdamc_training.errors import UserError
from kdamc_training.lightning_module import estrange
from kdamc_training.networks.outputs import Outputs
from kdamc_training.strangers import KINDS, strangers

LENGTH = 1024


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def frames(n, seed=0):
    """Noise of RMS 1, of four classes in turn, the first of them plain."""
    iq = torch.randn(n, 2, LENGTH, generator=generator(seed))
    iq = iq / iq.square().sum(dim=1, keepdim=True).mean(dim=2, keepdim=True).sqrt()
    return iq, torch.arange(n) % 4, torch.tensor([True, False, False, False])


def test_strangers_have_rms_1_and_differ_where_made():
    iq, label, plain = frames(400)
    strange, kind, made = strangers(iq, label, plain, generator())
    rms = strange.square().sum(dim=1).mean(dim=1).sqrt()
    assert torch.allclose(rms, torch.ones(400), atol=1e-4)
    same = (strange == iq).flatten(1).all(dim=1)
    assert torch.equal(same, ~made)
    hopping = kind == KINDS.index("hopping")
    assert made[hopping].all()
    assert not made[plain[label] & ~hopping].any()
    assert {int(k) for k in kind[made]} == set(range(len(KINDS)))


def test_they_are_drawn_by_the_generator_alone():
    iq, label, plain = frames(50)
    first = strangers(iq, label, plain, generator(3))
    torch.rand(7)
    for one, other in zip(first, strangers(iq, label, plain, generator(3)), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first[0], strangers(iq, label, plain, generator(4))[0])


def test_hopping_is_tones_of_random_frequencies():
    iq, label, plain = frames(400)
    strange, kind, _ = strangers(iq, label, plain, generator())
    tone = torch.complex(strange[:, 0], strange[:, 1])[kind == KINDS.index("hopping")]
    # Noise of 5 to 30 dB upon a constant envelope.
    assert float(tone.abs().std(dim=1).min()) < 0.05 < float(tone.abs().std(dim=1).max()) < 0.5
    step = torch.angle(tone[:, 1:] * tone[:, :-1].conj()) / (2 * math.pi)
    widest = step.median(dim=1).values.abs().max()
    assert 0.05 < float(widest) <= 0.31


def test_splices_are_pieces_of_both():
    iq, label, plain = frames(400)
    strange, kind, made = strangers(iq, label, plain, generator())
    chosen = (kind == KINDS.index("splice")) & made
    ratio = (strange[chosen] / iq[chosen]).numpy()
    # Where it is the frame's own, it is that times one factor, which brings the RMS to 1.
    own = np.isclose(ratio, np.median(ratio, axis=(1, 2), keepdims=True), rtol=1e-4).all(axis=1)
    mostly = own[own.mean(axis=1) > 0.6]
    assert len(mostly) > 5
    # Three cuts; the first sample is always the frame's own.
    assert (np.abs(np.diff(mostly.astype(int), axis=1)).sum(axis=1) == 3).all()
    assert mostly[:, 0].all() and not mostly[:, -1].any()


def test_estranged_frames_lose_label_and_snr():
    iq, label, plain = frames(400)
    snr = torch.linspace(-10, 30, 400)
    snr[::7] = math.nan
    new, labels, snrs = estrange(iq, label, snr, plain, generator(), 0.5)
    strange = labels == NO_CLASS
    assert torch.isnan(snrs[strange]).all() and (snr[strange] >= 5.0).all()
    assert torch.equal(new[~strange], iq[~strange])
    assert torch.equal(labels[~strange], label[~strange])
    assert (new[strange] != iq[strange]).flatten(1).any(dim=1).all()
    # Half of the 215 with 5 dB or more, but for pairs that make no stranger.
    assert 50 < int(strange.sum()) < 120


def test_outlier_exposure_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0], [5.0, -5.0], [0.0, 0.0]])
    shown = Outputs(logits)
    loss = losses.create("outlier_exposure", student=shown, teacher=None)
    found = loss(shown, None, torch.tensor([NO_CLASS, 1, NO_CLASS]))
    # Posteriors 3/4, 1/4 and 1/2, 1/2: the means of -log are those of 16/3 and of 4, halved.
    assert float(found) == pytest.approx((math.log(16 / 3) + math.log(4)) / 4, rel=1e-6)
    assert float(loss(shown, None, torch.tensor([0, 1, 0]))) == 0.0


def test_log_odds_of_strangers_by_hand():
    shown = Outputs(torch.zeros(3, 2), stranger=torch.tensor([math.log(3.0), 0.0, -math.log(4.0)]))
    loss = losses.create("stranger", student=shown, teacher=None)
    found = loss(shown, None, torch.tensor([NO_CLASS, 1, 0]))
    # Strangers with probabilities 3/4, 1/2 and 1/5, of which the first is one.
    assert float(found) == pytest.approx((math.log(4 / 3) + math.log(2) + math.log(5 / 4)) / 3)
    with pytest.raises(UserError, match="no log odds"):
        losses.create("stranger", student=Outputs(torch.zeros(1, 2)), teacher=None)


def test_strangers_and_their_loss_go_together():
    one = recipe.load(recipe.find("live/live"), "smoke", overrides=["augment.strangers=0.3"])
    with pytest.raises(UserError, match="go together"):
        preflight.check(one, ["student"])
