# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Radio Companion itself opens the examples and runs one, under a screen of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("companion.py")
#: The Python that Debian's GRC runs in; a virtual environment's has no GTK.
PYTHON = "/usr/bin/python3"
#: GRC 3.10.5 writes to its window from more than one thread, and dies of it now and then, whatever
#: it has opened; a flowgraph that makes it die would do so every time.
CRASHED = 128 + signal.SIGSEGV
ATTEMPTS = 3

pytestmark = pytest.mark.skipif(
    not (shutil.which("xvfb-run") and shutil.which("gnuradio-companion")),
    reason="needs xvfb and gnuradio-companion",
)


def companion(folder: Path, name: str, *arguments: str) -> str:
    """What GRC said of an example; fails if it finds it invalid."""
    copy = shutil.copy(TOP / "examples" / f"{name}.grc", folder)
    for _ in range(ATTEMPTS):
        done = subprocess.run(
            ["xvfb-run", "-a", "-s", "-screen 0 1280x800x24", PYTHON, DRIVER, copy, *arguments],
            env={**os.environ, "HOME": str(folder), "NO_AT_BRIDGE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode != CRASHED:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "name", ["sim_to_labels", "scan_band", "rml_accuracy", "rtlsdr_live", "usrp_live"]
)
def test_opens(tmp_path: Path, name: str) -> None:
    picture = tmp_path / "screen.png"
    said = companion(tmp_path, name, "--picture", str(picture))
    assert f"{name}.grc" in said
    assert picture.stat().st_size > 20_000  # an empty screen takes a tenth of it


def test_runs_what_it_generates(tmp_path: Path) -> None:
    said = companion(tmp_path, "qpsk_to_labels_headless", "--run")
    assert said.count("(label . QPSK)") >= 10
