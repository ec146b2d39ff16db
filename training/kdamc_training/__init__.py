# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets, networks and training for gr-kdamc. Importing it imports neither torch nor GNU Radio."""

__version__ = "0.1.0"
