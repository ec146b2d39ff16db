# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where samples come from, and the table of the kinds of source that a receiver offers.

A new kind of source is a subclass of :class:`Source` and an entry in :data:`SOURCES`; the
command line, the front end and the reports take it from there.
"""

from __future__ import annotations

import argparse
from typing import Any

from ..command_line import number
from ..errors import InputError
from .base import LiveSource, Source, SourceKind, capture
from .files import RECORDING, RawFileSource, SigmfSource, WavSource, open_file
from .hardware import OSMOSDR, SOAPY, UHD, gain
from .network import UDP, ZMQ
from .simulated_source import DEFAULT_SNR_DB, SIMULATED, SimulatedSource

__all__ = [
    "SOURCES",
    "LiveSource",
    "RawFileSource",
    "SigmfSource",
    "SimulatedSource",
    "Source",
    "SourceKind",
    "WavSource",
    "add_source_options",
    "capture",
    "open_file",
    "open_source",
]

#: The kinds of source, in the order in which the command line lists them.
SOURCES = {
    "sim": SIMULATED,
    "file": RECORDING,
    "uhd": UHD,
    "soapy": SOAPY,
    "osmosdr": OSMOSDR,
    "zmq": ZMQ,
    "udp": UDP,
}

#: Seconds without a sample after which a live source counts as lost.
_LOST_AFTER_S = 3.0

#: What a source may be told, as argparse has it; a source refuses what it does not obey.
_OPTIONS: dict[str, dict[str, Any]] = {
    "--samp-rate": {"metavar": "HZ", "type": float, "help": "sample rate"},
    "--freq": {
        "metavar": "HZ",
        "type": float,
        "help": "tune a radio to this; of other samples, the frequency that 0 Hz stands for",
    },
    "--format": {
        "metavar": "FORMAT",
        "help": "of raw samples: cf32, cs16, cs8 or cu8 (of a file otherwise told by the suffix, "
        "from a network otherwise cf32)",
    },
    "--gain": {
        "metavar": "DB|auto",
        "type": gain,
        "help": "of a radio (default: auto, or where it has no automatic gain, half of the range)",
    },
    "--antenna": {"metavar": "NAME", "help": "input of a radio that has several"},
    "--channel": {
        "metavar": "N",
        "type": number(int, 0),
        "help": "of a radio that has several (default 0)",
    },
    "--radio-bandwidth": {
        "metavar": "HZ",
        "type": number(float, 0, above=True),
        "help": "of a radio's own analogue filter (default: as the driver chooses)",
    },
    "--ppm": {
        "metavar": "PPM",
        "type": number(float, -1000, 1000),
        "help": "error of a radio's clock, to be corrected",
    },
    "--bias-tee": {"action": "store_true", "help": "feed an amplifier through the antenna cable"},
    "--reconnect": {
        "action": "store_true",
        "help": "open a lost radio again, until --duration or an interrupt ends the run",
    },
    "--lost-after": {
        "metavar": "S",
        "type": number(float, 0.1),
        "help": f"seconds without a sample after which it is lost (default {_LOST_AFTER_S:g})",
    },
    "--sim-schedule": {
        "metavar": "LABEL:S,...",
        "help": "what is sent, and for how many seconds each; once, or as often as --duration asks",
    },
    "--sim-snr": {"metavar": "DB", "type": float, "help": f"SNR (default {DEFAULT_SNR_DB} dB)"},
    "--seed": {"metavar": "N", "type": int, "help": "of the simulation (default 1)"},
}
#: Options that are none of the source's own, but that not every source can obey.
_OTHERS = ("--throttle",)


def _dest(option: str) -> str:
    return option[2:].replace("-", "_")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add every kind of source to a command line; the kinds exclude each other."""
    group = parser.add_argument_group("source (one of these)")
    choice = group.add_mutually_exclusive_group()
    for name, kind in SOURCES.items():
        if kind.metavar is None:
            choice.add_argument(kind.option, dest=name, action="store_true", help=kind.help)
        else:
            choice.add_argument(kind.option, dest=name, metavar=kind.metavar, help=kind.help)
    options = parser.add_argument_group("source options")
    for option, settings in _OPTIONS.items():
        options.add_argument(option, **settings)


def open_source(args: argparse.Namespace) -> Source:
    """Open the source that a parsed command line selects.

    Raises :class:`InputError` if it selects none, one that cannot be used, or one that does not
    obey an option.
    """
    for name, kind in SOURCES.items():
        if getattr(args, name) in (None, False):
            continue
        for option in (*_OPTIONS, *_OTHERS):
            if option not in kind.obeys and getattr(args, _dest(option), None) not in (None, False):
                raise InputError(f"{option} does not apply to {kind.option}")
        if args.lost_after is None:
            args.lost_after = _LOST_AFTER_S
        return kind.open(args)
    options = ", ".join(kind.option for kind in SOURCES.values())
    raise InputError(f"no source: name one of {options}")
