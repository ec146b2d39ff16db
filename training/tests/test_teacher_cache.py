# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a teacher shows is kept as it was, and a student learns the same from it."""

import dataclasses
import errno
import os
import pickle
import threading
import time

import numpy as np
import pytest
import torch
from kdamc_training import distillation as distillation
from kdamc_training import networks as networks
from kdamc_training import recipe, teacher_cache, training
from kdamc_training.datasets.dataset_file import DataSetFile
from kdamc_training.distillation import registry as losses
from kdamc_training.errors import UserError
from kdamc_training.networks import registry
from kdamc_training.networks.outputs import outputs_of
from kdamc_training.teacher_cache import Needed, TeacherCache
from kdamc_training.training_data import Frames, Part

SIZES = {"width": 16, "heads": 2, "layers": 4, "feed_forward": 16, "convolutions": [4, 4, 4]}
MEMBERS = """members={
  teacher: {network: mld_teacher, options: %s},
  student: {network: mld_student, options: {width: 16, heads: 2}, teacher: teacher, loss: [
    {name: cross_entropy}, {name: response}, {name: feature}, {name: attention, weight: 10}]}}"""


@pytest.fixture
def taught(toy_file):
    """A teacher of random weights and 300 frames of the toy file."""
    torch.manual_seed(3)
    teacher = registry.create("mld_teacher", classes=3, frame_length=32, **SIZES).eval()
    return teacher, Part(toy_file, np.arange(7, 2700, 9))


def test_what_is_kept_is_what_the_teacher_shows(taught, tmp_path):
    teacher, part = taught
    frames = Frames(part)
    needed = Needed((1, 3), (3,))
    cache = TeacherCache(tmp_path / "shows", teacher, frames, needed)
    positions = torch.tensor([5, 290, 17])
    kept = cache[positions]
    with torch.no_grad():
        shown = outputs_of(teacher, frames[positions][0], attention=True)
    torch.testing.assert_close(kept.logits, shown.logits, rtol=1e-5, atol=1e-5)
    for place in needed.features:
        torch.testing.assert_close(
            kept.features[place], shown.features[place], rtol=1e-3, atol=1e-3
        )
    torch.testing.assert_close(kept.attention[3], shown.attention[3], rtol=1e-3, atol=1e-4)
    assert len(kept.features) == 4 and kept.features[0].numel() == kept.features[2].numel() == 0
    sizes = sum(path.stat().st_size for path in (tmp_path / "shows").iterdir())
    # A header of 128 bytes for each of the four files.
    assert sizes == teacher_cache.size(teacher, frames, needed) + 4 * 128


def test_it_is_made_once_and_grows_by_what_is_missing(taught, tmp_path):
    teacher, part = taught
    frames = Frames(part)
    first = TeacherCache(tmp_path / "shows", teacher, frames, Needed((1,)))
    before = (tmp_path / "shows" / "logits.npy").stat().st_mtime_ns
    silent = registry.create("mld_teacher", classes=3, frame_length=32, **SIZES).eval()
    again = TeacherCache(tmp_path / "shows", silent, frames, Needed((1,)))
    both = TeacherCache(tmp_path / "shows", teacher, frames, Needed((1, 3)))
    assert (tmp_path / "shows" / "logits.npy").stat().st_mtime_ns == before
    position = torch.tensor([8])
    torch.testing.assert_close(again[position].features[1], first[position].features[1])
    assert both[position].features[3].numel() > 0
    # As it goes to another process, without the frames.
    sent = pickle.dumps(both)
    assert len(sent) < 2000
    torch.testing.assert_close(pickle.loads(sent)[position].logits, both[position].logits)


def test_one_fills_it_and_others_wait(taught, tmp_path):
    """Students of one teacher may train beside each other; none sees half a cache."""
    teacher, part = taught
    frames = Frames(part)
    inside, overlaps = threading.Event(), []

    class Slow(torch.nn.Module):
        def forward(self, iq):
            if inside.is_set():
                overlaps.append(iq)
            inside.set()
            time.sleep(0.2)
            inside.clear()
            return teacher(iq)

    fillers = [
        threading.Thread(target=TeacherCache, args=(tmp_path / "shows", Slow(), frames, Needed()))
        for _ in range(2)
    ]
    for filler in fillers:
        filler.start()
    for filler in fillers:
        filler.join()
    assert not overlaps
    with torch.no_grad():
        expected = teacher(frames[torch.arange(len(part))][0])
    kept = TeacherCache(tmp_path / "shows", teacher, frames, Needed())[torch.arange(len(part))]
    torch.testing.assert_close(kept.logits, expected, rtol=1e-5, atol=1e-5)


def test_what_no_half_float_holds_is_kept_as_float32(taught, tmp_path):
    teacher, part = taught
    frames = Frames(part)
    with torch.no_grad():
        for parameter in teacher.layers[3].parameters():
            parameter.mul_(1e6)
        positions = torch.tensor([5, 290, 17])
        shown = outputs_of(teacher, frames[positions][0]).features
    kept = TeacherCache(tmp_path / "shows", teacher, frames, Needed((1, 3)))[positions].features
    assert shown[3].abs().max() > 65504.0
    torch.testing.assert_close(kept[3], shown[3], rtol=1e-4, atol=0)
    types = [np.load(tmp_path / "shows" / f"features{place}.npy").dtype for place in (1, 3)]
    assert types == [np.float16, np.float32]


def test_logits_that_are_not_finite_are_refused(taught, tmp_path):
    teacher, part = taught
    with torch.no_grad():
        next(teacher.parameters()).fill_(torch.nan)
    with pytest.raises(UserError, match="the teacher's logits are not finite"):
        TeacherCache(tmp_path / "shows", teacher, Frames(part), Needed())
    assert not list(tmp_path.glob("shows/*.npy"))


def test_a_full_disk_is_told_before_anything_is_written(taught, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    teacher, part = taught
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"shows: what the teacher shows needs 3600 bytes \(No sp"):
        TeacherCache(tmp_path / "shows", teacher, Frames(part), Needed())
    assert not list((tmp_path / "shows").iterdir())


def test_losses_say_what_they_look_at(taught):
    teacher, part = taught
    torch.manual_seed(4)
    student = registry.create("mld_student", classes=3, frame_length=32, width=16, heads=2)
    iq = Frames(part)[torch.arange(2)][0]
    examples = {
        "student": outputs_of(student, iq, attention=True),
        "teacher": outputs_of(teacher, iq, attention=True),
    }
    terms = {
        name: losses.create(name, **examples)
        for name in losses.names()
        if losses.known(name).needs_teacher and name not in ("similarity",)
    }
    needs = Needed.by(terms.values(), examples["teacher"])
    assert needs == Needed((1, 3), (1, 3))
    # What a term does not name it must not touch.
    for name, term in terms.items():
        alone = Needed.by([term], examples["teacher"])
        hidden = dataclasses.replace(
            examples["teacher"],
            features=tuple(
                x if place in alone.features else None
                for place, x in enumerate(examples["teacher"].features)
            ),
            attention=tuple(
                x if place in alone.attention else None
                for place, x in enumerate(examples["teacher"].attention)
            ),
        )
        label = torch.tensor([0, 1])
        expected = term(examples["student"], examples["teacher"], label)
        torch.testing.assert_close(term(examples["student"], hidden, label), expected, msg=name)


def test_a_student_learns_the_same_from_the_cache(taught, toy_file, tmp_path):
    teacher, part = taught
    chosen = recipe.load(
        recipe.find("plain/rml2016.10a"),
        "smoke",
        [
            MEMBERS % str(SIZES).replace("'", ""),
            "augment={}",
            "train={epochs: 2, batch_size: 64, learning_rate: 0.001, keep: last}",
        ],
    )
    with DataSetFile(toy_file) as data:
        held = Part(toy_file, np.arange(3, len(data), 9))
    weights = []
    for name, cache in (("run", None), ("kept", tmp_path / "shows")):
        (tmp_path / name).mkdir()
        job = training.Job(chosen, "student", 0, part, held, "test", teacher, cache)
        state = torch.load(training.fit(job, tmp_path / name), weights_only=False)["state_dict"]
        weights.append(state)
    assert (tmp_path / "shows" / "attention3.npy").is_file()
    assert any(name.startswith("terms.") for name in weights[0])
    # A bias before a batch norm changes nothing: its gradient is rounding alone, which Adam makes
    # steps of, and the norm's running mean follows it.
    idle = {f"network.embedding.{layer}.bias" for layer in (0, 3, 6)}
    idle |= {f"network.embedding.{layer}.running_mean" for layer in (1, 4, 7)}
    assert idle < weights[0].keys()
    for name in weights[0].keys() - idle:
        torch.testing.assert_close(
            weights[1][name], weights[0][name], rtol=0.02, atol=2e-3, msg=name
        )


def test_a_loss_that_names_no_place_is_shown_all(taught):
    """A loss of a user's own need say no more than that it looks at features."""

    class Own(losses.Loss):
        needs_features = True

    teacher, part = taught
    example = outputs_of(teacher, Frames(part)[torch.arange(2)][0], attention=True)
    assert Needed.by([Own()], example) == Needed(features=(0, 1, 2, 3))
