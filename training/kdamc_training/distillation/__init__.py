# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses, one file each, and the registry that names them. Importing it imports torch."""

from . import cross_entropy as cross_entropy
from . import response as response
