# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Constellations: as many points as the name says, all different, of unit variance."""

import re

import numpy as np
import pytest
from kdamc_training.datasets import constellations


@pytest.mark.parametrize("name", constellations.names())
def test_points(name):
    points = constellations.points(name)
    order = {"OOK": 2, "BPSK": 2, "QPSK": 4}.get(name) or int(re.match(r"\d+", name)[0])
    assert points.dtype == np.complex64 and len(points) == order
    distances = np.abs(points[:, None] - points) + 9 * np.eye(order)
    assert distances.min() > 0.05
    assert np.var(points) == pytest.approx(1.0, abs=1e-5)
    mean = abs(points.mean())
    assert mean > 0.9 if name == "OOK" or "ASK" in name else mean < 1e-6


@pytest.mark.parametrize(
    ("name", "rings"), [("16APSK", 2), ("32APSK", 3), ("64APSK", 4), ("128APSK", 4)]
)
def test_apsk_has_its_rings(name, rings):
    assert len(np.unique(np.round(np.abs(constellations.points(name)), 4))) == rings


def test_dvb_s2_ratio():
    radii = np.unique(np.round(np.abs(constellations.apsk16(3.15)), 5))
    assert radii[1] / radii[0] == pytest.approx(3.15, abs=1e-3)


def test_cross_qam_lacks_its_corners():
    points = constellations.points("32QAM")
    step = np.diff(np.unique(np.round(points.real, 5))).min()
    assert np.abs(points).max() / step == pytest.approx(np.hypot(2.5, 1.5), rel=1e-4)


@pytest.mark.parametrize("order", [2, 8, 12])
def test_impossible_qam_is_refused(order):
    with pytest.raises(ValueError, match="no square or cross"):
        constellations.qam(order)
