# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model for real signals beside the exact classifier: what that is given, and the record."""

import json

import numpy as np
import pytest
from kdamc_training import beside_bound, pipeline, report
from kdamc_training.beside_bound import CLASSES
from kdamc_training.cli import main
from kdamc_training.datasets import live_channel
from kdamc_training.datasets.generate import generate
from kdamc_training.errors import UserError

LIVE = str(pipeline.MODELS / "live.onnx")


def exact(snr_db, samples_per_symbol, frames=30, burst_share=1.0):
    """Accuracy and own estimate where all frames of 1,024 samples have this SNR and rate."""
    count = frames * len(CLASSES)
    labels = np.repeat(np.arange(len(CLASSES)), frames)
    draws = {
        "snr_db": np.full(count, snr_db),
        "samples_per_symbol": np.full(count, samples_per_symbol),
        "burst_share": np.full(count, burst_share),
        "filter_cutoff": np.full(count, np.nan),
    }
    right, own = beside_bound._exact(
        labels, draws, np.arange(count), 1024, np.arange(len(CLASSES)), 0, lambda line: None
    )
    return right.mean(), own.mean()


def test_es_n0_is_the_snr_times_the_samples_a_symbol():
    # 64 symbols of 16 samples at 4 dB are at 16 dB, where none is mistaken; at -12 dB they are
    # at 0 dB, where half are.
    assert exact(4.0, 16.0) == (1.0, pytest.approx(1.0, abs=1e-3))
    accuracy, own = exact(-12.04, 16.0, 50)
    assert accuracy == pytest.approx(own, abs=0.08)
    assert 0.35 < own < 0.75
    # The same SNR with fewer, longer symbols: Es/N0 rises, and what is told apart with it.
    assert exact(-12.04, 4.0, 50)[1] < own
    # Of a short burst fewer symbols are there.
    assert exact(-12.04, 16.0, 50, burst_share=0.25)[1] < own


def test_a_filters_share_of_white_noise():
    cutoff = np.array([np.nan, 0.2, 0.35, 0.495])
    channels = [live_channel.Channel(0.0, 4.0, filter_cutoff=each) for each in cutoff]
    responses = [live_channel._filter(channel, 4096) for channel in channels]
    passed = [1.0 if each is None else np.mean(each**2) for each in responses]
    np.testing.assert_allclose(live_channel.noise_band(cutoff), passed, atol=0.005)


def test_nothing_is_known_far_below_the_noise():
    accuracy, own = exact(-60.0, 8.0, 20)
    assert own == pytest.approx(1 / len(CLASSES), abs=0.01)
    assert accuracy < 0.4


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Two frames a cell of the linear classes at two SNR labels, and of one other class."""
    path = tmp_path_factory.mktemp("live") / "live.h5"
    names = (*CLASSES, "noise")
    generate("live", path, frames_per_cell=2, seed=2, split="test", snr=(18, 19), classes=names)
    return path


def test_the_record_and_its_page(file, tmp_path, capsys):
    out = tmp_path / "results" / "bound" / "live.json"
    out.parent.mkdir(parents=True)
    command = ["bound", "--beside", str(file), "--model", LIVE, "--frames", "1"]
    assert main([*command, "--json", str(out)]) == 0
    assert "all dB  exact" in capsys.readouterr().out
    record = json.loads(out.read_text())
    total = record["overall"]
    assert total["frames"] == 4 * len(CLASSES) and record["classes"] == list(CLASSES)
    assert set(record["by_snr"]) <= {"15 to 20"} and record["by_snr"]["15 to 20"] == total
    assert sum(part["frames"] for part in record["by_oversampling"].values()) <= total["frames"]
    assert total["exact"] > 0.9 and total["exact_own"] > 0.9
    assert 0 <= total["model"] <= total["model_among"] <= 1
    again = beside_bound.record("again", file, LIVE, frames=1)
    assert again["overall"] == total

    text, _ = report.build(tmp_path / "results")
    assert "`live.onnx` on 24 frames of live 1, seed 2, speech `test`" in text
    assert "of the 25 it knows" in text
    cells = f"| all | 24 | {100 * total['exact']:.2f} ± "
    assert cells in text
    assert "bound-beside-live" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--beside", "x.h5"], "go together"),
        (["--model", LIVE], "go together"),
        (["--beside", "FILE", "--model", LIVE, "--frames", "0"], "must be at least 1"),
        (["--beside", "TOY", "--model", LIVE], "no class 4ASK"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, says, file, toy_file, capsys):
    places = {"FILE": str(file), "TOY": str(toy_file)}
    assert main(["bound", *(places.get(word, word) for word in arguments)]) == 1
    assert says in capsys.readouterr().err


def test_a_file_without_these_classes_frames_is_refused(tmp_path):
    path = tmp_path / "noise.h5"
    generate("live", path, frames_per_cell=1, seed=2, split="test", snr=(0, 0), classes=("noise",))
    with pytest.raises(UserError, match="has no frame of 4ASK"):
        beside_bound.record("", path, LIVE, frames=1)
