# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modulators of RML2016.10A, built from GNU Radio blocks (imported when first used).

Each function turns bits (uint8, 0 or 1) or audio (float32, 44.1 kHz, at most ±0.5) into complex64
baseband at a nominal 200 kS/s, 8 samples a symbol, at the level of the original: nothing is
normalised, so PAM4, QAM16 and QAM64 are 7, 10 and 16 dB hotter than BPSK.
Source: gr-mapper and radioML/dataset at 4ecf612.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SAMPLES_PER_SYMBOL = 8
EXCESS_BANDWIDTH = 0.35
AUDIO_RATE = 44100

_POLYPHASE_FILTERS = 32
_GRAY_2 = (0, 1, 3, 2)
_GRAY_3 = (0, 1, 3, 2, 7, 6, 4, 5)


def _raster_qam(side: int) -> np.ndarray:
    """Square QAM points, complex64, in raster order from the top left, levels ±1, ±3, …"""
    levels = np.arange(-(side - 1), side, 2)
    return (levels[None, :] + 1j * levels[::-1, None]).ravel().astype(np.complex64)


def constellation(name: str) -> np.ndarray:
    """Points of a linear modulation, complex64, indexed by the value of its bits (MSB first).

    Raises KeyError for a name that is not BPSK, QPSK, 8PSK, PAM4, QAM16 or QAM64.
    """
    points = {
        "BPSK": lambda: np.array([1, -1], np.complex64),
        "QPSK": lambda: np.exp(1j * np.pi / 4 + 0.5j * np.pi * np.array(_GRAY_2)),
        "8PSK": lambda: np.exp(2j * np.pi / 8 * np.array(_GRAY_3)),
        "PAM4": lambda: np.array([-3, -1, 3, 1])[list(_GRAY_2)],
        "QAM16": lambda: _raster_qam(4),
        "QAM64": lambda: _raster_qam(8),
    }[name]()
    return points.astype(np.complex64)


def bits_per_symbol(name: str) -> int:
    """Bits that one symbol of a linear modulation carries."""
    return int(np.log2(len(constellation(name))))


def _run(length: int, source, *blocks) -> np.ndarray:
    """Run source -> blocks -> sink to its end and return the first ``length`` samples, complex64.

    How many of the very last samples leave a resampler depends on how the scheduler cut the
    stream, so callers ask for fewer than the nominal number.
    """
    from gnuradio import blocks as gr_blocks
    from gnuradio import gr

    graph = gr.top_block()
    sink = gr_blocks.vector_sink_c()
    graph.connect(source, *blocks, sink)
    graph.run()
    samples = np.array(sink.data(), np.complex64)
    if len(samples) < length:
        raise RuntimeError(f"a modulator gave {len(samples)} samples where {length} were due")
    return samples[:length]


@lru_cache(maxsize=1)
def _rrc_taps() -> list[float]:
    from gnuradio.filter import firdes

    return firdes.root_raised_cosine(
        _POLYPHASE_FILTERS,
        _POLYPHASE_FILTERS,
        1.0,
        EXCESS_BANDWIDTH,
        _POLYPHASE_FILTERS * 11 * SAMPLES_PER_SYMBOL,
    )


def linear(name: str, bits: np.ndarray) -> np.ndarray:
    """A linear modulation of ``bits``, root-raised-cosine shaped, 8 samples a symbol."""
    from gnuradio import blocks, filter

    width = bits_per_symbol(name)
    groups = bits[: len(bits) // width * width].reshape(-1, width)
    values = groups @ (1 << np.arange(width)[::-1])
    symbols = constellation(name)[values]
    shaper = filter.pfb_arb_resampler_ccf(SAMPLES_PER_SYMBOL, _rrc_taps(), _POLYPHASE_FILTERS)
    return _run(SAMPLES_PER_SYMBOL * (len(symbols) - 4), blocks.vector_source_c(symbols), shaper)


def gfsk(bits: np.ndarray) -> np.ndarray:
    """GFSK of ``bits``: BT 0.35, sensitivity 0.1 rad a sample."""
    from gnuradio import blocks, digital

    modulator = digital.gfsk_mod(
        samples_per_symbol=SAMPLES_PER_SYMBOL, sensitivity=0.1, bt=0.35, do_unpack=False
    )
    return _run(SAMPLES_PER_SYMBOL * (len(bits) - 4), blocks.vector_source_b(bits), modulator)


def cpfsk(bits: np.ndarray) -> np.ndarray:
    """Continuous-phase FSK of ``bits``: modulation index 0.5, rectangular pulses."""
    from gnuradio import analog, blocks

    return _run(
        SAMPLES_PER_SYMBOL * (len(bits) - 4),
        blocks.vector_source_b(bits),
        analog.cpfsk_bc(0.5, 1.0, SAMPLES_PER_SYMBOL),
    )


@lru_cache(maxsize=1)
def _audio_interpolator_taps() -> list[float]:
    from gnuradio.filter import optfir

    return optfir.low_pass(5, 5 * AUDIO_RATE, 16000, 18000, 0.1, 40)


def wbfm(audio: np.ndarray) -> np.ndarray:
    """Broadcast FM of ``audio``: 75 kHz deviation, 75 us pre-emphasis, 5 samples each.

    The parts of GNU Radio's wfm_tx, which prints to stdout and designs its filter in every pass.
    The 220.5 kS/s of the result are taken for 200 kS/s, as the original did.
    """
    from gnuradio import analog, blocks, filter

    rate = 5 * AUDIO_RATE
    return _run(
        5 * (len(audio) - 4),
        blocks.vector_source_f(audio),
        filter.interp_fir_filter_fff(5, _audio_interpolator_taps()),
        analog.fm_preemph(rate, tau=75e-6),
        analog.frequency_modulator_fc(2 * np.pi * 75e3 / rate),
    )


def am_dsb(audio: np.ndarray) -> np.ndarray:
    """AM with carrier: 1 + ``audio`` at 200 kS/s. The audio is small against the carrier."""
    from gnuradio import blocks, filter

    return _run(
        int((len(audio) - 16) * 200e3 / AUDIO_RATE),
        blocks.vector_source_f(audio),
        filter.mmse_resampler_ff(0.0, AUDIO_RATE / 200e3),
        blocks.float_to_complex(),
        blocks.add_const_cc(1.0),
    )


def am_ssb(audio: np.ndarray) -> np.ndarray:
    """Silence as long as ``audio`` at 200 kS/s: the original multiplied by a sine of 0 Hz."""
    return np.zeros(int(len(audio) * 200e3 / AUDIO_RATE), np.complex64)
