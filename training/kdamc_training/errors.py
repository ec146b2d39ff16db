# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The error that the command line turns into one line and a non-zero exit."""


class UserError(ValueError):
    """Something that the user gave cannot be used; the message says what and why in one line."""
