#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a recording of one simulated signal, for trying amc_rx on something known.

The suffix says what is written: .cf32 or .cs16 (complex), or .wav (real, with a carrier at a
quarter of the sample rate, as a receiver's audio output has it).
"""

from __future__ import annotations

import argparse
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
from gnuradio import blocks, gr
from gnuradio.kdamc.receiver import simulated
from gnuradio.kdamc.receiver.front_end import FrontEnd, plan_front_end

#: Peak of integer samples, share of full scale.
_PEAK = 0.7


def resampled(samples: np.ndarray, ratio: Fraction) -> np.ndarray:
    """Complex samples at ``ratio`` times their rate."""
    plan = plan_front_end(1.0, True, 0.0, 0.1, float(10 * ratio))
    graph = gr.top_block()
    padded = np.concatenate([samples, np.zeros(plan.flush, np.complex64)])
    head = blocks.head(gr.sizeof_gr_complex, plan.output_count(len(samples)))
    sink = blocks.vector_sink_c()
    graph.connect(blocks.vector_source_c(padded), FrontEnd(plan), head, sink)
    graph.run()
    return np.asarray(sink.data(), np.complex64)


def make_recording(
    path: Path,
    label: str,
    seconds: float = 2.0,
    snr_db: float = 20.0,
    samples_per_symbol: float = 8.0,
    rate: int = 48000,
    seed: int = 1,
) -> None:
    """Write ``seconds`` of ``label``, ``samples_per_symbol`` at ``rate`` Hz.

    The noise fills the band that 8 samples a symbol span.
    """
    ratio = Fraction(samples_per_symbol / simulated.SAMPLES_PER_SYMBOL).limit_denominator(100)
    schedule = simulated.parse_schedule(label, seconds * rate / float(ratio))
    samples = simulated.simulate(schedule, snr_db, seed)
    if ratio != 1:
        samples = resampled(samples, ratio)
    if path.suffix == ".cf32":
        samples.astype("<c8").tofile(path)
        return
    if path.suffix == ".wav":
        # exp(j pi n / 2) without rounding errors.
        values = (samples * np.array([1, 1j, -1, -1j])[np.arange(len(samples)) % 4]).real
    else:
        values = samples.view("f4")
    integers = (values * (_PEAK * 32767 / np.max(np.abs(values)))).round()
    if path.suffix == ".cs16":
        integers.astype("<i2").tofile(path)
        return
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(integers.astype("<i2").tobytes())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("label", choices=list(simulated.MODULATORS))
    parser.add_argument("path", type=Path, help="*.cf32, *.cs16 or *.wav")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--snr", type=float, default=20.0, help="dB")
    parser.add_argument("--samples-per-symbol", type=float, default=8.0)
    parser.add_argument("--rate", type=int, default=48000, help="Hz")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.path.suffix not in (".cf32", ".cs16", ".wav"):
        parser.error(f"{args.path}: neither .cf32, .cs16 nor .wav")
    make_recording(
        args.path, args.label, args.seconds, args.snr, args.samples_per_symbol, args.rate, args.seed
    )


if __name__ == "__main__":
    main()
