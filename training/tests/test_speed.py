# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes and speed of the recipes' networks: which there are, and what a row says."""

import json

import pytest
from kdamc_training import speed
from kdamc_training.cli import main
from kdamc_training.errors import UserError
from kdamc_training.export import export
from kdamc_training.networks import registry

CLASSES = ("a", "b", "c")


def subject(network, **options):
    return speed.Subject(network, options, "a/recipe", "member", CLASSES, 64)


def test_the_subjects_are_the_networks_of_the_recipes_once_each():
    found = speed.subjects()
    keys = [(each.network, str(each.options), each.frame_length) for each in found]
    assert len(set(keys)) == len(keys)
    assert {each.network for each in found} <= set(registry.names())
    published = {(each.network, len(each.classes), each.frame_length) for each in found}
    for name in ("mld_teacher", "mld_student", "crosstlnet", "clst", "vtcnn2", "mcldnn"):
        assert (name, 11, 128) in published
    assert {("sbcnn", 24, 1024), ("ibcnn", 24, 1024)} <= published
    # Named or not, 256 units are the size that CrossTLNet was published with.
    units = [
        each.options.get("width", 256)
        for each in found
        if each.network == "crosstlnet" and set(each.options) <= {"width"}
    ]
    assert sorted(units) == [128, 192, 256, 320]
    assert [each.options for each in found if each.network == "mld_teacher"] == [{}]
    assert {each.network for each in speed.subjects(["sbcnn", "ibcnn"])} == {"sbcnn", "ibcnn"}
    with pytest.raises(UserError, match="'none'"):
        speed.subjects(["none"])


def test_a_row_counts_what_the_network_has(tmp_path):
    row = speed.measure(subject("plain_conv", widths=[4, 4, 4, 4]), 0.01)
    # Convolutions without bias, two values a channel of four batch norms, 8 to 3 with bias.
    weights = 4 * (5 * 7 + 4 * 5 + 4 * 5 + 4 * 3)
    assert row["parameters"] == weights + 4 * 8 + 8 * 3 + 3
    assert row["keras_parameters"] == row["parameters"] + 4 * 8
    # Outputs of 32, 16, 8 and 4 samples, and the linear layer.
    assert row["macs"] == 4 * (35 * 32 + 20 * 16 + 20 * 8 + 12 * 4) + 24
    assert row["classes"] == 3 and row["frame_length"] == 64 and row["batch"] == 256
    assert row["ms_per_frame"] > 0 and row["frames_per_second"] > 1e3 / row["ms_per_frame"]
    export(speed.untrained("plain_conv", {"widths": [4, 4, 4, 4]}, CLASSES, 64), tmp_path / "a")
    assert abs(row["onnx_bytes"] - (tmp_path / "a").stat().st_size) < 100  # the date differs


def test_slow_networks_get_smaller_batches(monkeypatch):
    asked = []

    def fixed(model, sizes, seconds):
        asked.extend(sizes)
        return {str(size): 2.0 for size in sizes}

    monkeypatch.setattr(speed, "frames_per_second", fixed)
    row = speed.measure(subject("plain_conv", widths=[4, 4, 4, 4]), 0.01)
    assert asked == [1, 20] and row["batch"] == 20 and row["ms_per_frame"] == 500.0


def test_the_command_writes_a_record(tmp_path, capsys):
    out = tmp_path / "speed.json"
    command = ["speed", "--networks", "plain_conv", "--seconds", "0.01", "--json", str(out)]
    assert main(command) == 0
    assert "plain_conv" in capsys.readouterr().out
    record = json.loads(out.read_text())
    assert {row["network"] for row in record["rows"]} == {"plain_conv"}
    recipes = {(row["parameters"], row["macs"]): row["recipe"] for row in record["rows"]}
    # Each size once, under the first recipe that has it.
    assert len(recipes) == len(record["rows"]) > 1
    assert recipes[38_283, 662_912] == "family/rml2016.10a"
    assert record["threads"] == 1 and record["weights"] == "untrained"
    assert record["hardware"] and record["versions"]["onnxruntime"] and record["git_rev"]


def test_runs_are_timed_with_what_they_trained(tmp_path, toy_file, capsys):
    recipe = tmp_path / "toy.yaml"
    recipe.write_text(
        f"""
name: toy/toy
about: A toy.
data: {{file: {toy_file}, split: edge}}
train: {{epochs: 1}}
members:
  a: {{network: plain_conv, options: {{widths: [4, 4, 4, 4]}}}}
seeds: [3]
"""
    )
    work, out = tmp_path / "runs", tmp_path / "speed.json"
    assert main(["run", str(recipe), "--work", str(work)]) == 0
    (run,) = (path.parent for path in work.rglob("record.json"))
    assert main(["speed", str(run), "--seconds", "0.01", "--json", str(out)]) == 0
    record = json.loads(out.read_text())
    (row,) = record["rows"]
    assert record["weights"] == "trained"
    expected = {"recipe": "toy/toy", "budget": "paper", "member": "a", "seed": 3, "classes": 3}
    assert {key: row[key] for key in expected} == expected
    assert row["frames_per_second"] > 1e3 / row["ms_per_frame"] > 0 and row["batch"] == 256
    with pytest.raises(UserError, match="not by networks"):
        speed.record("", 0.01, ["plain_conv"], runs=[run])
    with pytest.raises(UserError, match="record"):
        speed.record("", 0.01, runs=[tmp_path])
