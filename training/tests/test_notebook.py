# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The notebook for newcomers runs from top to bottom, and is checked in without outputs."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebooks" / "first_steps.ipynb"


def text_of(cell) -> str:
    """What a cell printed; errors are exceptions of the client."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def test_first_steps(tmp_path, monkeypatch):
    # Before the kernel starts: one core, no profile of the user's, all files here.
    for name, value in {
        "OMP_NUM_THREADS": "1",
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "TMPDIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)

    client = NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute(cwd=str(tmp_path))

    printed = "".join(text_of(cell) for cell in code)
    for member in ("teacher", "scratch", "distilled"):
        assert f"{member:10s} " in printed
    (folder,) = tmp_path.glob("first-steps-*")
    assert (folder / "my_student.onnx").stat().st_size < 100_000
    # 4 signals of 64 frames, 16 frames a decision.
    decisions = [line for line in text_of(code[-2]).splitlines() if line.startswith("sample ")]
    assert len(decisions) == 16
    # Well above 1 of 11, which is chance; figures of so small a training vary between machines.
    sent = ["BPSK"] * 4 + ["GFSK"] * 4 + ["WBFM"] * 4 + ["QPSK"] * 4
    right = sum(name == line.split()[2] for name, line in zip(sent, decisions, strict=True))
    assert right >= 6
    pictures = [
        output for cell in code for output in cell.outputs if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3
