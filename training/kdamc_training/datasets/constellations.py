# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Constellations by name, for every generator but RML2016.10A's (whose levels are its own).

Tables are complex64, of unit *variance* (power less that of the mean), so that a receiver sees
equal power in what carries the data; amplitude-shift keying runs from 0 and so keeps a carrier on
top of that. Sources: rings of 16 and 32APSK from DVB-S2 (ETSI EN 302 307-1, tables 9 and 10); 64
and 128APSK have the rings that a network trained on RadioML 2018.01A recognises
(docs/datasets.md).
"""

from __future__ import annotations

from functools import cache

import numpy as np

APSK16_RATIOS = (3.15, 2.85, 2.75, 2.70, 2.60, 2.57)
"""Outer over inner radius of 16APSK at code rates 2/3, 3/4, 4/5, 5/6, 8/9, 9/10."""

APSK32_RATIOS = ((2.84, 5.27), (2.72, 4.87), (2.64, 4.64), (2.54, 4.33), (2.53, 4.30))
"""Middle and outer over inner radius of 32APSK at code rates 3/4, 4/5, 5/6, 8/9, 9/10."""

APSK64_RATIOS = (2.73, 4.52, 6.31)
"""Radii of the outer rings of 4+12+20+28 64APSK over the innermost."""

APSK128_RATIOS = (2.1, 3.2, 4.3)
"""Radii of the outer rings of 16+28+36+48 128APSK over the innermost."""


def unit_variance(points: np.ndarray) -> np.ndarray:
    """``points`` (complex, equally likely) scaled to variance 1, complex64; the mean is kept."""
    points = np.asarray(points, np.complex128)
    return (points / np.std(points)).astype(np.complex64)


def psk(order: int) -> np.ndarray:
    """``order`` points on the unit circle from angle 0 (BPSK, 8PSK, …), complex64."""
    return unit_variance(np.exp(2j * np.pi * np.arange(order) / order))


def pam(order: int) -> np.ndarray:
    """``order`` equidistant real points about 0, complex64."""
    return unit_variance(np.arange(order) * 2.0 - (order - 1))


def ask(order: int) -> np.ndarray:
    """Amplitudes 0 to ``order`` - 1, equidistant, complex64; order 2 is on-off keying."""
    return unit_variance(np.arange(order))


def qam(order: int) -> np.ndarray:
    """Quadrature amplitude modulation of ``order`` points, complex64.

    Square for an even number of bits; for an odd number from 5 on, the cross: a square grid without
    its corners. Raises ValueError for another order.
    """
    bits = int(order).bit_length() - 1
    if order != 1 << bits or bits < 2 or bits == 3:
        raise ValueError(f"no square or cross QAM of {order} points")
    if bits % 2 == 0:
        side, corner = 1 << bits // 2, 0
    else:
        side = 3 << (bits - 3) // 2
        corner = side // 6
    levels = np.arange(side) * 2 - (side - 1)
    rows, columns = np.meshgrid(levels[::-1], levels, indexing="ij")
    in_corner = (np.abs(rows) > side - 1 - 2 * corner) & (np.abs(columns) > side - 1 - 2 * corner)
    return unit_variance((columns + 1j * rows)[~in_corner])


def apsk(counts: tuple[int, ...], radii: tuple[float, ...]) -> np.ndarray:
    """Rings of ``counts`` points at ``radii``, each turned by half its spacing, complex64."""
    rings = [
        radius * np.exp(2j * np.pi * (np.arange(count) + 0.5) / count)
        for count, radius in zip(counts, radii, strict=True)
    ]
    return unit_variance(np.concatenate(rings))


def apsk16(ratio: float = APSK16_RATIOS[1]) -> np.ndarray:
    """DVB-S2 16APSK (4+12) with ``ratio`` of the radii, complex64."""
    return apsk((4, 12), (1.0, ratio))


def apsk32(ratios: tuple[float, float] = APSK32_RATIOS[0]) -> np.ndarray:
    """DVB-S2 32APSK (4+12+16) with ``ratios`` of the radii, complex64.

    The outermost ring has a point at angle 0, as in the standard.
    """
    inner = apsk((4, 12), (1.0, ratios[0]))
    inner = inner / np.abs(inner).min()
    outer = ratios[1] * np.exp(2j * np.pi * np.arange(16) / 16)
    return unit_variance(np.concatenate([inner, outer]))


_TABLES = {
    "OOK": lambda: ask(2),
    "4ASK": lambda: ask(4),
    "8ASK": lambda: ask(8),
    "4PAM": lambda: pam(4),
    "BPSK": lambda: psk(2),
    "QPSK": lambda: qam(4),
    "8PSK": lambda: psk(8),
    "16PSK": lambda: psk(16),
    "32PSK": lambda: psk(32),
    "16APSK": apsk16,
    "32APSK": apsk32,
    "64APSK": lambda: apsk((4, 12, 20, 28), (1.0, *APSK64_RATIOS)),
    "128APSK": lambda: apsk((16, 28, 36, 48), (1.0, *APSK128_RATIOS)),
    "16QAM": lambda: qam(16),
    "32QAM": lambda: qam(32),
    "64QAM": lambda: qam(64),
    "128QAM": lambda: qam(128),
    "256QAM": lambda: qam(256),
}


def names() -> tuple[str, ...]:
    """Names that ``points`` knows."""
    return tuple(_TABLES)


@cache
def points(name: str) -> np.ndarray:
    """The constellation ``name``, complex64, read-only. Raises KeyError for an unknown name."""
    table = _TABLES[name]()
    table.setflags(write=False)
    return table
