# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fidelity: a network trained on genuine RML2016.10A takes the regenerated set for genuine."""

import json

import pytest
from kdamc_training import datasets as datasets
from kdamc_training import pipeline
from kdamc_training.datasets.generate import generate
from kdamc_training.errors import UserError
from kdamc_training.fidelity import compare, compare_weaknesses, read_reference


def test_cgdnet_scores_as_on_genuine_data(yardsticks, tmp_path):
    generate(
        "rml2016.10a",
        tmp_path / "a.h5",
        frames_per_cell=250,
        seed=21,
        split="test",
        jobs=2,
        progress=False,
    )
    found = compare(
        tmp_path / "a.h5",
        yardsticks / "cgdnet_rml2016.10a.onnx",
        yardsticks / "mcldnn_genuine_rml2016.10a_by_class.csv",
    )
    assert found["frames"] == 55_000
    assert found["overall"] >= 0.60
    assert found["largest_difference"] <= 0.05
    # Levels that were normalised, or a fader that varies, would show here first.
    assert min(found["by_class"]["QAM64"][-8:]) > 0.75


def test_the_shipped_student_has_the_genuine_weaknesses(yardsticks):
    record = json.loads((pipeline.RESULTS / "rml2016_10a_plain.json").read_text())
    found = compare_weaknesses(
        record["test"], yardsticks / "mcldnn_genuine_rml2016.10a_by_class.csv"
    )
    assert found["faithful"], found


@pytest.mark.parametrize("text", ["", "a,b\nc,d\n", "class,0,2\nBPSK,0.5\n"])
def test_what_is_no_table_is_refused(tmp_path, text):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(UserError, match=r"r\.csv"):
        read_reference(tmp_path / "r.csv")


TABLE = "class,0,4,18\nAM-DSB,1,1,1\nBPSK,0.9,0.9,1\nWBFM,0.5,0.4,0.5\n"


@pytest.mark.parametrize(
    ("wbfm", "bpsk", "faithful"), [(0.43, 0.9, True), (0.6, 0.9, False), (0.43, 0.8, False)]
)
def test_weaknesses_must_be_the_genuine_ones(tmp_path, wbfm, bpsk, faithful):
    (tmp_path / "r.csv").write_text(TABLE)
    record = {
        "classes": ["AM-DSB", "BPSK", "WBFM"],
        "snr_labels": [0, 4, 18],
        "by_class": {"AM-DSB": [0, 1, 1], "BPSK": [0, bpsk, bpsk], "WBFM": [0, wbfm, wbfm]},
    }
    assert compare_weaknesses(record, tmp_path / "r.csv")["faithful"] is faithful
