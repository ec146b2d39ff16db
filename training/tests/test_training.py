# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training: augmentation, resuming after a kill, and the way from checkpoint to ONNX."""

import json
import math

import numpy as np
import onnx
import pytest
import torch
from gnuradio.kdamc import contract
from kdamc_training import evaluate, export, recipe, training
from kdamc_training.calibration import Calibration
from kdamc_training.errors import UserError
from kdamc_training.lightning_module import augment
from kdamc_training.onnx_models import open_model
from lightning.pytorch.callbacks import Callback

OVERRIDES = [
    "train.epochs=3",
    "train.batch_size=64",
    "train.learning_rate=0.01",
    "train.ema_decay=0.9",
    "train.warmup_epochs=0.5",
    "network.options={kernels: [5, 3], strides: [2, 2], widths: [8, 8]}",
]
NOTHING = {"rotation": False, "conjugation": False, "carrier_offset": 0.0, "receiver_filter": 0.0}


def toy_recipe():
    return recipe.load(recipe.find("plain/rml2016.10a"), "smoke", OVERRIDES)


def noise(n=64, length=128):
    frames = torch.randn(n, 2, length, generator=torch.Generator().manual_seed(1))
    return frames / frames.square().sum(dim=1).mean(dim=1).sqrt()[:, None, None]


def augmented(frames, **changes):
    return augment(frames, torch.Generator().manual_seed(2), **{**NOTHING, **changes})


def test_no_augmentation_changes_nothing():
    torch.testing.assert_close(augmented(noise()), noise())


def test_rotation_turns_all_samples_of_a_frame_alike():
    before, after = (
        torch.complex(x[:, 0], x[:, 1]) for x in (noise(), augmented(noise(), rotation=True))
    )
    turn = after / before
    torch.testing.assert_close(turn, turn[:, :1].expand_as(turn), atol=1e-3, rtol=1e-3)
    assert turn[:, 0].angle().std() > 1.0


def test_conjugation_mirrors_half_of_the_frames():
    after = augmented(noise(2000, 4), conjugation=True)
    kept = (after[:, 1] == noise(2000, 4)[:, 1]).all(dim=1)
    torch.testing.assert_close(after[~kept][:, 1], -noise(2000, 4)[~kept][:, 1])
    assert 900 < int(kept.sum()) < 1100


def test_carrier_offset_stays_within_its_range():
    steady = torch.tensor([1.0, 0.0])[None, :, None].expand(200, 2, 128)
    after = augmented(steady, carrier_offset=0.01)
    signal = torch.complex(after[:, 0], after[:, 1])
    step = (signal[:, 1:] * signal[:, :-1].conj()).angle() / (2 * math.pi)
    assert step.abs().max() <= 0.0101
    assert step.abs().max() > 0.008


def test_the_receiver_filter_takes_high_frequencies_and_keeps_rms():
    after = augmented(noise(500), receiver_filter=0.5)
    torch.testing.assert_close(
        after.square().sum(dim=1).mean(dim=1), torch.ones(500), rtol=1e-4, atol=1e-4
    )
    spectrum = torch.fft.fft(torch.complex(after[:, 0], after[:, 1])).abs().square()
    top = spectrum[:, 60:68].sum(dim=1) / spectrum.sum(dim=1)
    assert 0.35 < (top < 0.01).float().mean() < 0.6


class Kill(Callback):
    """Ends a run as a kill would: after the first steps of the second epoch."""

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if trainer.current_epoch == 1 and index == 2:
            raise KeyboardInterrupt


def test_a_killed_run_goes_on_to_the_same_result(toy_file, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    expected = torch.load(training.fit(toy_recipe(), toy_file, whole, "c"), weights_only=False)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        training.fit(toy_recipe(), toy_file, parts, "c", [Kill()])
    assert (parts / training.LAST_CHECKPOINT).is_file()
    resumed = torch.load(training.fit(toy_recipe(), toy_file, parts, "c"), weights_only=False)
    assert resumed["epoch"] == expected["epoch"] == 2
    for name, value in expected["state_dict"].items():
        torch.testing.assert_close(resumed["state_dict"][name], value, rtol=0, atol=0)


@pytest.fixture
def trained(toy_file, tmp_path):
    return export.load_checkpoint(training.fit(toy_recipe(), toy_file, tmp_path, "made by a test"))


def test_from_checkpoint_to_a_measured_model(trained, toy_file, tmp_path):
    path = tmp_path / "toy.onnx"
    calibration = Calibration(1.25, 0.5, "a test")
    export.export(trained, path, calibration, {"overall": 0.5, "by_snr": {"0": 0.5}})

    graph = onnx.load(str(path))
    assert {node.op_type for node in graph.graph.node}.isdisjoint({"BatchNormalization"})
    assert max(entry.version for entry in graph.opset_import) <= contract.MAX_OPSET
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    assert set(contract.REQUIRED_KEYS) <= set(metadata)
    assert json.loads(metadata[contract.KEY_CLASSES]) == ["low", "high", "noise"]
    assert json.loads(metadata[contract.KEY_SAMPLES_PER_SYMBOL]) == [4.0, 4.0]
    assert metadata[contract.KEY_GENERATOR_CMD] == "made by a test"

    model = open_model(str(path))
    assert model.info.temperature == 1.25 and model.info.fusion_exponent == 0.5
    for n in (1, 7):
        frames = noise(n, 32)
        with torch.no_grad():
            expected = trained(frames).numpy()
        got = model.run(frames.numpy()).logits
        assert np.max(np.abs(got - expected)) < 1e-3
        np.testing.assert_array_equal(got.argmax(axis=1), expected.argmax(axis=1))

    record = evaluate.evaluate(model, toy_file)
    assert record["frames"] == 2880 == int(np.sum(record["confusion"]))
    assert record["overall"] > 0.8
    assert set(record["by_snr"]) == {"0", "10"}
    assert int(np.sum(record["confusion_from_0_db"])) == 2880
    runs = evaluate.evaluate_runs(model, toy_file)["decisions"]
    assert runs["4"]["decisions"] == 720 and "64" not in runs
    assert runs["4"]["accuracy"] >= record["overall"]


def test_a_failed_export_leaves_nothing(trained, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        export.export(trained, tmp_path / "none" / "toy.onnx")
    assert not list(tmp_path.glob("**/*.onnx*"))


def test_what_is_no_checkpoint_is_refused(toy_file, tmp_path):
    with pytest.raises(UserError, match="not a checkpoint"):
        export.load_checkpoint(toy_file)
    with pytest.raises(UserError, match="no such file"):
        export.load_checkpoint(tmp_path / "none.ckpt")


def test_classes_of_model_and_data_must_agree(trained, tmp_path):
    from kdamc_training.datasets.dataset_file import DataSetInfo, DataSetWriter

    export.export(trained, tmp_path / "toy.onnx")
    other = DataSetInfo(("low", "noise"), 1e3, (4.0, 4.0), "toy 1", 1, "2026-01-01")
    with DataSetWriter(tmp_path / "other.h5", other, 1, 32) as writer:
        writer.append(np.ones((1, 2, 32), np.float32), np.zeros(1), np.zeros(1), np.zeros(1))
    with pytest.raises(UserError, match="low, high, noise"):
        evaluate.evaluate(open_model(str(tmp_path / "toy.onnx")), tmp_path / "other.h5")
