# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modulators of the live set, built from GNU Radio blocks (imported when first used).

Each class has a function that draws its parameters and gives a ``Waveform``: the chain of blocks
with its source material, at a *native* sample rate of about four times the occupied bandwidth; the
channel resamples that to the rate drawn. Parameter ranges of two classes never meet: GFSK keeps
away from the index 0.5 of GMSK, 2FSK has square pulses and an index of 0.8 or more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from . import constellations, live_audio

PULSE_SHAPES = ("none", "rrc", "rc", "square", "gaussian", "manchester")
"""Names of the codes of the draw ``pulse_shape``."""

_SPAN = 16
"""Length of a root-raised-cosine filter in symbols."""


@dataclass
class Waveform:
    """A chain of GNU Radio blocks, source first, and what its output is.

    ``bandwidth``: occupied bandwidth as a share of the native sample rate, by theory (99 % of the
    power for linear modulations, Carson's rule for frequency modulation, null to null for square
    on-off keying, the audio's own for AM and SSB). ``symbol``: native samples a symbol (NaN: none).
    ``delay``: native samples from the chain's start to the middle of its first symbol. ``shift``:
    by how much, in cycles a native sample, the middle of the band lies off the carrier.
    """

    chain: list
    bandwidth: float
    symbol: float = np.nan
    delay: float = 0.0
    shift: float = 0.0
    roll_off: float = np.nan
    modulation_index: float = np.nan
    pulse_shape: str = "none"
    audio: int = 0


@dataclass
class Order:
    """What a modulator is asked for.

    ``extent``: length wanted, as time times occupied bandwidth; ``split``: the stock of speech;
    ``silent``: without audio.
    """

    rng: np.random.Generator
    extent: float
    split: str
    silent: bool = False

    def symbols(self, bandwidth: float, order: int, lead: int = _SPAN) -> np.ndarray:
        """Random symbols 0..order-1 enough for a bandwidth of ``bandwidth`` times symbol rate."""
        return self.rng.integers(0, order, int(np.ceil(self.extent / bandwidth)) + 2 * lead)

    def samples(self) -> int:
        """Native samples of a waveform at four times its bandwidth."""
        return int(np.ceil(4 * self.extent)) + 256


def run(waveforms: list[Waveform]) -> list[np.ndarray]:
    """Run all chains side by side in one flowgraph, to their ends; complex64 arrays."""
    from gnuradio import blocks, gr

    graph = gr.top_block()
    sinks = []
    for waveform in waveforms:
        sinks.append(blocks.vector_sink_c())
        graph.connect(*waveform.chain, sinks[-1])
    graph.run()
    return [np.array(sink.data(), np.complex64) for sink in sinks]


@lru_cache(maxsize=256)
def occupied(roll_off: float, shape: str) -> float:
    """Band with 99 % of the power over the symbol rate, of white symbols shaped ``rrc`` or ``rc``.

    The spectrum of a root-raised cosine is the raised cosine; that of a raised cosine its square.
    """
    frequency = np.linspace(0, (1 + roll_off) / 2, 4001)
    edge = np.clip((frequency - (1 - roll_off) / 2) / roll_off, 0, 1)
    density = 0.5 * (1 + np.cos(np.pi * edge))
    if shape == "rc":
        density = density**2
    power = np.cumsum(density)
    return 2 * float(frequency[np.searchsorted(power, 0.99 * power[-1])])


def _rrc(samples: int, roll_off: float) -> np.ndarray:
    """Root-raised cosine, ``(16 * samples + 1)`` float64, of sum ``samples``."""
    from gnuradio.filter import firdes

    taps = firdes.root_raised_cosine(samples, samples, 1.0, roll_off, _SPAN * samples + 1)
    return np.array(taps)


def pulse(shape: str, samples: int, roll_off: float) -> np.ndarray:
    """Taps of a shaping filter at ``samples`` a symbol: ``rrc`` or ``rc``."""
    taps = _rrc(samples, roll_off)
    return taps if shape == "rrc" else np.convolve(taps, taps) / samples


def shaped(points: np.ndarray, taps: np.ndarray, samples: int) -> list:
    """The chain of a linear modulation: ``points`` complex, ``samples`` a symbol."""
    from gnuradio import blocks, filter

    return [
        blocks.vector_source_c(points.astype(np.complex64)),
        filter.interp_fir_filter_ccf(samples, taps),
    ]


def _linear(order: Order, points: np.ndarray, turned: bool = False) -> Waveform:
    """Random ``points``; ``turned``: as differences of phase (pi/4-DQPSK)."""
    roll_off = float(order.rng.uniform(0.15, 0.5))
    shape = "rrc" if order.rng.random() < 0.7 else "rc"
    band = occupied(round(roll_off, 3), shape)
    chosen = points[order.symbols(band, len(points), 2 * _SPAN)]
    if turned:
        chosen = np.exp(1j * np.cumsum(np.angle(chosen)))
    taps = pulse(shape, 4, roll_off)
    return Waveform(
        shaped(chosen, taps, 4), band / 4, 4.0, (len(taps) - 1) / 2, 0.0, roll_off, np.nan, shape
    )


def _oqpsk(order: Order) -> Waveform:
    """QPSK with Q half a symbol late: I and jQ take turns at twice the symbol rate."""
    roll_off = float(order.rng.uniform(0.15, 0.5))
    shape = "rrc" if order.rng.random() < 0.7 else "rc"
    band = occupied(round(roll_off, 3), shape)
    bits = order.symbols(band / 2, 2, 4 * _SPAN)
    levels = (2.0 * bits - 1.0) * np.where(np.arange(len(bits)) % 2, 1j, 1)
    taps = pulse(shape, 4, roll_off)
    return Waveform(
        shaped(levels, taps, 2), band / 4, 4.0, (len(taps) - 1) / 2, 0.0, roll_off, np.nan, shape
    )


def _ook(order: Order) -> Waveform:
    """On-off keying with square pulses, as they are or Manchester-coded."""
    bits = order.symbols(2.0, 2)
    if order.rng.random() < 0.5:
        return Waveform(shaped(bits, np.ones(8), 8), 2 / 8, 8.0, 3.5, pulse_shape="square")
    halves = np.stack([bits, 1 - bits], axis=1).ravel()
    return Waveform(shaped(halves, np.ones(8), 8), 4 / 16, 16.0, 7.5, pulse_shape="manchester")


def _frequency_shift(
    order: Order, levels: int, index: float, band: float, taps: Callable, shape: str
) -> Waveform:
    """``levels`` tones ``index`` symbol rates apart; ``taps(samples)`` shapes the frequency."""
    from gnuradio import analog, blocks, filter

    samples = int(max(8, np.ceil(4 * band)))
    values = 2.0 * order.symbols(band, levels) - (levels - 1)
    shaping = taps(samples)
    chain = [
        blocks.vector_source_f(values),
        filter.interp_fir_filter_fff(samples, shaping),
        analog.frequency_modulator_fc(np.pi * index / samples),
    ]
    return Waveform(
        chain,
        band / samples,
        float(samples),
        (len(shaping) - 1) / 2,
        modulation_index=index,
        pulse_shape=shape,
    )


def _square_fsk(order: Order, levels: int, low: float, high: float) -> Waveform:
    index = float(order.rng.uniform(low, high))
    band = (levels - 1) * index + 1.0
    return _frequency_shift(order, levels, index, band, np.ones, "square")


def _gaussian(bandwidth_time: float) -> Callable[[int], np.ndarray]:
    from gnuradio.filter import firdes

    def taps(samples: int) -> np.ndarray:
        bell = firdes.gaussian(1.0, samples, bandwidth_time, 4 * samples)
        return np.convolve(bell, np.ones(samples))

    return taps


def _gfsk(order: Order) -> Waveform:
    rng = order.rng
    index = float(rng.uniform(0.25, 0.4) if rng.random() < 0.4 else rng.uniform(0.65, 1.2))
    shaping = _gaussian(rng.uniform(0.3, 0.7))
    return _frequency_shift(order, 2, index, index + 0.5, shaping, "gaussian")


def _gmsk(order: Order) -> Waveform:
    shaping = _gaussian(order.rng.uniform(0.2, 0.5))
    return _frequency_shift(order, 2, 0.5, 1.0, shaping, "gaussian")


def _four_fsk(order: Order) -> Waveform:
    """Four tones with a root-raised cosine, about as in DMR (index 0.27) and P25 (0.25)."""
    index = float(order.rng.uniform(0.22, 0.36))
    roll_off = float(order.rng.uniform(0.18, 0.3))
    waveform = _frequency_shift(
        order, 4, index, 3 * index + 1.0, lambda samples: _rrc(samples, roll_off), "rrc"
    )
    waveform.roll_off = roll_off
    return waveform


def _afsk(order: Order) -> Waveform:
    """Two audio tones (as Bell 202: 1 and 1.83 times the symbol rate) on an FM carrier."""
    from gnuradio import analog, blocks

    rng = order.rng
    low = rng.uniform(0.95, 1.05)
    high = low + rng.uniform(0.75, 0.9)
    deviation = float(rng.uniform(1.5, 3.5))
    band = 2 * (deviation + high)
    samples = int(np.ceil(4 * band))
    tones = np.where(order.symbols(band, 2), high, low)
    chain = [
        blocks.vector_source_f(tones),
        blocks.repeat(4, samples),
        analog.frequency_modulator_fc(2 * np.pi / samples),
        blocks.complex_to_imag(),
        analog.frequency_modulator_fc(2 * np.pi * deviation / samples),
    ]
    return Waveform(
        chain,
        band / samples,
        float(samples),
        (samples - 1) / 2,
        modulation_index=deviation / high,
        pulse_shape="square",
    )


def _audio(order: Order, band: float, top: float, emphasis: float = 0.0) -> tuple[np.ndarray, int]:
    """Audio up to ``top`` Hz at four times ``band`` Hz, and its code."""
    kind = live_audio.SPEECH if order.rng.random() < 0.6 else live_audio.MUSIC
    if order.silent:
        kind = live_audio.SILENCE
    return live_audio.excerpt(
        kind, order.split, order.rng, order.samples(), 4 * band, top, emphasis
    )


def _am(order: Order) -> Waveform:
    from gnuradio import blocks

    top, depth = order.rng.uniform(3e3, 6e3), float(order.rng.uniform(0.3, 1.0))
    audio, kind = _audio(order, 2 * top, top)
    chain = [
        blocks.vector_source_f(depth * audio),
        blocks.add_const_ff(1.0),
        blocks.float_to_complex(),
    ]
    return Waveform(chain, 0.25, modulation_index=0.0 if order.silent else depth, audio=kind)


def _dsb_sc(order: Order) -> Waveform:
    from gnuradio import blocks

    top = order.rng.uniform(3e3, 6e3)
    audio, kind = _audio(order, 2 * top, top)
    return Waveform([blocks.vector_source_f(audio), blocks.float_to_complex()], 0.25, audio=kind)


def _ssb(order: Order, side: int) -> Waveform:
    """One sideband, 300 Hz to 2.4..3 kHz: the upper with ``side`` 1, the lower with -1."""
    from gnuradio import blocks, filter
    from gnuradio.filter import firdes

    low, top = 300.0, order.rng.uniform(2.4e3, 3e3)
    band = top - low
    audio, kind = _audio(order, band, top)
    edges = sorted((side * low, side * top))
    taps = firdes.complex_band_pass(1.0, 4 * band, *edges, 200.0)
    chain = [blocks.vector_source_f(audio), filter.fir_filter_fcc(1, taps)]
    middle = side * (top + low) / 2 / (4 * band)
    return Waveform(chain, 0.25, delay=(len(taps) - 1) / 2, shift=middle, audio=kind)


def _fm(order: Order, audio: np.ndarray, deviation: float, band: float, top: float, kind: int):
    from gnuradio import analog, blocks

    chain = [
        blocks.vector_source_f(audio),
        analog.frequency_modulator_fc(2 * np.pi * deviation / (4 * band)),
    ]
    index = 0.0 if order.silent else deviation / top
    return Waveform(chain, 0.25, modulation_index=index, audio=kind)


def _nbfm(order: Order) -> Waveform:
    """Voice FM: 1.5 to 5 kHz of peak deviation in the frame, audio to 3 kHz, pre-emphasis."""
    deviation = float(order.rng.uniform(1.5e3, 5e3))
    band = 2 * (deviation + 3e3)
    audio, kind = _audio(order, band, 3e3, 530e-6)
    return _fm(order, audio, deviation, band, 3e3, kind)


def _wbfm(order: Order) -> Waveform:
    """Broadcast FM, mono or stereo: 25 to 75 kHz of peak deviation in the frame."""
    rng = order.rng
    deviation = float(rng.uniform(25e3, 75e3))
    stereo = rng.random() < 0.5 and not order.silent
    top = 53e3 if stereo else 15e3
    band = 2 * (deviation + top)
    audio, kind = _audio(order, band, 15e3, rng.choice([50e-6, 75e-6]))
    if stereo:
        other, _ = _audio(order, band, 15e3, 50e-6)
        pilot = 2 * np.pi * 19e3 / (4 * band) * np.arange(len(audio)) + rng.uniform(0, 6)
        audio = 0.6 * audio + 0.1 * np.sin(pilot) + 0.3 * other * np.sin(2 * pilot)
    return _fm(order, audio, deviation, band, top, kind)


def _ofdm(order: Order) -> Waveform:
    """Random symbols on 60 to 85 % of 32 to 128 carriers, none in the middle, cyclic prefix.

    The inverse FFT is NumPy's: GNU Radio's block plans by measuring, and rounds as the plan has it.
    """
    from gnuradio import blocks, digital

    rng = order.rng
    carriers = int(rng.choice([32, 64, 128]))
    prefix = carriers // int(rng.choice([4, 8, 16]))
    half = round(carriers * rng.uniform(0.6, 0.85) / 2)
    points = constellations.points(str(rng.choice(["BPSK", "QPSK", "16QAM", "64QAM"])))
    size, whole = 4 * carriers, 4 * (carriers + prefix)
    band = (2 * half + 1) / size
    count = int(np.ceil(order.extent / band / whole)) + 3
    spectrum = np.zeros((count, size), np.complex128)
    used = np.concatenate([np.arange(1, half + 1), np.arange(-half, 0)])
    spectrum[:, used] = points[rng.integers(0, len(points), (count, 2 * half))]
    symbols = np.fft.ifft(spectrum, axis=1).astype(np.complex64) * np.float32(np.sqrt(size))
    chain = [
        blocks.vector_source_c(symbols.ravel(), False, size),
        digital.ofdm_cyclic_prefixer(size, whole, 0, ""),
    ]
    return Waveform(chain, band, float(whole), whole / 2)


def _carrier(order: Order) -> Waveform:
    """A bare carrier: unmodulated, or what AM and FM send in a pause."""
    from gnuradio import analog, blocks

    order.silent = True
    kind = order.rng.integers(4)
    if kind:
        return (_am, _nbfm, _wbfm)[kind - 1](order)
    chain = [analog.sig_source_c(1.0, analog.GR_CONST_WAVE, 0, 1.0)]
    return Waveform([*chain, blocks.head(8, order.samples())], 0.25)


def _lora(order: Order) -> Waveform:
    """Chirps of spreading factor 5 to 7, as LoRa sends them."""
    from gnuradio import analog, blocks

    chips = 1 << int(order.rng.integers(5, 8))
    symbols = order.symbols(chips, chips, 2)
    time = np.arange(4 * chips) / (4 * chips)
    ramps = (symbols[:, None] / chips + time) % 1.0 - 0.5
    chain = [
        blocks.vector_source_f(ramps.ravel()),
        analog.frequency_modulator_fc(2 * np.pi / 4),
    ]
    return Waveform(chain, 0.25, 4.0 * chips, 2.0 * chips)


_PI4_STEPS = np.exp(0.25j * np.pi * np.array([1, 3, 5, 7]))

_MODULATORS: dict[str, Callable[[Order], Waveform]] = {
    "carrier": _carrier,
    "OOK": _ook,
    **{
        name: lambda order, name=name: _linear(order, constellations.points(name))
        for name in ("4ASK", "BPSK", "QPSK", "8PSK", "16QAM", "64QAM")
    },
    "pi/4-DQPSK": lambda order: _linear(order, _PI4_STEPS, turned=True),
    "OQPSK": _oqpsk,
    "16APSK": lambda order: _linear(
        order, constellations.apsk16(order.rng.choice(constellations.APSK16_RATIOS))
    ),
    "32APSK": lambda order: _linear(
        order, constellations.apsk32(tuple(order.rng.choice(constellations.APSK32_RATIOS)))
    ),
    "2FSK": lambda order: _square_fsk(order, 2, 0.8, 3.0),
    "4FSK": _four_fsk,
    "GFSK": _gfsk,
    "GMSK": _gmsk,
    "AFSK-FM": _afsk,
    "AM-DSB": _am,
    "DSB-SC": _dsb_sc,
    "USB": lambda order: _ssb(order, 1),
    "LSB": lambda order: _ssb(order, -1),
    "NBFM": _nbfm,
    "WBFM": _wbfm,
    "OFDM": _ofdm,
    "LoRa": _lora,
    "2FSK-wide": lambda order: _square_fsk(order, 2, 6.0, 12.0),
    "8FSK": lambda order: _square_fsk(order, 8, 1.0, 2.0),
}


def waveform(class_name: str, order: Order) -> Waveform:
    """A waveform of ``class_name``, its parameters drawn; raises KeyError for an unknown class."""
    return _MODULATORS[class_name](order)
