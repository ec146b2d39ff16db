# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: what is read, and what is refused by name."""

import pytest
from kdamc_training import recipe
from kdamc_training.errors import UserError

PLAIN = recipe.find("plain/rml2016.10a")


@pytest.mark.parametrize("name", recipe.names())
@pytest.mark.parametrize("budget", recipe.BUDGETS)
def test_every_recipe_loads_at_every_budget(name, budget):
    assert recipe.load(recipe.find(name), budget).name == name


def test_overrides_win_over_the_budget():
    loaded = recipe.load(PLAIN, "smoke", ["train.epochs=7", "augment.rotation=false"])
    assert loaded.train.epochs == 7
    assert not loaded.augment.rotation
    assert loaded.train.batch_size == 64


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.epoch=3", r"'train\.epoch' is unknown"),
        ("extra=1", "'extra' is unknown"),
        ("train.epochs=many", r"'train\.epochs' is 'many'"),
        ("train.epochs=true", r"'train\.epochs' is True"),
        ("train.epochs=0", r"'train\.epochs' is 0"),
        ("train.epochs=null", r"'train\.epochs' is None"),
        ("train.learning_rate=-1", r"'train\.learning_rate' is -1"),
        ("train=3", "'train' is not a section"),
        ("data.train.hop=3", r"'data\.train\.hop' is unknown"),
        ("name.inner=3", "name is not a section"),
        ("rotation", "not of the form key=value"),
    ],
)
def test_what_cannot_be_used_is_named(override, says):
    with pytest.raises(UserError, match=says):
        recipe.load(PLAIN, "smoke", [override])


def test_a_missing_key_is_named(tmp_path):
    text = PLAIN.read_text().replace("  generator: rml2016.10a\n", "")
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UserError, match=r"'data\.generator' is missing"):
        recipe.load(tmp_path / "r.yaml")


@pytest.mark.parametrize("text", ["- 1\n", "a: [", "\xff"])
def test_what_is_no_recipe_is_refused(tmp_path, text):
    (tmp_path / "r.yaml").write_bytes(text.encode("latin1"))
    with pytest.raises(UserError, match=r"r\.yaml"):
        recipe.load(tmp_path / "r.yaml")


def test_unknown_names_and_budgets_are_refused():
    with pytest.raises(UserError, match=r"plain/rml2016\.10a"):
        recipe.find("plain/other")
    with pytest.raises(UserError, match="budget 'huge'"):
        recipe.load(PLAIN, "huge")


def test_a_recipe_written_out_reads_back_the_same(tmp_path):
    first = recipe.load(PLAIN, "smoke")
    (tmp_path / "r.yaml").write_text(recipe.as_yaml(first).replace("budget: smoke\n", ""))
    again = recipe.load(tmp_path / "r.yaml")
    assert recipe.as_yaml(again).replace("paper", "smoke") == recipe.as_yaml(first)
