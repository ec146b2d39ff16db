# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The student beside the exact classifier: what it cannot see, its set, its loss, its gap."""

import math

import numpy as np
import pytest
import torch
from gnuradio.kdamc.accuracy import log_softmax
from kdamc_training import bound, pipeline, recipe
from kdamc_training import distillation as distillation
from kdamc_training import networks as networks
from kdamc_training.complexity import macs, parameters
from kdamc_training.datasets import registry as generators
from kdamc_training.datasets.bound import CLASSES
from kdamc_training.datasets.dataset_file import DataSetFile
from kdamc_training.datasets.generate import generate
from kdamc_training.distillation import registry as losses
from kdamc_training.errors import UserError
from kdamc_training.networks import registry
from kdamc_training.networks.outputs import Outputs
from kdamc_training.preflight import check
from kdamc_training.training_data import Frames, Part

NAME = "bound/awgn-64"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small file of the set ``bound-known``."""
    path = tmp_path_factory.mktemp("set") / "known.h5"
    generate("bound-known", path, frames_per_cell=3, seed=5, snr=(4, 6), progress=False)
    return path


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return registry.create("symbol_moments", classes=6, frame_length=66).eval()


def frames_of(path):
    with DataSetFile(path) as data:
        return torch.from_numpy(data.x[:])


def test_the_set_is_bound_with_scale_and_noise(made):
    known = frames_of(made).numpy()
    for index, label in ((0, 4), (4, 6)):
        cell = generators.create("bound").cell(index, label, 3, 5, "train", 0)
        at = (2 * index + (label == 6)) * 3
        np.testing.assert_array_equal(known[at : at + 3, :, :64], cell.frames)
        expected = [[1.0, 10 ** (-label / 20)], [0.0, 0.0]]
        np.testing.assert_allclose(known[at : at + 3, :, 64:], [expected] * 3, rtol=1e-6)
    with DataSetFile(made) as data:
        stored = np.stack([data.draws[f"log_posterior_{name}"][:] for name in CLASSES], axis=1)
        chosen = data.z[:] == 4
    received = known[chosen, 0, :64].astype(float) + 1j * known[chosen, 1, :64]
    np.testing.assert_allclose(stored[chosen], bound.log_posteriors(received, 4), atol=1e-4)


def test_size_of_the_network(network):
    assert parameters(network) == 13_161
    assert macs(network, 66) == pytest.approx(352e3, rel=0.05)


@pytest.mark.parametrize("angle", [0.4, 2.0, -1.3])
def test_phase_order_and_scale_do_not_matter(network, made, angle):
    frames = frames_of(made)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    changed = torch.cat([frames[:, :, order], frames[:, :, 64:]], dim=2)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    changed = 3.0 * torch.einsum("ij,njk->nik", turn, changed)
    expected = network(frames)
    torch.testing.assert_close(network(changed), expected, atol=1e-4, rtol=0)
    assert expected.std(dim=0).min() > 1e-3


@pytest.mark.parametrize("sample", [64, 65])
def test_scale_and_noise_matter(network, made, sample):
    frames = frames_of(made)
    changed = frames.clone()
    changed[:, :, sample] *= 2.0
    assert (network(changed) - network(frames)).abs().max() > 0.01


def posterior_loss(logits, log_posterior):
    student = Outputs(torch.tensor(logits))
    loss = losses.create("posterior", student=student, teacher=None)
    return loss(student, None, torch.tensor(log_posterior)).item()


def test_posterior_loss_by_hand():
    """Odds of 3 to 1 against logits that say 1 to 1, and 1 to 1 against 3 to 1."""
    odds = math.log(3.0)
    first = math.log(2.0)
    second = -0.5 * math.log(0.75) - 0.5 * math.log(0.25)
    found = posterior_loss([[0.0, 0.0], [odds, 0.0]], [[odds, 0.0], [-4.0, -4.0]])
    assert found == pytest.approx((first + second) / 2, rel=1e-6)


def test_posterior_loss_is_least_at_the_posterior_itself():
    exact = [[-0.1, -3.0, -2.6]]
    p = np.exp(log_softmax(np.array(exact)))
    least = posterior_loss(exact, exact)
    assert least == pytest.approx(float(-(p * np.log(p)).sum()), rel=1e-6)
    assert posterior_loss([[0.2, -3.0, -2.6]], exact) > least
    assert posterior_loss([[-0.1, -3.0, -2.0]], exact) > least


def test_each_frame_is_taught_by_its_own_posterior(made):
    with DataSetFile(made) as data:
        stored = np.stack([data.draws[f"log_posterior_{name}"][:] for name in CLASSES], axis=1)
    chosen = np.array([1, 8, 30])
    np.testing.assert_array_equal(Frames(Part(made, chosen)).log_posterior, stored[chosen])
    some = Part(made, np.array([1, 30])).only(["BPSK", "QAM64"])
    np.testing.assert_array_equal(some.log_posterior(), stored[[1, 30]][:, [0, 5]])


def test_a_step_sees_the_posteriors_of_its_batch(made, tmp_path, monkeypatch):
    from kdamc_training import training

    seen = []
    forward = distillation.posterior.Posterior.forward

    def watched(self, student, teacher, label):
        seen.append(label)
        return forward(self, student, teacher, label)

    monkeypatch.setattr(distillation.posterior.Posterior, "forward", watched)
    with DataSetFile(made) as data:
        part = Part(made, np.arange(len(data)))
    chosen = recipe.load(recipe.find(NAME), "smoke", ["train.epochs=1", "train.batch_size=12"])
    training.fit(training.Job(chosen, "distilled", 0, part, part, "test"), tmp_path)
    found, stored = torch.cat(seen).numpy(), part.log_posterior()
    assert len(found) == 36
    np.testing.assert_array_equal(found[np.lexsort(found.T)], stored[np.lexsort(stored.T)])


def test_sets_without_posteriors_are_refused(toy_file, tmp_path):
    from kdamc_training import training

    part = Part(toy_file, np.arange(600))
    chosen = recipe.load(recipe.find(NAME), "smoke", ["train.epochs=1"])
    with pytest.raises(UserError, match="exact posterior"):
        training.fit(training.Job(chosen, "distilled", 0, part, part, "test"), tmp_path)


@pytest.mark.parametrize("change", ["receiver_filter=0.1", "limiting=0.1", "carrier_offset=0.01"])
def test_augmentation_that_changes_the_posterior_is_refused(change):
    chosen = recipe.load(recipe.find(NAME), "smoke", [f"augment.{change}"])
    check(chosen, ["scratch"])
    with pytest.raises(UserError, match=r"members\.distilled.*posterior"):
        check(chosen, ["distilled"])


def test_the_gap_by_hand():
    """Four frames, two at each Es/N0; the network calls the second and the last otherwise."""
    exact = np.log([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    network = np.log([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.5001, 0.4999]])
    labels, es_n0 = np.array([0, 0, 1, 0]), np.array([0, 0, 2, 2])
    found = bound.compare(network + 3.0, exact, labels, es_n0)
    low, high, everything = found["by_snr"]["0"], found["by_snr"]["2"], found["overall"]
    assert (low["accuracy"], high["accuracy"], everything["accuracy"]) == (1.0, 0.5, 0.75)
    # At 0 dB the exact one is right twice, the network once; at 2 dB once and twice.
    assert (low["gap"], high["gap"], everything["gap"]) == (0.5, -0.5, 0.0)
    assert low["gap_standard_error"] == pytest.approx(0.5 / math.sqrt(2))
    assert everything["gap_standard_error"] == pytest.approx(math.sqrt(0.5) / 2)
    assert low["expected_gap"] == pytest.approx(0.2 / 2)
    assert high["expected_gap"] == pytest.approx(0.4 / 2)
    assert everything["expected_gap_standard_error"] == pytest.approx(np.std([0, 0.2, 0, 0.4]) / 2)
    assert everything["mean_maximum_posterior"] == pytest.approx(np.mean([0.9, 0.6, 0.8, 0.7]))
    expected = 0.6 * math.log(0.6 / 0.4) + 0.4 * math.log(0.4 / 0.6)
    assert low["divergence"] == pytest.approx(expected / 2)


def test_the_exact_classifier_has_no_gap_to_itself():
    rng = np.random.default_rng(0)
    exact = log_softmax(rng.normal(size=(50, 3)))
    found = bound.compare(exact, exact, rng.integers(0, 3, 50), np.zeros(50, int))["overall"]
    assert found["gap"] == found["expected_gap"] == found["gap_standard_error"] == 0.0
    assert found["divergence"] == pytest.approx(0.0, abs=1e-12)


def test_records_hold_the_gap_where_posteriors_are_known(tmp_path):
    chosen = recipe.load(recipe.find(NAME), "smoke", ["train.epochs=1"])
    (record,) = pipeline.run(chosen, "test", work=tmp_path, only=["scratch"])
    test = record["test"]
    own = test["bound"]["overall"]["accuracy"] - test["bound"]["overall"]["gap"]
    assert own == pytest.approx(test["overall"])
    for label, share in test["by_snr"].items():
        found = test["bound"]["by_snr"][label]
        assert found["accuracy"] - found["gap"] == pytest.approx(share)
