# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scan costs, and what ways to isolate signals cost; ``script/bench --scan`` starts it."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np
from gnuradio import blocks, filter, gr, kdamc
from gnuradio.fft import window
from gnuradio.filter import firdes
from gnuradio.kdamc.kdamc_python import AveragedSpectrum, Extractor
from gnuradio.kdamc.signal_search import plan_rows

#: Sample rates of the scanned bands, Hz, and how many signals are in each.
RATES = (2.4e6, 10e6, 20e6)
SIGNALS = (0, 8)
_BANDWIDTH, _SNR_DB, _OVERSAMPLING = 50e3, 20.0, 4.0
_SECONDS = 4.0
_ROUNDS = 3
#: Channels of the polyphase filter bank that per-signal extractors are held against.
CHANNELS = 64


def band(rate: float, signals: int, seconds: float, seed: int = 1) -> np.ndarray:
    """Noise of power 1 with signals of Gaussian samples side by side, all the time."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    spectrum = np.zeros(count, np.complex64)
    width = round(_BANDWIDTH * seconds)
    for k in range(signals):
        first = round((k + 0.5) / signals * count * 0.8) - round(0.4 * count)
        shape = rng.standard_normal((width, 2), np.float32).view(np.complex64)[:, 0]
        spectrum[first + np.arange(width)] = shape
    samples = np.fft.ifft(spectrum).astype(np.complex64)
    # So that its power in its band lies over that of the noise there as wanted.
    samples *= np.float32(count**0.5 * 10 ** (_SNR_DB / 20))
    samples += rng.standard_normal((count, 2), np.float32).view(np.complex64)[:, 0]
    return samples


def scan(samples: np.ndarray, rate: float) -> tuple[float, int]:
    """Seconds of a scan of all samples, offline, and how many signals it listed."""
    found: list[Any] = []
    graph = gr.top_block()
    source = blocks.vector_source_c(samples, False)
    scanner = kdamc.signal_scanner("", rate, "offline", on_signal=found.append)
    graph.connect(source, scanner)
    begin = time.perf_counter()
    graph.run()
    seconds = time.perf_counter() - begin
    if scanner.error is not None:
        raise scanner.error
    return seconds, len({signal.number for signal in found})


def flowgraph_seconds(
    samples: np.ndarray, block: gr.basic_block, inputs: int = 1, outputs: int = 1
) -> float:
    """Seconds in which a block takes all samples, dealt out to its inputs."""
    graph = gr.top_block()
    dealer = blocks.stream_to_streams(gr.sizeof_gr_complex, inputs)
    graph.connect(blocks.vector_source_c(samples, False), dealer)
    for port in range(inputs):
        graph.connect((dealer, port), (block, port))
    sinks = [blocks.null_sink(gr.sizeof_gr_complex) for _ in range(outputs)]
    for port, sink in enumerate(sinks):
        graph.connect((block, port), sink)
    begin = time.perf_counter()
    graph.run()
    return time.perf_counter() - begin


def isolation(rate: float) -> dict[str, float]:
    """Nanoseconds a sample of the band: our extractor, GNU Radio's filters, a filter bank.

    The bank's channels are as wide as the signal and its slope, and it gives all of them; a signal
    that is not in the middle of a channel, or not of its width, needs another filter behind it,
    which is not counted.
    """
    samples = band(rate, 1, 1.0)
    wanted = _OVERSAMPLING * _BANDWIDTH
    per_sample = 1e9 / len(samples)

    def extractor() -> float:
        one = Extractor(rate, 0.1 * rate, wanted, 1.25 * _BANDWIDTH, 0.25 * _BANDWIDTH)
        begin = time.perf_counter()
        for first in range(0, len(samples), 1 << 15):
            one.process(samples[first : first + (1 << 15)])
        return time.perf_counter() - begin

    def translating() -> float:
        taps = firdes.low_pass(1.0, rate, 0.75 * _BANDWIDTH, 0.25 * _BANDWIDTH)
        decimation = int(rate / wanted)
        return flowgraph_seconds(
            samples, filter.freq_xlating_fft_filter_ccc(decimation, taps, 0.1 * rate, rate)
        )

    def filter_bank() -> float:
        step = rate / CHANNELS
        taps = firdes.low_pass(1.0, rate, 0.4 * step, 0.2 * step, window.WIN_HAMMING)
        bank = filter.pfb_channelizer_ccf(CHANNELS, taps, 2)
        return flowgraph_seconds(samples, bank, CHANNELS, CHANNELS)

    def spectra() -> float:
        averaged = AveragedSpectrum(*plan_rows(rate))
        begin = time.perf_counter()
        for first in range(0, len(samples), 1 << 15):
            averaged.process(samples[first : first + (1 << 15)])
        return time.perf_counter() - begin

    return {
        call.__name__: median(call() for _ in range(_ROUNDS)) * per_sample
        for call in (extractor, translating, filter_bank, spectra)
    }


def measure() -> dict[str, Any]:
    """All figures; takes about a minute."""
    scans = []
    for rate in RATES:
        for signals in SIGNALS:
            samples = band(rate, signals, _SECONDS)
            seconds, listed = scan(samples, rate)
            scans.append(
                {
                    "rate": rate,
                    "signals": signals,
                    "listed": listed,
                    "times_real_time": _SECONDS / seconds,
                }
            )
    return {
        "scan_model": kdamc.open_model("").name,
        "scans": scans,
        "isolation_rate": RATES[-1],
        "isolation_ns_a_sample": isolation(RATES[-1]),
        "filter_bank_channels": CHANNELS,
    }
