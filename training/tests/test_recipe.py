# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: what is read, and what is refused by name."""

from pathlib import Path

import pytest
from kdamc_training import recipe
from kdamc_training.errors import UserError

PLAIN = recipe.find("plain/rml2016.10a")


@pytest.mark.parametrize("name", recipe.names())
@pytest.mark.parametrize("budget", recipe.BUDGETS)
def test_every_recipe_loads_at_every_budget(name, budget):
    assert recipe.load(recipe.find(name), budget).name == name


@pytest.mark.parametrize("name", recipe.names())
@pytest.mark.parametrize("budget", recipe.BUDGETS)
def test_every_recipe_takes_a_file_at_every_budget(name, budget):
    """No budget's part of the data stands in its way, nor its share of what it would generate."""
    path = recipe.find(name)
    changed = recipe.load(path, budget, recipe.for_file(path, budget, Path("a.h5"), "edge")).data
    assert (changed.generator, changed.file, changed.split) == ("", "a.h5", "edge")
    assert changed.train is changed.validation is changed.test is None
    same_as = "smoke" if budget == "smoke" else "paper"
    assert changed.train_share == recipe.load(path, same_as).data.train_share


def test_overrides_win_over_the_budget():
    loaded = recipe.load(PLAIN, "smoke", ["train.epochs=7", "augment.rotation=false"])
    assert loaded.train.epochs == 7
    assert not loaded.augment.rotation
    assert loaded.train.batch_size == 64


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.epoch=3", r"'train\.epoch' is unknown"),
        (
            "abuot=1",
            "'abuot' is unknown; known here: name, .*publish, extends, changes, budgets",
        ),
        ("data.train.run_length=-1", r"'data\.train\.run_length' is -1"),
        ("extra=1", "'extra' is unknown"),
        ("name=alone", "'name' is 'alone'; it must be of the form system/name"),
        ("name=a/b/c", "'name' is 'a/b/c'"),
        ("name=../x", "'name' is"),
        ("name=a/..", "'name' is"),
        ("name=a/b c", "'name' is"),
        ("budget=reduced", "'budget' is what --budget says"),
        ("train.epochs=many", r"'train\.epochs' is 'many'"),
        ("train.epochs=true", r"'train\.epochs' is True"),
        ("train.epochs=0", r"'train\.epochs' is 0"),
        ("train.epochs=null", r"'train\.epochs' is None"),
        ("train.learning_rate=-1", r"'train\.learning_rate' is -1"),
        ("train=3", "'train' is not a section"),
        ("data.train.hop=3", r"'data\.train\.hop' is unknown"),
        ("name.inner=3", "name is not a section"),
        ("rotation", "not of the form key=value"),
        ("train.schedule=step", r"'train\.schedule' is 'step'"),
        ("train.schedule=plateau", r"'train\.warmup_epochs' goes with the cosine"),
        ("train.precision=8", r"'train\.precision' is 8"),
        ("members={}", "'members' names no network"),
        ("members.student.netwrk=a", r"'members\.student\.netwrk' is unknown"),
        ("members.student.train={epoch: 3}", r"'members\.student\.train\.epoch' is unknown"),
        ("members.student.train={epochs: 0}", r"'members\.student\.train\.epochs' is 0"),
        ("members.student.teacher=other", r"'members\.student\.teacher' is 'other'"),
        ("members.student.teacher=student", r"'members\.student\.teacher' is 'student'"),
        ("members.student.loss=[]", r"'members\.student\.loss' is empty"),
        ("members.student.loss=[{nam: a}]", r"'members\.student\.loss\.0\.nam' is unknown"),
        ("members.student.loss=cross_entropy", "is not a list"),
        ("members.student.seeds=2", r"'members\.student\.seeds' is 2"),
        ("members={'a/b': {network: plain_conv}}", r"'members\.a/b'"),
        ("members={1: {network: plain_conv}}", r"plain.*yaml: .*'members\.1' is no text"),
        ("members={yes: {network: plain_conv}}", r"'members\.True' is no text"),
        ("members.student.options={1: 2}", r"'members\.student\.options\.1' is no text"),
        ("train.epochs=[1", r"train\.epochs: '\[1' is no YAML"),
        ("about=2020-13-01", "about: '2020-13-01' is no YAML"),
        ("seeds=[]", "'seeds' is"),
        ("seeds=[1, 1]", "'seeds' is"),
        ("seeds=[-1]", "'seeds' is -1"),
        ("data.train.seed=-1", r"'data\.train\.seed' is -1"),
        ("data.runs.seed=-1", r"'data\.runs\.seed' is -1"),
        ("data.split_seed=-1", r"'data\.split_seed' is -1"),
        (
            "publish=[{member: student, model_name: a, unknown: {score: energy, generator: b, "
            "frames: {frames_per_cell: 1, seed: -1, speech: test}}}]",
            r"'publish\.0\.unknown\.frames\.seed' is -1",
        ),
        ("data.file=a.h5", "needs one of generator and file"),
        ("data.generator=", "'data.generator' is None"),
        ("data.split=edge", r"'data\.split' is for a file"),
        ("data.runs=null", "come together"),
        ("data.test=null", r"'data\.test' is missing"),
        ("data.snr=[3]", r"'data\.snr' is \[3\]"),
        ("data.train_share=0", r"'data\.train_share' is 0"),
        ("data={file: a.h5}", r"'data\.split' is missing"),
        ("data={file: a.h5, split: edge}", "'publish' needs"),
        ("data.train.frames_per_cell=0", r"'data\.train\.frames_per_cell' is 0"),
        (
            "data.test={frames_per_cell: 9, seed: 1, speech: train}",
            "'data.test' and 'data.train' have one seed and speech",
        ),
        (
            "data.test_runs={frames_per_cell: 4, seed: 1, speech: train, run_length: 4}",
            "'data.test_runs' and 'data.train' have",
        ),
        (
            "data.validation={frames_per_cell: 9, seed: 1, speech: train}",
            "'data.validation' and 'data.train' have",
        ),
        ("members.student.loss=[{name: a, weight: -1}]", r"loss\.0\.weight' is -1"),
        ("members.student.loss=[{name: a, weight: .nan}]", r"loss\.0\.weight' is nan"),
        ("members.student.teacher_sees=original", "teacher_sees' needs a teacher"),
        ("members.student.teacher_rotations=2", "teacher_rotations' needs a teacher"),
        ("report.gains=[[student, student]]", r"'report\.gains\.0'"),
        ("report.gains=[[student, other]]", r"'report\.gains\.0'"),
        ("report.gains=[[[student], scratch]]", r"'report\.gains\.0\.0'"),
        ("report.bands=[[3, 1]]", r"'report\.bands\.0'"),
        ("publish=[{member: other, model_name: a}]", r"'publish\.0\.member' is 'other'"),
        (
            "publish=[{member: student, model_name: a, quantize: int4}]",
            r"'publish\.0\.quantize' is 'int4'",
        ),
    ],
)
def test_what_cannot_be_used_is_named(override, says):
    with pytest.raises(UserError, match=says):
        recipe.load(PLAIN, "smoke", [override])


def test_what_is_set_in_one_place_of_a_yaml_alias_is_set_there_alone():
    overrides = ["members.scratch.options.hidden=7"]
    for budget in ("paper", "reduced"):
        members = recipe.load(recipe.find("crosstlnet/rml2016.10a"), budget, overrides).members
        assert members["scratch"].options["hidden"] == 7
        assert members["distilled"].options["hidden"] != 7


def test_a_missing_key_is_named(tmp_path):
    text = PLAIN.read_text().replace("  generator: rml2016.10a\n", "")
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UserError, match="one of generator and file"):
        recipe.load(tmp_path / "r.yaml")


@pytest.mark.parametrize("text", ["- 1\n", "a: [", "\xff", "name: a\nname: b\n"])
def test_what_is_no_recipe_is_refused(tmp_path, text):
    (tmp_path / "r.yaml").write_bytes(text.encode("latin1"))
    with pytest.raises(UserError, match=r"r\.yaml"):
        recipe.load(tmp_path / "r.yaml")


def test_unknown_names_and_budgets_are_refused():
    with pytest.raises(UserError, match=r"plain/rml2016\.10a"):
        recipe.find("plain/other")
    with pytest.raises(UserError, match="budget 'huge'"):
        recipe.load(PLAIN, "huge")


def test_a_misspelt_budget_of_a_recipe_is_refused(tmp_path):
    (tmp_path / "r.yaml").write_text("extends: plain/rml2016.10a\nbudgets: {reducd: {}}\n")
    with pytest.raises(UserError, match="budget 'reducd'"):
        recipe.load(tmp_path / "r.yaml", "reduced")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("budgets:", "'budgets' is not a section"),
        ("budgets: [smoke]", "'budgets' is not a section"),
        ("budgets: {smoke: {3: 1}}", r"'budgets\.smoke\.3' is no text"),
        ("budgets: {smoke: }", r"'budgets\.smoke' is not a section"),
        ("budgets: {smoke: {about.a: 1}}", r"'about\.a': about is not a section"),
        ("extends:", "'extends' is None"),
        ("changes:", "'changes' is not a section"),
        ("changes: {3: 4}", r"'changes\.3' is no text"),
        ("changes: {about.a: 4}", r"'about\.a': about is not a section"),
        ("extends: {folder}/r.yaml", "'extends' leads back to itself"),
        ("extends: {folder}/other.yaml", "'extends' leads back to itself"),
    ],
)
def test_a_malformed_file_is_named_with_the_key(tmp_path, text, says):
    text = text.replace("{folder}", str(tmp_path))
    if not text.startswith("extends"):
        text += "\nextends: plain/rml2016.10a"
    (tmp_path / "r.yaml").write_text(text)
    (tmp_path / "other.yaml").write_text(f"extends: {tmp_path}/r.yaml")
    with pytest.raises(UserError, match=rf"{tmp_path}/\w+\.yaml: recipe key {says}"):
        recipe.load(tmp_path / "r.yaml", "smoke")


def test_a_recipe_that_extends_another_is_laid_over_it(tmp_path):
    (tmp_path / "r.yaml").write_text(
        "extends: plain/rml2016.10a\n"
        "name: mine/other\n"
        "changes: {train.epochs: 9, members.student.options: {widths: [8, 8, 8, 8]},\n"
        "          budgets.reduced.train.batch_size: 33}\n"
        "seeds: [4, 5]\n"
        "budgets: {smoke: {train.batch_size: 8}}\n"
    )
    loaded = recipe.load(tmp_path / "r.yaml")
    assert (loaded.name, loaded.seeds, loaded.train.epochs) == ("mine/other", [4, 5], 9)
    assert loaded.members["student"].options == {"widths": [8, 8, 8, 8]}
    assert loaded.data == recipe.load(PLAIN).data
    # A budget takes the place of the one it is named after; the others stay.
    assert recipe.load(tmp_path / "r.yaml", "smoke").train.epochs == 9
    reduced = recipe.load(tmp_path / "r.yaml", "reduced")
    assert (reduced.data.train.frames_per_cell, reduced.train.batch_size) == (600, 33)


def test_a_member_overrides_how_all_are_trained():
    loaded = recipe.load(PLAIN, "smoke", ["members.student.train={epochs: 5, keep: best}"])
    assert loaded.train.epochs == 2
    own = loaded.train_of("student")
    assert (own.epochs, own.keep, own.batch_size) == (5, "best", 64)
