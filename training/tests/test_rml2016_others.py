# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""RML2016.10B and 04C: what sets them apart from 10A."""

import itertools

import numpy as np
import pytest
from kdamc_training import datasets as datasets
from kdamc_training.datasets import channel_2016, registry
from kdamc_training.datasets.generate import generate
from kdamc_training.datasets.rml2016_04c import Rml2016_04c
from kdamc_training.datasets.rml2016_10a import Rml2016_10a
from kdamc_training.datasets.rml2016_10b import Rml2016_10b
from kdamc_training.fidelity import compare


def first_cell(generator, name, frames, run_length=0):
    return generator.cell(generator.classes.index(name), 18, frames, 5, "train", run_length)


@pytest.mark.parametrize(("name", "count"), [("rml2016.10b", 10), ("rml2016.04c", 11)])
def test_classes_are_in_the_order_of_the_genuine_keys(name, count):
    generator = registry.create(name)
    assert len(generator.classes) == count
    assert list(generator.classes) == sorted(generator.classes)
    assert generator.snr_labels == tuple(range(-20, 20, 2))
    assert ("AM-SSB" in generator.classes) == (count == 11)
    assert any("AM-SSB" in limit for limit in generator.limits) == (count == 11)


def test_10b_is_the_recipe_of_10a():
    cell = first_cell(Rml2016_10b(), "BPSK", 60)
    assert Rml2016_10b.channel == Rml2016_10a.channel
    np.testing.assert_allclose(np.hypot(*cell.frames.transpose(1, 0, 2)).sum(axis=1), 1, rtol=1e-5)
    assert cell.pass_number.max() == 1


def test_04c_lets_clocks_drift_further():
    channel = Rml2016_04c.channel
    assert (channel.sro_max_hz, channel.cfo_max_hz) == (100.0, 1000.0)
    assert channel == channel_2016.ChannelSettings(sro_max_hz=100.0, cfo_max_hz=1000.0)


@pytest.mark.parametrize(("length", "frames"), [(26_656, 412), (80_000, 1000)])
def test_04c_cuts_every_64_samples_between_trimmed_ends(length, frames):
    starts = Rml2016_04c().starts(length, np.random.default_rng(0))
    assert len(starts) == frames
    assert starts[0] == 100 and set(np.diff(starts)) == {64}
    assert starts[-1] + 128 <= length - 100


def test_04c_frames_overlap_by_half():
    cell = first_cell(Rml2016_04c(), "CPFSK", 8)
    frames = cell.frames
    assert (cell.pass_number == 0).all()
    for one, next_one in itertools.pairwise(frames):
        # Each frame has a scale of its own.
        ratio = next_one[:, :64] / one[:, 64:]
        np.testing.assert_allclose(ratio, np.median(ratio), rtol=1e-3)


def test_04c_takes_another_pass_when_one_is_used_up():
    cell = first_cell(Rml2016_04c(), "8PSK", 430)
    assert cell.pass_number.tolist().count(1) > 0
    assert cell.pass_number.tolist().count(0) in (411, 412, 413)


def test_runs_do_not_overlap():
    cell = first_cell(Rml2016_04c(), "CPFSK", 4, run_length=4)
    signal = cell.frames[:, 0] + 1j * cell.frames[:, 1]
    step = np.angle(signal[1:, 0] * np.conj(signal[:-1, -1]))
    assert np.max(np.abs(step)) < 0.5


def test_cgdnet_scores_on_10b_as_on_ten_classes_of_10a(yardsticks, tmp_path):
    generate("rml2016.10b", tmp_path / "b.h5", frames_per_cell=40, seed=21, progress=False)
    found = compare(
        tmp_path / "b.h5",
        yardsticks / "cgdnet_rml2016.10a.onnx",
        yardsticks / "mcldnn_genuine_rml2016.10a_by_class.csv",
    )
    assert list(found["by_class"]) == list(Rml2016_10b.classes)
    assert found["overall"] > 0.56
    assert found["largest_difference"] < 0.08
