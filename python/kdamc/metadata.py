# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stream tags and PDU metadata: the keys, and decisions as PMTs.

Keys that GNU Radio's radios use keep their names (``rx_time``, ``rx_freq``, ``rx_rate`` on
streams; ``rx_time``, ``rx_freq``, ``sample_rate`` in PDUs).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pmt

from .decision import Decision, Segment

if TYPE_CHECKING:
    from .band_scanner import FoundSignal

TAG_TIME = pmt.intern("rx_time")
TAG_FREQ = pmt.intern("rx_freq")
TAG_RATE = pmt.intern("rx_rate")
#: On the last sample of a stream that ends: what is under way is decided now.
TAG_EOS = pmt.intern("eos")
#: On the first sample of a decision; the value is the metadata of its PDU.
TAG_DECISION = pmt.intern("amc_decision")
#: Of the signal that begins here, Hz, where somebody estimated them: see the Signal Front End.
TAG_BANDWIDTH = pmt.intern("bandwidth")
TAG_SYMBOL_RATE = pmt.intern("symbol_rate")
#: On a frame vector: (absolute first sample, hop), valid until the next such tag.
TAG_FRAME = pmt.intern("frame_start")

#: On the first sample of a frame of a data set, and in its PDU: the class that it is, its SNR label
#: in dB (left out where it is not known), and where it stands in the file.
TAG_LABEL = pmt.intern("label")
TAG_SNR = pmt.intern("snr")
TAG_INDEX = pmt.intern("index")

META_TIME = pmt.intern("rx_time")
META_FREQ = pmt.intern("rx_freq")
META_RATE = pmt.intern("sample_rate")

# Interned once: symbols live for ever, and looking them up takes a lock.
_FIELDS = {
    name: pmt.intern(name)
    for name in (
        "label",
        "confidence",
        "entropy",
        "snr_db",
        "sample_start",
        "sample_count",
        "model",
        "frames_used",
        "frames_gated",
        "frames_dropped",
        "bandwidth_hz",
        "symbol_rate_hz",
        "unknown_score",
    )
}


def to_pmt(value: Any) -> Any:
    """A plain value as a PMT; ``None`` and NaN become PMT_NIL."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return pmt.PMT_NIL
    if isinstance(value, bool):
        return pmt.from_bool(value)
    if isinstance(value, int):
        return pmt.from_uint64(value)
    if isinstance(value, float):
        return pmt.from_double(value)
    return pmt.intern(str(value))


def dictionary(items: dict[str, Any]) -> Any:
    """A plain dictionary as a PMT dictionary with symbols as keys."""
    out = pmt.make_dict()
    for key, value in items.items():
        out = pmt.dict_add(out, pmt.intern(key), to_pmt(value))
    return out


def time_to_pmt(time: tuple[int, float]) -> Any:
    """(whole seconds, fraction) as UHD writes it; the whole seconds must not be negative."""
    return pmt.make_tuple(pmt.from_uint64(time[0]), pmt.from_double(time[1]))


def place_to_pmt(
    meta: Any, time: tuple[int, float] | None, freq_hz: float, sample_rate: float
) -> Any:
    """Add ``rx_time`` (if known), ``rx_freq`` and ``sample_rate`` to a metadata dictionary."""
    # A clock that started at 0 knows no time before it.
    if time is not None and time[0] >= 0:
        meta = pmt.dict_add(meta, META_TIME, time_to_pmt(time))
    meta = pmt.dict_add(meta, META_FREQ, pmt.from_double(freq_hz))
    return pmt.dict_add(meta, META_RATE, pmt.from_double(sample_rate))


def decision_to_pmt(decision: Decision) -> Any:
    """The metadata dictionary of a decision's PDU and tag."""
    meta = pmt.make_dict()
    for name, key in _FIELDS.items():
        meta = pmt.dict_add(meta, key, to_pmt(getattr(decision, name)))
    return place_to_pmt(meta, decision.rx_time, decision.freq_hz, decision.sample_rate)


def signal_to_pmt(found: FoundSignal, segment: Segment, model: str) -> Any:
    """The metadata dictionary of a found signal's PDU.

    All fields of :class:`FoundSignal`, ``centre_hz`` as ``rx_freq`` in absolute terms; ``rx_time``
    of its first sample where known; ``sample_rate`` of the band; ``model``.
    """
    items = {**vars(found), "model": model}
    items.pop("centre_hz")
    return place_to_pmt(
        dictionary(items),
        segment.time_of(found.start),
        segment.freq_hz + found.centre_hz,
        segment.sample_rate,
    )


def read_decision(message: Any) -> Decision:
    """The decision of a PDU that :func:`decision_to_pmt` and its posterior made.

    Raises ValueError for anything else.
    """
    try:
        meta, payload = pmt.car(message), pmt.cdr(message)
        fields = {
            name: pmt.to_python(pmt.dict_ref(meta, key, pmt.PMT_NIL))
            for name, key in _FIELDS.items()
        }
        if not isinstance(fields["label"], str) or not pmt.is_f32vector(payload):
            raise ValueError("no label or no posterior")
        return Decision(
            **fields,
            rx_time=read_time(pmt.dict_ref(meta, META_TIME, pmt.PMT_NIL)),
            freq_hz=read_number(pmt.dict_ref(meta, META_FREQ, pmt.PMT_NIL), 0.0),
            sample_rate=read_number(pmt.dict_ref(meta, META_RATE, pmt.PMT_NIL), 1.0),
            posterior=np.array(pmt.f32vector_elements(payload), np.float32),
        )
    except Exception as error:
        raise ValueError(f"not a decision ({' '.join(str(error).split())})") from None


@dataclass(frozen=True)
class SignalMessage:
    """What a scanner's PDU says of a signal: see :class:`FoundSignal`; ``freq_hz`` is absolute."""

    number: int
    ongoing: bool
    freq_hz: float
    bandwidth_hz: float
    symbol_rate_hz: float | None
    snr_db: float | None
    label: str
    confidence: float


def read_signal(message: Any) -> SignalMessage:
    """The signal of a PDU that :func:`signal_to_pmt` made; raises ValueError for anything else."""
    try:
        meta = pmt.car(message)

        def number(name: str) -> float | None:
            """A finite number, None where nothing stands."""
            value = read_number(field(meta, name), math.nan)
            if math.isfinite(value):
                return value
            if pmt.is_null(field(meta, name)):
                return None
            raise ValueError(f"{name} is no finite number")

        def wanted(name: str) -> float:
            value = number(name)
            if value is None:
                raise ValueError(f"no {name}")
            return value

        return SignalMessage(
            number=int(wanted("number")),
            ongoing=pmt.to_bool(field(meta, "ongoing")),
            freq_hz=wanted(str(META_FREQ)),
            bandwidth_hz=wanted("bandwidth_hz"),
            symbol_rate_hz=number("symbol_rate_hz"),
            snr_db=number("snr_db"),
            label=pmt.symbol_to_string(field(meta, "label")),
            confidence=wanted("confidence"),
        )
    except Exception as error:
        raise ValueError(f"not a signal ({' '.join(str(error).split())})") from None


def f32vector(values: np.ndarray) -> Any:
    """An array as an f32vector (a list is what the binding converts fastest)."""
    return pmt.init_f32vector(values.size, values.ravel().tolist())


def read_time(value: Any) -> tuple[int, float] | None:
    """(whole seconds, fraction) from a tag or metadata value, ``None`` if it is no such time."""
    if pmt.is_tuple(value) and pmt.length(value) == 2:
        parts = (pmt.tuple_ref(value, 0), pmt.tuple_ref(value, 1))
    elif pmt.is_pair(value):
        parts = (pmt.car(value), pmt.cdr(value))
    else:
        parts = (pmt.from_long(0), value)
    whole, part = (read_number(number, -1.0) for number in parts)
    if not (0 <= whole < 2**53 and 0 <= part < 2**53):
        return None
    # A double holds seconds and their fraction apart exactly enough, but not their sum.
    more, part = divmod(part, 1.0)
    return int(whole) + int(more), part


def field(meta: Any, name: str) -> Any:
    """What a PMT dictionary has under a name; PMT_NIL if nothing."""
    return pmt.dict_ref(meta, pmt.intern(name), pmt.PMT_NIL)


def read_number(value: Any, default: float) -> float:
    """A finite number, or ``default`` for anything else."""
    if not pmt.is_number(value) or pmt.is_complex(value):
        return default
    number = float(pmt.to_python(value))
    return number if math.isfinite(number) else default


def after_tag(segment: Segment, key: Any, value: Any, sample: int) -> Segment:
    """The segment that begins at ``sample``, or the same object if nothing changes there.

    A new frequency, rate or estimate, a first time or a gap in time begins a segment; a time that
    continues the old clock within half a sample does not.
    """
    if pmt.eqv(key, TAG_FREQ):
        return moved(segment, sample, freq_hz=read_number(value, segment.freq_hz))
    elif pmt.eqv(key, TAG_RATE):
        rate = read_number(value, segment.sample_rate)
        if rate > 0:
            return moved(segment, sample, sample_rate=rate)
    elif pmt.eqv(key, TAG_BANDWIDTH):
        return moved(segment, sample, bandwidth_hz=_positive(value))
    elif pmt.eqv(key, TAG_SYMBOL_RATE):
        return moved(segment, sample, symbol_rate_hz=_positive(value))
    elif pmt.eqv(key, TAG_TIME):
        time = read_time(value)
        if time is None:
            return segment
        expected = segment.time_of(sample)
        if expected is None or abs(
            (time[0] - expected[0]) + (time[1] - expected[1])
        ) * segment.sample_rate > max(0.5, 2e-9 * segment.sample_rate):
            return replace(segment, time=time, time_at=sample)
    return segment


def _positive(value: Any) -> float | None:
    """A number above 0, else None."""
    number = read_number(value, 0.0)
    return number if number > 0 else None


def moved(segment: Segment, sample: int, **changes: float | None) -> Segment:
    """Another frequency, rate or estimate from ``sample`` on; the clock goes on.

    The same object if nothing changes.
    """
    if all(getattr(segment, name) == value for name, value in changes.items()):
        return segment
    return replace(segment, time=segment.time_of(sample), time_at=sample, **changes)
