# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Feature maps of two classes, and how far apart they lie."""

import h5py
import numpy as np
import pytest
import torch
from kdamc_training import feature_maps, pipeline, recipe
from kdamc_training.errors import UserError
from kdamc_training.training_data import Part
from torch import nn

DATA = recipe.DataSection(generator="rml2016.10a", snr=[0, 4])
FRAMES = recipe.DataPart(frames_per_cell=5, seed=2, speech="test")


class MeanPower(nn.Module):
    """Its map is ``[[1, 2], [3, 4]]`` times the frame's largest power."""

    def feature_maps(self, iq):
        largest = iq.square().sum(dim=1).amax(dim=1)
        return {"fused": largest[:, None, None] * torch.tensor([[1.0, 2.0], [3.0, 4.0]])}


def test_maps_are_those_of_the_frames(tmp_path):
    path = pipeline.data_file(tmp_path, DATA, FRAMES, 1)
    part = Part(path, np.arange(11 * 3 * 5))
    found = feature_maps.measure(MeanPower(), part, 4, ["QAM16", "QAM64"])
    assert list(found) == ["QAM16", "QAM64"]
    labels, snr = part.labels()
    for name, maps in found.items():
        wanted = (labels == part.class_names().index(name)) & (snr == 4)
        with h5py.File(path) as file:
            x = file["X"][:][wanted].astype(float)
        power = (x**2).sum(axis=1)
        largest = power.max(axis=1) / power.mean(axis=1)
        assert maps["frames"] == 5
        assert np.array(maps["mean"]) == pytest.approx(
            largest.mean() * np.array([[1, 2], [3, 4]]), abs=2e-5
        )
        assert maps["spread"] == pytest.approx(largest.std() * np.sqrt(30), rel=1e-4)
    assert feature_maps.measure(MeanPower(), part, 6, ["QAM16"]) == {}


def test_separation():
    first = {"mean": [[0.0, 0.0]], "spread": 1.0}
    second = {"mean": [[3.0, 4.0]], "spread": 7.0}
    assert feature_maps.separation(first, second) == pytest.approx(1.0)


def test_a_network_without_maps_is_refused():
    with pytest.raises(UserError, match="b shows no feature maps"):
        feature_maps.check(nn.Linear(1, 1), "b")
