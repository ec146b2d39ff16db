# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published weights: the record vouches for the file, and the file is enough for an export."""

import hashlib
import json
import shutil

import numpy as np
import onnx
import pytest
import torch
from kdamc_training import checkpoints, pipeline, recipe
from kdamc_training.cli import main
from kdamc_training.errors import UserError
from safetensors.torch import load_file, save_file
from test_cli import fails

SMALL = ["data.snr=[0, 0]", "train.epochs=1", "members.student.options={widths: [8, 8, 8, 8]}"]
MEMBER = "plain/rml2016.10a/smoke/student-s0"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Folder of a small run."""
    folder = tmp_path_factory.mktemp("runs")
    chosen = recipe.load(recipe.find("plain/rml2016.10a"), "smoke", [*SMALL, "publish=[]"])
    pipeline.run(chosen, "made by a test", work=folder)
    return folder


@pytest.fixture
def run(work, tmp_path):
    """A copy of the run's folder."""
    source = work / "plain" / "rml2016.10a-smoke" / "student-s0"
    return shutil.copytree(source, tmp_path / "student-s0")


@pytest.fixture
def rooms(tmp_path, monkeypatch):
    """Folders for records and weights in place of the project's."""
    results, weights = tmp_path / "results", tmp_path / "checkpoints"
    # The run is one of smoke.
    monkeypatch.setattr(checkpoints, "check_publishable", lambda run: None)
    monkeypatch.setattr(checkpoints.publish, "__defaults__", (results, weights))
    monkeypatch.setattr(checkpoints.load, "__defaults__", (results,))
    return results, weights


def test_weights_in_another_order_of_memory_are_published(run, rooms, monkeypatch):
    module, record = checkpoints.open_run(run)
    convolution = next(each for each in module.network.modules() if hasattr(each, "stride"))
    weight = convolution.weight.data.clone()
    convolution.weight.data = weight.transpose(0, 2).contiguous().transpose(0, 2)
    assert not convolution.weight.is_contiguous()
    monkeypatch.setattr(checkpoints, "open_run", lambda folder: (module, record))
    checkpoints.publish(run)
    tensors = load_file(run / "weights.safetensors")
    assert any(torch.equal(each, weight) for each in tensors.values() if each.ndim == 3)


def test_published_weights_are_those_of_the_run(run, rooms, tmp_path, capsys):
    results, weights = rooms
    assert main(["checkpoint", str(run)]) == 0
    file = weights / f"{MEMBER}.safetensors"
    record = json.loads((results / f"{MEMBER}.json").read_text())
    assert record["weights"] == {
        "file": f"{MEMBER}.safetensors",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "bytes": file.stat().st_size,
    }
    assert record["weights"]["sha256"] in capsys.readouterr().out
    # The run's own record says it too, so that publishing the record again keeps it.
    assert json.loads((run / "record.json").read_text()) == record

    trained, _ = checkpoints.open_run(run)
    module, calibration = checkpoints.load(file)
    assert not module.training and calibration.temperature == record["calibration"]["temperature"]
    for name, value in trained.network.state_dict().items():
        torch.testing.assert_close(module.network.state_dict()[name], value, rtol=0, atol=0)

    # The graph is that of an export from the run.
    models = [tmp_path / "run.onnx", tmp_path / "published.onnx"]
    assert main(["export", str(run / "last.ckpt"), str(models[0])]) == 0
    assert main(["export", str(file), str(models[1])]) == 0
    ours, theirs = (onnx.load(str(path)) for path in models)
    assert ours.graph == theirs.graph
    ours, theirs = (
        {entry.key: entry.value for entry in model.metadata_props} for model in (ours, theirs)
    )
    assert {key for key in ours if ours[key] != theirs[key]} <= {"created", "git_rev"}


def test_the_same_weights_give_the_same_file(run, rooms):
    first = checkpoints.publish(run)
    assert checkpoints.publish(run) == first


def test_what_run_does_not_publish_is_refused(run, capsys):
    assert "smoke mean nothing" in fails(capsys, "checkpoint", run)
    record = json.loads((run / "record.json").read_text())
    (run / "record.json").write_text(json.dumps(record | {"budget": "reduced"}))
    line = fails(capsys, "checkpoint", run)
    assert "student was trained with other settings than plain/rml2016.10a has" in line


def test_the_record_of_other_settings_stays(run, rooms, capsys):
    results, _ = rooms
    checkpoints.publish(run)
    published = results / f"{MEMBER}.json"
    record = json.loads(published.read_text())
    record["settings"]["seed"] += 1
    published.write_text(json.dumps(record))
    assert "other settings" in fails(capsys, "checkpoint", run)
    assert json.loads(published.read_text()) == record


def test_weights_that_no_record_vouches_for_are_refused(run, rooms, tmp_path, capsys):
    results, weights = rooms
    checkpoints.publish(run)
    file, record = weights / f"{MEMBER}.safetensors", results / f"{MEMBER}.json"
    whole = file.read_bytes()
    out = tmp_path / "out.onnx"

    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "SHA-256" in fails(capsys, "export", file, out)
    file.write_bytes(whole[: len(whole) // 2])
    assert "no weights of this package" in fails(capsys, "export", file, out)
    save_file({"a": torch.zeros(2)}, file)
    assert "no weights of this package" in fails(capsys, "export", file, out)
    file.write_bytes(whole)
    checkpoints.load(file)
    said = json.loads(record.read_text())
    del said["weights"]
    record.write_text(json.dumps(said))
    assert "no hash" in fails(capsys, "export", file, out)
    record.unlink()
    assert "not a record" in fails(capsys, "export", file, out)
    assert "no such file" in fails(capsys, "export", weights / "none.safetensors", out)
    assert not out.exists()


def test_large_weights_stay_with_the_run(run, rooms, monkeypatch):
    _, weights = rooms
    small = checkpoints.publish(run)
    # A file of the same system leaves room for less than this one.
    other = weights / "plain" / "other.safetensors"
    other.write_bytes(bytes(100))
    monkeypatch.setattr(checkpoints, "MOST_BYTES_OF_A_SYSTEM", small["bytes"] + 99)
    entry = checkpoints.publish(run)
    assert entry == {**small, "file": ""}
    assert not (weights / f"{MEMBER}.safetensors").exists()
    kept = load_file(run / "weights.safetensors")
    assert sum(np.prod(value.shape) for value in kept.values()) > 0
    assert "not kept here" in (weights / "README.md").read_text()
    monkeypatch.setattr(checkpoints, "MOST_BYTES_OF_A_SYSTEM", small["bytes"] + 100)
    assert checkpoints.publish(run) == small


def test_the_list_says_what_the_records_say(run, rooms):
    results, weights = rooms
    entry = checkpoints.publish(run)
    record = json.loads((results / f"{MEMBER}.json").read_text())
    (row,) = [line for line in (weights / "README.md").read_text().splitlines() if MEMBER in line]
    for text in (entry["sha256"], f"{record['parameters']:,}", "plain_conv", f"{entry['bytes']:,}"):
        assert text in row
    assert f"{100 * record['test']['overall']:.2f} %" in row


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a record"):
        checkpoints.publish(tmp_path)


def test_the_projects_weights_are_those_of_its_records():
    listed = set()
    for path in pipeline.RESULTS.glob("*/*/*/*.json"):
        weights = json.loads(path.read_text()).get("weights", {"file": ""})
        if weights["file"]:
            file = checkpoints.CHECKPOINTS / weights["file"]
            assert hashlib.sha256(file.read_bytes()).hexdigest() == weights["sha256"]
            checkpoints.load(file)
            listed.add(file)
    assert listed and listed == set(checkpoints.CHECKPOINTS.rglob("*.safetensors"))
    assert (checkpoints.CHECKPOINTS / "README.md").read_text() == checkpoints.readme()


def test_only_what_has_no_record_is_run_and_published_teachers_are_taken(tmp_path, monkeypatch):
    results, weights = tmp_path / "results", tmp_path / "weights"
    monkeypatch.setattr(pipeline, "RESULTS", results)
    monkeypatch.setattr(checkpoints.restore, "__defaults__", (weights,))
    name = "clst/rml2016.10a-3pct"

    def run(seeds, work, missing):
        chosen = recipe.load(recipe.find(name), "smoke", [f"seeds={seeds}", "data.snr=[0, 0]"])
        only = ["cnn_distilled"]
        records = pipeline.run(chosen, "a test", work=work, only=only, missing=missing)
        return [(record["member"], record["seed"]) for record in records], records[-1]

    trained, record = run([0], tmp_path / "first", False)
    assert trained == [("teacher", 0), ("cnn_distilled", 0)]
    for member, _ in trained:
        folder = tmp_path / "first" / f"{name}-smoke" / f"{member}-s0"
        checkpoints.publish(folder, results, weights)

    trained, student = run([0, 1], tmp_path / "second", True)
    assert trained == [("cnn_distilled", 1)]
    assert student["teacher"] == record["teacher"]
    taken = tmp_path / "second" / f"{name}-smoke" / "teacher-s0"
    assert not list(taken.glob("*.ckpt"))
    taught, first = (
        checkpoints.open_run(at, results)[0] for at in (taken, folder.parent / "teacher-s0")
    )
    for key, value in first.network.state_dict().items():
        torch.testing.assert_close(taught.network.state_dict()[key], value, rtol=0, atol=0)

    # A record alone does not teach.
    (taken / "weights.safetensors").unlink()
    assert run([0, 1], tmp_path / "second", True)[0] == [("cnn_distilled", 1)]
    assert (taken / "weights.safetensors").is_file()

    # Without the weights the teacher is trained again; nothing is left to do for what is known.
    for file in weights.rglob("*.safetensors"):
        file.unlink()
    assert run([0, 1], tmp_path / "third", True)[0] == [("teacher", 0), ("cnn_distilled", 1)]
    with pytest.raises(IndexError):
        run([0], tmp_path / "fourth", True)
