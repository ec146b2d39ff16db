# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that a receiver's user is meant to read."""

from __future__ import annotations


class InputError(ValueError):
    """A source, a file or a setting cannot be used; the text is one line that says why."""
