# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Modulation Source block: a simulated signal whose modulation is chosen while it runs."""

from __future__ import annotations

import math

from gnuradio import blocks, channels, gr

from .receiver.simulated import MODULATORS, SAMPLES_PER_SYMBOL, level


class modulation_source(gr.hier_block2):
    """GNU Radio's own modulators, one of them at a time, in white noise.

    No input; output: complex samples as fast as they are taken (put a throttle behind it), at
    ``SAMPLES_PER_SYMBOL`` samples a symbol.  The power of the signal is 1; ``noise`` instead of
    a modulation is the noise alone.  All modulators run, so that a change is immediate.

    Args:
        modulation: a name of :meth:`modulations`.
        snr_db: signal power over noise power in the whole sampled band.
        frequency_offset: in cycles a sample.
        seed: of contents and noise; the same seed gives the same samples.

    Raises ValueError for a modulation that is not known or a number that is not finite.
    """

    def __init__(
        self,
        modulation: str = "QPSK",
        snr_db: float = 15.0,
        frequency_offset: float = 0.0,
        seed: int = 1,
    ) -> None:
        gr.hier_block2.__init__(
            self,
            "Modulation Source",
            gr.io_signature(0, 0, 0),
            gr.io_signature(1, 1, gr.sizeof_gr_complex),
        )
        self._selector = blocks.selector(gr.sizeof_gr_complex, _index(modulation), 0)
        self._channel = channels.channel_model(
            noise_voltage=_noise_voltage(snr_db),
            frequency_offset=_finite("frequency_offset", frequency_offset),
            noise_seed=seed,
        )
        for port, make in enumerate(MODULATORS.values()):
            gain = blocks.multiply_const_cc(level(make, SAMPLES_PER_SYMBOL, seed))
            self.connect(make(SAMPLES_PER_SYMBOL, seed + port), gain, (self._selector, port))
        self.connect(self._selector, self._channel, self)

    @staticmethod
    def modulations() -> tuple[str, ...]:
        """What ``modulation`` may be, ``noise`` included."""
        return tuple(MODULATORS)

    def set_modulation(self, modulation: str) -> None:
        """Go on with another modulation."""
        self._selector.set_input_index(_index(modulation))

    def set_snr_db(self, snr_db: float) -> None:
        """Signal power over noise power in the whole sampled band."""
        self._channel.set_noise_voltage(_noise_voltage(snr_db))

    def set_frequency_offset(self, frequency_offset: float) -> None:
        """In cycles a sample."""
        self._channel.set_frequency_offset(_finite("frequency_offset", frequency_offset))


def _index(modulation: str) -> int:
    if modulation not in MODULATORS:
        raise ValueError(f"modulation must be one of {', '.join(MODULATORS)}, not {modulation!r}")
    return list(MODULATORS).index(modulation)


def _noise_voltage(snr_db: float) -> float:
    return 10 ** (-_finite("snr_db", snr_db) / 20)


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value}")
    return float(value)
