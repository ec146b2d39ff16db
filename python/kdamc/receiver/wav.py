# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The header of a WAV recording."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .formats import SampleFormat

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
#: (format tag, bits) -> scalar of :class:`SampleFormat`; those it lacks are unpacked by
#: GNU Radio's WAV source all the same.
_SCALARS = {(_PCM, 8): "u8", (_PCM, 16): "i16", (_FLOAT, 32): "f32"}
_READABLE = {*_SCALARS, (_PCM, 24), (_PCM, 32)}


@dataclass(frozen=True)
class WavHeader:
    """What a WAV file says of itself.

    ``format`` is None where SigMF has no name for the samples; ``data_start`` is the offset of
    the first sample, ``trailing`` what follows the last one, both in bytes.
    """

    channels: int
    sample_rate: int
    bits: int
    count: int
    data_start: int
    trailing: int
    format: SampleFormat | None


def read_wav_header(path: Path) -> WavHeader:
    """Read the header.

    Raises :class:`InputError` for what is not a WAV file, is cut short, or holds another kind
    of sample or number of channels than a receiver can use.
    """
    size = path.stat().st_size
    kind = None
    with path.open("rb") as file:
        riff = file.read(12)
        if len(riff) < 12 or riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
            raise InputError(f"{path}: not a WAV file")
        while True:
            head = file.read(8)
            if len(head) < 8:
                raise InputError(f"{path}: the WAV file ends before its data")
            name, length = head[:4], struct.unpack("<I", head[4:])[0]
            if name == b"data":
                break
            body = file.read(length + length % 2)
            if name == b"fmt ":
                if len(body) < 16:
                    raise InputError(f"{path}: the WAV format chunk is cut short")
                tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", body[:16])
                if tag == _EXTENSIBLE and len(body) >= 26:
                    tag = struct.unpack("<H", body[24:26])[0]
                kind = (tag, channels, rate, block, bits)
        start = file.tell()
    if kind is None:
        raise InputError(f"{path}: the WAV file has no format chunk before its data")
    tag, channels, rate, block, bits = kind
    if (tag, bits) not in _READABLE:
        raise InputError(
            f"{path}: WAV samples of format {tag} with {bits} bits are not supported: PCM of 8, "
            "16, 24 or 32 bits and float of 32 are"
        )
    if channels not in (1, 2):
        raise InputError(f"{path}: a WAV file of {channels} channels; 1 (real) or 2 (I and Q) work")
    if block != channels * bits // 8:
        raise InputError(f"{path}: the WAV header contradicts itself about the sample size")
    if rate == 0:
        raise InputError(f"{path}: the WAV header names a sample rate of 0")
    if length > size - start:
        raise InputError(
            f"{path}: the WAV header promises {length} bytes of samples, the file has "
            f"{size - start}"
        )
    if length % block:
        raise InputError(f"{path}: {length} bytes are no whole number of {block}-byte samples")
    if length == 0:
        raise InputError(f"{path}: no samples")
    scalar = _SCALARS.get((tag, bits))
    return WavHeader(
        channels=channels,
        sample_rate=rate,
        bits=bits,
        count=length // block,
        data_start=start,
        trailing=size - start - length,
        format=SampleFormat(scalar, channels == 2) if scalar else None,
    )
