# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Robustness: each change of the signal does what it says, and none of them changes nothing."""

import dataclasses
import json

import numpy as np
import pytest
import yaml
from kdamc_training import checkpoints, pipeline, recipe, robustness
from kdamc_training.cli import main
from kdamc_training.datasets import registry as generators
from kdamc_training.datasets.dataset_file import DataSetFile, DataSetInfo, DataSetWriter
from kdamc_training.errors import UserError
from kdamc_training.robustness import (
    RATE_RATIOS,
    Frames,
    Subject,
    delayed,
    measure,
    measure_on_other,
    middle,
    resampled,
    shifted_carrier,
)
from test_training import OVERRIDES

FREQUENCY = 5 / 96  # a whole number of turns in 96 samples, so that it may go round


def tone(length=96, frequency=FREQUENCY, start=0.0, step=1.0):
    turn = np.exp(2j * np.pi * frequency * (start + step * np.arange(length)))
    return np.stack([turn.real, turn.imag])[None].astype(np.float32)


def test_a_carrier_offset_adds_to_the_frequency():
    np.testing.assert_allclose(
        shifted_carrier(tone(), 0.01), tone(frequency=FREQUENCY + 0.01), atol=1e-5
    )


@pytest.mark.parametrize("samples", [3.0, 0.37])
def test_a_delay_is_the_signal_from_earlier(samples):
    np.testing.assert_allclose(delayed(tone(), samples), tone(start=-samples), atol=1e-5)


def test_a_pulse_moves_to_where_it_is_due():
    pulse = np.zeros((1, 2, 96), np.float32)
    pulse[0, 0, 40] = 1.0
    assert delayed(pulse, 8.0)[0, 0].argmax() == 48


@pytest.mark.parametrize("ratio", RATE_RATIOS)
def test_resampling_divides_the_frequency_and_keeps_the_middle(ratio):
    start = 95 / 2 - 31 / 2 / ratio
    expected = tone(32, start=start, step=1 / ratio)
    np.testing.assert_allclose(resampled(tone(), ratio, 32), expected, atol=5e-3)


def test_what_a_lower_rate_cannot_hold_is_filtered_out():
    high = tone(384, frequency=0.4)
    assert np.abs(resampled(high, 0.5, 128)).max() < 0.02
    assert np.abs(resampled(high, 1.2, 128)).max() > 0.9


def test_nothing_changes_nothing():
    x = np.random.default_rng(1).normal(size=(4, 2, 96)).astype(np.float32)
    assert shifted_carrier(x, 0.0) is x and delayed(x, 0.0) is x
    np.testing.assert_array_equal(resampled(x, 1.0, 32), x[:, :, 32:64])
    np.testing.assert_array_equal(middle(x, 32), x[:, :, 32:64])


def by_step(classes=("low", "high", "noise"), length=32):
    """Tells the toy's classes by how far samples turn."""

    def run(frames):
        signal = frames[:, 0] + 1j * frames[:, 1]
        step = (signal[:, 1:] * signal[:, :-1].conj()).mean(axis=1)
        turn = np.angle(step) / (2 * np.pi)
        noise = 1.0 - 2 * np.abs(step)
        return np.stack([-np.abs(turn - 0.02), -np.abs(turn - 0.2), noise], axis=1)

    return Subject("by step", "none", tuple(classes), length, run)


def test_the_sweeps_start_at_the_plain_evaluation(toy_file):
    with DataSetFile(toy_file) as data:
        long = Frames(np.tile(data.x[:600], (1, 1, 3)), data.y[:600].astype(int), data.z[:600])
        labels, snr = data.y[:].astype(int), data.z[:].astype(int)
        x = data.x[:]
    found = measure(by_step(), toy_file, long_frames=long)
    assert list(found["sweeps"]) == list(robustness.SWEEPS)
    called = by_step().run(x / np.sqrt((x**2).sum(axis=1).mean(axis=1))[:, None, None])
    right = called.argmax(axis=1) == labels
    assert found["test"]["frames"] == 2880
    assert found["test"]["overall"] == pytest.approx(right.mean(), abs=1e-3)
    assert found["test"]["by_snr"]["10"] == pytest.approx(right[snr == 10].mean(), abs=1e-3)
    carrier = found["sweeps"]["carrier_offset"]
    assert carrier["at"][0] == 0.0 and carrier["overall"][0] == found["test"]["overall"]
    assert carrier["from_0_db"][0] == found["test"]["from_0_db"]
    third = by_step().run(long.x[:, :, 32:64] / np.sqrt((long.x**2).sum(1).mean(1))[:, None, None])
    plain = (third.argmax(axis=1) == long.labels).mean()
    timing, rate = (found["sweeps"][name] for name in robustness.SWEEPS[1:])
    assert timing["frames"] == 600 and timing["overall"][0] == pytest.approx(plain, abs=1e-3)
    assert timing["unit"] == "symbols of 4 samples"
    assert rate["overall"][rate["at"].index(1.0)] == timing["overall"][0]
    few = measure(by_step(), toy_file, most_frames=500)
    assert few["sweeps"]["carrier_offset"]["frames"] == 500 and few["test"] == found["test"]
    # Without longer frames there is nothing to shift or resample.
    assert list(measure(by_step(), toy_file)["sweeps"]) == ["carrier_offset"]


def test_an_offset_costs_what_it_must(toy_file):
    """A turn of 0.09 a sample brings the low tone to the edge and the high one past it."""
    frames = Frames(np.repeat(tone(32, 0.02), 10, 0), np.zeros(10, int), np.zeros(10, int))
    found = robustness.sweep(by_step(), frames, "", (0.0, 0.08, 0.1), shifted_carrier)
    assert found["overall"] == [1.0, 1.0, 0.0] == found["from_0_db"]


def test_thinned_frames_are_spread_evenly():
    whole = Frames(np.zeros((100, 2, 4)), np.arange(100), np.arange(100))
    assert whole.thinned(4).labels.tolist() == [0, 33, 66, 99]
    assert len(whole.thinned(1000).x) == 100


def test_other_sets_are_measured_on_shared_classes_by_name(toy_file, tmp_path):
    other = tmp_path / "other.h5"
    with DataSetFile(toy_file) as data:
        x, y, z = data.x[:], data.y[:].astype(int), data.z[:]
    info = DataSetInfo(("else", "high", "low"), 1e3, (4.0, 4.0), "other 1", 1, "2026-01-01")
    with DataSetWriter(other, info, len(x), 32) as writer:
        writer.append(x, np.array([2, 1, 0])[y], z, np.arange(len(x)))
    found = measure_on_other(by_step(), other)
    assert found["classes"] == ["low", "high"] and found["frames"] == 1920
    same = measure_on_other(by_step(), toy_file)
    assert same["overall"] == same["overall_all"] == measure(by_step(), toy_file)["test"]["overall"]
    # An answer outside of the shared classes counts as wrong, or is not asked for.
    assert found["overall_all"] < found["overall"]
    with pytest.raises(UserError, match="by step knows low, high, noise"):
        measure(by_step(), other)
    with pytest.raises(UserError, match="none of the classes"):
        measure_on_other(by_step(("a", "b", "c")), other)
    with pytest.raises(UserError, match="samples"):
        measure_on_other(by_step(length=64), other)


@pytest.mark.parametrize("name", ["rml2016.10a", "rml2018.01a"])
def test_long_frames_come_from_the_sets_generator(name):
    generator = generators.create(name)
    info = DataSetInfo(
        generator.classes,
        1.0,
        (8.0, 8.0),
        f"{name} {generator.version}",
        5,
        "",
        "test",
        {"classes": [generator.classes[3]]},
    )
    made = robustness.make_long_frames(info, [0, 18], 3)
    assert made.x.shape == (6, 2, 3 * generator.frame_length)
    assert made.labels.tolist() == [3] * 6 and made.snr.tolist() == [0] * 3 + [18] * 3
    two = (generator.classes[3], generator.classes[7])
    few = dataclasses.replace(info, options={})
    left = robustness.make_long_frames(few, [0, 18], 3, two)
    assert left.labels.tolist() == [0] * 6 + [1] * 6
    np.testing.assert_array_equal(left.x[:6], made.x)
    # The class attribute stays what it was.
    assert generators.create(name).frame_length == generator.frame_length
    assert (
        robustness.make_long_frames(dataclasses.replace(info, generator="imported"), [0], 1) is None
    )


SMALL = [
    *OVERRIDES,
    "train.ema_decay=0",
    "publish=[]",
    "data.snr=[0, 4]",
    "members={most: {network: plain_conv, options: {widths: [8, 8, 8, 8]}}, half: {network: "
    "plain_conv, options: {widths: [8, 8, 8, 8]}, train_share: 0.5}}",
]


def test_runs_are_measured_on_their_recipes_test_part(tmp_path, capsys):
    chosen = recipe.load(recipe.find("plain/rml2016.10a"), "smoke", SMALL[1:])
    records = pipeline.run(chosen, "made by a test", work=tmp_path)
    # A member's share thins its training frames and nothing else.
    most, half = records
    assert half["train_frames"] == pytest.approx(most["train_frames"] / 2, rel=0.05)
    assert half["validation_frames"] == most["validation_frames"]
    base = tmp_path / "plain" / "rml2016.10a-smoke"
    # Folders from before there were shares are still those of a member with all frames.
    assert (
        "train_share" not in yaml.safe_load((base / "most-s0/settings.yaml").read_text())["member"]
    )

    out = tmp_path / "robustness.json"
    capsys.readouterr()
    command = ["robustness", *(str(base / name) for name in ("most-s0", "half-s0"))]
    command += ["--work", str(tmp_path), "--frames-per-cell", "1", "--json", str(out)]
    assert main([*command, "--sets", "rml2016.10b"]) == 0
    assert "samples_per_symbol 0.5" in capsys.readouterr().out
    rows = json.loads(out.read_text())["rows"]
    for row, trained in zip(rows, records, strict=True):
        assert row["member"] == trained["member"]
        assert row["train_frames"] == trained["train_frames"]
        assert row["test"]["frames"] == trained["test"]["frames"] == 132
        assert row["test"]["overall"] == trained["test"]["overall"]
        assert row["test"]["by_snr"] == trained["test"]["by_snr"]
        assert row["sweeps"]["carrier_offset"]["overall"][0] == trained["test"]["overall"]
        assert row["sweeps"]["timing_offset"]["frames"] == 33
        assert len(row["sets"]["rml2016.10b"]["classes"]) == 10

    model = pipeline.MODELS / "rml2016_10a_plain.onnx"
    test_file = next((tmp_path / "data").glob("rml2016.10a-*-test-*.h5"))
    alone = ["robustness", str(model), "--sweeps", ""]
    assert main(alone) == 1
    assert "needs --data" in capsys.readouterr().err
    assert main([*alone, "--data", str(test_file), "--json", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert row["network"] == "plain_conv" and row["sweeps"] == {} and row["test"]["overall"] > 0.5


def test_published_weights_are_measured_as_the_run_that_they_are_of():
    name = "clst/rml2016.10a-3pct/reduced/cnn_distilled-s0"
    file = checkpoints.CHECKPOINTS / f"{name}{checkpoints.SUFFIX}"
    subject = robustness.open_subject(file)
    assert subject.name == "clst/rml2016.10a-3pct reduced cnn_distilled seed 0"
    known = json.loads((pipeline.RESULTS / f"{name}.json").read_text())
    assert subject.about["train_frames"] == known["train_frames"]
    assert list(subject.classes) == known["test"]["classes"]
    assert subject.logits([np.ones((3, 2, 128), np.float32)]).shape == (3, 11)
