# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""A training that two recipes ask for is done once."""

import pytest
import torch
from kdamc_training import pipeline, recipe, training
from kdamc_training.records import read_record

TEMPERATURES, EDGE = "edge/temperatures-rml2016.10a", "edge/rml2016.10a"


def load(name, *overrides):
    return recipe.load(recipe.find(name), "smoke", list(overrides))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """With the ResNet of one recipe in it, and a student that it taught."""
    work = tmp_path_factory.mktemp("work")
    pipeline.run(load(TEMPERATURES), "first", work=work, only=["temperature10"])
    return work


@pytest.fixture
def trained(monkeypatch):
    """The members that were really trained, in order."""
    members, fit = [], training.fit_module

    def counted(module, data, train, folder, callbacks=()):
        if not (folder / training.FINISHED).exists():
            members.append(folder.name)
        return fit(module, data, train, folder, callbacks)

    monkeypatch.setattr(training, "fit_module", counted)
    return members


def test_what_another_recipe_trained_is_taken_and_measured_anew(work, trained):
    second = load(EDGE, "data.test.frames_per_cell=2")
    (record,) = pipeline.run(second, "second", work=work, only=["resnet_teacher"])
    assert trained == []
    assert record["trained_as"] == f"{TEMPERATURES} teacher10"
    source = work / f"{TEMPERATURES}-smoke" / "teacher10-s0"
    own = work / f"{EDGE}-smoke" / "resnet_teacher-s0"
    assert record["test"]["frames"] == 2 * read_record(source / "record.json")["test"]["frames"]
    checkpoints = [torch.load(home / "best.ckpt", weights_only=False) for home in (source, own)]
    assert checkpoints[0]["state_dict"].keys() == checkpoints[1]["state_dict"].keys()
    for one, other in zip(*(c["state_dict"].values() for c in checkpoints), strict=True):
        assert torch.equal(one, other)
    says = checkpoints[1]["hyper_parameters"]["describes"]
    assert (says["recipe"], says["member"], says["command"]) == (EDGE, "resnet_teacher", "second")


@pytest.mark.parametrize(
    "override", ["train.epochs=3", "data.train.seed=12", "augment.rotation=true", "seeds=[1]"]
)
def test_what_differs_is_trained(work, trained, override):
    other = load(EDGE, override, f"name=edge/other-{override.split('=')[0]}")
    (record,) = pipeline.run(other, "third", work=work, only=["resnet_teacher"])
    assert len(trained) == 1
    assert "trained_as" not in record


def test_a_student_of_another_teacher_is_trained(work, trained):
    """Its own settings are the same; the teacher had more epochs."""
    other = load(TEMPERATURES, "members.teacher10.train.epochs=4", "name=edge/longer")
    pipeline.run(other, "fourth", work=work, only=["temperature10"])
    assert trained == ["teacher10-s0", "temperature10-s0"]
