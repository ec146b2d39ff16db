# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings: raw samples, WAV, SigMF."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gnuradio import blocks, gr

from ..errors import InputError
from ..formats import SampleFormat, format_by_name, format_by_suffix
from ..segments import Segment
from ..sigmf_reader import SUFFIXES as SIGMF_SUFFIXES
from ..sigmf_reader import file_sha512, open_sigmf
from ..wav import read_wav_header
from .base import Source, SourceKind, capture, check_rate


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
        self.segments = [Segment(0, count, check_rate(rate), freq_hz)]
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
        return info, [capture(self.segments[0])], 0


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
        captures = [dict(entry) for entry in self._recording.metadata["captures"]]
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
        found = capture(segment)
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
            found["core:header_bytes"] = header.data_start
        return info, [found], 0


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


def _open_arguments(args: argparse.Namespace) -> Source:
    return open_file(Path(args.file), args.format, args.samp_rate, args.freq)


RECORDING = SourceKind(
    "--file",
    "PATH",
    "recording: raw samples, WAV (I and Q, or real) or SigMF",
    ("--samp-rate", "--freq", "--format", "--throttle"),
    _open_arguments,
)
