# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes from data to records: every one at the budget "smoke", killed on the way and resumed."""

import json
import multiprocessing
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from gnuradio.kdamc import contract
from gnuradio.kdamc.accuracy import measure, precision_recall_f1
from kdamc_training import pipeline, recipe
from kdamc_training.cli import main
from kdamc_training.datasets.dataset_file import DataSetFile
from kdamc_training.errors import UserError
from kdamc_training.export import load_checkpoint
from kdamc_training.files import alone_in
from kdamc_training.records import read_record, write_record

PATIENCE = 240.0


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder whose generated data all recipes share."""
    return tmp_path_factory.mktemp("work")


def smoke(name, work, *more):
    return ["run", name, "--budget", "smoke", "--work", str(work), *more]


@pytest.fixture(scope="module")
def processes():
    """Starts processes that have imported already what a run needs, which takes seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kdamc_training.pipeline", "kdamc_training.training"])
    return context


def kill_after_first_record(processes, arguments, folder):
    """Start a run as a process of its own and kill it as soon as its first record stands."""
    process = processes.Process(target=main, args=(arguments,))
    process.start()
    limit = time.monotonic() + PATIENCE
    while not list(folder.glob("*/record.json")) and process.is_alive():
        assert time.monotonic() < limit, "no record came"
        time.sleep(0.02)
    process.kill()
    process.join()
    assert list(folder.glob("*/record.json")), f"exit status {process.exitcode}"


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_runs_at_smoke_and_goes_on_after_a_kill(name, work, processes, capsys):
    loaded = recipe.load(recipe.find(name), "smoke")
    folder = work / f"{name}-smoke"
    arguments = smoke(name, work)
    kill_after_first_record(processes, arguments, folder)
    first = {path: path.stat().st_mtime_ns for path in folder.glob("*/record.json")}
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == before for path, before in first.items())
    for member, settings in loaded.members.items():
        for seed in loaded.seeds_of(member):
            record = read_record(folder / f"{member}-s{seed}" / "record.json")
            assert f"{member} seed {seed}: {100 * record['test']['overall']:.2f} %" in printed
            assert (record["recipe"], record["budget"]) == (name, "smoke")
            assert record["epochs"] == loaded.train_of(member).epochs
            assert record["test"]["frames"] == int(np.sum(record["test"]["confusion"]))
            taught_by = record["teacher"] and record["teacher"]["member"]
            assert (taught_by or "") == settings.teacher
            assert np.isfinite(record["calibration"]["temperature"])
            assert record["macs"] > 0 and record["parameters"] > 0
            terms = [term.name for term in settings.loss]
            told = record.get("loss_terms", {})
            assert list(told) == (terms if len(terms) > 1 else [])
            assert all(len(of) == 2 and np.isfinite(of).all() for of in told.values())


def test_only_some_members_and_the_teachers_that_they_need(work, capsys):
    assert main(smoke("sbcnn/rml2018.01a", work, "--only", "distilled")) == 0
    printed = capsys.readouterr().out
    assert "teacher seed 0" in printed and "distilled seed 0" in printed
    assert "scratch" not in printed
    assert main(smoke("sbcnn/rml2018.01a", work, "--only", "nobody")) == 1
    assert "no member 'nobody'" in capsys.readouterr().err
    run = work / "sbcnn" / "rml2018.01a-smoke" / "distilled-s0"
    assert main(["export", str(run), str(work / "student.onnx")]) == 0
    said = {entry.key: entry.value for entry in onnx.load(work / "student.onnx").metadata_props}
    assert said[contract.KEY_TEACHER] == "teacher"


def test_the_measured_network_is_the_one_in_the_checkpoint(work):
    """The record's accuracy again, from the checkpoint and the test file alone."""
    loaded = recipe.load(recipe.find("plain/rml2016.10a"), "smoke")
    pipeline.run(loaded, "test", work=work)
    folder = work / "plain" / "rml2016.10a-smoke" / "student-s0"
    record = read_record(folder / "record.json")
    parts = pipeline.prepare_data(loaded.data, work / "data", 1)
    logits = pipeline.torch_logits(load_checkpoint(folder / "last.ckpt"), parts.test)
    labels, _ = parts.test.labels()
    assert float((logits.argmax(axis=1) == labels).mean()) == record["test"]["overall"]
    assert not set(parts.training.chosen) & set(parts.validation.chosen)
    # 11 classes at three labels; a pass of each goes to one part.
    labels, snr = parts.validation.labels()
    held = len(set(zip(labels.tolist(), snr.tolist(), strict=True)))
    assert record["validation_cells"] == [held, 33] and 0 < held < 33
    assert parts.test.path != parts.training.path


def test_a_file_is_parted_by_a_named_split(toy_file, work, capsys, tmp_path):
    learn = [
        "publish=[]",
        "data.snr=[]",
        "augment={}",
        "train.ema_decay=0",
        "train.learning_rate=0.01",
    ]
    changes = [*(word for text in learn for word in ("--set", text)), "--data", str(toy_file)]
    assert main(smoke("plain/rml2016.10a", tmp_path, *changes, "--split", "crosstlnet")) == 0
    record = read_record(tmp_path / "plain" / "rml2016.10a-smoke" / "student-s0" / "record.json")
    with DataSetFile(toy_file) as data:
        count = len(data)
    assert record["train_frames"] == 0.6 * count
    assert record["validation_frames"] == record["test"]["frames"] == 0.2 * count
    assert record["test"]["overall"] > 0.5
    capsys.readouterr()
    assert main(smoke("plain/rml2016.10a", tmp_path / "b", *changes, "--split", "no")) == 1
    assert "'data.split' is 'no'; known: " in capsys.readouterr().err


def test_a_file_takes_the_place_of_the_data_alone(monkeypatch, toy_file):
    """SNR labels and shares of the recipe hold for a file too, and what is set wins."""
    seen = []
    monkeypatch.setattr(pipeline, "run", lambda chosen, *_, **__: seen.append(chosen.data) or [])
    data = ["--data", str(toy_file)]
    assert main(["run", "sbcnn/rml2018.01a", *data]) == 0
    assert main(["run", "clst/rml2016.10a-3pct", *data, "--set", "data.split_seed=5"]) == 0
    assert [part.file for part in seen] == [str(toy_file)] * 2
    assert seen[0].snr == [0, 16] and seen[0].split == "600-200-200"
    assert (seen[1].train_share, seen[1].split_seed) == (0.03, 5)
    assert seen[1].generator == "" and seen[1].train is None


def test_a_split_without_a_file_is_refused(capsys):
    assert main(["run", "sbcnn/rml2018.01a", "--split", "edge"]) == 1
    assert "--split goes with --data" in capsys.readouterr().err


LOSS = "members.distilled.loss"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("members.scratch.network=other", "'members.scratch': no network named 'other'"),
        ("members.scratch.options.layrs=3", "'members.scratch': network sbcnn_student: .*layrs"),
        (LOSS + "=[{name: other}]", "'members.distilled': no loss named 'other'"),
        (LOSS + "=[{name: dist, options: {iner: 1}}]", "'members.distilled': loss dist: .*iner"),
        (LOSS + "=[{name: feature}]", "'members.distilled': loss feature: the student shows no"),
        (LOSS + "=[{name: cross_entropy}]", "no term of its loss heeds its teacher 'teacher'"),
        ("members.distilled.teacher=", "'members.distilled.teacher' is None"),
        ("members.distilled.teacher=''", "'members.distilled': its loss needs a teacher"),
        ("data.generator=other", "'other'"),
        ("data.test.speech=tset", r"'data\.test\.speech' is 'tset'"),
    ],
)
def test_what_cannot_be_had_is_refused_before_data_are_made(override, says, tmp_path, capsys):
    assert main(smoke("sbcnn/rml2018.01a", tmp_path, "--set", override)) == 1
    assert re.search(says, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_other_settings_are_refused_before_data_are_made(tmp_path, monkeypatch, capsys):
    name = "sbcnn/rml2018.01a"
    own = tmp_path / f"{name}-smoke" / "distilled-s0"
    own.mkdir(parents=True)
    (own / "settings.yaml").write_text("train: {}\n")
    assert main(smoke(name, tmp_path)) == 1
    assert "other settings" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()

    results = tmp_path / "results"
    monkeypatch.setattr(pipeline, "RESULTS", results)
    write_record(results / name / "reduced" / "scratch-s1.json", {"settings": {"seed": 1}})
    reduced = ["run", name, "--budget", "reduced", "--work", str(tmp_path), "--publish"]
    assert main(reduced) == 1
    assert "scratch-s1.json is the record of a run with other settings" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_shipped_model_is_not_replaced_by_another_recipe(tmp_path, monkeypatch, capsys):
    results = tmp_path / "results"
    monkeypatch.setattr(pipeline, "RESULTS", results)
    shipped = {"recipe": "live/spectra", "budget": "paper", "settings": {}}
    write_record(results / "rml2016_10a_plain.json", shipped)
    name = "plain/rml2016.10a"
    arguments = ["run", name, "--budget", "reduced", "--work", str(tmp_path / "work"), "--publish"]
    assert main(arguments) == 1
    assert "is the record of a model of live/spectra" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
    # Nor by the same recipe at another budget or with other settings.
    loaded = recipe.load(recipe.find(name), "reduced")
    for change in ({"recipe": name}, {"recipe": name, "budget": "reduced"}):
        write_record(results / "rml2016_10a_plain.json", shipped | change)
        with pytest.raises(UserError, match="remove it first"):
            pipeline.run(loaded, "none", work=tmp_path / "work", publish=True)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("name", recipe.names())
def test_the_models_that_a_recipe_publishes_ship(name):
    for chosen in recipe.load(recipe.find(name)).publish:
        assert (pipeline.MODELS / f"{chosen.model_name}.onnx").is_file()
        shipped = read_record(pipeline.RESULTS / f"{chosen.model_name}.json")
        assert shipped["recipe"] == name


def test_what_smoke_gives_is_not_published(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "RESULTS", tmp_path / "results")
    assert main(smoke("plain/rml2016.10a", tmp_path, "--publish")) == 1
    assert "smoke mean nothing" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_refused(work, capsys):
    name = "sbcnn/rml2018.01a"
    own = work / f"{name}-smoke" / "sbcnn-s0"
    own.mkdir(parents=True, exist_ok=True)
    with alone_in(own, wait=False):
        assert main(smoke(name, work, "--only", "sbcnn")) == 1
    assert f"{own} is in use by another process" in capsys.readouterr().err
    assert main(smoke(name, work, "--only", "sbcnn")) == 0


def test_runs_that_begin_together_make_their_data_once(tmp_path, monkeypatch):
    made, data = [], recipe.load(recipe.find("plain/rml2016.10a"), "smoke").data

    def slow(name, path, **options):
        made.append(path)
        time.sleep(0.2)
        path.touch()

    monkeypatch.setattr(pipeline, "generate", slow)
    with ThreadPoolExecutor(2) as runs:
        begun = [runs.submit(pipeline.data_file, tmp_path, data, data.train, 1) for _ in range(2)]
    assert [run.result() for run in begun] == 2 * made


def test_an_empty_validation_part_is_refused(tmp_path):
    changes = ["data.validation_share=0.01", "data.train.frames_per_cell=1", "data.snr=[0, 2]"]
    data = recipe.load(recipe.find("plain/rml2016.10a"), "smoke", changes).data
    with pytest.raises(UserError, match=r"'data\.validation_share' is 0\.01"):
        pipeline.prepare_data(data, tmp_path, 1)


def test_a_network_that_gives_no_numbers_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        pipeline, "torch_logits", lambda module, part, device: np.full((len(part), 11), np.nan)
    )
    changes = ["--set", "data.snr=[0, 0]", "--set", "publish=[]"]
    assert main(smoke("plain/rml2016.10a", tmp_path, *changes)) == 1
    assert "student with seed 0 gives logits that are not finite" in capsys.readouterr().err
    assert not list(tmp_path.rglob("record.json"))


def test_snr_labels_limit_a_file(toy_file, tmp_path):
    data = recipe.load(
        recipe.find("plain/rml2016.10a"),
        "smoke",
        [f"data={{file: {toy_file}, split: crosstlnet, snr: [5, 20]}}", "publish=[]"],
    ).data
    parts = pipeline.prepare_data(data, tmp_path, 1)
    for part in (parts.training, parts.validation, parts.test):
        assert set(part.labels()[1].tolist()) == {10}
    nothing = recipe.load(
        recipe.find("plain/rml2016.10a"),
        "smoke",
        [f"data={{file: {toy_file}, split: crosstlnet, snr: [50, 60]}}", "publish=[]"],
    ).data
    with pytest.raises(UserError, match=r"'data\.snr' is \[50, 60\]"):
        pipeline.prepare_data(nothing, tmp_path, 1)


def test_scores_by_hand():
    confusion = np.array([[3, 1, 0], [1, 1, 0], [0, 0, 0]])
    precision, recall, f1 = precision_recall_f1(confusion)
    np.testing.assert_allclose(precision, [3 / 4, 1 / 2, 0])
    np.testing.assert_allclose(recall, [3 / 4, 1 / 2, 0])
    np.testing.assert_allclose(f1, [3 / 4, 1 / 2, 0])
    logits = np.array([[9.0, 0, 0], [0, 9, 0], [0, 9, 0], [0, 0, 9]])
    labels, snr = np.array([0, 0, 1, 2]), np.array([-2, 0, 0, 4])
    record = measure(logits, labels, snr, ["a", "b", "c"], 1.0, [0])
    assert record["overall"] == 0.75
    assert record["by_snr"] == {"-2": 1.0, "0": 0.5, "4": 1.0}
    assert record["confusion_at_db"] == {"0": [[0, 1, 0], [0, 1, 0], [0, 0, 0]]}
    assert record["confusion_from_0_db"] == [[0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert record["f1_by_snr"]["0"] == pytest.approx((0 + 2 / 3 + 0) / 3)
    assert record["scores"]["b"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3)}


def test_a_record_reads_back_and_keeps_lists_of_numbers_in_a_line(tmp_path):
    content = {"a": [[1, 2.5, None], [-3e-05, 4, 5]], "b": ["x", "y"], "c": {"d": []}}
    write_record(tmp_path / "new" / "r.json", content)
    text = (tmp_path / "new" / "r.json").read_text()
    assert json.loads(text) == content == read_record(tmp_path / "new" / "r.json")
    assert "[1, 2.5, null]" in text and "[-3e-05, 4, 5]" in text
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_record(tmp_path / "nan.json", {"ece": float("nan")})
    assert not (tmp_path / "nan.json").exists()
    (tmp_path / "bad.json").write_text("[]")
    for bad in (tmp_path / "bad.json", tmp_path / "none.json"):
        with pytest.raises(UserError, match="not a record"):
            read_record(bad)
