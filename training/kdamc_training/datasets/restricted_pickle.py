# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads pickles of a dictionary of NumPy arrays, and of nothing else, without running anything.

Python's own unpickler imports and calls what a file names. This one never does: it interprets the
opcodes that the RadioML files of 2016 need (Python 2's cPickle, protocols 0 to 2) and those that
Python 3 writes when such a dictionary is saved again, knows six names, and refuses everything
else. The samples stay in the file until they are asked for, so the memory taken is that of one
array and not of the file.

Sources: Python's ``pickletools`` for the opcodes; ``ndarray.__reduce__`` and ``__setstate__`` of
NumPy for the arguments.
"""

from __future__ import annotations

import codecs
import enum
import math
import os
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import UserError

MOST_OPCODES = 1_000_000
"""A file of 220 arrays has some 13,000; the limit bounds what a hostile file can make us hold."""
LONGEST_STRING = 1 << 28
LONGEST_NAME = 64

_FLOATS = ("f4", "f8")
_INTEGERS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


class _UnexpectedError(ValueError):
    """What a pickle has that it should not; the message is for the user."""


class _Name(enum.Enum):
    """What a pickle may name. These are marks: nothing is imported."""

    RECONSTRUCT = enum.auto()
    NDARRAY = enum.auto()
    DTYPE = enum.auto()
    SCALAR = enum.auto()
    ENCODE = enum.auto()


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _Name.SCALAR,
    ("numpy._core.multiarray", "scalar"): _Name.SCALAR,
    ("numpy", "ndarray"): _Name.NDARRAY,
    ("numpy", "dtype"): _Name.DTYPE,
    # Python 3 writes bytes so where protocols 0 to 2 are asked for.
    ("_codecs", "encode"): _Name.ENCODE,
}


@dataclass(frozen=True)
class _String:
    """Bytes or text in the file, not read yet; ``coding`` says how they are written there."""

    path: Path
    start: int
    length: int
    coding: str

    def read(self) -> bytes:
        """The bytes; of text, those of its Latin-1 form, which is how arrays are saved as text."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            data = file.read(self.length)
        if self.coding == "escaped":
            with warnings.catch_warnings():
                # Of an escape that Python does not know, which only a damaged file has.
                warnings.simplefilter("ignore", DeprecationWarning)
                return codecs.escape_decode(data)[0]
        if self.coding == "raw":
            return data
        return data.decode(self.coding).encode("latin-1")

    def name(self) -> str:
        """A short string as text. Raises _UnexpectedError if it is long."""
        if self.length > 4 * LONGEST_NAME:
            raise _UnexpectedError("a string is too long for a name")
        return self.read().decode("latin-1")


class _DType:
    """A ``numpy.dtype``: its code first, its byte order later."""

    def __init__(self, code: str) -> None:
        if code not in _FLOATS + _INTEGERS:
            raise _UnexpectedError(f"numbers of type {code!r} are not expected")
        self.numpy = np.dtype(code)

    def set_state(self, state: tuple) -> None:
        """Take NumPy's state: version, byte order, and what only structures have."""
        order = state[1].name()
        if order not in "<>=|" or any(value is not None for value in state[2:5]):
            raise _UnexpectedError("a dtype of an unexpected form")
        self.numpy = self.numpy.newbyteorder(order)


class StoredArray:
    """An array of floats that lies in a pickle; ``read`` fetches it."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self._dtype: np.dtype | None = None
        self._fortran = False
        self._data: _String | None = None

    def set_state(self, state: tuple) -> None:
        """Take NumPy's state: version, shape, dtype, column-major or not, samples."""
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _DType) or dtype.numpy.kind != "f":
            raise _UnexpectedError("an array holds something else than real floating-point numbers")
        if not isinstance(data, _String) or not all(type(k) is int and k >= 0 for k in shape):
            raise _UnexpectedError("an array of an unexpected form")
        self.shape, self._dtype, self._fortran = tuple(shape), dtype.numpy, bool(fortran)
        self._data = data

    def read(self) -> np.ndarray:
        """The array, in float32 of this machine's byte order.

        Raises ValueError if the samples in the file are not as many as the shape says.
        """
        data = self._data.read() if self._data else b""
        if len(data) != math.prod(self.shape) * (self._dtype.itemsize if self._dtype else 0):
            raise _UnexpectedError(f"an array of shape {self.shape} has {len(data)} bytes")
        flat = np.frombuffer(data, self._dtype)
        return flat.reshape(self.shape, order="F" if self._fortran else "C").astype(np.float32)


class _Mark:
    """Where the arguments of a later opcode begin on the stack."""


_MARK = _Mark()


def load_arrays(path: str | os.PathLike) -> dict[tuple[str, int], StoredArray]:
    """The dictionary of a pickle that maps (name, whole number) to arrays of floats.

    Raises UserError, naming the file and the reason, for every other file: a pickle that names a
    function or class beyond those of arrays, one that is cut short, or no pickle at all.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            result = _Reader(path, file).run()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, LookupError, struct.error, AttributeError) as error:
        expected = isinstance(error, _UnexpectedError)
        reason = str(error) if expected else "it is damaged, or something else"
        raise UserError(f"{path}: not a pickle of a dictionary of arrays: {reason}") from error
    if not isinstance(result, dict) or not result:
        raise UserError(f"{path}: not a pickle of a dictionary of arrays: it holds something else")
    return result


class _Reader:
    """One run over the opcodes of a pickle.

    Whatever does not fit ends in an exception; ``load_arrays`` reports it.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._size = os.fstat(file.fileno()).st_size
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Interpret the file up to its STOP; returns the one object that is left."""
        for _ in range(MOST_OPCODES):
            opcode = self._take(1)
            if opcode == b".":
                (result,) = self._stack
                return result
            if opcode not in _OPCODES:
                raise _UnexpectedError(f"it uses opcode {opcode!r}, which arrays do not need")
            _OPCODES[opcode](self)
        raise _UnexpectedError("it holds too many objects")

    # Reading.

    def _take(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise _UnexpectedError("it ends too early")
        return data

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> bytes:
        """A short line: numbers, names."""
        line = self._file.readline(4 * LONGEST_NAME)
        if not line.endswith(b"\n"):
            raise _UnexpectedError("it ends too early, or has a line that is too long")
        return line[:-1]

    # Strings.

    def _string_by_length(self, form: str, coding: str) -> None:
        length = self._number(form)
        start = self._file.tell()
        if not 0 <= length <= self._size - start:
            raise _UnexpectedError("it ends too early")
        if length > LONGEST_STRING:
            raise _UnexpectedError("a string is too long")
        self._file.seek(length, os.SEEK_CUR)
        self._stack.append(_String(self._path, start, length, coding))

    def _string_by_line(self, coding: str) -> None:
        start = self._file.tell()
        line = self._file.readline(LONGEST_STRING)
        if not line.endswith(b"\n"):
            raise _UnexpectedError("it ends too early, or has a string that is too long")
        stop = start + len(line) - 1
        if coding == "escaped":
            quoted = line[:-1].rstrip(b" \r")
            if len(quoted) < 2 or quoted[:1] not in (b"'", b'"') or quoted[:1] != quoted[-1:]:
                raise _UnexpectedError("a string without quotation marks")
            start, stop = start + 1, start + len(quoted) - 1
        self._stack.append(_String(self._path, start, stop - start, coding))

    # Numbers.

    def _whole_line(self) -> None:
        line = self._line()
        # Protocols 0 and 1 write truth values as numbers with a leading zero.
        truth = {b"00": False, b"01": True}.get(line)
        self._stack.append(int(line.removesuffix(b"L")) if truth is None else truth)

    def _long(self) -> None:
        self._stack.append(int.from_bytes(self._take(self._number("<B")), "little", signed=True))

    # Containers.

    def _since_mark(self) -> list[Any]:
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise LookupError("no mark")
        items = self._stack[at + 1 :]
        del self._stack[at:]
        return items

    def _tuple(self, count: int) -> None:
        items = tuple(self._stack.pop() for _ in range(count))
        self._stack.append(items[::-1])

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise _UnexpectedError("items are set in something that is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            name, number = key
            if not isinstance(name, _String) or not isinstance(number, int | np.integer):
                raise _UnexpectedError("a key is not a name and a whole number")
            if not isinstance(value, StoredArray):
                raise _UnexpectedError("a value is no array")
            target[name.name(), int(number)] = value

    def _dictionary(self) -> None:
        items = self._since_mark()
        self._stack.append({})
        self._set_items(items)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    # Names and what is made with them.

    def _global(self, module: str, name: str) -> None:
        if (module, name) not in _NAMES:
            shown = f"{module}.{name}".encode("ascii", "backslashreplace").decode()
            raise _UnexpectedError(f"it names {shown!r}; only what NumPy arrays need is admitted")
        self._stack.append(_NAMES[module, name])

    def _global_line(self) -> None:
        module = self._line().decode("latin-1")
        self._global(module, self._line().decode("latin-1"))

    def _global_stack(self) -> None:
        name, module = self._stack.pop().name(), self._stack.pop().name()
        self._global(module, name)

    def _reduce(self) -> None:
        given, called = self._stack.pop(), self._stack.pop()
        if called is _Name.RECONSTRUCT:
            kind, _, _ = given
            if kind is not _Name.NDARRAY:
                raise _UnexpectedError("an array of another class than ndarray")
            made: Any = StoredArray()
        elif called is _Name.DTYPE:
            made = _DType(given[0].name())
        elif called is _Name.SCALAR:
            dtype, data = given
            if dtype.numpy.kind not in "iu" or data.length > 4 * LONGEST_NAME:
                raise _UnexpectedError("a number of an unexpected form")
            (made,) = np.frombuffer(data.read(), dtype.numpy)
        elif called is _Name.ENCODE:
            made, coding = given
            if not isinstance(made, _String) or coding.name() not in ("latin1", "latin-1"):
                raise _UnexpectedError("text is encoded in an unexpected way")
        else:
            raise _UnexpectedError("it calls something that is no function")
        self._stack.append(made)

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if not isinstance(target, _DType | StoredArray) or not isinstance(state, tuple):
            raise _UnexpectedError("it sets the state of something that is no array")
        target.set_state(state)

    # The memo.

    def _remember(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _recall(self, index: int) -> None:
        self._stack.append(self._memo[index])


_OPCODES = {
    b"\x80": lambda r: r._number("<B"),  # PROTO
    b"\x95": lambda r: r._number("<Q"),  # FRAME
    b"(": lambda r: r._stack.append(_MARK),
    b"N": lambda r: r._stack.append(None),
    b"\x88": lambda r: r._stack.append(True),
    b"\x89": lambda r: r._stack.append(False),
    b"I": _Reader._whole_line,
    b"L": _Reader._whole_line,
    b"J": lambda r: r._stack.append(r._number("<i")),
    b"K": lambda r: r._stack.append(r._number("<B")),
    b"M": lambda r: r._stack.append(r._number("<H")),
    b"\x8a": _Reader._long,
    b"S": lambda r: r._string_by_line("escaped"),
    b"V": lambda r: r._string_by_line("raw-unicode-escape"),
    b"T": lambda r: r._string_by_length("<i", "raw"),  # BINSTRING
    b"U": lambda r: r._string_by_length("<B", "raw"),  # SHORT_BINSTRING
    b"B": lambda r: r._string_by_length("<I", "raw"),  # BINBYTES
    b"C": lambda r: r._string_by_length("<B", "raw"),  # SHORT_BINBYTES
    b"X": lambda r: r._string_by_length("<I", "utf-8"),  # BINUNICODE
    b"\x8c": lambda r: r._string_by_length("<B", "utf-8"),  # SHORT_BINUNICODE
    b")": lambda r: r._stack.append(()),
    b"t": lambda r: r._stack.append(tuple(r._since_mark())),
    b"\x85": lambda r: r._tuple(1),
    b"\x86": lambda r: r._tuple(2),
    b"\x87": lambda r: r._tuple(3),
    b"}": lambda r: r._stack.append({}),
    b"d": _Reader._dictionary,
    b"s": _Reader._set_item,
    b"u": lambda r: r._set_items(r._since_mark()),
    b"c": _Reader._global_line,
    b"\x93": _Reader._global_stack,
    b"R": _Reader._reduce,
    b"b": _Reader._build,
    b"p": lambda r: r._remember(int(r._line())),
    b"q": lambda r: r._remember(r._number("<B")),
    b"r": lambda r: r._remember(r._number("<I")),
    b"\x94": lambda r: r._remember(len(r._memo)),  # MEMOIZE
    b"g": lambda r: r._recall(int(r._line())),
    b"h": lambda r: r._recall(r._number("<B")),
    b"j": lambda r: r._recall(r._number("<I")),
}
