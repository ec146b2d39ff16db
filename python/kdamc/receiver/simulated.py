# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated radio: GNU Radio's own modulators and channel model, on a schedule.

Signals follow each other without a gap, each for a whole number of samples, so that the true
label of every sample is known.  The same seed gives the same samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from gnuradio import analog, blocks, channels, digital, filter, gr
from gnuradio.filter import firdes

from .errors import InputError
from .labels import NOISE

SAMPLE_RATE = 200e3
SAMPLES_PER_SYMBOL = 8
EXCESS_BANDWIDTH = 0.35
DEFAULT_SCHEDULE = "BPSK:2,QPSK:2,8PSK:2,QAM16:2,GFSK:2,WBFM:2,noise:1"

#: A passage of symbols or audio this long is repeated: samples.
_PERIOD = 1 << 18
_AUDIO_DECIMATION = 5
#: As loud as speech is in RML2016.10A; close to full deviation nothing there resembles it.
_WBFM_AUDIO_PEAK = 0.15
#: Symbols that a pulse-shaping filter spans.
_SPAN = 11


@dataclass(frozen=True)
class Passage:
    """One entry of a schedule: ``label`` for ``samples`` samples."""

    label: str
    samples: int


class Modulator(gr.hier_block2):
    """No input; a signal of unlimited length, complex, of any level."""

    def __init__(self, *chain: gr.basic_block):
        gr.hier_block2.__init__(
            self,
            "modulator",
            gr.io_signature(0, 0, 0),
            gr.io_signature(1, 1, gr.sizeof_gr_complex),
        )
        self.connect(*chain, self)


def _random_bytes(seed: int) -> blocks.vector_source_b:
    data = np.random.default_rng(seed).integers(0, 256, _PERIOD // 8, dtype=np.uint8)
    return blocks.vector_source_b(data.tolist(), True)


def _linear(points: list[complex], samples_per_symbol: int, seed: int) -> Modulator:
    """Random symbols from ``points``, root-raised-cosine shaped."""
    symbols = np.random.default_rng(seed).integers(0, len(points), _PERIOD // 8, dtype=np.uint8)
    taps = firdes.root_raised_cosine(
        samples_per_symbol,
        samples_per_symbol,
        1.0,
        EXCESS_BANDWIDTH,
        _SPAN * samples_per_symbol | 1,
    )
    return Modulator(
        blocks.vector_source_b(symbols.tolist(), True),
        digital.chunks_to_symbols_bc([complex(p) for p in points]),
        filter.interp_fir_filter_ccf(samples_per_symbol, taps),
    )


def _levels(count: int) -> list[int]:
    return list(range(1 - count, count, 2))


def _square(side: int) -> list[complex]:
    return [complex(i, q) for i in _levels(side) for q in _levels(side)]


def _gfsk(samples_per_symbol: int, seed: int) -> Modulator:
    return Modulator(
        _random_bytes(seed),
        digital.gfsk_mod(samples_per_symbol, sensitivity=0.8 / samples_per_symbol, bt=0.35),
    )


def _cpfsk(samples_per_symbol: int, seed: int) -> Modulator:
    return Modulator(
        _random_bytes(seed),
        blocks.packed_to_unpacked_bb(1, gr.GR_MSB_FIRST),
        analog.cpfsk_bc(0.5, 1.0, samples_per_symbol),
    )


def _audio(seed: int) -> blocks.vector_source_f:
    """Sound with the spectrum and the rhythm of speech but no pauses, 40 kS/s, peak 1."""
    rate = SAMPLE_RATE / _AUDIO_DECIMATION
    count = _PERIOD // _AUDIO_DECIMATION
    rng = np.random.default_rng(seed)
    hertz = np.fft.rfftfreq(count, 1 / rate)
    shape = np.where((hertz > 150) & (hertz < 4000), 1 / (1 + (hertz / 500) ** 2), 0)
    voice = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * shape, count)
    syllables = 1 + 0.6 * np.sin(2 * np.pi * 4 * np.arange(count) / rate)
    voice *= syllables
    return blocks.vector_source_f((voice / np.max(np.abs(voice))).astype(np.float32).tolist(), True)


def _wbfm(samples_per_symbol: int, seed: int) -> Modulator:
    # Broadcast figures at the nominal rate; the signal scales with the rate it is played at.
    # (analog.wfm_tx does the same, and prints.)
    taps = firdes.low_pass(_AUDIO_DECIMATION, SAMPLE_RATE, 16e3, 8e3)
    return Modulator(
        _audio(seed),
        blocks.multiply_const_ff(_WBFM_AUDIO_PEAK),
        filter.interp_fir_filter_fff(_AUDIO_DECIMATION, taps),
        analog.fm_preemph(SAMPLE_RATE, 75e-6),
        analog.frequency_modulator_fc(2 * math.pi * 75e3 / SAMPLE_RATE),
    )


def _am_dsb(samples_per_symbol: int, seed: int) -> Modulator:
    taps = firdes.low_pass(_AUDIO_DECIMATION, SAMPLE_RATE, 5e3, 5e3)
    return Modulator(
        _audio(seed),
        filter.interp_fir_filter_fff(_AUDIO_DECIMATION, taps),
        blocks.add_const_ff(1.5),
        blocks.float_to_complex(1),
    )


def _no_signal(samples_per_symbol: int, seed: int) -> Modulator:
    return Modulator(blocks.null_source(gr.sizeof_gr_complex))


def _phases(count: int) -> list[complex]:
    return np.exp(2j * np.pi * np.arange(count) / count).tolist()


#: Label -> what makes the signal from (samples a symbol, seed).
MODULATORS: dict[str, Callable[[int, int], Modulator]] = {
    "BPSK": partial(_linear, _phases(2)),
    "QPSK": partial(_linear, _phases(4)),
    "8PSK": partial(_linear, _phases(8)),
    "PAM4": partial(_linear, _levels(4)),
    "QAM16": partial(_linear, _square(4)),
    "QAM64": partial(_linear, _square(8)),
    "GFSK": _gfsk,
    "CPFSK": _cpfsk,
    "WBFM": _wbfm,
    "AM-DSB": _am_dsb,
    NOISE: _no_signal,
}


def parse_schedule(text: str, sample_rate: float) -> list[Passage]:
    """Read ``LABEL:SECONDS,LABEL:SECONDS,…``.

    Raises :class:`InputError` for an unknown label or a duration that is not above zero.
    """
    schedule = []
    known = {name.lower(): name for name in MODULATORS}
    for entry in text.split(","):
        name, _, seconds = entry.strip().partition(":")
        label = known.get(name.strip().lower())
        if label is None:
            raise InputError(f"schedule: {name.strip()!r} is none of {', '.join(MODULATORS)}")
        try:
            duration = float(seconds or 1)
        except ValueError:
            duration = math.nan
        samples = duration * sample_rate
        if not 1 <= samples < 2**31:
            raise InputError(f"schedule: {entry.strip()!r} needs a duration in seconds above 0")
        schedule.append(Passage(label, round(samples)))
    return schedule


def true_label(schedule: list[Passage], start: int, count: int) -> str | None:
    """The label that holds for all of ``count`` samples from ``start``; None if it changes."""
    position = start % sum(passage.samples for passage in schedule)
    for passage in schedule:
        if position < passage.samples:
            return passage.label if position + count <= passage.samples else None
        position -= passage.samples
    return None


def level(make: Callable[[int, int], Modulator], samples_per_symbol: int, seed: int) -> float:
    """The gain that gives a modulator's signal a power of 1; 0 where there is no signal."""
    # Measured, not derived: each modulator has its own idea of level.
    graph = gr.top_block()
    sink = blocks.vector_sink_c()
    head = blocks.head(gr.sizeof_gr_complex, _PERIOD // 4)
    graph.connect(make(samples_per_symbol, seed), head, sink)
    graph.run()
    rms = float(np.sqrt(np.mean(np.abs(np.asarray(sink.data())) ** 2)))
    return 1 / rms if rms > 0 else 0.0


class SimulatedRadio(gr.hier_block2):
    """The schedule, over and over, through a channel: one complex output, signal power 1.

    ``snr_db`` is signal power over noise power in the whole band; ``frequency_offset`` is in
    cycles a sample; ``echoes`` are the taps of a static multipath channel.
    """

    def __init__(
        self,
        schedule: list[Passage],
        snr_db: float,
        seed: int = 1,
        samples_per_symbol: int = SAMPLES_PER_SYMBOL,
        frequency_offset: float = 0.0,
        echoes: tuple[complex, ...] = (1.0,),
    ):
        gr.hier_block2.__init__(
            self,
            "simulated_radio",
            gr.io_signature(0, 0, 0),
            gr.io_signature(1, 1, gr.sizeof_gr_complex),
        )
        gains: dict[str, float] = {}
        lengths = [passage.samples for passage in schedule]
        switch = blocks.stream_mux(gr.sizeof_gr_complex, lengths)
        for port, passage in enumerate(schedule):
            make = MODULATORS[passage.label]
            if passage.label not in gains:
                gains[passage.label] = level(make, samples_per_symbol, seed)
            gain = blocks.multiply_const_cc(gains[passage.label])
            self.connect(make(samples_per_symbol, seed + port), gain, (switch, port))
        channel = channels.channel_model(
            noise_voltage=10 ** (-snr_db / 20),
            frequency_offset=frequency_offset,
            epsilon=1.0,
            taps=list(echoes),
            noise_seed=seed,
        )
        self.connect(switch, channel, self)


def simulate(
    schedule: list[Passage],
    snr_db: float,
    seed: int = 1,
    samples_per_symbol: int = SAMPLES_PER_SYMBOL,
    frequency_offset: float = 0.0,
) -> np.ndarray:
    """One pass of the schedule as complex64 samples: what tests and recordings are made of."""
    graph = gr.top_block()
    radio = SimulatedRadio(schedule, snr_db, seed, samples_per_symbol, frequency_offset)
    count = sum(passage.samples for passage in schedule)
    sink = blocks.vector_sink_c(1, count)
    graph.connect(radio, blocks.head(gr.sizeof_gr_complex, count), sink)
    graph.run()
    return np.asarray(sink.data(), dtype=np.complex64)
