# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""A training that two recipes ask for is done once."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kdamc_training import checkpoints, pipeline, recipe, reuse, training
from kdamc_training.datasets.rml2016_10a import Rml2016_10a
from kdamc_training.errors import UserError
from kdamc_training.records import read_record, write_record
from kdamc_training.run_settings import same, settings_of

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
def own_work(work, tmp_path):
    """A copy, to spoil something in."""
    return Path(shutil.copytree(work, tmp_path / "work"))


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


def test_weights_that_another_recipe_published_are_taken(own_work, tmp_path, monkeypatch):
    results, weights = tmp_path / "results", tmp_path / "weights"
    monkeypatch.setattr(checkpoints, "MOST_BYTES_OF_A_SYSTEM", 100_000_000)
    source = own_work / f"{TEMPERATURES}-smoke" / "teacher10-s0"
    checkpoints.publish(source, results, weights)
    second = load(EDGE, "data.test.frames_per_cell=2")
    (record,) = pipeline.run(second, "second", work=own_work, only=["resnet_teacher"])
    published = results / EDGE / "smoke" / "resnet_teacher-s0.json"
    published.parent.mkdir(parents=True)
    write_record(published, record)

    assert checkpoints.restore(published, tmp_path / "new", weights)
    first, taken = (checkpoints.open_run(at, results) for at in (source, tmp_path / "new"))
    assert taken[1] == record
    for key, value in first[0].network.state_dict().items():
        torch.testing.assert_close(taken[0].network.state_dict()[key], value, rtol=0, atol=0)

    of_first = results / TEMPERATURES / "smoke" / "teacher10-s0.json"
    origin = read_record(of_first)
    calibration = origin["calibration"]
    changes = {
        "trained anew since": {
            "calibration": {**calibration, "temperature": 1.01 * calibration["temperature"]}
        },
        "with other settings": {"settings": {**origin["settings"], "seed": 1}},
        "each as the other": {"weights": None, "trained_as": f"{EDGE} resnet_teacher"},
    }
    for change in changes.values():
        changed = {key: value for key, value in {**origin, **change}.items() if value is not None}
        write_record(of_first, changed)
        assert not checkpoints.restore(published, tmp_path / "other", weights)
        assert not (tmp_path / "other").exists()
    write_record(of_first, origin)
    assert checkpoints.restore(published, tmp_path / "other", weights)
    of_first.unlink()
    assert not checkpoints.restore(published, tmp_path / "third", weights)


@pytest.mark.parametrize(
    "override", ["train.epochs=3", "data.train.seed=12", "augment.rotation=true", "seeds=[1]"]
)
def test_what_differs_is_trained(work, trained, override):
    other = load(EDGE, override, f"name=edge/other-{override.split('=')[0]}")
    (record,) = pipeline.run(other, "third", work=work, only=["resnet_teacher"])
    assert len(trained) == 1
    assert "trained_as" not in record


def test_data_of_a_new_version_of_their_generator_are_other_settings(monkeypatch):
    chosen = load(EDGE)
    before = settings_of(chosen, "resnet_teacher", 0)
    assert "generators" not in before, "as in folders from before there was a second version"
    monkeypatch.setattr(Rml2016_10a, "version", "2")
    now = settings_of(chosen, "resnet_teacher", 0)
    assert now == before | {"generators": {"rml2016.10a": "2"}} and not same(now, before)
    part = chosen.data.train
    own = replace(
        chosen.data, generator="rml2016.04c", train=replace(part, generator="rml2016.10a")
    )
    settings = settings_of(replace(chosen, data=own), "resnet_teacher", 0)
    assert settings["generators"] == {"rml2016.10a": "2"}


def test_a_student_of_another_teacher_is_trained(work, trained):
    """Its own settings are the same; the teacher had more epochs."""
    other = load(TEMPERATURES, "members.teacher10.train.epochs=4", "name=edge/longer")
    pipeline.run(other, "fourth", work=work, only=["temperature10"])
    assert trained == ["teacher10-s0", "temperature10-s0"]


def test_a_fine_tuned_network_is_no_run_of_a_recipe(tmp_path):
    """Its folder has settings and is finished, too, but its data are a list of hashes."""
    tuned = tmp_path / "tuned"
    tuned.mkdir()
    (tuned / "settings.yaml").write_text("settings: {epochs: 1}\ndata: [0a]\n")
    (tuned / training.FINISHED).touch()
    settings = settings_of(load(EDGE), "vtcnn2", 0)
    assert reuse.adopt(tmp_path / "new", tmp_path, "settings.yaml", settings, {}, "") is None


def test_a_folder_without_its_checkpoints_is_not_taken(own_work, tmp_path):
    settings = settings_of(load(EDGE), "resnet_teacher", 0)
    new = tmp_path / "new"
    new.mkdir()
    for checkpoint in own_work.rglob("best.ckpt"):
        checkpoint.unlink()
    assert reuse.adopt(new, own_work, "settings.yaml", settings, {}, "") is None
    assert not list(new.iterdir())


def home(work, recipe_name, member):
    return work / f"{recipe_name}-smoke" / f"{member}-s0"


def test_a_student_of_other_weights_of_the_same_teacher_is_not_taken(own_work, trained):
    """As another machine gives for the same settings."""
    own = load(TEMPERATURES, "name=edge/own-draw")
    pipeline.run(own, "fifth", work=own_work, only=["teacher10"])
    taken = home(own_work, "edge/own-draw", "teacher10")
    checkpoint = torch.load(taken / "best.ckpt", weights_only=False)
    next(iter(checkpoint["state_dict"].values())).add_(1e-3)
    torch.save(checkpoint, taken / "best.ckpt")
    (_, student) = pipeline.run(own, "sixth", work=own_work, only=["temperature10"])
    assert trained == ["temperature10-s0"]
    assert "trained_as" not in student
    assert len(list(taken.glob("shows_*"))) == 1
    assert home(own_work, TEMPERATURES, "temperature10").is_dir()


def test_a_cache_is_of_the_weights_that_it_shows(own_work):
    """Of a teacher that was trained anew nothing old is taught."""
    own = load(TEMPERATURES, "name=edge/own-cache")
    pipeline.run(own, "seventh", work=own_work, only=["teacher10"])
    teacher = home(own_work, "edge/own-cache", "teacher10")
    for change in (1e-3, 1e-2):
        checkpoint = torch.load(teacher / "best.ckpt", weights_only=False)
        next(iter(checkpoint["state_dict"].values())).add_(change)
        torch.save(checkpoint, teacher / "best.ckpt")
        student = load(TEMPERATURES, "name=edge/own-cache", "members.temperature10.about=again")
        pipeline.run(student, "eighth", work=own_work, only=["temperature10"])
        shutil.rmtree(home(own_work, "edge/own-cache", "temperature10"))
    assert len(list(teacher.glob("shows_*"))) == 2


def test_a_training_says_of_which_revision_it_is(own_work, monkeypatch):
    monkeypatch.setattr("kdamc_training.export.git_revision", lambda: "later")
    other = load(TEMPERATURES, "name=edge/later")
    teacher, student = pipeline.run(other, "ninth", work=own_work, only=["temperature10"])
    began = read_record(home(own_work, TEMPERATURES, "temperature10") / reuse.BEGAN)
    assert (student["git_rev"], student["trained_git_rev"]) == ("later", began["git_rev"])
    assert teacher["trained_git_rev"] == began["git_rev"] != "later"
    fresh = load(TEMPERATURES, "name=edge/fresh", "train.epochs=3")
    (record,) = pipeline.run(fresh, "tenth", work=own_work, only=["vtcnn2"])
    assert record["git_rev"] == "later" and "trained_git_rev" not in record


def test_a_training_does_not_go_on_with_another_teacher(tmp_path):
    assert reuse.begin(tmp_path, "one", "a") == "one"
    assert reuse.begin(tmp_path, "two", "a") == "one"
    with pytest.raises(UserError, match="other weights"):
        reuse.begin(tmp_path, "two", "b")


def test_what_began_before_such_notes_says_nothing(tmp_path):
    (tmp_path / training.LAST_CHECKPOINT).touch()
    assert reuse.begin(tmp_path, "one", "a") == ""
    assert not (tmp_path / reuse.BEGAN).exists()
