# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exact classifier: its integral against others, its posteriors against what was sent."""

import json
import tracemalloc

import numpy as np
import pytest
from gnuradio.kdamc.accuracy import expected_calibration_error
from kdamc_training import bound
from kdamc_training.cli import main
from kdamc_training.datasets.bound import CLASSES, alphabet, noise_density, receive
from kdamc_training.datasets.dataset_file import DataSetFile
from kdamc_training.datasets.generate import generate
from kdamc_training.errors import UserError
from scipy.integrate import quad
from scipy.special import ive, logsumexp


def frames(es_n0_db, symbols, each, seed=0):
    """``each`` frames of every class, and their classes."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (len(CLASSES), each))
    made = [receive(n, es_n0_db, p, symbols, rng) for n, p in zip(CLASSES, phase, strict=True)]
    return np.concatenate(made), np.repeat(np.arange(len(CLASSES)), each)


def log_integrand(frame, phase, name, es_n0_db):
    """As the definition has it, over all points of the alphabet."""
    points, n0 = alphabet(name).points, noise_density(es_n0_db)
    exponents = -(np.abs(frame[:, None] - points * np.exp(1j * phase)) ** 2) / n0
    return (logsumexp(exponents, axis=1) - np.log(len(points) * np.pi * n0)).sum()


@pytest.mark.parametrize(
    ("name", "order", "symmetry", "separable"),
    [
        ("BPSK", 2, 2, True),
        ("QPSK", 4, 4, True),
        ("8PSK", 8, 8, False),
        ("PAM4", 4, 2, True),
        ("QAM16", 16, 4, True),
        ("QAM64", 64, 4, True),
    ],
)
def test_alphabets(name, order, symmetry, separable):
    found = alphabet(name)
    assert len(found.points) == order and found.symmetry == symmetry
    assert np.mean(np.abs(found.points) ** 2) == pytest.approx(1, abs=1e-12)
    assert (found.axes is not None) == separable


def test_received_symbols_have_the_energy_noise_and_phase_asked_for():
    rng = np.random.default_rng(1)
    sent = receive("PAM4", 200.0, np.full(500, 0.3), 64, rng)
    np.testing.assert_allclose(np.angle(sent * np.exp(-0.3j)) % np.pi % 3.14159, 0, atol=1e-5)
    assert np.mean(np.abs(sent) ** 2) == pytest.approx(1, abs=0.02)
    noisy = receive("QPSK", 3.0, np.zeros(500), 64, rng)
    noise = noisy - (np.sign(noisy.real) + 1j * np.sign(noisy.imag)) * np.sqrt(0.5)
    assert np.mean(np.abs(noisy) ** 2) == pytest.approx(1 + 10**-0.3, rel=0.02)
    assert np.abs(noise).std() > 0.1
    again = [receive("QPSK", 3.0, np.zeros(2), 4, np.random.default_rng(s)) for s in (5, 5, 6)]
    np.testing.assert_array_equal(again[0], again[1])
    assert (again[0] != again[2]).all()


@pytest.mark.parametrize("es_n0_db", [-5.0, 9.0])
def test_two_classes_against_numerical_integration(es_n0_db):
    received = frames(es_n0_db, 6, 2, seed=2)[0][:4]
    expected = np.empty((4, 2))
    for row, frame in enumerate(received):
        for column, name in enumerate(("BPSK", "QPSK")):
            grid = np.linspace(0, 2 * np.pi, 721)
            top = max(log_integrand(frame, phase, name, es_n0_db) for phase in grid)
            area, _ = quad(
                lambda phase, f=frame, n=name, t=top: np.exp(
                    log_integrand(f, phase, n, es_n0_db) - t
                ),
                0,
                2 * np.pi,
                limit=500,
                points=np.arange(1, 32) * np.pi / 16,
                epsabs=1e-9,
            )
            expected[row, column] = top + np.log(area / (2 * np.pi))
    found = bound.log_likelihoods(received, es_n0_db, ("BPSK", "QPSK"))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    posterior = np.exp(bound.log_posteriors(received, es_n0_db, ("BPSK", "QPSK")))
    ratio = np.exp(expected[:, 1] - expected[:, 0])
    np.testing.assert_allclose(posterior[:, 0], 1 / (1 + ratio), atol=1e-4)


@pytest.mark.parametrize(("es_n0_db", "points"), [(-10, 256), (8, 1024), (20, 4096)])
def test_the_refined_grid_is_within_the_tolerance_of_a_far_finer_one(es_n0_db, points):
    received = frames(es_n0_db, 64, 1, seed=3)[0]
    for name in CLASSES:
        found = bound.likelihood(received, es_n0_db, name)
        period = 2 * np.pi / alphabet(name).symmetry
        fine = points // alphabet(name).symmetry
        assert found.grid.max() <= fine
        for frame, value in zip(received[::2], found.log_likelihood[::2], strict=True):
            phases = period / fine * np.arange(fine)
            exact = logsumexp([log_integrand(frame, p, name, es_n0_db) for p in phases])
            assert abs(value - exact + np.log(fine)) < bound.TOLERANCE


def test_a_coarse_first_grid_is_halved_until_it_is_enough(monkeypatch):
    received = frames(20, 64, 2, seed=4)[0]
    fine = bound.log_likelihoods(received, 20)
    monkeypatch.setattr(bound, "_FIRST_STEP", 8.0)
    np.testing.assert_allclose(bound.log_likelihoods(received, 20), fine, atol=bound.TOLERANCE)
    first = bound.first_grid("QAM16", 64, 20)
    coarse = bound.likelihood(received, 20, "QAM16")
    assert coarse.grid.min() >= 8 * first
    # Most of the finer points lie where the integrand is nothing.
    assert coarse.computed.mean() < 0.7 * coarse.grid.mean()


@pytest.mark.parametrize("es_n0_db", [-10, 5, 25])
def test_one_symbol_has_a_closed_form(es_n0_db):
    """The mean over the phase of one symbol's density is a Bessel function of each point's size."""
    received = frames(es_n0_db, 1, 5, seed=5)[0]
    n0 = noise_density(es_n0_db)
    for name in CLASSES:
        size = np.abs(alphabet(name).points)
        density = np.exp(-((np.abs(received) - size) ** 2) / n0)
        density = density * ive(0, 2 * np.abs(received) * size / n0)
        expected = np.log(density.mean(axis=1) / (np.pi * n0))
        found = bound.likelihood(received, es_n0_db, name).log_likelihood
        np.testing.assert_allclose(found, expected, atol=bound.TOLERANCE)


def test_one_symbol_tells_no_psk_from_another():
    posterior = np.exp(bound.log_posteriors(frames(10, 1, 5)[0], 10, ("BPSK", "QPSK", "8PSK")))
    np.testing.assert_allclose(posterior, 1 / 3, atol=1e-3)


@pytest.mark.parametrize("es_n0_db", [-4, 18])
def test_a_rotation_of_the_received_symbols_changes_nothing(es_n0_db):
    received = frames(es_n0_db, 64, 3, seed=6)[0]
    turned = received * np.exp(1j * np.random.default_rng(0).uniform(0, 7, (len(received), 1)))
    np.testing.assert_allclose(
        bound.log_likelihoods(turned, es_n0_db),
        bound.log_likelihoods(received, es_n0_db),
        atol=2 * bound.TOLERANCE,
    )


def test_noise_alone_leaves_the_prior():
    posterior = np.exp(bound.log_posteriors(frames(-30, 64, 5)[0], -30))
    np.testing.assert_allclose(posterior, 1 / len(CLASSES), atol=0.01)


def test_loud_frames_are_called_what_they_are():
    received, labels = frames(22, 64, 20, seed=7)
    assert (bound.log_posteriors(received, 22).argmax(axis=1) == labels).all()


def test_many_symbols_do_not_underflow():
    received = frames(12, 800, 1, seed=8)[0]  # 8^800 is beyond float64
    found = bound.log_likelihoods(received, 12)
    assert np.isfinite(found).all() and (found.argmax(axis=1) == np.arange(len(CLASSES))).all()


def test_memory_does_not_grow_with_the_frames(monkeypatch):
    monkeypatch.setattr(bound, "_GRID_VALUES", 1 << 12)
    monkeypatch.setattr(bound, "_CHUNK", 1 << 12)

    def peak(each):
        received = frames(0, 8, each)[0]
        tracemalloc.start()
        bound.likelihood(received, 0, "QPSK")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found - 5 * 8 * len(received)  # results

    assert peak(1200) < 1.2 * peak(300)


@pytest.mark.parametrize(
    ("received", "tolerance", "message"),
    [
        (np.zeros(4), 1e-3, "shape"),
        (np.zeros((2, 0)), 1e-3, "shape"),
        (np.full((2, 4), np.nan), 1e-3, "finite"),
        (np.ones((2, 4)), 0.0, "tolerance"),
    ],
)
def test_what_cannot_be_measured_is_refused(received, tolerance, message):
    with pytest.raises(ValueError, match=message):
        bound.likelihood(received, 10, "BPSK", tolerance)


@pytest.fixture(scope="module")
def measured():
    return bound.record("none", frames_per_cell=2000, symbols=8, seed=1, es_n0_db=(-4, 14, 20))


def test_accuracy_is_what_the_posteriors_say(measured):
    assert measured["frames"] == 36000
    assert abs(measured["difference_in_standard_errors"]) < 2
    deviations = measured["difference_in_standard_errors_by_snr"].values()
    assert max(abs(value) for value in deviations) < 3
    assert measured["ece"] < 0.005
    # By chance alone it would be as large.
    assert 0.5 < measured["ece"] / measured["ece_if_true"] < 1.5


def test_a_wrong_noise_density_would_be_noticed():
    received, labels = frames(6, 8, 500, seed=9)
    posterior = np.exp(bound.log_posteriors(received, 8))
    confidence, right = posterior.max(axis=1), posterior.argmax(axis=1) == labels
    deviation = np.sqrt((confidence * (1 - confidence)).sum())
    assert (right - confidence).sum() / deviation < -5
    assert expected_calibration_error(confidence, right) > 0.05


def test_the_record_is_consistent(measured):
    assert list(measured["by_snr"]) == ["-4", "14", "20"]
    assert measured["by_snr"]["-4"] < measured["by_snr"]["14"] < measured["by_snr"]["20"]
    own = measured["mean_maximum_posterior_by_snr"].values()
    assert measured["mean_maximum_posterior"] == pytest.approx(np.mean(list(own)))
    means = np.mean([measured["by_class"][name] for name in CLASSES], axis=0)
    np.testing.assert_allclose(means, list(measured["by_snr"].values()))
    for name, grids in measured["grids"].items():
        assert grids["first"] == [bound.first_grid(name, 8, label) for label in (-4, 14, 20)]
        for first, largest, computed in zip(*grids.values(), strict=True):
            assert first < computed <= largest and largest >= 2 * first


def test_the_command_writes_a_record(tmp_path, capsys):
    out = tmp_path / "bound.json"
    command = ["bound", "--frames", "3", "--symbols", "4", "--seed", "2"]
    command += ["--es-n0=-2:3:2", "--json"]
    assert main([*command, str(out)]) == 0
    assert "overall" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert found["es_n0_db"] == [-2, 0, 2] and found["frames"] == 3 * 6 * 3
    assert found["symbols"] == 4 and found["seed"] == 2 and found["command"].startswith("kdamc")
    assert main([*command, str(tmp_path / "again.json")]) == 0
    again = json.loads((tmp_path / "again.json").read_text())
    assert {**again, "command": ""} == {**found, "command": ""}


@pytest.mark.parametrize("steps", ["5:1:2", "1:5:0", "5", "a:b:c"])
def test_impossible_steps_are_refused(steps, capsys):
    with pytest.raises(SystemExit):
        main(["bound", "--frames", "1", f"--es-n0={steps}"])
    assert "LOW:HIGH:STEP" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "changes",
    [{"frames_per_cell": 0}, {"symbols": 0}, {"seed": -1}, {"es_n0_db": ()}, {"es_n0_db": (50,)}],
)
def test_impossible_numbers_are_refused(changes):
    with pytest.raises(UserError):
        bound.record("none", **{"frames_per_cell": 1, **changes})


def test_the_set_holds_frames_with_their_posteriors(tmp_path):
    path = tmp_path / "bound.h5"
    generate("bound", path, frames_per_cell=4, seed=3, run_length=2, snr=(-10, -8), progress=False)
    with DataSetFile(path) as data:
        assert data.info.classes == CLASSES and data.frame_length == 64
        assert data.info.samples_per_symbol == (1.0, 1.0) and len(data) == 6 * 2 * 4
        x, z, phase = data.x[:].astype(np.float64), data.z[:], data.draws["phase"][:]
        pass_id = data.pass_id[:]
        stored = np.stack([data.draws[f"log_posterior_{name}"][:] for name in CLASSES], axis=1)
    for label in (-10, -8):
        chosen = z == label
        expected = bound.log_posteriors(x[chosen, 0] + 1j * x[chosen, 1], label)
        np.testing.assert_allclose(stored[chosen], expected, rtol=1e-5, atol=1e-5)
    # A run keeps its phase; the next has another.
    assert len(np.unique(pass_id)) == 24 == len(np.unique(phase))
    assert all(len(np.unique(phase[pass_id == number])) == 1 for number in pass_id)
