# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw sample formats: their size, their scale, and the blocks that unpack them.

Integers become floats of full scale 1: signed ones are divided by 2**(bits-1); unsigned bytes
are centred on 127.5, the mean of their range, and divided by 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gnuradio import blocks, gr

from .errors import InputError

_SCALAR_BYTES = {"f32": 4, "i16": 2, "i8": 1, "u8": 1}


@dataclass(frozen=True)
class SampleFormat:
    """How one sample lies in a file.

    ``scalar`` is f32, i16, i8 or u8; ``is_complex`` says whether a sample is I then Q or one
    real number; ``big_endian`` is the byte order of a scalar.
    """

    scalar: str
    is_complex: bool = True
    big_endian: bool = False

    @property
    def scalar_bytes(self) -> int:
        """Size of one number, bytes."""
        return _SCALAR_BYTES[self.scalar]

    @property
    def sample_bytes(self) -> int:
        """Size of one sample, bytes."""
        return self.scalar_bytes * (2 if self.is_complex else 1)

    @property
    def sigmf_datatype(self) -> str:
        """The SigMF name of the format."""
        order = "" if self.scalar_bytes == 1 else "_be" if self.big_endian else "_le"
        return ("c" if self.is_complex else "r") + self.scalar + order

    @property
    def item_bytes(self) -> int:
        """Size of the items that a file source must deliver to :meth:`unpackers`, bytes."""
        return self.sample_bytes if self._is_native else self.scalar_bytes

    @property
    def _is_native(self) -> bool:
        return self.scalar == "f32" and not self.big_endian

    def unpackers(self) -> list[gr.basic_block]:
        """Blocks in a row, from items as stored to complex or to real floats; maybe none."""
        if self._is_native:
            return []
        chain: list[gr.basic_block] = []
        if self.big_endian:
            chain.append(blocks.endian_swap(self.scalar_bytes))
        if self.scalar == "f32":
            if self.is_complex:
                # Two floats side by side are a complex number to every block that follows.
                chain.append(blocks.stream_to_vector(gr.sizeof_float, 2))
        elif self.scalar == "i16":
            if self.is_complex:
                chain.append(blocks.interleaved_short_to_complex(False, False, 32768.0))
            else:
                chain.append(blocks.short_to_float(1, 32768.0))
        else:
            if self.scalar == "u8":
                # Modulo 256 this is u8 - 128 as a signed byte; half a step is left to add.
                chain.append(blocks.add_const_bb(128))
            if self.is_complex:
                chain.append(blocks.interleaved_char_to_complex(False, 128.0))
                half_step = blocks.add_const_cc(complex(0.5, 0.5) / 128)
            else:
                chain.append(blocks.char_to_float(1, 128.0))
                half_step = blocks.add_const_ff(0.5 / 128)
            if self.scalar == "u8":
                chain.append(half_step)
        return chain


#: What ``--format`` accepts.
FORMATS = {
    "cf32": SampleFormat("f32"),
    "cs16": SampleFormat("i16"),
    "cs8": SampleFormat("i8"),
    "cu8": SampleFormat("u8"),
}

_SUFFIXES = {
    ".cf32": "cf32",
    ".cfile": "cf32",
    ".fc32": "cf32",
    ".cs16": "cs16",
    ".sc16": "cs16",
    ".cs8": "cs8",
    ".sc8": "cs8",
    ".cu8": "cu8",
}


def format_by_name(name: str) -> SampleFormat:
    """The format that ``--format`` names.  Raises :class:`InputError` for an unknown one."""
    try:
        return FORMATS[name]
    except KeyError:
        raise InputError(f"sample format {name!r} is none of {', '.join(FORMATS)}") from None


def format_by_suffix(path: Path) -> SampleFormat:
    """The format that a file's suffix stands for.  Raises :class:`InputError` if for none."""
    name = _SUFFIXES.get(path.suffix.lower())
    if name is None:
        raise InputError(
            f"{path}: the suffix does not tell the sample format; name it (--format "
            f"{'|'.join(FORMATS)})"
        )
    return FORMATS[name]


def format_by_sigmf_datatype(datatype: str) -> SampleFormat:
    """The format of a SigMF ``core:datatype``.  Raises :class:`InputError` if not supported."""
    kind, _, order = datatype.partition("_")
    scalar = kind[1:]
    multibyte = _SCALAR_BYTES.get(scalar, 0) > 1
    if kind[:1] not in ("c", "r") or scalar not in _SCALAR_BYTES or multibyte != bool(order):
        raise InputError(
            f"SigMF datatype {datatype!r} is not supported: c or r, then f32_le, i16_le, i8 or u8"
        )
    if order not in ("", "le", "be"):
        raise InputError(f"SigMF datatype {datatype!r}: unknown byte order")
    return SampleFormat(scalar, kind[0] == "c", order == "be")
