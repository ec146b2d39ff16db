# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets: the file they share, the generators, and the registry that names them."""

from . import rml2016_04c as rml2016_04c
from . import rml2016_10a as rml2016_10a
from . import rml2016_10b as rml2016_10b
