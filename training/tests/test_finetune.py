# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fine-tuning: own recordings are learnt, the rest is kept, what cannot work is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from gnuradio.kdamc import contract
from kdamc_training import cli, export, recipe, training
from kdamc_training import finetune as tuning
from kdamc_training.calibration import Calibration
from kdamc_training.checkpoints import open_trained
from kdamc_training.datasets.dataset_file import (
    SNR_UNKNOWN,
    DataSetFile,
    DataSetInfo,
    DataSetWriter,
    training_split,
)
from kdamc_training.errors import UserError
from kdamc_training.finetune import Settings, finetune, hold_out
from kdamc_training.onnx_models import open_model
from kdamc_training.records import read_record, write_record
from kdamc_training.training_data import Part
from lightning.pytorch.callbacks import Callback

LENGTH = 64
KNOWN = {"low": 0.02, "high": 0.2, "noise": None}
SHIFTED = {"low": 0.07, "high": 0.4}
FAST = Settings(epochs=6, learning_rate=5e-3)


def tones(path, frequencies, *, passes=6, seed=1, drawn=False, length=LENGTH, label=SNR_UNKNOWN):
    """Frames of tones at 10 dB or of noise, some recordings of 10 frames a class."""
    rng = np.random.default_rng(seed)
    recordings = [f"{name}{number}" for name in frequencies for number in range(passes)]
    info = DataSetInfo(
        tuple(frequencies),
        1e3,
        (2.0, 8.0),
        "SigMF recordings" if not drawn else "toy 1",
        seed if drawn else -1,
        "",
        options={} if drawn else {"recordings": recordings},
    )
    frames = 10
    types = {"snr_db": "float32"} if drawn else {}
    count = len(recordings) * frames
    with DataSetWriter(path, info, count, length, draw_types=types) as writer:
        for number in range(len(recordings)):
            which, frequency = number // passes, list(frequencies.values())[number // passes]
            noise = rng.normal(size=(frames, 2, length)) * 10**-0.5 / 2**0.5
            turns = (frequency or 0.0) * np.arange(length) + rng.random((frames, 1))
            tone = np.stack([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)], axis=1)
            x = noise + (tone if frequency is not None else 0.0)
            snr = 10.0 if frequency is not None else np.nan
            writer.append(
                x.astype(np.float32),
                np.full(frames, which),
                np.full(frames, label),
                np.full(frames, number),
                {"snr_db": np.full(frames, snr)} if drawn else None,
            )
    return path


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The folder of a run that tells two tones and noise apart, and estimates the SNR."""
    base = tmp_path_factory.mktemp("start")
    path = tones(base / "known.h5", KNOWN, passes=40, drawn=True)
    with DataSetFile(path) as data:
        kept, held = training_split(data, 0.1, 0)
    chosen = recipe.load(
        recipe.find("live/live"),
        "smoke",
        [
            "members.student.options={kernels: [5, 3], strides: [2, 2], widths: [16, 16]}",
            "augment={rotation: true}",
            "train.epochs=6",
            "train.learning_rate=0.01",
            "train.ema_decay=0.9",
        ],
    )
    folder = base / "run"
    folder.mkdir()
    training.fit(
        training.Job(chosen, "student", 0, Part(path, kept), Part(path, held), "a test"), folder
    )
    write_record(folder / "record.json", {"settings": {"train": {"keep": "last"}}})
    write_record(
        folder / "calibration.json",
        {
            "temperature": 0.9,
            "fusion_exponent": 0.7,
            "fitted_on": "a test",
            "fusion_exponent_sure": 0.3,
            "fusion_mean_share": 0.1,
        },
    )
    return folder


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    return tones(tmp_path_factory.mktemp("r") / "again.h5", KNOWN, passes=10, seed=5, drawn=True)


@pytest.fixture
def own(tmp_path):
    return tones(tmp_path / "own.h5", SHIFTED, passes=10, seed=3)


def recalls(told):
    return {name: scores["recall"] for name, scores in told["scores"].items()}


def test_shifted_signals_are_learnt_and_the_others_stay(start, rehearsal, own, tmp_path):
    record = finetune(start, [own], tmp_path / "out", "a command", FAST, rehearsal)
    of_own, of_old = (record["before_and_after"][name] for name in ("own", "rehearsed"))
    assert of_own["before"]["overall"] < 0.7
    assert of_own["after"]["overall"] > 0.9
    assert of_old["before"]["overall"] > 0.95
    assert of_old["after"]["overall"] > 0.95
    assert recalls(of_old["after"])["noise"] > 0.9
    # Two of ten recordings of each class; the rehearsed ones are dealt out likewise.
    assert record["train_frames"] == {"own": 160, "rehearsed": 240}
    assert of_own["after"]["frames"] == 40 and of_old["after"]["frames"] == 60
    assert record["calibration"]["temperature"] >= 0.9
    assert record["calibration"]["fusion_exponent"] == 0.7
    assert record == read_record(tmp_path / "out" / "record.json")


def test_the_model_says_what_it_was_made_of(start, rehearsal, own, tmp_path):
    finetune(start, [own], tmp_path / "mine", "a command", Settings(epochs=1), rehearsal)
    model = open_model(str(tmp_path / "mine" / "mine.onnx"))
    metadata = model.info.metadata
    assert model.classes == tuple(KNOWN)
    said = metadata[contract.KEY_DATASET]
    assert said.startswith("toy 1 seed 1; then SigMF recordings low0, low1")
    assert "and 12 more" in said and said.endswith("with toy 1 seed 5")
    assert metadata[contract.KEY_RECIPE] == "live/live, finetuned"
    assert metadata[contract.KEY_GENERATOR_CMD] == "a command"
    # The range of the recordings is within what the model was trained for.
    before = open_trained(start)[0].hparams.describes
    assert model.info.oversampling == tuple(before["oversampling"])
    assert json.loads(metadata[contract.KEY_SAMPLES_PER_SYMBOL]) == [2.0, 8.0]
    assert model.info.fusion == contract.Fusion(0.7, 0.3, 0.1)
    iq = np.random.default_rng(0).normal(size=(5, 2, LENGTH)).astype(np.float32)
    assert model.run(iq).snr_db.shape == (5,)
    # What was made is a run's folder: it can be trained on, and its checkpoint says the same.
    module, fitted = open_trained(tmp_path / "mine")
    assert module.hparams.describes["dataset"] == said and fitted.fusion == model.info.fusion


def test_a_new_class_is_added_and_told_apart(start, rehearsal, tmp_path):
    mine = tones(tmp_path / "mine.h5", {"mine": -0.3, "low": 0.02}, passes=8, seed=4)
    record = finetune(start, [mine], tmp_path / "out", "c", FAST, rehearsal)
    assert record["classes_added"] == ["mine"] and record["classes_dropped"] == []
    told = record["before_and_after"]["own"]
    assert recalls(told["before"])["mine"] == 0.0
    assert recalls(told["after"])["mine"] > 0.9 and recalls(told["after"])["low"] > 0.9
    assert record["before_and_after"]["rehearsed"]["after"]["overall"] > 0.9
    assert open_model(str(tmp_path / "out" / "out.onnx")).classes == (*KNOWN, "mine")


def test_own_classes_alone(start, tmp_path):
    mine = tones(tmp_path / "mine.h5", {"mine": -0.3, "low": 0.02}, passes=5, seed=4)
    chosen = Settings(epochs=6, learning_rate=5e-3, own_classes=True)
    record = finetune(start, [mine], tmp_path / "out", "c", chosen)
    assert record["classes_dropped"] == ["high", "noise"]
    assert open_model(str(tmp_path / "out" / "out.onnx")).classes == ("mine", "low")
    assert record["test"]["overall"] > 0.9


def test_logits_of_known_classes_stay_where_classes_change(start):
    module, _ = open_trained(start)
    iq = torch.randn(4, 2, LENGTH)
    expected = module(iq)
    for classes, rows in (
        (["low", "high", "noise", "mine"], [(0, 0), (1, 1), (2, 2)]),
        (["noise", "mine", "low"], [(0, 2), (2, 0)]),
        (["noise", "low", "high"], [(0, 2), (1, 0), (2, 1)]),
    ):
        weights = tuning._transferred(module, classes, 0)
        network = tuning.registry.create(
            "live_conv",
            classes=len(classes),
            frame_length=LENGTH,
            **module.hparams.network_options,
        ).eval()
        network.load_state_dict(weights)
        with torch.no_grad():
            found = network(iq)
        for new, old in rows:
            torch.testing.assert_close(found[:, new], expected[:, old])


def test_batch_norms_keep_their_statistics_and_weights_move(start, own, tmp_path):
    finetune(start, [own], tmp_path / "out", "c", Settings(epochs=1, learning_rate=1e-3))
    before, after = (
        open_trained(folder)[0].network.state_dict() for folder in (start, tmp_path / "out")
    )
    for name, value in before.items():
        # No frame tells its SNR, so that head learns nothing.
        stays = "running" in name or "tracked" in name or name.startswith("snr.")
        assert torch.equal(value, after[name]) == stays, name


class Kill(Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if trainer.current_epoch == 1 and index == 1:
            raise KeyboardInterrupt


def test_a_killed_run_goes_on_to_the_same_result(start, own, rehearsal, tmp_path, monkeypatch):
    chosen = Settings(epochs=3, learning_rate=5e-3)
    finetune(start, [own], tmp_path / "whole", "c", chosen, rehearsal)
    fit = training.fit
    monkeypatch.setattr(
        training, "fit", lambda job, folder, callbacks: fit(job, folder, [*callbacks, Kill()])
    )
    with pytest.raises(SystemExit):
        finetune(start, [own], tmp_path / "parts", "c", chosen, rehearsal)
    monkeypatch.setattr(training, "fit", fit)
    finetune(start, [own], tmp_path / "parts", "c", chosen, rehearsal)
    whole, parts = (
        open_trained(tmp_path / name)[0].network.state_dict() for name in ("whole", "parts")
    )
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def test_labels_tell_the_snr_only_if_they_are_trusted(start, tmp_path):
    path = tones(tmp_path / "own.h5", KNOWN | {"low": 0.07}, passes=4, label=10)
    record = finetune(start, [path], tmp_path / "a", "c", Settings(epochs=1))
    assert not record["snr_trained"]
    record = finetune(start, [path], tmp_path / "b", "c", Settings(epochs=1, trust_snr=True))
    assert record["snr_trained"]
    with DataSetFile(tmp_path / "b" / "frames.h5") as data:
        snr, label = data.draws["snr_db"][:], data.y[:]
    assert np.isnan(snr[label == 2]).all() and (snr[label != 2] == 10).all()


def test_recordings_are_held_out_whole_and_every_class_is_trained_on():
    # Of class 0 five recordings of 10 frames, of 1 two, one of them with class 0 in it, of 2 one.
    pass_id = np.repeat(np.arange(8), 10)
    y = np.repeat([0, 0, 0, 0, 0, 1, 1, 2], 10)
    y[65:70] = 0
    for seed in range(20):
        held = hold_out(y, pass_id, 0.2, seed)
        for number in range(8):
            assert held[pass_id == number].all() or not held[pass_id == number].any()
        assert set(y[~held]) == {0, 1, 2}
        assert set(y[held]) == {0, 1}
        assert 0.2 <= held[y == 0].mean() < 0.5
    assert not hold_out(np.repeat([0, 1], 5), np.repeat([0, 1], 5), 0.2, 0).any()


def test_what_cannot_work_is_refused(start, own, rehearsal, tmp_path):
    out = tmp_path / "out"

    def refused(says, *, model=start, data=(own,), to=out, settings=FAST, again=None):
        with pytest.raises(UserError, match=says):
            finetune(model, list(data), to, "c", settings, again)

    onnx = tmp_path / "m.onnx"
    export.export(open_trained(start)[0], onnx)
    refused("m.onnx: an ONNX file cannot be trained", model=onnx)
    refused("none.ckpt: no such file", model=tmp_path / "none.ckpt")
    refused("record.json: not a record", model=tmp_path)
    long = tones(tmp_path / "long.h5", SHIFTED, length=2 * LENGTH)
    refused("long.h5 has frames of 128 samples.*--frame-length 64", data=[long])
    refused("long.h5 has frames of 128 samples", again=long)
    refused("a data set file is named twice", data=[own, own])
    refused("again.h5: the last argument is the folder", to=rehearsal)
    refused("folder .*none does not exist", to=tmp_path / "none" / "out")
    refused("epochs is 0", settings=Settings(epochs=0))
    refused("seed is -1", settings=Settings(seed=-1))
    refused("learning rate is 0", settings=Settings(learning_rate=0.0))
    alone = tones(tmp_path / "alone.h5", {"mine": 0.3}, passes=3)
    refused("alone.h5 has only the class 'mine'", data=[alone], settings=Settings(own_classes=True))
    refused("again.h5 has the class 'noise'", settings=Settings(own_classes=True), again=rehearsal)
    assert not out.exists()
    once = tones(tmp_path / "once.h5", SHIFTED, passes=1)
    refused("at least two recordings", data=[once])


def test_a_folder_of_something_else_is_refused(start, own, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.txt").touch()
    with pytest.raises(UserError, match="a is not empty"):
        finetune(start, [own], tmp_path / "a", "c", FAST)
    finetune(start, [own], tmp_path / "b", "c", Settings(epochs=1))
    with pytest.raises(UserError, match="b holds a run with other settings"):
        finetune(start, [own], tmp_path / "b", "c", Settings(epochs=2))


def test_the_temperature_does_not_fall_below_the_one_before(start, own, tmp_path, monkeypatch):
    monkeypatch.setattr(
        tuning.checkpoints,
        "open_trained",
        lambda path: (open_trained(path)[0], Calibration(15.0, 1.0, "a test")),
    )
    record = finetune(start, [own], tmp_path / "out", "c", FAST)
    assert record["calibration"]["temperature"] == 15.0


def test_command(start, own, rehearsal, tmp_path, capsys):
    out = tmp_path / "mine"
    arguments = ["finetune", start / "last.ckpt", own, out, "--epochs", "2", "--seed", "3"]
    assert cli.main([str(word) for word in [*arguments, "--rehearse", rehearsal]]) == 0
    printed = capsys.readouterr().out
    assert "own: " in printed and "rehearsed: " in printed and "of 40 frames held out" in printed
    assert "snr_db" not in printed
    assert str(out / "mine.onnx") in printed and "without --rehearse" not in printed
    assert cli.main(["finetune", str(start), str(own), str(tmp_path / "c"), "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "without --rehearse" in printed and "snr_db was not trained" in printed
    assert cli.main(["finetune", str(start / "no.ckpt"), str(own), str(tmp_path / "b")]) == 1
    assert "no.ckpt: no such file" in capsys.readouterr().err
