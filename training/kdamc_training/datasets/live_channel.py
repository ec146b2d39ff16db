# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Path and receiver of the live set, in NumPy: from a waveform to what a radio would record.

Order: sample clock, gap and timing (one resampling); phase noise, carrier offset and drift;
multipath; burst; neighbours and noise; receiver filter; impulses; IQ imbalance; AGC step; DC
offset; quantisation. The SNR is the power of the signal over that of the noise after the receiver
filter, both measured on the samples of the frame, the signal's where the burst is on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .resampling import margin, resample

_SLOPE = 0.03
"""Width of the receiver filter's edge, cycles a sample."""

MARGIN = 64
"""Samples made before and after the frame, for filters to start and end in."""


@dataclass
class Channel:
    """One frame's draws; the defaults are an ideal receiver. NaN: does not apply.

    Frequencies are in cycles a sample, places in samples from the start of the frame, levels in
    decibels relative to the signal (neighbour), to the noise (impulses), to the whole (DC offset)
    or to full scale (ADC). ``adc_bits`` 0 stands for no quantisation.
    """

    snr_db: float
    oversampling: float
    carrier_offset: float = 0.0
    band_centre: float = 0.0
    carrier_drift: float = 0.0
    clock_ppm: float = 0.0
    phase_noise: float = 0.0
    fading: int = 0
    """0 none, 1 Rayleigh, 2 Rician."""
    fading_paths: int = 0
    delay_spread: float = 0.0
    doppler: float = 0.0
    rician_k_db: float = np.nan
    burst_start: float = 0.0
    burst_share: float = 1.0
    gap_at: float = np.nan
    gap_samples: int = 0
    neighbours: int = 0
    neighbour_db: float = np.nan
    filter_cutoff: float = np.nan
    ssb_audio: int = 0
    impulses: int = 0
    impulse_db: float = np.nan
    iq_gain_db: float = 0.0
    iq_phase_deg: float = 0.0
    agc_at: float = np.nan
    agc_step_db: float = 0.0
    dc_db: float = np.nan
    adc_bits: int = 0
    adc_level_dbfs: float = np.nan
    neighbour_bands: list[tuple[float, float]] = field(default_factory=list)
    """Oversampling and centre of each neighbour; not recorded."""


@dataclass
class Received:
    """``frame (length)`` complex64 as recorded, and its parts before the radio's own faults.

    ``signal`` and ``noise`` ``(length)`` complex64 are at the receiver filter's output, ``active
    (length)`` bool where the burst is on.
    """

    frame: np.ndarray
    signal: np.ndarray
    noise: np.ndarray
    active: np.ndarray


def draw(
    rng: np.random.Generator,
    snr_db: float,
    oversampling: float,
    length: int,
    side: float,
    run: bool,
) -> Channel:
    """Draw a channel for a signal whose band lies ``side`` of its width beside the carrier.

    ``run``: consecutive frames of one transmission are wanted, so it fills all of them.
    """
    c = Channel(snr_db, oversampling)
    c.carrier_offset = rng.uniform(-0.05, 0.05)
    half = 0.5 / oversampling
    tuned_to_carrier = rng.random() < 0.5 and abs(side) / oversampling + half < 0.44
    c.band_centre = c.carrier_offset + (side / oversampling if tuned_to_carrier else 0.0)
    edge = min(abs(c.band_centre) + half, 0.5)
    if rng.random() < 0.3:
        c.carrier_drift = rng.uniform(-0.002, 0.002)
    c.clock_ppm = rng.uniform(-100.0, 100.0)
    if rng.random() < 0.5:
        c.phase_noise = 10.0 ** rng.uniform(-7.0, -4.0)
    if rng.random() < 0.5:
        c.fading = int(rng.integers(1, 3))
        c.fading_paths = int(rng.integers(1, 5))
        c.delay_spread = rng.uniform(0.05, 0.6) * oversampling
        c.doppler = 10.0 ** rng.uniform(-6.0, -3.0)
        if c.fading == 2:
            c.rician_k_db = rng.uniform(0.0, 15.0)
    if rng.random() < 0.4 and not run:
        c.burst_share = rng.uniform(0.2, 1.0)
        c.burst_start = rng.uniform(0.0, 1.0 - c.burst_share) * length
    if rng.random() < 0.1:
        c.gap_at, c.gap_samples = rng.uniform(0.1, 0.9) * length, int(rng.integers(1, 200))
    if rng.random() < 0.15 and edge < 0.2:
        c.ssb_audio = 1
    elif rng.random() < 0.6:
        c.filter_cutoff = rng.uniform(min(edge + 0.02, 0.5), 0.5)
    if rng.random() < 0.3:
        _draw_neighbours(rng, c, half)
    if rng.random() < 0.15:
        c.impulses, c.impulse_db = int(rng.integers(1, 6)), rng.uniform(10.0, 30.0)
    if rng.random() < 0.2:
        c.agc_at, c.agc_step_db = rng.uniform(0.1, 0.9) * length, rng.uniform(-10.0, 10.0)
    if c.ssb_audio:
        return c
    if rng.random() < 0.5:
        c.iq_gain_db, c.iq_phase_deg = rng.uniform(-1.0, 1.0), rng.uniform(-3.0, 3.0)
    if rng.random() < 0.5:
        c.dc_db = rng.uniform(-40.0, -10.0)
    if rng.random() < 0.7:
        c.adc_bits, c.adc_level_dbfs = 8, rng.uniform(-30.0, -3.0)
    return c


def _draw_neighbours(rng: np.random.Generator, c: Channel, half: float) -> None:
    """One or two neighbours outside the signal's band, where there is room for them."""
    c.neighbour_db = rng.uniform(-20.0, 10.0)
    for _ in range(rng.integers(1, 3)):
        other = np.exp(rng.uniform(np.log(4.0), np.log(20.0)))
        nearest = half + 0.05 + 0.75 / other
        for sign in rng.permutation([-1.0, 1.0]):
            inner, outer = sign * nearest + c.band_centre, sign * (0.5 - 0.25 / other)
            if sign * inner < sign * outer:
                c.neighbour_bands.append((other, inner + (outer - inner) * rng.random()))
                break
    c.neighbours = len(c.neighbour_bands)
    if not c.neighbours:
        c.neighbour_db = np.nan


def native_positions(c: Channel, step: float, first: float, length: int) -> np.ndarray:
    """Where to read a waveform: ``(length + 2 MARGIN)`` float64, ``step`` apart from ``first``."""
    index = np.arange(length + 2 * MARGIN, dtype=np.float64)
    if c.gap_samples:
        index[index >= MARGIN + np.floor(c.gap_at)] += c.gap_samples
    return first + step * (1.0 + c.clock_ppm * 1e-6) * index


def sample(native: np.ndarray, positions: np.ndarray, step: float, shift: float) -> np.ndarray:
    """``native`` turned by ``-shift`` and read at ``positions``, RMS 1 over the frame."""
    if shift:
        native = native * np.exp(-2j * np.pi * shift * np.arange(len(native)))
    out = resample(native, positions, min(1.0, 1.0 / step))
    return out / np.sqrt(np.mean(np.abs(out[MARGIN:-MARGIN]) ** 2))


def room(step: float) -> int:
    """Native samples that ``sample`` wants on each side of its positions."""
    return margin(min(1.0, 1.0 / step)) + 1


def _turned(c: Channel, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    time = np.arange(len(signal)) - MARGIN
    frequency = c.band_centre + c.carrier_drift * time / (len(signal) - 2 * MARGIN)
    phase = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.cumsum(frequency)
    if c.phase_noise:
        phase += np.cumsum(rng.normal(0, np.sqrt(2 * np.pi * c.phase_noise), len(signal)))
    return signal * np.exp(1j * phase)


def _faded(c: Channel, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paths at random delays, each a sum of eight Doppler-shifted waves; the first may be Rician.

    The frame gets RMS 1 again: an SNR is that of the frame as it is received.
    """
    time = np.arange(len(signal))
    out = np.zeros(len(signal), np.complex128)
    for path in range(c.fading_paths):
        delay = 0.0 if path == 0 else rng.uniform(0.0, min(c.delay_spread * 2, MARGIN / 3))
        waves = 2 * np.pi * c.doppler * np.cos(rng.uniform(0, 2 * np.pi, 8))[:, None] * time
        gain = np.exp(1j * (waves + rng.uniform(0, 2 * np.pi, 8)[:, None])).sum(axis=0)
        gain *= np.exp(-delay / (2 * c.delay_spread)) / np.sqrt(8)
        if path == 0 and c.fading == 2:
            k = 10 ** (c.rician_k_db / 10)
            direct = np.exp(1j * (2 * np.pi * c.doppler * rng.uniform(-1, 1) * time))
            gain = gain / np.sqrt(k + 1) + direct * np.sqrt(k / (k + 1))
        out += gain * (resample(signal, time - delay) if delay else signal)
    return out / np.sqrt(np.mean(np.abs(out[MARGIN:-MARGIN]) ** 2))


def _burst(c: Channel, length: int) -> np.ndarray:
    """Envelope ``(length)`` float64 of the burst, with edges of 8 samples."""
    if c.burst_share >= 1.0:
        return np.ones(length)
    time = np.arange(length) - MARGIN - c.burst_start
    inside = np.minimum(time, c.burst_share * (length - 2 * MARGIN) - time)
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(inside / 8.0, 0.0, 1.0))


def _filter(c: Channel, length: int) -> np.ndarray | None:
    """Frequency response of the receiver filter at the FFT's ``length`` bins, or None.

    A sideband receiver's audio, made analytic and turned to the middle, is noise and signal within
    a steep band of 0.44 of the rate: the real part at a quarter of the rate loses nothing of it.
    """
    cutoff, slope, floor = (0.22, 0.01, 1e-3) if c.ssb_audio else (c.filter_cutoff, _SLOPE, 3e-3)
    if np.isnan(cutoff):
        return None
    beyond = (np.abs(np.fft.fftfreq(length)) - cutoff) / slope
    return floor + (1 - floor) * (0.5 + 0.5 * np.cos(np.pi * np.clip(beyond, 0.0, 1.0)))


def noise_band(cutoff: np.ndarray) -> np.ndarray:
    """Which share of white noise's power the receiver filter lets pass, for each ``cutoff (n)``
    (cycles a sample; NaN: no filter). Not for single-sideband receivers."""
    # A raised cosine's square has three eighths of the slope's width.
    return np.where(np.isnan(cutoff), 1.0, np.minimum(2.0 * cutoff + 0.75 * _SLOPE, 1.0))


def _white(rng: np.random.Generator, length: int) -> np.ndarray:
    return rng.standard_normal((length, 2)).view(np.complex128)[:, 0] * np.sqrt(0.5)


def receive(
    c: Channel,
    signal: np.ndarray | None,
    neighbours: list[np.ndarray],
    rng: np.random.Generator,
    length: int,
) -> Received:
    """What the radio records of ``signal`` and ``neighbours``, complex of ``length + 2 MARGIN``.

    ``signal`` None stands for nothing on the air: then the noise is what it would be beside a
    signal of the channel's SNR.
    """
    whole = length + 2 * MARGIN
    response = _filter(c, whole)

    def filtered(x: np.ndarray) -> np.ndarray:
        return x if response is None else np.fft.ifft(np.fft.fft(x) * response)

    inner = slice(MARGIN, MARGIN + length)
    envelope = _burst(c, whole)
    active = envelope[inner] > 0.5
    wanted = np.zeros(whole, np.complex128)
    if signal is not None:
        signal = _turned(c, signal, rng)
        if c.fading:
            signal = _faded(c, signal, rng)
        wanted = filtered(signal * envelope)
        wanted = wanted / np.sqrt(np.mean(np.abs(wanted[inner][active]) ** 2))
    noise = filtered(_white(rng, whole))
    noise_rms = 10 ** (-c.snr_db / 20)
    noise = noise * (noise_rms / np.sqrt(np.mean(np.abs(noise[inner]) ** 2)))
    received = wanted + noise
    for (_, centre), other in zip(c.neighbour_bands, neighbours, strict=True):
        turn = np.exp(2j * np.pi * (centre * np.arange(whole) + rng.random()))
        received = received + filtered(other * turn) * 10 ** (c.neighbour_db / 20)
    for _ in range(c.impulses):
        at, width = MARGIN + int(rng.integers(length)), int(rng.integers(1, 5))
        level = noise_rms * 10 ** (c.impulse_db / 20)
        received[at : at + width] += (
            level * np.exp(1j * rng.uniform(0, 2 * np.pi, width))[: whole - at]
        )
    out = _recorded(c, received[inner], rng)
    return Received(
        out.astype(np.complex64),
        wanted[inner].astype(np.complex64),
        noise[inner].astype(np.complex64),
        active,
    )


def _recorded(c: Channel, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The radio's own faults: IQ imbalance, AGC step, DC offset, quantisation with clipping."""
    if c.iq_gain_db or c.iq_phase_deg:
        gain, phase = 10 ** (c.iq_gain_db / 20), np.deg2rad(c.iq_phase_deg)
        x = gain * x.real + 1j * (x.imag * np.cos(phase) + x.real * np.sin(phase))
    if c.agc_step_db:
        since = np.clip((np.arange(len(x)) - c.agc_at) / 16.0, 0.0, None)
        x = x * 10 ** (c.agc_step_db / 20 * (1 - np.exp(-since)))
    x = x / np.sqrt(np.mean(np.abs(x) ** 2))
    if not np.isnan(c.dc_db):
        x = x + 10 ** (c.dc_db / 20) * np.exp(2j * np.pi * rng.random())
    if c.adc_bits:
        scale = 2 ** (c.adc_bits - 1)
        # An RTL-SDR's codes 0..255 stand for -127.5..127.5, so zero lies between two of them.
        codes = np.stack([x.real, x.imag]) * (scale * 10 ** (c.adc_level_dbfs / 20))
        codes = np.clip(np.floor(codes) + 0.5, 0.5 - scale, scale - 0.5)
        x = codes[0] + 1j * codes[1]
    return x
