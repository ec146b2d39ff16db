# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The student for real signals: its features, its second head, what is measured of it."""

from __future__ import annotations

import math
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gnuradio.kdamc.model import Outputs as ModelOutputs
from kdamc_training import evaluate
from kdamc_training import networks as networks
from kdamc_training.complexity import macs
from kdamc_training.distillation import registry as losses
from kdamc_training.errors import UserError
from kdamc_training.lightning_module import ClassifierModule
from kdamc_training.networks import registry
from kdamc_training.networks.features import phase_steps
from kdamc_training.networks.outputs import Outputs, outputs_of
from kdamc_training.recipe import AugmentSection

NAN = float("nan")


def live_conv(**options):
    return registry.create("live_conv", classes=25, frame_length=1024, **options)


def test_phase_steps_are_products_with_earlier_samples():
    iq = torch.randn(3, 2, 20, generator=torch.Generator().manual_seed(1))
    found = phase_steps(iq, (1, 5)).numpy()
    assert found.shape == (3, 7, 20)
    x = iq[:, 0].numpy() + 1j * iq[:, 1].numpy()
    np.testing.assert_allclose(found[:, 2], np.abs(x), rtol=1e-5)
    unit = x / np.abs(x)
    for at, lag in ((3, 1), (5, 5)):
        step = np.zeros_like(x)
        for k in range(lag, 20):
            step[:, k] = unit[:, k] * unit[:, k - lag].conj()
        np.testing.assert_allclose(found[:, at] + 1j * found[:, at + 1], step, atol=1e-5)


def test_size_of_the_network():
    network = live_conv()
    assert sum(p.numel() for p in network.parameters()) == 96_754
    assert macs(network, 1024) == pytest.approx(5.9e6, rel=0.02)


@pytest.mark.parametrize("length", [256, 1000, 1024])
def test_any_length_and_three_kinds_of_outputs(length):
    network = registry.create("live_conv", classes=4, frame_length=length).eval()
    iq = torch.randn(3, 2, length)
    shown = outputs_of(network, iq)
    assert shown.logits.shape == (3, 4)
    assert shown.snr_db.shape == (3,)
    assert shown.features[0].shape == (3, 1, 3 * 128)
    torch.testing.assert_close(network(iq), shown.logits)


def test_lists_of_unlike_length_are_refused():
    with pytest.raises(UserError, match="one length"):
        live_conv(kernels=[3], strides=[2, 2], widths=[4])


def snr_loss(estimate, truth, scale=3.0):
    student = Outputs(torch.zeros(len(estimate), 2), snr_db=torch.tensor(estimate))
    loss = losses.create("snr", student=student, teacher=None, scale=scale)
    return loss(student, None, torch.tensor(truth)).item()


def test_snr_loss_by_hand():
    """Errors of 1.5, 6 and 0 scales of 3 dB: squares up to one scale, lines beyond."""
    assert snr_loss([11.5, 16.0], [10.0, 10.0]) == pytest.approx((0.5 * 0.25 + (2 - 0.5)) / 2)
    assert snr_loss([11.5, 99.0], [10.0, NAN]) == pytest.approx(0.5 * 0.25)
    assert snr_loss([5.0], [NAN]) == 0.0


def test_snr_loss_wants_a_network_that_tells_it():
    with pytest.raises(UserError, match="snr_db"):
        losses.create("snr", student=Outputs(torch.zeros(2, 2)), teacher=None)


def test_frames_without_signal_pass_no_gradient_that_is_no_number():
    estimate = torch.tensor([3.0, 4.0], requires_grad=True)
    student = Outputs(torch.zeros(2, 2), snr_db=estimate)
    loss = losses.create("snr", student=student, teacher=None)
    loss(student, None, torch.tensor([NAN, 10.0])).backward()
    assert estimate.grad[0] == 0.0 and estimate.grad[1] < 0.0


def test_a_set_without_true_snr_is_refused(toy_file, tmp_path):
    from kdamc_training import recipe, training
    from kdamc_training.training_data import Part

    part = Part(toy_file, np.arange(600))
    small = "{kernels: [5], strides: [4], widths: [4]}"
    chosen = recipe.load(
        recipe.find("live/live"), "smoke", [f"members.student.options={small}", "train.epochs=1"]
    )
    with pytest.raises(UserError, match="true SNR"):
        training.fit(training.Job(chosen, "student", 0, part, part, "test"), tmp_path)


def test_mirrored_frames_want_the_mirrored_word_of_a_teacher():
    """A teacher that is shown original frames calls a mirrored USB what it is then: LSB."""

    class Sure(torch.nn.Module):
        def forward(self, iq):
            return torch.tensor([[0.0, 5.0, 1.0]]).expand(len(iq), -1)

    seen = []
    module = ClassifierModule(
        network="plain_conv",
        network_options={"kernels": [3], "strides": [4], "widths": [4]},
        classes=["BPSK", "USB", "LSB"],
        frame_length=32,
        loss=[{"name": "response", "weight": 1.0, "options": {}}],
        train={},
        seed=0,
        augment={
            "rotation": False, "conjugation": True, "carrier_offset": 0.0, "receiver_filter": 0.0,
        },
        describes={},
        teacher=Sure(),
        teacher_sees="original",
    )  # fmt: skip
    (term,) = module.terms
    term.register_forward_pre_hook(lambda _, given: seen.append(given))
    module.log = lambda *_, **__: None
    module._trainer = type("Trainer", (), {"global_step": 0, "global_rank": 0})()
    label = torch.ones(64, dtype=torch.int64)
    module.training_step((torch.randn(64, 2, 32), label, torch.arange(64)), 0)
    ((_, teacher, labels),) = seen
    mirrored = labels == 2
    assert 0 < mirrored.sum() < 64
    assert (teacher.logits.argmax(dim=1) == labels).all()


def test_the_snr_to_be_told_is_that_after_noise_was_given_and_raised():
    """Tones at 30 dB: what is left beside them in the frames that the network is shown."""
    n, length, snr = 400, 512, torch.full((400,), 30.0)
    power = 1 / (1 + 10 ** (snr / 10))
    module = ClassifierModule(
        network="live_conv",
        network_options={"kernels": [3], "strides": [4], "widths": [4]},
        classes=["A", "B"],
        frame_length=length,
        loss=[{"name": "snr", "weight": 1.0, "options": {}}],
        train={},
        seed=0,
        augment=asdict(AugmentSection(noise=0.5, noise_rise=20.0)),
        describes={},
    )
    shown, told = [], []
    module.network.body.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    module.terms[0].register_forward_pre_hook(lambda _, given: told.append(given[2]))
    module.log = lambda *_, **__: None
    data = SimpleNamespace(training=SimpleNamespace(true_snr=snr, noise_power=power))
    module._trainer = SimpleNamespace(global_step=0, global_rank=0, datamodule=data)
    tone = torch.polar(torch.ones(length), 0.3 * torch.arange(length))
    iq = torch.stack([tone.real, tone.imag]) * (1 - power).sqrt()[:, None, None]
    iq = iq + torch.randn(n, 2, length) * (power / 2).sqrt()[:, None, None]
    module.training_step((iq, torch.zeros(n, dtype=torch.int64), torch.arange(n)), 0)
    ((frames,), (target,)) = shown, told
    signal = torch.complex(frames[:, 0], frames[:, 1])
    amplitude = (signal * tone.conj()).mean(dim=1)
    left = signal - amplitude[:, None] * tone
    measured = 10 * torch.log10(amplitude.abs() ** 2 / left.abs().square().mean(dim=1))
    assert (measured - target).abs()[target > 0].max() < 1.5
    assert target.min() < -10 and target.max() > 25


def test_what_is_received_by_hand():
    """Six frames: noise twice, a signal at 0 dB (called noise) and three at 10 dB."""
    classes = ["noise", "A", "B"]
    labels = np.array([0, 0, 1, 1, 2, 2])
    called = np.array([0, 1, 0, 1, 2, 1])
    logits = np.full((6, 3), -20.0, np.float32)
    logits[np.arange(6), called] = 20.0
    draws = {
        "snr_db": np.array([NAN, NAN, 0.4, 9.6, 10.2, 10.0], np.float32),
        "oversampling": np.array([NAN, NAN, 2.0, 2.0, 5.0, 5.0], np.float32),
    }
    outputs = ModelOutputs(logits, snr_db=np.array([0.0, 0, 2.4, 9.6, 8.2, 11.0], np.float32))
    found = evaluate.received(outputs, labels, classes, 1.0, draws)
    assert found["overall"] == 0.5
    assert found["by_snr"] == {"0": 0.0, "10": pytest.approx(2 / 3)}
    assert found["noise_called_noise"] == 0.5
    assert found["signal_called_noise_by_snr"] == {"0": 1.0, "10": 0.0}
    assert found["snr_error_db_by_snr"] == {"0": pytest.approx(2.0), "10": pytest.approx(1.0)}
    # Ranges without a frame are left out.
    assert found["by_oversampling"] == {"1.5 to 2.5": 0.5, "4 to 6": 0.5}
    assert found["ece_by_snr"]["0"] == pytest.approx(1.0)
    assert all(math.isfinite(value) for value in found["by_oversampling"].values())
    # Of noise alone there is nothing to say about signals.
    alone = {name: values[:2] for name, values in draws.items()}
    found = evaluate.received(ModelOutputs(logits[:2]), labels[:2], classes, 1.0, alone)
    assert found["noise_called_noise"] == 0.5 and found["by_snr"] == {} and "overall" not in found
