# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a trained network smaller, one method a file. Importing a method may import torch."""
