# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""RML2016.10A with next to no noise: its share, and what noise makes of it."""

import numpy as np
import pytest
from kdamc_training import pipeline, recipe
from kdamc_training.datasets.rml2016_10a import Rml2016_10a
from kdamc_training.datasets.rml2016_10a_quiet import Rml2016_10aQuiet
from kdamc_training.errors import UserError
from kdamc_training.training_data import Part, noise_power

FRAMES = 400
QUIET = "{generator: rml2016.10a-quiet, frames_per_cell: 6, seed: 3, speech: train}"


def cell(generator, name, label):
    return generator.cell(generator.classes.index(name), label, FRAMES, 1, "train", 0)


def signals(frames):
    """Complex, of RMS 1."""
    signal = frames[:, 0] + 1j * frames[:, 1]
    return signal / np.sqrt(np.mean(np.abs(signal) ** 2, axis=1, keepdims=True))


def correlation(signal):
    """Of neighbouring samples: noise has none."""
    return np.abs(np.mean(signal[:, 1:] * signal[:, :-1].conj(), axis=1)).mean()


@pytest.mark.parametrize("name", ["BPSK", "QAM64", "AM-DSB"])
@pytest.mark.parametrize("label", [-6, 0, 6])
def test_noise_makes_of_it_what_the_set_has_at_a_label(name, label):
    quiet = cell(Rml2016_10aQuiet(), name, 18)
    share = quiet.draws["noise_power"]
    more = share * (10 ** ((18 - label) / 5) - 1)
    pairs = np.random.default_rng(4).standard_normal((2, FRAMES, 128))
    made = signals(quiet.frames) + np.sqrt(more / 2)[:, None] * (pairs[0] + 1j * pairs[1])
    made /= np.sqrt(np.mean(np.abs(made) ** 2, axis=1, keepdims=True))
    genuine = signals(cell(Rml2016_10a(), name, label).frames)
    assert correlation(made) == pytest.approx(correlation(genuine), abs=0.03)
    kurtosis = [np.mean(np.abs(x) ** 4) for x in (made, genuine)]
    assert kurtosis[0] == pytest.approx(kurtosis[1], abs=0.06)


def test_silence_is_noise_alone():
    assert (cell(Rml2016_10aQuiet(), "AM-SSB", 18).draws["noise_power"] == 1.0).all()


def loaded(*overrides):
    quiet = ["augment.noise_rise=76", f"data.train={QUIET}"]
    return recipe.load(recipe.find("plain/rml2016.10a"), "smoke", [*quiet, *overrides])


def test_a_part_of_its_own_validates(tmp_path):
    own = "data.validation={frames_per_cell: 3, seed: 5, speech: train}"
    data = loaded(own).data
    parts = pipeline.prepare_data(data, tmp_path, 1)
    assert (len(parts.training), len(parts.validation)) == (11 * 6, 11 * 3 * 3)
    assert set(parts.training.labels()[1]) == {18} and set(parts.validation.labels()[1]) == {
        0,
        2,
        4,
    }
    share = noise_power(parts.training)
    assert share.shape == (66,) and (share > 0).all() and (share <= 1).all()
    some = noise_power(Part(parts.training.path, np.array([1, 5])))
    assert some.tolist() == [share[1], share[5]]


def test_parts_of_other_classes_are_refused(tmp_path):
    other = QUIET.replace("10a-quiet", "10b")
    with pytest.raises(UserError, match="are of other classes"):
        pipeline.prepare_data(loaded(f"data.train={other}").data, tmp_path, 1)
