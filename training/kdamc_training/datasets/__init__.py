# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets: the file they share, the generators, and the registry that names them."""

from . import bound as bound
from . import live as live
from . import rml2016_04c as rml2016_04c
from . import rml2016_10a as rml2016_10a
from . import rml2016_10a_quiet as rml2016_10a_quiet
from . import rml2016_10b as rml2016_10b
from . import rml2018_01a as rml2018_01a
