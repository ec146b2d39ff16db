# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several teachers as one, and what a teacher is shown."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from kdamc_training import pipeline, recipe, training
from kdamc_training.errors import UserError
from kdamc_training.networks.ensemble import Ensemble
from kdamc_training.teacher_cache import TeacherCache
from kdamc_training.training_data import Frames, Part
from torch import nn


class Angle(nn.Module):
    """Logits (I, 0) of a frame's first sample."""

    def forward(self, iq):
        return torch.stack([iq[:, 0, 0], torch.zeros(len(iq))], dim=1)


class Constant(nn.Module):
    """The same logits for every frame."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, iq):
        return self.logits.expand(len(iq), -1)


def test_the_mean_is_of_posteriors():
    """3/4 and 1/4 give 1/2, which the mean of logits would not."""
    one, other = Constant([3.0, 1.0]), Constant([1.0, 3.0])
    one.logits, other.logits = one.logits.log(), other.logits.log()
    logits = Ensemble([one, other])(torch.zeros(5, 2, 8))
    torch.testing.assert_close(logits.exp(), torch.full((5, 2), 0.5))
    far = Constant([math.log(9.0), 0.0])
    logits = Ensemble([far, Constant([0.0, 0.0])])(torch.zeros(1, 2, 8))
    torch.testing.assert_close(logits.exp(), torch.tensor([[0.7, 0.3]]))


def test_frames_are_turned_evenly():
    """At four turns the first sample's I is 2, 0, -2 and 0."""
    iq = torch.zeros(1, 2, 8)
    iq[0, 0, 0] = 2.0
    expected = np.mean([1 / (1 + math.exp(-i)) for i in (2.0, 0.0, -2.0, 0.0)])
    found = Ensemble([Angle()], 4)(iq).exp()[0, 0]
    assert float(found) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("networks", "rotations"), [([], 1), ([Angle()], 0)])
def test_nothing_to_average_is_refused(networks, rotations):
    with pytest.raises(ValueError, match="ensemble"):
        Ensemble(networks, rotations)


FAMILY = [
    "data.train.frames_per_cell=2",
    "train.epochs=1",
    "members.second={network: plain_conv, options: {kernels: [3], strides: [4], widths: [4]}}",
    "members.taught={network: plain_conv, teacher: large, more_teachers: [second], "
    "teacher_rotations: 2, teacher_sees: original, loss: [{name: response}], "
    "options: {kernels: [3], strides: [4], widths: [4]}}",
]


def family(*changes):
    return recipe.load(recipe.find("family/rml2016.10a"), "smoke", [*FAMILY, *changes])


def test_a_member_may_have_several_teachers(tmp_path):
    records = pipeline.run(family(), "test", work=tmp_path, only=["taught"])
    assert [record["member"] for record in records] == ["large", "second", "taught"]
    settings = records[-1]["settings"]
    assert settings["member"]["more_teachers"] == ["second"]
    assert [other["member"]["network"] for other in settings["more_teachers"]] == ["plain_conv"]
    assert "more_teachers" not in records[0]["settings"]["member"]
    # Augmented, and yet what the teachers show was kept.
    (kept,) = tmp_path.glob("family/*/large-s0/shows_*_turned_2_by_*/logits.npy")
    assert len(np.load(kept)) == records[-1]["train_frames"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("members.taught.more_teachers=[third]", "third"),
        ("members.taught.teacher=''", "needs a teacher first"),
        ("members.taught.teacher_rotations=0", "teacher_rotations"),
        ("members.taught.teacher_sees=nothing", "teacher_sees"),
    ],
)
def test_impossible_teachers_are_refused(change, said):
    with pytest.raises(UserError, match=said):
        family(change)


@pytest.mark.parametrize(("sees", "same"), [("original", True), ("augmented", False)])
def test_what_a_teacher_sees(toy_file, monkeypatch, sees, same):
    """Without a cache the teacher is run on the frames as the member says."""
    from kdamc_training.datasets.dataset_file import DataSetFile, training_split

    seen = []

    class Watching(nn.Module):
        def forward(self, iq):
            seen.append(iq)
            return torch.zeros(len(iq), 3)

    with DataSetFile(toy_file) as data:
        kept, held = training_split(data, 0.2, 0)
    parts = Part(toy_file, kept), Part(toy_file, held)
    changes = f"members.taught.teacher_sees={sees}", "train.epochs=1", "augment.noise_rise=0"
    chosen = family(*changes)
    monkeypatch.setattr(training, "teacher_cache", None)  # must not be asked
    job = training.Job(chosen, "taught", 0, *parts, "test", Watching())
    training.fit(job, toy_file.parent / "run")
    frames = Frames(parts[0])
    originals = {frame.numpy().tobytes() for frame in frames[torch.arange(len(frames))][0]}
    batch = seen[-1]
    assert all((frame.numpy().tobytes() in originals) == same for frame in batch)


def test_a_cache_of_an_ensemble_is_its_logits(toy_file, tmp_path):
    from kdamc_training.teacher_cache import Needed

    part = Part(toy_file, np.arange(0, 300))
    ensemble = Ensemble([Angle()], 3)
    cache = TeacherCache(tmp_path / "shows", ensemble, Frames(part), Needed())
    positions = torch.tensor([7, 3])
    torch.testing.assert_close(
        cache[positions].logits, ensemble(Frames(part)[positions][0]), atol=1e-6, rtol=1e-6
    )
