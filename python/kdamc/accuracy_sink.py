# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Accuracy Sink block: a classifier's results held against a data set."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pmt
from gnuradio import gr

from . import metadata
from .accuracy import Tally, describe_model
from .guard import Guarded, guarded_handler, handle_waiting
from .model import Model, installed_models, open_model
from .whole_file import is_writable, write_whole


class LabelledSource(Protocol):
    """A source that knows what it sends; :class:`rml_source` is one."""

    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their indices."""

    def truth(self, sample_start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Class indices, SNR labels in dB, and whether a frame begins exactly there."""

    def describe(self) -> dict[str, Any]:
        """What a record says of the data."""


class accuracy_sink(Guarded, gr.basic_block):
    """Accuracy by SNR and the confusion matrix of a classifier, while it runs.

    The source tells what each frame is, by its first sample: nothing needs to travel with the
    samples, and frames that a classifier leaves out do no harm.

    Message ports: ``frames`` takes the PDUs of the port of that name of a KD AMC Classifier (with
    ``publish_frames``) or an ONNX Classifier behind a Frame Slicer.  ``stats`` gives a dictionary
    every ``stats_interval`` seconds: ``frames``, ``unmatched`` (results whose samples are not
    exactly a frame of the source), ``overall``, ``snr_labels`` and ``by_snr`` (vectors of one
    length), ``classes``, ``confusion`` (f64vector, a row a true class).

    Results of another model than before begin a new count.

    Args:
        source: the :class:`rml_source` whose samples are classified.
        json_file: written when the flowgraph ends: the record that ``kdamc-train evaluate``
            writes, of the frames that were classified; "": none.
        model: what the record says of the model; None: it is looked up by its name among the
            installed models.
        stats_interval: seconds between ``stats`` messages; 0: none.

    Raises ValueError when made if the file cannot be written.  Results without a position, or of
    other classes than the source's, end the flowgraph; ``error`` says why.
    """

    def __init__(
        self,
        source: LabelledSource,
        json_file: str | os.PathLike[str] = "",
        model: Model | None = None,
        stats_interval: float = 1.0,
    ) -> None:
        gr.basic_block.__init__(self, name="Accuracy Sink", in_sig=None, out_sig=None)
        self._json_file = Path(json_file) if os.fspath(json_file) else None
        if self._json_file is not None and not is_writable(self._json_file):
            raise ValueError(f"{self._json_file}: cannot be written")
        self._source = source
        self._model = model
        self.set_stats_interval(stats_interval)
        self._lock = threading.Lock()
        self._clear("")
        self._stats_at = time.monotonic()
        self._in, self._out = pmt.intern("frames"), pmt.intern("stats")
        self.message_port_register_out(self._out)
        self.message_port_register_in(self._in)
        self.set_msg_handler(self._in, self._take_frames)

    def set_stats_interval(self, stats_interval: float) -> None:
        """Seconds between ``stats`` messages; 0: none.  Raises ValueError for less."""
        if not (math.isfinite(stats_interval) and stats_interval >= 0):
            raise ValueError(f"stats_interval must be 0 or more seconds, not {stats_interval}")
        self._stats_interval = stats_interval

    def frames(self) -> int:
        """Frames counted so far."""
        with self._lock:
            return self._tally.frames

    def accuracy(self) -> float:
        """Share of frames called rightly; NaN before the first."""
        with self._lock:
            overall = self._tally.overall()
        return math.nan if overall is None else overall

    def stats(self) -> dict[str, Any]:
        """``frames``, ``unmatched``, ``overall`` (or None), ``by_snr``, ``classes``, ``confusion``.

        ``by_snr`` maps SNR labels in dB to shares, ``confusion[i, j]`` counts frames of class i
        that were called class j.
        """
        with self._lock:
            return {
                "frames": self._tally.frames,
                "unmatched": self._unmatched,
                "overall": self._tally.overall(),
                "by_snr": self._tally.by_snr(),
                "classes": self._tally.classes,
                "confusion": self._tally.confusion(),
            }

    def record(self) -> dict[str, Any]:
        """What ``kdamc-train evaluate`` writes of the same frames.

        Raises ValueError if no frame was classified.
        """
        with self._lock:
            record = self._tally.record()
        return {**record, "model": self._describe_model(), "data": self._source.describe()}

    def start(self) -> bool:
        """Count from 0, as the source does at every start."""
        with self._lock:
            self._clear("")
        return True

    def stop(self) -> bool:
        """Write the record."""
        handle_waiting(self, self._in, self._take_frames)
        try:
            if self._json_file is not None and self._tally.frames and self.error is None:
                write_whole(self._json_file, json.dumps(self.record(), indent=1) + "\n")
        except Exception as error:
            self.fail(error)
        return True

    @guarded_handler
    def _take_frames(self, message: Any) -> None:
        if not pmt.is_pair(message) or not pmt.is_f32vector(pmt.cdr(message)):
            raise ValueError("a message on frames is not a PDU with posteriors")
        meta = pmt.car(message)
        classes = tuple(pmt.symbol_to_string(metadata.field(meta, "classes")).split(","))
        if classes != self._source.classes():
            raise ValueError(
                f"the model knows {', '.join(classes)}; the data set holds"
                f" {', '.join(self._source.classes())}"
            )
        first_samples = metadata.field(meta, "sample_start")
        if not pmt.is_u64vector(first_samples):
            raise ValueError("the results do not say at which samples their frames begin")
        starts = np.array(pmt.u64vector_elements(first_samples), np.int64)
        posteriors = np.array(pmt.f32vector_elements(pmt.cdr(message)), np.float32)
        posteriors = posteriors.reshape(len(starts), len(classes))
        labels, snr, known = self._source.truth(starts)
        name = pmt.symbol_to_string(metadata.field(meta, "model"))
        with self._lock:
            if name != self._model_name:
                self._clear(name)
            self._tally.add(labels[known], snr[known], posteriors[known])
            self._unmatched += int(np.count_nonzero(~known))
        now = time.monotonic()
        if self._stats_interval and now - self._stats_at >= self._stats_interval:
            self._stats_at = now
            self.message_port_pub(self._out, self._stats_message())

    def _clear(self, model_name: str) -> None:
        self._tally = Tally(self._source.classes())
        self._unmatched = 0
        self._model_name = model_name

    def _stats_message(self) -> Any:
        stats = self.stats()
        by_snr, confusion = stats["by_snr"], stats["confusion"]
        meta = metadata.dictionary(
            {
                **{name: stats[name] for name in ("frames", "unmatched", "overall")},
                "classes": ",".join(stats["classes"]),
            }
        )
        # Doubles hold counts exactly, and pmt.to_python knows no vectors of 64-bit integers.
        counts = confusion.astype(float).ravel().tolist()
        for name, vector in (
            ("snr_labels", pmt.init_s32vector(len(by_snr), list(by_snr))),
            ("by_snr", metadata.f32vector(np.array(list(by_snr.values())))),
            ("confusion", pmt.init_f64vector(confusion.size, counts)),
        ):
            meta = pmt.dict_add(meta, pmt.intern(name), vector)
        return meta

    def _describe_model(self) -> dict[str, Any]:
        name = self._model_name
        if self._model is None and name in installed_models():
            return describe_model(open_model(name))
        if self._model is not None and self._model.name == name:
            return describe_model(self._model)
        return {"name": name}
