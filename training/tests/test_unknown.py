# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of what is none of a network's classes."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from gnuradio.kdamc import contract
from gnuradio.kdamc.model import open_model
from kdamc_training import export, pipeline, recipe, unknown
from kdamc_training.errors import UserError
from kdamc_training.lightning_module import ClassifierModule
from kdamc_training.networks.outputs import Outputs
from kdamc_training.training_data import Part

NOTHING = {"rotation": False, "conjugation": False, "carrier_offset": 0.0, "receiver_filter": 0.0}


def module_of(classes, network="live_conv"):
    torch.manual_seed(3)
    small = {"kernels": [5, 3], "strides": [2, 2], "widths": [6, 8]}
    return ClassifierModule(
        network=network,
        network_options=small,
        classes=list(classes),
        frame_length=32,
        loss=[{"name": "cross_entropy", "weight": 1.0, "options": {}}],
        train={},
        seed=0,
        augment=NOTHING,
        describes={
            "dataset": "toy", "samples_per_symbol": [4.0, 4.0], "recipe": "", "command": "test",
        },
    ).eval()  # fmt: skip


def test_energy_by_hand():
    logits = torch.tensor([[1.0, 1.0], [3.0, 1.0]]).log()
    expected = -torch.tensor([2.0, 4.0]).log()
    torch.testing.assert_close(unknown.Energy()(Outputs(logits)), expected)


def test_mahalanobis_by_hand():
    """Variances 4 and 1, means (0, 0) and (10, 0): distances 1 and 4 over two dimensions."""
    score = unknown.Mahalanobis(np.diag([0.5, 1.0]), np.array([[0.0, 0.0], [5.0, 0.0]]))
    features = torch.tensor([[[2.0, 0.0]], [[10.0, 2.0]]])
    shown = Outputs(torch.zeros(2, 2), features=(features,))
    torch.testing.assert_close(score(shown), torch.tensor([0.5, 2.0]))


def test_fit_is_the_textbook_distance(toy_file):
    part = Part(toy_file, np.arange(0, 2880, 2))
    module = module_of(part.class_names())
    score = unknown.fit("mahalanobis", module, part)
    with torch.inference_mode():
        from kdamc_training.training_data import Frames

        shown = module.network.outputs(Frames(part)[torch.arange(len(part))][0])
    features = unknown.pooled(shown).numpy().astype(float)
    labels = part.labels()[0]
    means = np.stack([features[labels == k].mean(axis=0) for k in range(3)])
    from sklearn.covariance import LedoitWolf

    inverse = LedoitWolf(assume_centered=True).fit(features - means[labels]).precision_
    steps = features[:, None] - means
    distance = np.einsum("nkd,de,nke->nk", steps, inverse, steps).min(axis=1)
    found = unknown.scores_of(module, score, part)
    np.testing.assert_allclose(found, distance / features.shape[1], rtol=2e-2, atol=1e-3)


def test_fit_from_an_snr_on_sees_no_frame_below_it(toy_file):
    part = Part(toy_file, np.arange(0, 2880, 2))
    module = module_of(part.class_names())
    labels = part.labels()[1]
    from_db = int(np.median(labels))
    assert labels.min() < from_db
    above = Part(toy_file, part.chosen[labels >= from_db])
    scores = [
        unknown.scores_of(module, unknown.fit("mahalanobis", module, *of), part)
        for of in ((part, from_db), (above,), (part,))
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2])


def test_auroc_counts_pairs():
    assert unknown.auroc(np.array([0.0, 1.0]), np.array([2.0, 0.5])) == 0.75
    assert unknown.auroc(np.array([1.0]), np.array([1.0])) == 0.5


def test_unknown_kinds_and_networks_without_features_are_refused(toy_file):
    part = Part(toy_file, np.arange(600))
    module = module_of(part.class_names(), "plain_conv")
    with pytest.raises(UserError, match="softmax"):
        unknown.fit("softmax", module, part)
    with pytest.raises(UserError, match="features"):
        unknown.fit("mahalanobis", module, part)


@pytest.mark.parametrize("kind", unknown.KINDS)
def test_the_graph_gives_the_score_and_the_file_the_threshold(toy_file, tmp_path, kind):
    part = Part(toy_file, np.arange(0, 2880, 3))
    module = module_of(part.class_names())
    score = unknown.fit(kind, module, part)
    path = tmp_path / "model.onnx"
    export.export(module, path, unknown=export.UnknownOutput(score, 1.25))
    names = [output.name for output in onnx.load(str(path)).graph.output]
    assert names == [contract.LOGITS_NAME, contract.SNR_NAME, contract.UNKNOWN_SCORE_NAME]
    model = open_model(path)
    assert model.info.unknown_threshold == 1.25
    from kdamc_training.training_data import Frames

    frames = Frames(part)[torch.arange(50)][0]
    given = model.run(frames.numpy())
    expected = unknown.scores_of(module, score, dataclasses.replace(part, chosen=part.chosen[:50]))
    np.testing.assert_allclose(given.unknown_score, expected, rtol=1e-3, atol=1e-3)
    with torch.inference_mode():
        shown = module.network.outputs(frames)
    np.testing.assert_allclose(given.snr_db, shown.snr_db, atol=1e-3)
    np.testing.assert_allclose(given.logits, shown.logits, atol=1e-3)


def test_classes_left_out_are_neither_trained_on_nor_measured(toy_file):
    whole = Part(toy_file, np.arange(2880))
    left = whole.without(["high"])
    assert left.class_names() == ("low", "noise")
    labels, _ = left.labels()
    before, _ = whole.labels()
    np.testing.assert_array_equal(np.unique(labels), [0, 1])
    np.testing.assert_array_equal(left.chosen, np.flatnonzero(before != 1))
    np.testing.assert_array_equal(labels, np.where(before == 2, 1, 0)[before != 1])
    assert whole.without([]) is whole
    with pytest.raises(UserError, match="middle"):
        whole.only(["middle"])


def test_a_recipe_that_leaves_out_what_is_not_there_is_refused():
    from kdamc_training.preflight import check

    for names, said in (("[5FSK]", "5FSK"), ("[4FSK, OFDM]", None)):
        chosen = recipe.load(recipe.find("live/left-out"), "smoke", [f"data.without={names}"])
        if said is None:
            check(chosen, ["student"])
        else:
            with pytest.raises(UserError, match=said):
                check(chosen, ["student"])


def test_settings_of_runs_without_it_are_as_before():
    one = recipe.load(recipe.find("plain/rml2016.10a"), "smoke")
    assert "without" not in pipeline.settings_of(one, "student", 0)["data"]
    other = recipe.load(recipe.find("live/left-out"), "smoke")
    assert pipeline.settings_of(other, "student", 0)["data"]["without"] == ["4FSK", "OFDM"]
