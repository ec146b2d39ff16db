# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page's section on the exact classifier: figures of its records, and who is better."""

import numpy as np
import pytest
from gnuradio.kdamc.accuracy import measure
from kdamc_training import bound, pipeline, recipe, report, run_settings
from kdamc_training.datasets.bound import CLASSES
from kdamc_training.records import read_record, write_record

NAME = "bound/awgn-64"
LABELS = (-10, 14)
HEADING = "## How close to the limit"


def add(results, member, gap, *, seed=0, error=0.01):
    """A record of a network that stays so far behind everywhere; its path."""
    chosen = recipe.load(recipe.find(NAME), "reduced")
    labels = np.tile(np.arange(len(CLASSES)), 2 * 40)
    snr = np.repeat(LABELS, len(labels) // 2)
    logits = np.random.default_rng(seed).normal(size=(len(labels), len(CLASSES)))
    at = {
        "accuracy": 0.75,
        "gap": gap,
        "gap_standard_error": error,
        "expected_gap": 0.0321,
        "divergence": 0.0456,
        "difference_in_standard_errors": -1.234,
        "ece": 0.0031,
        "ece_if_true": 0.0029,
    }
    test = measure(logits, labels, snr, CLASSES, 1.0, [10])
    record = {
        "recipe": NAME,
        "budget": "reduced",
        "member": member,
        "seed": seed,
        "settings": run_settings.settings_of(chosen, member, seed),
        "train_frames": 1000,
        "validation_frames": 100,
        "parameters": 1,
        "keras_parameters": 1,
        "macs": 1,
        "hardware": "a processor",
        "epochs": 1,
        "best_epoch": 1,
        "teacher": None,
        "calibration": {"temperature": 1.0},
        "test": {
            **test,
            "bound": {"overall": at, "by_snr": {str(label): at for label in LABELS}},
            "data": {"generator": "bound-known 1", "seed": 2, "speech": "test"},
        },
    }
    write_record(results / NAME / "reduced" / f"{member}-s{seed}.json", record)


def section(results):
    """The lines of the section, and the pictures of the page."""
    text, pictures = report.build(results)
    return text[text.index(HEADING) :].splitlines(), pictures


def cells(lines, starts):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith(f"| {starts} |")
    ]


def test_without_records_there_is_no_section(tmp_path):
    assert HEADING not in report.build(tmp_path)[0]


def test_the_classifier_is_that_of_its_record(tmp_path):
    found = bound.record("none", frames_per_cell=5, symbols=4, seed=1, es_n0_db=(0, 10))
    write_record(tmp_path / "bound" / "small.json", found)
    lines, _ = section(tmp_path)
    assert any(line.startswith("`small`: 4 symbols, BPSK, ") for line in lines)
    (row,) = cells(lines, "10")
    assert row[1] == f"{100 * found['by_snr']['10']:.2f}"
    assert row[2] == f"{100 * found['mean_maximum_posterior_by_snr']['10']:.2f}"
    assert row[3] == f"{found['difference_in_standard_errors_by_snr']['10']:+.2f}"
    (row,) = cells(lines, "all")
    assert row[1] == f"{100 * found['overall']:.2f}"
    assert row[4:] == [f"{100 * found[key]:.2f}" for key in ("ece", "ece_if_true")]


def test_gaps_are_means_over_seeds_in_points(tmp_path):
    add(tmp_path, "scratch", 0.05)
    add(tmp_path, "distilled", 0.02)
    add(tmp_path, "distilled", 0.04, seed=1, error=0.03)
    lines, pictures = section(tmp_path)
    for label in ("-10", "14", "all"):
        (row,) = cells(lines, label)
        assert row[1:4] == ["75.00", "+5.00 ± 1.00", "3.21"]
        assert row[5] == "+3.00 ± 2.00"
    assert any("No network is better" in line for line in lines)
    assert any("-1.23 standard errors; its ECE is 0.31 %, by chance 0.29 %." in x for x in lines)
    assert any("bound-awgn-64-reduced-gap.png" in line for line in lines)
    (tmp_path / "docs").mkdir()
    pictures.draw(tmp_path / "docs")
    pictures.check(tmp_path / "docs")


@pytest.mark.parametrize(("gap", "better"), [(-0.0201, True), (-0.0199, False)])
def test_who_exceeds_the_limit_is_told(tmp_path, gap, better):
    add(tmp_path, "scratch", 0.01)
    add(tmp_path, "distilled", gap)
    text = "\n".join(section(tmp_path)[0])
    named = "standard errors: `distilled` seed 0 (-10 dB), `distilled` seed 0 (14 dB), "
    assert (named + "`distilled` seed 0 (all)." in text) == better
    assert ("No network is better" in text) != better


def test_the_published_classifier_passes_its_checks():
    found = read_record(pipeline.RESULTS / "bound" / "awgn-64.json")
    assert found["frames"] >= 100_000
    assert abs(found["difference_in_standard_errors"]) < 2
    assert found["ece"] < 0.005
