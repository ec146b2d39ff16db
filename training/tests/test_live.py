# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live set against theory: SNR, bandwidth, symbol rate; and a seed fixes every byte."""

import numpy as np
import pytest
from kdamc_training.datasets import live, live_audio, live_modulators
from kdamc_training.datasets.dataset_file import DataSetFile
from kdamc_training.datasets.generate import CellRequest, cells, generate
from kdamc_training.datasets.live_channel import Channel
from kdamc_training.datasets.registry import create

LIVE, UNKNOWN = create("live"), create("live-unknown")
CLASSES = LIVE.classes + UNKNOWN.classes
LINEAR = ("4ASK", "BPSK", "QPSK", "pi/4-DQPSK", "8PSK", "16APSK", "32APSK", "16QAM", "64QAM")
SPEECHLESS = [name for name in CLASSES if name not in ("noise", "carrier")]


def ideal(name, count, samples=1024, snr_db=20.0, oversampling=8.0, seed=0):
    """Passes through an ideal receiver: the parts received and the draws of each."""
    passes = [
        live.Pass(
            name,
            np.random.default_rng([seed, number]),
            "train",
            samples,
            Channel(snr_db, oversampling),
        )
        for number in range(count)
    ]
    return live.receive_all(passes)


def spectrum(frames):
    """Mean periodogram of ``frames (n, L)``, a Hann window: frequencies and powers."""
    length = frames.shape[1]
    power = np.abs(np.fft.fft(frames * np.hanning(length), axis=1)) ** 2
    return np.fft.fftshift(np.fft.fftfreq(length)), np.fft.fftshift(power.mean(axis=0))


@pytest.mark.parametrize("snr_db", [10.0, 20.0])
@pytest.mark.parametrize("name", [name for name in CLASSES if name != "noise"])
def test_snr_is_that_of_the_spectrum(name, snr_db):
    """The noise floor is read where the signal is not; nothing the generator scaled is used."""
    received = ideal(name, 8, 2048, snr_db, oversampling=11.5)
    frames = np.stack([one.frame for one, _ in received])
    frequency, power = spectrum(frames)
    density = power[np.abs(frequency) > 0.38].mean() / np.sum(np.hanning(frames.shape[1]) ** 2)
    whole = np.mean(np.abs(frames) ** 2)
    measured = 10 * np.log10((whole - density) / density)
    assert measured == pytest.approx(snr_db, abs=0.5)


@pytest.mark.parametrize("name", SPEECHLESS)
def test_occupied_bandwidth(name):
    received = ideal(name, 12, 4096, 60.0, oversampling=5.0)
    frames = np.stack([one.signal for one, _ in received])
    if name in ("OOK", "4ASK"):
        frames = frames - frames.mean(axis=1, keepdims=True)
    frequency, power = spectrum(frames)
    share = np.cumsum(power) / power.sum()
    measured = np.interp(0.995, share, frequency) - np.interp(0.005, share, frequency)
    if name == "OOK":
        # Null to null: the main lobe of square pulses holds 90 % of the power of what is keyed.
        assert 0.84 < power[np.abs(frequency) < 0.1].sum() / power.sum() < 0.94
    elif name in LINEAR or name in ("OQPSK", "OFDM"):
        assert measured * 5.0 == pytest.approx(1.0, abs=0.06)
    elif name == "LoRa":
        assert measured * 5.0 == pytest.approx(1.0, abs=0.2)
    elif "FSK" in name or name == "GMSK":
        assert 0.7 < measured * 5.0 < 1.3
    else:
        assert 0.05 < measured * 5.0 < 1.6


@pytest.mark.parametrize("name", ["BPSK", "QPSK", "8PSK", "16QAM", "64QAM", "32APSK", "OOK"])
def test_symbol_rate_line(name):
    """|x|^2 has a line at the symbol rate (square pulses: |x'|^2 has)."""
    for one, drawn in ideal(name, 4, 8192, 60.0, oversampling=4.3):
        x = one.signal.astype(np.complex128)
        envelope = np.abs(np.diff(x) if name == "OOK" else x) ** 2
        envelope = (envelope - envelope.mean()) * np.hanning(len(envelope))
        line = np.abs(np.fft.rfft(envelope, 1 << 17))
        rate = 1 / drawn["samples_per_symbol"]
        place = np.arange(len(line)) / (1 << 17)
        near = (place > 0.7 * rate) & (place < 1.3 * rate)
        assert place[near][np.argmax(line[near])] == pytest.approx(rate, rel=2e-3)


def test_classes_keep_apart():
    def drawn(name, count=200):
        rng = np.random.default_rng(3)
        return [
            live_modulators.waveform(name, live_modulators.Order(rng, 40.0, "train"))
            for _ in range(count)
        ]

    assert {w.modulation_index for w in drawn("GMSK", 3)} == {0.5}
    assert min(abs(w.modulation_index - 0.5) for w in drawn("GFSK")) >= 0.1
    assert min(w.modulation_index for w in drawn("2FSK")) >= 0.8
    assert min(w.modulation_index for w in drawn("2FSK-wide", 20)) >= 6.0
    assert {w.pulse_shape for w in drawn("2FSK", 20)} == {"square"}
    assert {w.pulse_shape for w in drawn("OOK", 20)} == {"square", "manchester"}


@pytest.mark.parametrize("name", ["AM-DSB", "NBFM", "WBFM", "DSB-SC", "USB", "LSB"])
def test_a_silent_modulator_sends_a_carrier_or_nothing(name):
    rng = np.random.default_rng(2)
    order = live_modulators.Order(rng, 100.0, "train", silent=True)
    samples = live_modulators.run([live_modulators.waveform(name, order)])[0]
    expected = 0.0 if name in ("DSB-SC", "USB", "LSB") else 1.0
    np.testing.assert_allclose(np.abs(samples[300:]), expected, atol=1e-3)
    if expected:
        np.testing.assert_allclose(samples[300:], samples[300], atol=1e-3)


@pytest.mark.parametrize("kind", [live_audio.SPEECH, live_audio.MUSIC])
def test_audio_has_no_pause(kind):
    for number in range(20):
        rng = np.random.default_rng(number)
        audio, _ = live_audio.excerpt(kind, "test", rng, 600, 9e3, 3e3)
        assert np.max(np.abs(audio)) == pytest.approx(1.0)
        assert min(np.max(np.abs(part)) for part in np.array_split(audio, 16)) > 0.04


def test_sidebands_are_on_their_sides():
    for name, sign in (("USB", 1), ("LSB", -1)):
        order = live_modulators.Order(np.random.default_rng(2), 300.0, "train")
        waveform = live_modulators.waveform(name, order)
        samples = live_modulators.run([waveform])[0][600:]
        power = np.abs(np.fft.fft(samples * np.hanning(len(samples)))) ** 2
        frequency = np.fft.fftfreq(len(samples))
        wanted = power[sign * frequency > 0].sum()
        assert wanted > 1e3 * power[sign * frequency < -0.02].sum()


class Few(live.Live):
    """Two SNR labels, so that a file takes seconds."""

    snr_labels = (-10, 20)


def make(path, **changes):
    from kdamc_training.datasets import registry

    if "live-few" not in registry.names():
        registry.register("live-few")(Few)
    arguments = {"frames_per_cell": 3, "seed": 4, "progress": False, **changes}
    generate("live-few", path, **arguments)
    return path.read_bytes()


def test_a_seed_fixes_every_byte(tmp_path):
    first = make(tmp_path / "a.h5")
    assert make(tmp_path / "b.h5") == first
    assert make(tmp_path / "c.h5", seed=5) != first
    make(tmp_path / "d.h5", split="test")
    with DataSetFile(tmp_path / "a.h5") as a, DataSetFile(tmp_path / "d.h5") as d:
        assert not (a.x[:] == d.x[:]).all(axis=(1, 2)).any()
        rms = np.sqrt(np.mean(np.sum(a.x[:].astype(float) ** 2, axis=1), axis=1))
        np.testing.assert_allclose(rms, 1.0, atol=2e-3)
        snr = a.draws["snr_db"][:]
        on_air = a.y[:] != 0
        assert np.isnan(snr[~on_air]).all()
        np.testing.assert_array_equal(np.rint(snr[on_air]), a.z[:][on_air])
        over = a.draws["oversampling"][:][a.y[:] > 1]
        assert over.min() >= 1.5 and over.max() <= 12.0


def test_the_number_of_processes_changes_nothing():
    requests = [CellRequest("live", c, 20, 3, 5, "train", 0) for c in (0, 16, 20, 24)]
    with cells(requests, 1) as alone, cells(requests, 2) as together:
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one.frames, other.frames)
            for name, values in one.draws.items():
                np.testing.assert_array_equal(values, other.draws[name])


def test_more_frames_begin_with_the_same_ones():
    few, more = (LIVE.cell(5, 10, count, 1, "train", 0).frames for count in (3, 40))
    np.testing.assert_array_equal(few, more[:3])


def test_runs_are_consecutive_frames_of_one_pass():
    cell = LIVE.cell(1, 30, 8, 1, "train", 4)
    np.testing.assert_array_equal(cell.pass_number, [0, 0, 0, 0, 1, 1, 1, 1])
    assert cell.draws["burst_share"].min() == 1.0


def test_noise_passes_the_same_receiver():
    noise = LIVE.cell(0, 20, 64, 1, "train", 0).draws
    qpsk = LIVE.cell(5, 20, 64, 1, "train", 0).draws
    for name in ("neighbours", "adc_bits", "ssb_audio", "impulses", "gap_samples"):
        assert noise[name].any() and qpsk[name].any()
    for name in ("filter_cutoff", "dc_db", "agc_at"):
        assert np.isfinite(noise[name]).any()
