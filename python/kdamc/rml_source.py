# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RML Source block: a data set file as a complex stream."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pmt
from gnuradio import gr

from . import metadata
from .data_file import SNR_UNKNOWN, DataSetFile, describe_data
from .guard import WORK_DONE, Guarded, guarded_work

ORDERS = ("file", "shuffled")

# Frames copied in one call: more gain nothing, and delay whoever wants the GIL.
_MOST_FRAMES = 4096

# Longest sleep of a throttled source, after which it lets itself be stopped.
_NAP_S = 0.05


class rml_source(Guarded, gr.sync_block):
    """Frames of a data set file, one after another, as complex samples.

    Output: complex samples as they are in the file, unscaled; on the first one a tag ``rx_rate``,
    on the last one ``eos`` unless the source repeats.  With ``tags`` the first sample of every
    frame has the tags ``label`` (its class), ``snr`` (its SNR label in dB; not where it is
    unknown) and ``index`` (its place in the file).  With ``pdus`` the message port ``pdus`` gives
    every frame also as a PDU: the same keys and ``sample_rate``, the samples as c32vector.  Both
    take Python time for every frame: some 6 µs for tags, 10 µs for a PDU, 4 µs for its samples.

    A flowgraph that only wants PDUs lets the stream run into a Null Sink, throttled: nothing else
    keeps messages from piling up.

    Args:
        file: the data set file.
        classes: names of the classes to play, as a list or separated by commas; none: all.
        snr_low, snr_high: SNR labels to play, in dB, both included; the defaults take all, also
            frames of unknown SNR.
        order: "file", or "shuffled" by ``seed``; every pass has the same order.
        seed: of the shuffling.
        repeat: start again after the last frame.
        sample_rate: in Hz; 0: what the file says.
        throttle: give samples at the sample rate, not as fast as they are taken.
        tags, pdus: see above.

    Raises :class:`DataFileError` for a file or a selection that cannot be used, ValueError for
    another impossible setting.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        classes: Sequence[str] | str = (),
        snr_low: float = -128,
        snr_high: float = 127,
        order: str = "file",
        seed: int = 1,
        repeat: bool = False,
        sample_rate: float = 0.0,
        throttle: bool = False,
        tags: bool = True,
        pdus: bool = False,
    ) -> None:
        if order not in ORDERS:
            raise ValueError(f"order must be {' or '.join(ORDERS)}, not {order!r}")
        if not (math.isfinite(sample_rate) and sample_rate >= 0):
            raise ValueError(f"sample_rate must be 0 or more, not {sample_rate}")
        self._data = data = DataSetFile(file)
        self._rate = sample_rate or data.info.sample_rate
        if not (math.isfinite(self._rate) and self._rate > 0):
            raise ValueError(f"{data.path}: a sample rate of {self._rate} Hz; name sample_rate")
        if isinstance(classes, str):
            classes = [name.strip() for name in classes.split(",") if name.strip()]
        snr = None if (snr_low, snr_high) == (-128, 127) else (snr_low, snr_high)
        self._order = data.select(classes, snr)
        if order == "shuffled":
            np.random.default_rng(seed).shuffle(self._order)
        self._selection = {
            **({"classes": list(classes)} if classes else {}),
            **({"snr": list(snr)} if snr else {}),
        }
        self._labels = data.y[:].astype(int)[self._order]
        self._snr = data.z[:].astype(int)[self._order]
        self._mapped = data.mapped_frames()
        self._length = data.frame_length
        if self._mapped is not None:
            data.close()
        self._repeat = repeat
        self._throttle = throttle
        self._tags = tags
        self._pdus = pdus
        self._position = 0
        # When the source began to keep its pace, and with which frame.
        self._since: tuple[float, int] | None = None

        gr.sync_block.__init__(self, name="RML Source", in_sig=None, out_sig=[np.complex64])
        self.set_output_multiple(self._length)
        self._class_symbols = [pmt.intern(name) for name in data.info.classes]
        self._snr_values = {
            int(value): pmt.from_double(float(value)) for value in np.unique(self._snr)
        }
        self._port = pmt.intern("pdus")
        self.message_port_register_out(self._port)

    def classes(self) -> tuple[str, ...]:
        """Names of all classes of the file, in the order of its indices."""
        return self._data.info.classes

    def frames(self) -> int:
        """Frames of one pass."""
        return len(self._order)

    def frame_length(self) -> int:
        """Samples a frame."""
        return self._length

    def sample_rate(self) -> float:
        """In Hz."""
        return self._rate

    def set_throttle(self, throttle: bool) -> None:
        """Give samples at the sample rate from now on, or as fast as they are taken."""
        self._throttle = throttle
        self._since = None

    def set_tags(self, tags: bool) -> None:
        """Whether every frame that is still to come has tags."""
        self._tags = tags

    def set_pdus(self, pdus: bool) -> None:
        """Whether every frame that is still to come is published as a PDU."""
        self._pdus = pdus

    def truth(self, sample_start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What begins at the absolute samples ``sample_start (n)`` of the output.

        Returns class indices, SNR labels in dB, and whether a frame begins exactly there: where
        none does, the other two mean nothing.  All ``(n)``.
        """
        frame, rest = np.divmod(sample_start.astype(np.int64), self._length)
        known = rest == 0
        if not self._repeat:
            known &= frame < len(self._order)
        frame %= len(self._order)
        return self._labels[frame], self._snr[frame], known

    def describe(self) -> dict[str, Any]:
        """What a record says of the data: of the file, and what was chosen from it."""
        return {**describe_data(self._data), **self._selection}

    def start(self) -> bool:
        """Begin with the first frame, at sample 0, as the scheduler does at every start."""
        self._position = 0
        self._since = None
        return True

    @guarded_work
    def work(self, input_items: list[np.ndarray], output_items: list[np.ndarray]) -> int:
        """Give as many whole frames as there is room for."""
        n, length = len(self._order), self._length
        count = min(len(output_items[0]) // length, _MOST_FRAMES)
        if not self._repeat:
            count = min(count, n - self._position)
            if count == 0:
                return WORK_DONE
        if self._throttle:
            count = min(count, self._due())
            if count <= 0:
                return 0
        at = np.arange(self._position, self._position + count) % n
        rows = self._order[at]
        block = self._read(rows)
        # Planar to interleaved, two long copies.
        out = output_items[0][: count * length].reshape(count, length)
        out.real[...] = block[:, 0]
        out.imag[...] = block[:, 1]
        first = self.nitems_written(0)
        if self._position == 0:
            self.add_item_tag(0, first, metadata.TAG_RATE, pmt.from_double(self._rate))
        if self._tags:
            self._tag(first, at, rows)
        if self._pdus:
            self._publish(out, at, rows)
        self._position += count
        if not self._repeat and self._position == n:
            self.add_item_tag(0, first + count * length - 1, metadata.TAG_EOS, pmt.PMT_T)
        return count * length

    def _due(self) -> int:
        """Frames that may go out by now; waits a moment if there is none."""
        seconds = self._length / self._rate
        if (since := self._since) is None:
            since = self._since = time.monotonic(), self._position
        began, first = since

        def due() -> int:
            return int((time.monotonic() - began) / seconds) + 1 - (self._position - first)

        if due() <= 0:
            time.sleep(min(seconds, _NAP_S))
        return due()

    def _read(self, rows: np.ndarray) -> np.ndarray:
        """``(n, 2, L)`` of the file's rows."""
        source = self._data.x if self._mapped is None else self._mapped
        if rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return source[rows[0] : rows[-1] + 1]
        if self._mapped is not None:
            return self._mapped[rows]
        # HDF5 wants each row once, in order.
        unique, back = np.unique(rows, return_inverse=True)
        return source[unique][back]

    def _tag(self, first: int, at: np.ndarray, rows: np.ndarray) -> None:
        offset = first
        for label, snr, row in zip(
            self._labels[at].tolist(), self._snr[at].tolist(), rows.tolist(), strict=True
        ):
            self.add_item_tag(0, offset, metadata.TAG_LABEL, self._class_symbols[label])
            if snr != SNR_UNKNOWN:
                self.add_item_tag(0, offset, metadata.TAG_SNR, self._snr_values[snr])
            self.add_item_tag(0, offset, metadata.TAG_INDEX, pmt.from_uint64(row))
            offset += self._length

    def _publish(self, frames: np.ndarray, at: np.ndarray, rows: np.ndarray) -> None:
        common = pmt.dict_add(pmt.make_dict(), metadata.META_RATE, pmt.from_double(self._rate))
        for frame, label, snr, row in zip(
            frames, self._labels[at].tolist(), self._snr[at].tolist(), rows.tolist(), strict=True
        ):
            meta = pmt.dict_add(common, metadata.TAG_LABEL, self._class_symbols[label])
            if snr != SNR_UNKNOWN:
                meta = pmt.dict_add(meta, metadata.TAG_SNR, self._snr_values[snr])
            meta = pmt.dict_add(meta, metadata.TAG_INDEX, pmt.from_uint64(row))
            payload = pmt.init_c32vector(self._length, frame.tolist())
            self.message_port_pub(self._port, pmt.cons(meta, payload))
