# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spectra inside a network: the transform, and the lines that powers of a signal have."""

import numpy as np
import pytest
import torch
from kdamc_training import networks as networks
from kdamc_training.errors import UserError
from kdamc_training.export import export
from kdamc_training.networks import registry
from kdamc_training.networks.spectra import CHANNELS, Spectra
from kdamc_training.onnx_models import open_model
from kdamc_training.speed import untrained


def frames_of(x):
    """Complex samples ``(n, L)`` as frames of RMS 1."""
    x = x / np.sqrt(np.mean(np.abs(x) ** 2, axis=1, keepdims=True))
    return torch.from_numpy(np.stack([x.real, x.imag], axis=1).astype(np.float32))


@pytest.mark.parametrize("length", [256, 1024])
def test_they_are_those_of_a_fourier_transform(length):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, length)) + 1j * rng.normal(size=(3, length))
    iq = frames_of(x)
    found = Spectra(length)(iq).numpy()
    x = iq[:, 0].numpy().astype(float) + 1j * iq[:, 1].numpy()
    window = np.hanning(length + 1)[:-1]
    unit = x / np.abs(x)
    power = np.abs(x) ** 2
    signals = [x, *(np.abs(x) * unit**k for k in (2, 4, 8)), power - power.mean(1, keepdims=True)]
    assert found.shape == (3, CHANNELS, length) and len(signals) == CHANNELS
    for at, signal in enumerate(signals):
        spectrum = np.abs(np.fft.fft(window * signal)) ** 2 / np.sum(window**2)
        np.testing.assert_allclose(found[:, at], np.log(spectrum + 1e-2), atol=1e-4)


@pytest.mark.parametrize(("order", "channel"), [(2, 1), (4, 2), (8, 3)])
def test_the_power_that_takes_the_symbols_away_has_a_line_at_so_many_carriers(order, channel):
    """PSK of 4 samples a symbol, 24 bins from zero."""
    rng = np.random.default_rng(order)
    length, carrier = 1024, 24
    symbols = np.exp(2j * np.pi * rng.integers(order, size=(20, length // 4)) / order)
    signal = np.repeat(symbols, 4, axis=1)
    signal *= np.exp(2j * np.pi * carrier * np.arange(length) / length)
    noise = rng.normal(size=(2, *signal.shape)) / np.sqrt(2)
    # The eighth power of noise drowns the line at 0 dB.
    quiet = 1.0 if order < 8 else 0.3
    found = Spectra(length)(frames_of(signal + quiet * (noise[0] + 1j * noise[1]))).mean(dim=0)
    line = order * carrier
    assert int(found[channel].argmax()) == line
    others = np.delete(found[channel].numpy(), range(line - 2, line + 3))
    assert found[channel, line] > others.max() + 1.0


def test_bfloat16_around_them_changes_nothing():
    iq = torch.randn(2, 2, 256, generator=torch.Generator().manual_seed(3))
    spectra = Spectra(256)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(spectra(iq), spectra(iq.float()), rtol=0, atol=0)
    torch.testing.assert_close(spectra(iq), Spectra(256)(iq))


def test_a_frame_of_another_kind_of_length_is_refused():
    with pytest.raises(UserError, match="multiple of 32"):
        registry.create("live_conv", classes=3, frame_length=1000, spectra=[4])


def test_the_network_with_them_is_the_same_as_onnx(tmp_path):
    torch.manual_seed(2)
    options = {"spectra": [4, 6], "kernels": [3], "strides": [4], "widths": [5]}
    module = untrained("live_conv", options, ["a", "b", "c"], 256)
    export(module, tmp_path / "m.onnx")
    iq = torch.randn(5, 2, 256)
    with torch.inference_mode():
        expected = module.eval()(iq).numpy()
    found = open_model(str(tmp_path / "m.onnx")).run(iq.numpy()).logits
    np.testing.assert_allclose(found, expected, atol=1e-5)
    names = set(module.network.state_dict())
    assert not any("_first" in name or "_window" in name for name in names)
