# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels that are no modulation, and what SigMF's signal extension calls those that are."""

from __future__ import annotations

import re

from ..contract import UNKNOWN_LABEL as UNKNOWN

#: True label of a passage without a signal.
NOISE = "noise"

__all__ = ["NOISE", "UNKNOWN", "signal_detail"]

_ANALOG = {
    "WBFM": {"mod_class": "fm"},
    "NBFM": {"mod_class": "fm"},
    "FM": {"mod_class": "fm"},
    "AM-DSB": {"mod_class": "am", "carrier_variant": "with_carrier"},
    "AM-DSB-WC": {"mod_class": "am", "carrier_variant": "with_carrier"},
    "AM-DSB-SC": {"mod_class": "am", "carrier_variant": "suppressed_carrier"},
    "AM-SSB": {"mod_class": "ssb"},
    "AM-SSB-WC": {"mod_class": "ssb", "carrier_variant": "with_carrier"},
    "AM-SSB-SC": {"mod_class": "ssb", "carrier_variant": "suppressed_carrier"},
}
_DIGITAL = {
    "BPSK": ("psk", 2),
    "QPSK": ("psk", 4),
    "OQPSK": ("psk", 4),
    "GFSK": ("fsk", 2),
    "GMSK": ("msk", 2),
    "CPFSK": ("cpfsk", 2),
    "OOK": ("ook", 2),
}
_COUNTED = re.compile(r"(\d+)-?(PSK|QAM|APSK|ASK|PAM|FSK)|(PSK|QAM|APSK|ASK|PAM|FSK)-?(\d+)")


def signal_detail(label: str) -> dict[str, str | int] | None:
    """The ``signal:detail`` object of a label; None for what the extension has no word for."""
    if label in _ANALOG:
        return {"type": "analog", **_ANALOG[label]}
    if label in _DIGITAL:
        mod_class, order = _DIGITAL[label]
        return {"type": "digital", "mod_class": mod_class, "order": order}
    if match := _COUNTED.fullmatch(label):
        mod_class = (match[2] or match[3]).lower()
        return {"type": "digital", "mod_class": mod_class, "order": int(match[1] or match[4])}
    return None
