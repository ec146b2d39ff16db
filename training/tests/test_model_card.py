# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model card: what a radio user reads of a record."""

from __future__ import annotations

import numpy as np
import pytest
from gnuradio.kdamc.accuracy import measure
from gnuradio.kdamc.model import Outputs
from kdamc_training import evaluate
from kdamc_training.model_card import class_means, model_card, trusted_from

NAN = float("nan")
CLASSES = ["noise", "A", "B"]
LABELS = list(range(0, 21))
FRAMES = 20


def test_a_class_is_trusted_from_where_its_smoothed_accuracy_stays_high():
    labels = list(range(-2, 8))
    rows = {
        # Means over five labels: 0.72 at 1 dB, 0.88 at 2 dB; the 0.6 at 0 dB alone would say 1 dB.
        "late": [0.0, 0.0, 0.6, 1.0, 1.0, 1.0, 0.8, 1.0, 1.0, 1.0],
        "always": [0.8] * 10,
        "never": [1.0] * 9 + [0.0],
        "lost at the top": [1.0] * 7 + [0.7, 0.7, 0.7],
    }
    assert trusted_from({"snr_labels": labels, "by_class": rows}) == {
        "late": 2,
        "always": -2,
        "never": None,
        "lost at the top": None,
    }


def record(snr_db: bool) -> dict:
    """Of a model that calls B rightly from 5 dB on and A half the time from 5 dB on, else noise."""
    label, snr = (
        grid.ravel() for grid in np.meshgrid([0, 1, 2], np.repeat(LABELS, FRAMES), indexing="ij")
    )
    called = np.where(snr < 5, 0, label)
    called[(label == 1) & (snr >= 5) & (np.arange(len(label)) % 2 == 0)] = 2
    logits = np.full((len(label), 3), -2.0, np.float32)
    logits[np.arange(len(label)), called] = 2.0
    true = np.where(label == 0, NAN, snr).astype(np.float32)
    draws = {"snr_db": true, "oversampling": np.where(label == 0, NAN, 3.0)}
    outputs = Outputs(logits, snr_db=np.nan_to_num(true) + 1.5 if snr_db else None)
    return {
        "test": {
            **measure(logits, label, snr, CLASSES, 1.0),
            "received": evaluate.received(outputs, label, CLASSES, 1.0, draws),
            "model": {
                "file": "m.onnx",
                "architecture": "net",
                "recipe": "r",
                "temperature": 1.0,
                "fusion_exponent": 1.0,
            },
            "data": {"generator": "live 1", "seed": 2, "speech": "test"},
        },
        "parameters": 10,
        "bytes": 1000,
        "frame_length": 1024,
        "samples_per_symbol": [1.0, 2.0],
        "budget": "paper",
        "command": "kdamc-train run r",
        "train_data": "live 1 seed 1",
        "train_frames": 100,
        "settings": {
            "augment": {
                "rotation": True,
                "conjugation": False,
                "carrier_offset": 0.0,
                "receiver_filter": 0.0,
                "reversal": True,
                "limiting": 0.2,
                "noise": 0.25,
            }
        },
        "calibration": {"fitted_on": "runs"},
        "decisions": {"1": {"decisions": 5, "accuracy": 0.5, "ece": 0.1}},
        "versions": {"onnxruntime": "1"},
        "hardware": "a core",
        "frames_per_second": {"64": 1000.0},
    }


def test_a_radio_user_reads_what_matters():
    card = model_card(record(snr_db=True), "About.", ("Made by software.",))
    share = (0.5 + 1.0) / 2 * 16 / 21
    assert f"{100 * share:.1f} % are called rightly, 75.0 % from 10 dB SNR on" in card
    assert "Noise alone is called noise in 100.0 % of cases." in card
    assert "| 0 to 4 | 0.0 % | 100.0 % | 1.5 dB |" in card
    assert "| 15 to 20 | 75.0 % | 0.0 % | 1.5 dB |" in card
    assert "| A | 50.0 % | never |" in card
    # Within 2 dB of 7 dB all labels are right; of 6 dB four of five, which is 80 %.
    assert "| B | 100.0 % | 6 dB |" in card
    assert "What it confuses most from 10 dB on: A called B (50.0 %)." in card
    assert (
        "turned by any angle, reversed in time every other time, limited in amplitude, as by a "
        "fast automatic gain, in 20 % of cases, given more noise in 25 %" in card
    )
    assert "nothing was received from the air, and no genuine RadioML frame" in card
    assert "| 2.5 to 4 |" in card
    assert "nan" not in card


def test_what_no_frame_was_measured_for_is_not_told():
    assert np.isnan(class_means({"snr_labels": [0], "by_class": {"A": [1.0]}}, 4)["A"])
    none = record(snr_db=True)
    none["test"]["snr_labels"] = [label - 20 for label in none["test"]["snr_labels"]]
    card = model_card(none, "About.", ())
    assert "| A | - | never |" in card
    assert "nan" not in card


def test_noise_of_any_strength_is_told():
    some = record(snr_db=True)
    some["settings"]["augment"]["noise_rise"] = 76.0
    assert "given noise of any strength within 76 dB" in model_card(some, "About.", ())


def test_without_an_estimate_of_the_snr_none_is_told():
    card = model_card(record(snr_db=False), "About.", ())
    assert "| 0 to 4 | 0.0 % | 100.0 % |\n" in card
    assert "estimate" not in card


def test_the_score_of_the_unknown_is_told():
    told = {
        "score": "energy",
        "threshold": -1.5,
        "false_rejection_on_test": 0.052,
        "from_db": 5,
        "auroc": 0.91,
        "auroc_by_class": {"chirp": 0.97},
        "data": "live-unknown",
    }
    card = model_card({**record(snr_db=True), "unknown": told}, "About.", ())
    assert "(energy) is above the threshold -1.5 in 5.2 % of the test frames" in card
    assert "with probability 0.910 (chirp 0.970)" in card
    assert "none of its classes" not in model_card(record(snr_db=True), "About.", ())


def test_calibration_error_of_few_frames_stands_beside_what_chance_makes_it():
    """Confidences that are all right by construction: the error is that of chance."""
    rng = np.random.default_rng(1)
    count = 480
    confidence = rng.uniform(0.5, 1.0, count)
    logits = np.log(np.stack([confidence, 1 - confidence], axis=1)).astype(np.float32)
    labels = (rng.random(count) > confidence).astype(int)
    draws = {"snr_db": np.full(count, 3.0), "oversampling": np.full(count, 3.0)}
    found = evaluate.received(Outputs(logits), labels, ["A", "B"], 1.0, draws)
    assert 0.02 < found["ece_by_chance_by_snr"]["3"] < 0.08
    assert found["ece_by_snr"]["3"] == pytest.approx(found["ece_by_chance_by_snr"]["3"], abs=0.03)
    # Twice as sure as it may be.
    sure = evaluate.received(Outputs(8 * logits), labels, ["A", "B"], 1.0, draws)
    assert sure["ece_by_snr"]["3"] > 3 * sure["ece_by_chance_by_snr"]["3"]
