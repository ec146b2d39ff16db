# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Radio's own receiver blocks find the symbols of the live set's modulators again."""

from math import erfc, log10, sqrt

import numpy as np
import pytest
from kdamc_training.datasets import constellations, live_channel, live_modulators

SAMPLES_PER_SYMBOL = 4.3
ROLL_OFF = 0.35
COUNT = 12000
SETTLING = 3000


def q(x: float) -> float:
    return erfc(x / sqrt(2)) / 2


def theory(name: str, es_n0: float) -> float:
    """Symbol error rate in white noise; ``es_n0`` is a ratio."""
    if name == "BPSK":
        return q(sqrt(2 * es_n0))
    levels = 2 if name == "QPSK" else 4
    side = 2 * (1 - 1 / levels) * q(sqrt(3 * es_n0 / (levels**2 - 1)))
    return 1 - (1 - side) ** 2


def transmitted(name: str, snr_db: float) -> tuple[np.ndarray, np.ndarray]:
    """Symbols sent and samples received, through an ideal radio with a small carrier offset."""
    rng = np.random.default_rng(5)
    symbols = rng.choice(constellations.points(name), COUNT)
    taps = live_modulators.pulse("rrc", 4, ROLL_OFF)
    waveform = live_modulators.Waveform(live_modulators.shaped(symbols, taps, 4), 0.25)
    native = live_modulators.run([waveform])[0]
    step = 4 / SAMPLES_PER_SYMBOL
    length = int((len(native) - 100) / step) - 2 * live_channel.MARGIN
    channel = live_channel.Channel(snr_db, SAMPLES_PER_SYMBOL, band_centre=2e-5)
    positions = live_channel.native_positions(channel, step, 40.3, length)
    signal = live_channel.sample(native, positions, step, 0.0)
    return symbols, live_channel.receive(channel, signal, [], rng, length).frame


def received(name: str, samples: np.ndarray) -> np.ndarray:
    """Symbols after a matched filter, timing recovery and a Costas loop."""
    from gnuradio import blocks, digital, filter, gr
    from gnuradio.filter import firdes

    taps = firdes.root_raised_cosine(1.0, SAMPLES_PER_SYMBOL, 1.0, ROLL_OFF, 81)
    graph = gr.top_block()
    sink = blocks.vector_sink_c()
    graph.connect(
        blocks.vector_source_c(samples),
        filter.fir_filter_ccf(1, taps),
        digital.symbol_sync_cc(digital.TED_GARDNER, SAMPLES_PER_SYMBOL, 0.005, 1.0, 1.0, 0.05, 1),
        digital.costas_loop_cc(0.005, 2 if name == "BPSK" else 4),
        sink,
    )
    graph.run()
    return np.array(sink.data())


def compare(name: str, sent: np.ndarray, got: np.ndarray) -> tuple[float, float]:
    """Symbol error rate, and power of the symbols over that of their errors in decibels.

    The loops leave an offset of whole symbols and a turn by a symmetry of the constellation.
    """
    part = got[SETTLING : COUNT - 1000]
    points = constellations.points(name)
    best = max(
        (abs(np.vdot(sent[lag : lag + len(part)], part)), lag)
        for lag in range(SETTLING - 60, SETTLING + 60)
    )
    reference = sent[best[1] : best[1] + len(part)]
    # The gain by least squares; its angle stands for the turn.
    part = part / (np.vdot(reference, part) / np.vdot(reference, reference))
    decided = points[np.argmin(np.abs(part[:, None] - points), axis=1)]
    error = np.mean(np.abs(part - reference) ** 2)
    return float(np.mean(decided != reference)), -10 * log10(error)


@pytest.mark.parametrize("name", ["BPSK", "QPSK", "16QAM"])
def test_at_20_db_no_symbol_is_lost(name):
    sent, samples = transmitted(name, 20.0)
    errors, ratio = compare(name, sent, received(name, samples))
    es_n0_db = 20.0 + 10 * log10(SAMPLES_PER_SYMBOL)
    print(name, errors, ratio, es_n0_db)
    assert errors == 0.0
    # Gardner's timing jitters by the signal's own pattern, more so with 16QAM.
    assert ratio > 19.0


@pytest.mark.parametrize(("name", "es_n0_db"), [("BPSK", 5.0), ("QPSK", 9.0), ("16QAM", 15.0)])
def test_errors_are_as_many_as_theory_says(name, es_n0_db):
    sent, samples = transmitted(name, es_n0_db - 10 * log10(SAMPLES_PER_SYMBOL))
    errors, ratio = compare(name, sent, received(name, samples))
    print(name, es_n0_db, errors, theory(name, 10 ** (es_n0_db / 10)), ratio)
    assert theory(name, 10 ** (es_n0_db / 10)) * 0.7 < errors
    assert errors < theory(name, 10 ** ((es_n0_db - 1.0) / 10))
