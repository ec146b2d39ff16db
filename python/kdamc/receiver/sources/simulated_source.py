# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated radio as a source."""

from __future__ import annotations

import argparse

from gnuradio import gr

from ..errors import InputError
from ..segments import Segment
from .base import Source, SourceKind, check_rate

#: SNR unless told otherwise, dB.
DEFAULT_SNR_DB = 15.0


class SimulatedSource(Source):
    """The simulated radio: its schedule once, or over and over if ``endless``."""

    def __init__(
        self,
        schedule_text: str,
        rate: float,
        snr_db: float,
        seed: int = 1,
        freq_hz: float = 0.0,
        endless: bool = False,
    ):
        from ..simulated import parse_schedule

        if not -100 <= snr_db <= 200:
            raise InputError(f"an SNR of {snr_db:g} dB is impossible")
        if not 0 < seed < 2**31:
            raise InputError(f"a seed of {seed} is not between 1 and {2**31 - 1}")
        self._schedule = parse_schedule(schedule_text, check_rate(rate))
        self._snr_db = snr_db
        self._seed = seed
        self.name = f"simulated radio, {snr_db:g} dB"
        count = None if endless else sum(passage.samples for passage in self._schedule)
        self.segments = [Segment(0, count, rate, freq_hz)]

    def connect(self, graph: gr.top_block, segment: Segment) -> gr.basic_block:
        """See :meth:`Source.connect`."""
        from ..simulated import SimulatedRadio

        return SimulatedRadio(self._schedule, self._snr_db, self._seed)

    def true_label(self, start: int, count: int) -> str | None:
        """See :meth:`Source.true_label`."""
        from ..simulated import true_label

        return true_label(self._schedule, start, count)


def _open_arguments(args: argparse.Namespace) -> Source:
    from ..simulated import DEFAULT_SCHEDULE, SAMPLE_RATE

    return SimulatedSource(
        args.sim_schedule or DEFAULT_SCHEDULE,
        SAMPLE_RATE if args.samp_rate is None else args.samp_rate,
        DEFAULT_SNR_DB if args.sim_snr is None else args.sim_snr,
        1 if args.seed is None else args.seed,
        args.freq or 0.0,
        endless=args.duration is not None,
    )


SIMULATED = SourceKind(
    "--sim",
    None,
    "simulated radio: modulators and channel model of GNU Radio, 8 samples a symbol",
    ("--samp-rate", "--freq", "--sim-schedule", "--sim-snr", "--seed", "--throttle"),
    _open_arguments,
)
