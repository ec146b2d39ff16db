# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""What surrounds the classifier in a receiver: sources, front end, gate, reports.

Nothing here imports the classifier or its kernel, so that each part can be used, and tested,
with plain GNU Radio; ``apps/amc_rx.py`` puts the parts together.
"""
