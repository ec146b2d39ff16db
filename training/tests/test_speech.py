# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech: how much of it is silent, and that training and test share nothing."""

import numpy as np
import pytest
from kdamc_training.datasets import speech
from kdamc_training.errors import UserError


def test_the_silent_share_is_as_stated_and_the_bytes_repeat():
    track = speech.recording("test")
    assert np.mean(track == 0) == pytest.approx(speech.SILENCE_SHARE, abs=0.005)
    speech.recording.cache_clear()
    np.testing.assert_array_equal(track, speech.recording("test"))


def test_splits_share_no_voice_and_no_sentence():
    train, test = speech._VOICES["train"], speech._VOICES["test"]
    assert not {voice for voice, _ in train} & {voice for voice, _ in test}
    sentences = [
        {part.strip() for part in speech._TEXTS[split].replace("\n", " ").split(".")} - {""}
        for split in speech.SPLITS
    ]
    assert not sentences[0] & sentences[1]


def test_excerpts_are_as_long_as_asked_and_within_range():
    excerpt = speech.excerpt("test", np.random.default_rng(1), 10_000)
    assert excerpt.shape == (10_000,) and excerpt.dtype == np.float32
    assert np.max(np.abs(excerpt)) <= 0.5


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match="validation"):
        speech.recording("validation")
