# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page on the contract names what the code reads."""

import re
from pathlib import Path

from gnuradio.kdamc import contract

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"


def test_the_page_has_every_key_and_says_which_are_ours():
    told = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 4:
            told |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells[1])
    keys = {value for name, value in vars(contract).items() if name.startswith("KEY_")}
    assert keys == set(told) - {contract.SNR_NAME, contract.UNKNOWN_SCORE_NAME}
    assert {key for key, ours in told.items() if ours == "yes"} == set(contract.REQUIRED_KEYS)


def test_the_page_has_every_choice():
    text = PAGE.read_text(encoding="utf-8")
    for choice in contract.NORMALISE_MODES + contract.LAYOUTS + contract.OUTPUTS:
        assert f"`{choice}`" in text
