# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets, networks and training for gr-kdamc; importing it imports nothing heavy."""

__version__ = "0.1.0"
