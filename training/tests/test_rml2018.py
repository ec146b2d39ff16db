# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The set like RadioML 2018.01A: its levels, its pulse, its noise, and what a network says."""

import numpy as np
import pytest
from kdamc_training import datasets as datasets
from kdamc_training.datasets import modulators_2018 as modulators
from kdamc_training.datasets import registry
from kdamc_training.datasets.generate import generate
from kdamc_training.errors import UserError
from kdamc_training.fidelity import compare_cells, read_reference

SET = registry.create("rml2018.01a")
LINEAR = SET.classes[:17]


def frames_of(name, label, count, run_length=0, seed=3):
    return SET.cell(SET.classes.index(name), label, count, seed, "train", run_length)


def complex_of(cell):
    return cell.frames[:, 0] + 1j * cell.frames[:, 1]


@pytest.mark.parametrize("name", LINEAR)
def test_linear_classes_have_variance_one(name):
    signal = modulators.signal(name, np.random.default_rng(1), 40_000)
    assert np.var(signal) == pytest.approx(1.0, abs=0.06)
    has_carrier = name == "OOK" or "ASK" in name
    assert (abs(signal.mean()) > 0.8) == has_carrier


def test_the_pulse_is_three_root_raised_cosines():
    impulse = np.zeros(64)
    impulse[32] = 1.0
    response = np.abs(np.fft.fft(modulators.shape(impulse, 8, 0.4, 3, 0.0)))
    frequency = np.abs(np.fft.fftfreq(512)) * 8
    flat = response[0]
    np.testing.assert_allclose(response[frequency < 0.3], flat)
    assert response[np.argmin(np.abs(frequency - 0.5))] / flat == pytest.approx(0.5**1.5, rel=1e-6)
    assert response[frequency > 0.7].max() < 1e-9


def test_a_delay_shifts_the_pulse():
    impulse = np.zeros(64)
    impulse[32] = 1.0
    prompt = modulators.shape(impulse, 8, 0.4, 3, 0.0)
    late = modulators.shape(impulse, 8, 0.4, 3, 3.0)
    np.testing.assert_allclose(late, np.roll(prompt, 3), atol=1e-12)


def test_gmsk_turns_by_a_quarter_a_symbol():
    signal = modulators.gmsk(np.random.default_rng(2), 4000)
    np.testing.assert_allclose(np.abs(signal), 1.0)
    step = np.angle(signal[1:] / signal[:-1])
    assert np.max(np.abs(step)) == pytest.approx(np.pi / 16, rel=0.02)


@pytest.mark.parametrize(("label", "snr_db"), [(-4, -8), (4, 8), (10, 20)])
def test_the_snr_is_twice_the_label(label, snr_db):
    spectrum = np.abs(np.fft.fft(complex_of(frames_of("QPSK", label, 40)))) ** 2
    frequency = np.abs(np.fft.fftfreq(1024))
    noise = spectrum[:, frequency > 0.15].mean()
    power = spectrum.mean()
    assert power == pytest.approx(1024, rel=0.1)
    assert 10 * np.log10((power - noise) / noise) == pytest.approx(snr_db, abs=0.7)


def test_runs_go_on_where_the_frame_before_ended():
    cell = frames_of("FM", 30, 8, run_length=4)
    assert cell.pass_number.tolist() == [0] * 4 + [1] * 4
    signal = complex_of(cell)[:4]
    step = np.angle(signal[1:, 0] / signal[:-1, -1])
    np.testing.assert_allclose(step, 2 * np.pi * 0.0313, atol=0.06)


def test_frames_without_runs_are_passes_of_their_own():
    cell = frames_of("16QAM", 30, 5)
    assert cell.pass_number.tolist() == list(range(5))
    np.testing.assert_array_equal(cell.frames, frames_of("16QAM", 30, 5).frames)
    assert not np.array_equal(cell.frames, frames_of("16QAM", 30, 5, seed=4).frames)
    assert not np.array_equal(
        cell.frames, SET.cell(SET.classes.index("16QAM"), 30, 5, 3, "test", 0).frames
    )


def test_the_yardstick_scores_as_on_genuine_data(yardsticks, tmp_path):
    generate("rml2018.01a", tmp_path / "a.h5", frames_per_cell=6, seed=21, progress=False)
    found = compare_cells(
        tmp_path / "a.h5",
        yardsticks / "vgg_rml2018.01a.onnx",
        yardsticks / "vgg_genuine_rml2018.01a_by_class.csv",
    )
    assert found["frames"] == 24 * 26 * 6
    assert found["faithful"]
    assert found["mean_absolute_difference"] < 0.13
    # Another pulse or another scale would show here first.
    for name in ("8PSK", "16APSK", "64APSK", "16QAM", "32QAM"):
        assert np.mean(found["by_class"][name][-5:]) > 0.85, name


def test_a_genuine_frame_agrees_with_the_pulse(yardsticks):
    frame = np.load(yardsticks / "rml2018.01a_frame_16qam.npy")[0] * (2 / 128)
    window = np.hanning(1024)
    genuine = np.abs(np.fft.fft(window * (frame[0] + 1j * frame[1]))) ** 2
    ours = complex_of(frames_of("16QAM", 30, 200)) * window
    ours = np.mean(np.abs(np.fft.fft(ours)) ** 2, axis=0)
    frequency = np.abs(np.fft.fftfreq(1024))
    for low, high in ((0.0, 0.03), (0.045, 0.06)):
        band = (frequency >= low) & (frequency < high)
        share = genuine[band].sum() / genuine.sum()
        assert share == pytest.approx(ours[band].sum() / ours.sum(), rel=0.35)
    # At label 30 noise of amplitude -30 dB is drowned by the 8 bits of the genuine frame.
    assert genuine[frequency > 0.1].sum() < 1e-4 * genuine.sum()
    assert ours[frequency > 0.1].sum() < 1e-5 * ours.sum()


def test_a_table_with_an_index_is_read(tmp_path):
    (tmp_path / "r.csv").write_text("index,modulation,0,2\n0,OOK,0.5,1\n1,BPSK,0.25,1\n")
    classes, labels, table = read_reference(tmp_path / "r.csv")
    assert classes == ["OOK", "BPSK"] and labels == [0, 2]
    np.testing.assert_array_equal(table, [[0.5, 1.0], [0.25, 1.0]])


def test_a_table_of_other_classes_is_refused(tmp_path, toy_file):
    (tmp_path / "r.csv").write_text("class,0,10\nOOK,0.5,1\n")
    with pytest.raises(UserError, match="classes are not those"):
        compare_cells(toy_file, "none.onnx", tmp_path / "r.csv")
