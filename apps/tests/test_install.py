# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module installs into any prefix, works there, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / "build" / "cmake"


@pytest.fixture
def prefix(tmp_path: Path):
    """An installation in a new prefix; afterwards the build belongs to its own one again."""
    if not (BUILD / "CMakeCache.txt").is_file():
        pytest.skip("not built by script/bootstrap")
    target = tmp_path / "prefix"
    run = {"check": True, "capture_output": True}
    subprocess.run(["cmake", "--install", str(BUILD), "--prefix", str(target)], **run)
    yield target
    subprocess.run(["cmake", "--install", str(BUILD)], **run)


def test_warnings_do_not_stop_a_build_unless_asked_to(tmp_path: Path) -> None:
    """Of a user: a newer compiler may warn of what this one does not."""
    if not (BUILD / "CMakeCache.txt").is_file():
        pytest.skip("not built by script/bootstrap")
    for options, expected in (((), False), (("-DKDAMC_WARNINGS_AS_ERRORS=ON",), True)):
        build = tmp_path / f"build{len(options)}"
        subprocess.run(
            [
                "cmake", "-S", str(TOP), "-B", str(build), "-DPYTHON_EXECUTABLE=/usr/bin/python3",
                *options,
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        commands = (build / "compile_commands.json").read_text()
        assert "-Wextra" in commands
        assert ("-Werror" in commands) == expected


def test_installs_works_and_uninstalls(prefix: Path) -> None:
    (packages,) = prefix.glob("lib*/python3*/*-packages")
    environment = {**os.environ, "PYTHONPATH": f"{packages}:{os.environ.get('PYTHONPATH', '')}"}
    environment.pop("LD_LIBRARY_PATH", None)
    code = (
        "from gnuradio import kdamc; from gnuradio.kdamc import kdamc_python;"
        "block = kdamc.kd_amc_classifier(); print(kdamc.__file__); print(block.model());"
        "maps = [line.split()[-1] for line in open('/proc/self/maps')];"
        "print(next(path for path in maps if 'gnuradio-kdamc' in path))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    module, model, library = done.stdout.split()
    assert Path(module).is_relative_to(prefix)
    assert Path(library).is_relative_to(prefix)
    assert (packages / "gnuradio" / "kdamc" / "models" / f"{model}.onnx").is_file()
    block_file = prefix / "share/gnuradio/grc/blocks/kdamc_kd_amc_classifier.block.yml"
    choice = yaml.safe_load(block_file.read_text())["parameters"][0]
    assert choice["id"] == "model"
    models = sorted(path.stem for path in (packages / "gnuradio/kdamc/models").glob("*.onnx"))
    assert choice["options"] == ["", *models] and model in models
    for program in ("amc_rx.py", "amc_replay.py"):
        assert os.access(prefix / "bin" / program, os.X_OK)
    subprocess.run(["cmake", "--build", str(BUILD), "--target", "uninstall"], check=True)
    left = [
        path for path in prefix.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    assert left == []
