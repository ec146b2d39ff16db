# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of amc_rx as most tests want it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APP = [sys.executable, str(ROOT / "apps" / "amc_rx.py")]

_FRONT_END = {"--follow", "--as-is", "--tune", "--symbol-rate", "--bandwidth", "--scan"}


def amc_rx_command(*arguments: object) -> list[str]:
    """amc_rx with these arguments; samples are taken as they are unless these say otherwise."""
    texts = [str(argument) for argument in arguments]
    return [*APP, *([] if _FRONT_END & set(texts) else ["--as-is"]), *texts]
