# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of what is none of the classes, on toy classes and an untrained network."""

import numpy as np
import pytest
import torch
from gnuradio.kdamc.model import open_model
from kdamc_training import unknown
from kdamc_training.datasets.dataset_file import DataSetInfo, DataSetWriter
from kdamc_training.errors import UserError
from kdamc_training.export import UnknownOutput, export
from kdamc_training.networks.outputs import outputs_of
from kdamc_training.speed import untrained
from kdamc_training.strangers import strangers
from kdamc_training.training_data import Frames, Part

CLASSES, LENGTH = ("BPSK", "AM", "noise"), 256


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    made = untrained("live_conv", {"stranger": True}, CLASSES, LENGTH)
    # Statistics of real features, so that the untrained network looks at its input.
    made.network.train()
    with torch.no_grad():
        made.network(torch.randn(64, 2, LENGTH))
    return made.eval()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A path of 600 frames of BPSK, AM and noise at 10 dB."""
    rng = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("unknown") / "toy.h5"
    info = DataSetInfo(CLASSES, 1e3, (4.0, 4.0), "toy 1", 1, "2026-01-01")
    with DataSetWriter(path, info, 600, LENGTH) as writer:
        for label in range(3):
            noise = rng.normal(size=(200, 2, LENGTH))
            symbols = rng.choice([-1.0, 1.0], (200, LENGTH // 8)).repeat(8, axis=1)
            level = 1 + 0.7 * np.sin(0.05 * np.arange(LENGTH) + rng.uniform(0, 6, (200, 1)))
            of_class = (symbols, level, 0.0)[label]
            phase = rng.uniform(0, 2 * np.pi, (200, 1))
            signal = np.stack([of_class * np.cos(phase), of_class * np.sin(phase)], axis=1)
            x = signal + (0.2 if label < 2 else 1.0) * noise
            writer.append(
                x.astype(np.float32), np.full(200, label), np.full(200, 10), np.arange(200)
            )
    return path


def test_the_stranger_score_tells_strangers(module, data):
    fitted_on = Part(data, np.arange(0, 600, 2))
    score = unknown.fit("stranger", module, fitted_on)
    frames = Frames(Part(data, np.arange(1, 600, 2)))
    iq, label, _ = frames[torch.arange(300)]
    strange, _, made = strangers(iq, label, module.plain, torch.Generator().manual_seed(9))
    with torch.inference_mode():
        of_known, of_strange = (
            score(outputs_of(module.network, x)).numpy() for x in (iq, strange[made])
        )
    assert unknown.auroc(of_known, of_strange) > 0.8
    again = unknown.fit("stranger", module, fitted_on)
    with torch.inference_mode():
        np.testing.assert_array_equal(of_known, again(outputs_of(module.network, iq)).numpy())


@pytest.mark.parametrize("kind", unknown.KINDS)
def test_scores_are_those_of_the_exported_file(kind, module, data, tmp_path):
    part = Part(data, np.arange(600))
    score = unknown.fit(kind, module, part)
    path = tmp_path / "scored.onnx"
    export(module, path, unknown=UnknownOutput(score, 0.0))
    frames = Frames(part)[torch.arange(0, 600, 50)][0]
    found = open_model(str(path)).run(frames.numpy()).unknown_score
    of_all = unknown.scores_of(module, score, part)
    assert of_all.shape == (600,)
    np.testing.assert_allclose(found, of_all[::50], atol=1e-3)


def test_a_network_has_the_scores_that_it_shows(module, data):
    assert unknown.kinds_of(module) == unknown.KINDS
    assert unknown.kinds_of(untrained("plain_conv", {}, CLASSES, LENGTH)) == ("energy",)
    without = untrained("live_conv", {}, CLASSES, LENGTH)
    assert "own" not in unknown.kinds_of(without)
    with pytest.raises(UserError, match="score own cannot be had"):
        unknown.fit("own", without, Part(data, np.arange(600)))


def test_no_other_score_is_known(module, data):
    with pytest.raises(
        UserError, match="no score 'guess'; known: energy, mahalanobis, stranger, own"
    ):
        unknown.fit("guess", module, Part(data, np.arange(600)))
