# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sets ``live`` and ``live-unknown``, for receivers of real signals.

25 classes at true SNRs of -10 to 30 dB, frames of 1,024 samples and RMS 1, everything that a
receiver cannot know drawn anew for each frame and recorded in the file; ``live-unknown`` holds
classes that no network should be trained on, made in the same way. ``docs/datasets.md`` says what
is drawn from where and how it was checked.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import islice

import numpy as np

from . import live_channel, live_modulators, speech
from .live_channel import MARGIN, Channel, Received
from .live_modulators import Order, Waveform
from .registry import Cell, Generator, register

OVERSAMPLING = (1.5, 12.0)
"""Sample rate over occupied bandwidth, drawn log-uniformly."""

SNR_DB = (-10.0, 30.0)

_NEIGHBOURS = ("QPSK", "GMSK", "carrier")
_AT_ONCE = 32
"""Passes whose modulators run in one flowgraph: starting one costs more than a pass does."""

_INTEGERS = {
    "pulse_shape",
    "audio",
    "fading",
    "fading_paths",
    "gap_samples",
    "neighbours",
    "ssb_audio",
    "impulses",
    "adc_bits",
}
_OF_SIGNAL = (
    "snr_db",
    "carrier_offset",
    "band_centre",
    "carrier_drift",
    "phase_noise",
    "fading",
    "fading_paths",
    "delay_spread",
    "doppler",
    "rician_k_db",
    "burst_start",
    "burst_share",
)
"""Draws of the channel that mean nothing when nothing is on the air."""

_CHANNEL_DRAWS = [item.name for item in fields(Channel) if item.name != "neighbour_bands"]
_DRAWS = [
    *_CHANNEL_DRAWS,
    "samples_per_symbol",
    "timing",
    "roll_off",
    "modulation_index",
    "pulse_shape",
    "audio",
]


class Pass:
    """One transmission on its way: its draws, the waveforms to run, and what is received.

    ``channel`` None draws one; tests hand in an ideal one. ``samples`` is the length at the
    receiver.
    """

    def __init__(
        self,
        class_name: str,
        rng: np.random.Generator,
        split: str,
        samples: int,
        channel: Channel | None = None,
        snr_db: float = 20.0,
        run: bool = False,
    ) -> None:
        self.rng, self.samples = rng, samples
        self.on_air = class_name != "noise"
        oversampling = float(np.exp(rng.uniform(*np.log(OVERSAMPLING))))
        if channel:
            oversampling = channel.oversampling
        self.waveforms: list[Waveform] = []
        if self.on_air:
            self._add(class_name, oversampling, split)
        side = self.waveforms[0].shift / self.waveforms[0].bandwidth if self.on_air else 0.0
        self.channel = channel or live_channel.draw(rng, snr_db, oversampling, samples, side, run)
        self._oversampling = [oversampling] if self.on_air else []
        for rate, _ in self.channel.neighbour_bands:
            self._add(str(rng.choice(_NEIGHBOURS)), rate, split)
            self._oversampling.append(rate)
        self.has_band = class_name not in ("noise", "carrier")

    def _add(self, class_name: str, oversampling: float, split: str) -> None:
        # A gap of 200 samples and both filters' ends are added to the frame.
        extent = (self.samples + 2 * MARGIN + 256) / oversampling + 32
        self.waveforms.append(live_modulators.waveform(class_name, Order(self.rng, extent, split)))

    def receive(self, natives: list[np.ndarray]) -> tuple[Received, dict[str, float]]:
        """What arrives when the waveforms' samples are ``natives``; and what was drawn."""
        sampled, timing = [], np.nan
        for waveform, native, rate in zip(self.waveforms, natives, self._oversampling, strict=True):
            step = 1.0 / (waveform.bandwidth * rate)
            lead = waveform.delay + live_channel.room(step)
            lead += self.rng.random() * np.nan_to_num(waveform.symbol, nan=1.0)
            positions = live_channel.native_positions(self.channel, step, lead, self.samples)
            if positions[-1] + live_channel.room(step) > len(native):
                raise RuntimeError("a modulator gave too few samples")
            if not sampled and self.on_air:
                timing = (positions[MARGIN] - waveform.delay) / waveform.symbol % 1.0
            sampled.append(live_channel.sample(native, positions, step, waveform.shift))
        signal = sampled.pop(0) if self.on_air else None
        received = live_channel.receive(self.channel, signal, sampled, self.rng, self.samples)
        return received, self._draws(timing)

    def _draws(self, timing: float) -> dict[str, float]:
        drawn = {name: getattr(self.channel, name) for name in _CHANNEL_DRAWS}
        first = self.waveforms[0] if self.on_air else Waveform([], np.nan)
        step = 1.0 / (first.bandwidth * self.channel.oversampling)
        drawn |= {
            "samples_per_symbol": first.symbol / step,
            "timing": timing,
            "roll_off": first.roll_off,
            "modulation_index": first.modulation_index,
            "pulse_shape": live_modulators.PULSE_SHAPES.index(first.pulse_shape),
            "audio": first.audio,
        }
        if not self.on_air:
            drawn |= {name: 0 if name in _INTEGERS else np.nan for name in _OF_SIGNAL}
        if not self.has_band:
            drawn["oversampling"] = np.nan
        return drawn


def receive_all(passes: list[Pass]) -> list[tuple[Received, dict[str, float]]]:
    """What arrives of ``passes``, their modulators run in one flowgraph."""
    natives = iter(live_modulators.run([w for one in passes for w in one.waveforms]))
    return [one.receive(list(islice(natives, len(one.waveforms)))) for one in passes]


@register("live")
class Live(Generator):
    """The generator; see the module's docstring."""

    version = "1"
    date = "2026-11-22"
    classes: tuple[str, ...] = (
        "noise",
        "carrier",
        "OOK",
        "4ASK",
        "BPSK",
        "QPSK",
        "pi/4-DQPSK",
        "OQPSK",
        "8PSK",
        "16APSK",
        "32APSK",
        "16QAM",
        "64QAM",
        "2FSK",
        "4FSK",
        "GFSK",
        "GMSK",
        "AFSK-FM",
        "AM-DSB",
        "DSB-SC",
        "USB",
        "LSB",
        "NBFM",
        "WBFM",
        "OFDM",
    )
    snr_labels = tuple(range(-10, 31))
    frame_length = 1024
    sample_rate = 1.0
    samples_per_symbol = (1.1, 131.0)
    oversampling = OVERSAMPLING
    splits = speech.SPLITS
    dtype = "float16"
    draw_types = {name: "int32" if name in _INTEGERS else "float32" for name in _DRAWS}
    limits = (
        "Made by software: no recording of a real transmitter or receiver is in it.",
        "Speech is synthetic, music is a few held notes.",
        "An OFDM symbol may be longer than the range of samples a symbol, or than the frame.",
        "Frames of noise have no SNR: their label is that of the cell they fill.",
        "A classifier is expected to be tuned to the signal within 5 % of the sample rate.",
    )

    def cell(
        self, class_index: int, snr_label: int, frames: int, seed: int, split: str, run_length: int
    ) -> Cell:
        """See ``Generator.cell``. Every frame is a pass of its own when ``run_length`` is 0.

        A cell holds true SNRs that round to ``snr_label``.
        """
        source = (seed, self.splits.index(split), class_index, self.snr_labels.index(snr_label))
        per_pass = run_length or 1
        low = max(snr_label - 0.5, SNR_DB[0])
        high = min(snr_label + 0.5, SNR_DB[1])
        made: list[np.ndarray] = []
        draws: list[dict[str, float]] = []
        count = -(-frames // per_pass)
        for start in range(0, count, _AT_ONCE):
            passes = []
            for number in range(start, min(count, start + _AT_ONCE)):
                rng = np.random.default_rng([*source, number])
                passes.append(
                    Pass(
                        self.classes[class_index],
                        rng,
                        split,
                        per_pass * self.frame_length,
                        snr_db=rng.uniform(low, high),
                        run=run_length > 0,
                    )
                )
            for received, drawn in receive_all(passes):
                made.append(_frames(received.frame, self.frame_length))
                draws += [drawn] * per_pass
        passes_of = np.repeat(np.arange(count, dtype=np.uint32), per_pass)
        columns = {
            name: np.array([drawn[name] for drawn in draws[:frames]], dtype)
            for name, dtype in self.draw_types.items()
        }
        return Cell(np.concatenate(made)[:frames], passes_of[:frames], columns)


@register("live-unknown")
class LiveUnknown(Live):
    """Classes held out of ``live``, to measure how an unknown signal is met."""

    classes = ("LoRa", "2FSK-wide", "8FSK")


def _frames(received: np.ndarray, length: int) -> np.ndarray:
    """``received`` cut into frames of RMS 1, ``(n, 2, length)`` float16."""
    cut = received.reshape(-1, length)
    cut = cut / np.sqrt(np.mean(np.abs(cut) ** 2, axis=1, keepdims=True))
    return np.stack([cut.real, cut.imag], axis=1).astype(np.float16)
