# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where samples come from, and the table of the kinds of source that a receiver offers.

A new kind of source is a subclass of :class:`Source` and an entry in :data:`SOURCES`; the
command line, the front end and the reports take it from there.
"""

from __future__ import annotations

import argparse
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnuradio import blocks, gr

from .errors import InputError
from .formats import SampleFormat, format_by_name, format_by_suffix
from .segments import Segment
from .sigmf_reader import SUFFIXES as SIGMF_SUFFIXES
from .sigmf_reader import file_sha512, open_sigmf
from .wav import read_wav_header


class Source(ABC):
    """Samples, complex or real, in one or more segments."""

    #: One line for people: what this is.
    name: str
    #: Whether the samples are complex; real ones are floats.
    is_complex: bool = True
    #: Whether a second reading gives the same samples, so that a first look is allowed.
    is_repeatable: bool = True
    #: The parts in order, all of one sample rate; only the last may be without an end.
    segments: list[Segment]
    #: The files that it reads, which no report may overwrite.
    files: tuple[Path, ...] = ()

    @abstractmethod
    def connect(self, graph: gr.top_block, segment: Segment) -> gr.basic_block:
        """Build what delivers ``segment`` into ``graph``; return the block to connect from.

        The stream may be longer than the segment.
        """

    def true_label(self, start: int, count: int) -> str | None:
        """What is being sent in these samples, if the source knows and it is one thing."""
        return None

    @abstractmethod
    def sigmf_header(self) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
        """SigMF global object and captures that describe the source, and its ``core:offset``."""


def _capture(segment: Segment, offset: int = 0) -> dict[str, Any]:
    capture: dict[str, Any] = {"core:sample_start": segment.start + offset}
    if segment.freq_hz:
        capture["core:frequency"] = segment.freq_hz
    return capture


def _check_rate(rate: float) -> float:
    if not (math.isfinite(rate) and rate > 0):
        raise InputError(f"a sample rate of {rate:g} Hz is impossible (--samp-rate)")
    return rate


class RawFileSource(Source):
    """A file of samples and nothing else."""

    def __init__(self, path: Path, sample_format: SampleFormat, rate: float, freq_hz: float = 0.0):
        size = path.stat().st_size
        count, rest = divmod(size, sample_format.sample_bytes)
        if rest:
            raise InputError(
                f"{path}: {size} bytes are no whole number of {sample_format.sample_bytes}-byte "
                "samples"
            )
        self.name = str(path)
        self.is_complex = sample_format.is_complex
        self.segments = [Segment(0, count, _check_rate(rate), freq_hz)]
        self.files = (path,)
        self._path = path
        self._format = sample_format
        self._header_bytes = 0

    def connect(self, graph: gr.top_block, segment: Segment) -> gr.basic_block:
        """See :meth:`Source.connect`."""
        form = self._format
        start = (self._header_bytes + segment.start * form.sample_bytes) // form.item_bytes
        items = segment.count * form.sample_bytes // form.item_bytes
        chain = [
            blocks.file_source(form.item_bytes, str(self._path), False, start, items),
            *form.unpackers(),
        ]
        if len(chain) > 1:
            graph.connect(*chain)
        return chain[-1]

    def sigmf_header(self) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
        """See :meth:`Source.sigmf_header`."""
        info = {
            "core:datatype": self._format.sigmf_datatype,
            "core:sample_rate": self.segments[0].sample_rate,
            "core:dataset": self._path.name,
            "core:sha512": file_sha512(self._path),
        }
        return info, [_capture(self.segments[0])], 0


class SigmfSource(RawFileSource):
    """A SigMF recording, read as its metadata says."""

    def __init__(self, path: Path):
        recording = open_sigmf(path)
        self.name = str(path)
        self.is_complex = recording.format.is_complex
        self.segments = recording.segments
        self.files = (recording.data_path, recording.meta_path)
        self._path = recording.data_path
        self._format = recording.format
        self._header_bytes = recording.header_bytes
        self._recording = recording

    def sigmf_header(self) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
        """See :meth:`Source.sigmf_header`: the recording's own, hash and name of its data added."""
        info = dict(self._recording.metadata["global"])
        info.pop("core:metadata_only", None)
        info["core:dataset"] = self._path.name
        info.setdefault("core:sha512", file_sha512(self._path))
        captures = [dict(capture) for capture in self._recording.metadata["captures"]]
        return info, captures, self._recording.offset


class WavSource(Source):
    """A WAV recording: I and Q in two channels, or a real signal in one."""

    def __init__(self, path: Path, freq_hz: float = 0.0):
        self._header = read_wav_header(path)
        self.files = (path,)
        self._path = path
        self.name = str(path)
        self.is_complex = self._header.channels == 2
        rate = float(self._header.sample_rate)
        self.segments = [Segment(0, self._header.count, rate, freq_hz)]

    def connect(self, graph: gr.top_block, segment: Segment) -> gr.basic_block:
        """See :meth:`Source.connect`."""
        reader = blocks.wavfile_source(str(self._path), False)
        if not self.is_complex:
            return reader
        merge = blocks.float_to_complex(1)
        graph.connect((reader, 0), (merge, 0))
        graph.connect((reader, 1), (merge, 1))
        return merge

    def sigmf_header(self) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
        """See :meth:`Source.sigmf_header`: the WAV file as a data set with a header."""
        header, segment = self._header, self.segments[0]
        capture = _capture(segment)
        info: dict[str, Any] = {"core:sample_rate": segment.sample_rate}
        if header.format is None:
            # SigMF has no name for such samples; what can be told is what they are read as.
            info |= {
                "core:datatype": "cf32_le" if self.is_complex else "rf32_le",
                "core:metadata_only": True,
                "core:description": f"annotations of {self._path.name}",
            }
        else:
            info |= {
                "core:datatype": header.format.sigmf_datatype,
                "core:dataset": self._path.name,
                "core:sha512": file_sha512(self._path),
                "core:trailing_bytes": header.trailing,
            }
            capture["core:header_bytes"] = header.data_start
        return info, [capture], 0


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
        from .simulated import parse_schedule

        if not -100 <= snr_db <= 200:
            raise InputError(f"an SNR of {snr_db:g} dB is impossible")
        if not 0 < seed < 2**31:
            raise InputError(f"a seed of {seed} is not between 1 and {2**31 - 1}")
        self._schedule = parse_schedule(schedule_text, _check_rate(rate))
        self._snr_db = snr_db
        self._seed = seed
        self.name = f"simulated radio, {snr_db:g} dB"
        count = None if endless else sum(passage.samples for passage in self._schedule)
        self.segments = [Segment(0, count, rate, freq_hz)]

    def connect(self, graph: gr.top_block, segment: Segment) -> gr.basic_block:
        """See :meth:`Source.connect`."""
        from .simulated import SimulatedRadio

        return SimulatedRadio(self._schedule, self._snr_db, self._seed)

    def true_label(self, start: int, count: int) -> str | None:
        """See :meth:`Source.true_label`."""
        from .simulated import true_label

        return true_label(self._schedule, start, count)

    def sigmf_header(self) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
        """See :meth:`Source.sigmf_header`."""
        segment = self.segments[0]
        info = {
            "core:datatype": "cf32_le",
            "core:sample_rate": segment.sample_rate,
            "core:metadata_only": True,
            "core:description": self.name,
        }
        return info, [_capture(segment)], 0


def open_file(
    path: Path, format_name: str | None, rate: float | None, freq_hz: float | None
) -> Source:
    """Open a recording: SigMF and WAV by suffix, everything else as raw samples.

    Raises :class:`InputError` for a file that is not there, or that cannot be used as told.
    """
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not path.is_file():
            raise InputError(f"{path}: not a file")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path}: the file is empty")
        if format_name is None and path.suffix.lower() in SIGMF_SUFFIXES:
            _refuse({"--samp-rate": rate, "--freq": freq_hz}, path, "SigMF metadata")
            return SigmfSource(path)
        if format_name is None and path.suffix.lower() == ".wav":
            _refuse({"--samp-rate": rate}, path, "the WAV header")
            return WavSource(path, freq_hz or 0.0)
        form = format_by_name(format_name) if format_name else format_by_suffix(path)
        if rate is None:
            raise InputError(f"{path}: raw samples need their sample rate (--samp-rate)")
        return RawFileSource(path, form, rate, freq_hz or 0.0)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _refuse(options: dict[str, float | None], path: Path, authority: str) -> None:
    """Refuse options that contradict what the file itself says."""
    for option, value in options.items():
        if value is not None:
            raise InputError(f"{path}: {option} does not apply, {authority} tells it")


@dataclass(frozen=True)
class SourceKind:
    """One kind of source on the command line.

    ``option`` selects it, with an argument unless ``metavar`` is None; ``add_options`` adds what
    else it understands; ``open`` makes the source from the parsed command line.
    """

    option: str
    metavar: str | None
    help: str
    add_options: Callable[[argparse._ArgumentGroup], None]
    open: Callable[[argparse.Namespace], Source]


def _file_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--format",
        metavar="FORMAT",
        help="of raw samples: cf32, cs16, cs8 or cu8 (otherwise told by the suffix)",
    )


def _open_file_arguments(args: argparse.Namespace) -> Source:
    return open_file(Path(args.file), args.format, args.samp_rate, args.freq)


def _sim_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--sim-schedule",
        metavar="LABEL:S,...",
        default=None,
        help="what is sent, and for how many seconds each; once, or as often as --duration asks",
    )
    group.add_argument(
        "--sim-snr", metavar="DB", type=float, default=15.0, help="SNR (default %(default)s dB)"
    )
    group.add_argument(
        "--seed", metavar="N", type=int, default=1, help="of the simulation (default %(default)s)"
    )


def _open_sim_arguments(args: argparse.Namespace) -> Source:
    from .simulated import DEFAULT_SCHEDULE, SAMPLE_RATE

    return SimulatedSource(
        args.sim_schedule or DEFAULT_SCHEDULE,
        SAMPLE_RATE if args.samp_rate is None else args.samp_rate,
        args.sim_snr,
        args.seed,
        args.freq or 0.0,
        endless=args.duration is not None,
    )


#: The kinds of source, in the order in which the command line lists them.
SOURCES = {
    "sim": SourceKind(
        "--sim",
        None,
        "simulated radio: modulators and channel model of GNU Radio, 8 samples a symbol",
        _sim_options,
        _open_sim_arguments,
    ),
    "file": SourceKind(
        "--file",
        "PATH",
        "recording: raw samples, WAV (I and Q, or real) or SigMF",
        _file_options,
        _open_file_arguments,
    ),
}


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
    options.add_argument(
        "--samp-rate", metavar="HZ", type=float, help="sample rate of raw samples or simulation"
    )
    options.add_argument(
        "--freq", metavar="HZ", type=float, help="frequency that 0 Hz of the samples stands for"
    )
    for kind in SOURCES.values():
        kind.add_options(options)


def open_source(args: argparse.Namespace) -> Source:
    """Open the source that a parsed command line selects.

    Raises :class:`InputError` if it selects none or one that cannot be used.
    """
    for name, kind in SOURCES.items():
        if getattr(args, name) not in (None, False):
            return kind.open(args)
    options = ", ".join(kind.option for kind in SOURCES.values())
    raise InputError(f"no source: name one of {options}")
