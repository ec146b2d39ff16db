# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's own network, loss, frames and recipe, as docs/training.md and docs/datasets.md tell."""

import re
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from kdamc_training import own_files
from kdamc_training.cli import main
from kdamc_training.datasets import registry as generators
from kdamc_training.datasets.dataset_file import DataSetFile
from kdamc_training.datasets.generate import generate
from kdamc_training.distillation import registry as losses
from kdamc_training.networks import registry as networks

DOCS = Path(__file__).resolve().parents[2] / "docs"
RECIPE = """\
name: mine/tones
about: Three tones.
data: {{file: {file}, split: crosstlnet}}
train: {{epochs: 2, batch_size: 64, learning_rate: 0.01}}
members:
  teacher: {{network: mine, seeds: 1}}
  scratch: {{network: mine}}
  distilled:
    network: mine
    teacher: teacher
    loss: [{{name: cross_entropy}}, {{name: logit_distance, options: {{power: 1.0}}}}]
seeds: [0, 1]
report: {{gains: [[distilled, scratch]]}}
"""


def python_in(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """``mine.py`` as the page has it, with an inside for the network."""
    text = "\n".join(python_in("training.md"))
    head, line, rest = text.partition(
        "    def __init__(self, *, classes, frame_length, width=32): ..."
    )
    assert line
    _, line, rest = rest.partition("    def forward(self, iq): ...")
    assert line
    network = (
        "    def __init__(self, *, classes, frame_length, width=32):\n"
        "        super().__init__()\n"
        "        self.layers = torch.nn.Sequential(\n"
        "            torch.nn.Flatten(), torch.nn.Linear(2 * frame_length, classes)\n"
        "        )\n\n"
        "    def forward(self, iq):\n"
        "        return self.layers(iq)"
    )
    path = tmp_path / "mine_of_a_test.py"
    path.write_text(head + network + rest)
    for registry, table in ((networks, "_networks"), (losses, "_losses")):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    monkeypatch.setattr("sys.path", list(sys.path))
    return path


@pytest.fixture
def run(mine, toy_file, tmp_path, monkeypatch, capsys):
    """Runs the recipe, as a new process would, which knows what is of the package alone, with more
    arguments; its lines, or its error."""
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(RECIPE.format(file=toy_file))

    def again(*more: str) -> list[str]:
        for registry, table in ((networks, "_networks"), (losses, "_losses")):
            kept = {
                name: made
                for name, made in getattr(registry, table).items()
                if made.__module__.startswith("kdamc_training.")
                and not made.__module__.startswith("kdamc_training.own_files.")
            }
            monkeypatch.setattr(registry, table, kept)
        sys.modules.pop(own_files.module_name(mine), None)
        arguments = ["run", str(recipe), "--work", str(tmp_path / "work"), *more]
        status = main(["--import", str(mine), *arguments])
        told = capsys.readouterr()
        return told.out.splitlines() if status == 0 else [told.err]

    return again


def test_a_network_and_a_loss_of_ones_own_are_trained_and_told(run, tmp_path, mine, capsys):
    first = run()
    assert len(first) == 6 and not any("finished before" in line for line in first)
    gain = re.fullmatch(
        r"distilled over scratch: ([+-]\d+\.\d\d) points \(2 seeds, 95 % interval "
        r"([+-]\d+\.\d\d) to ([+-]\d+\.\d\d)\), (gain|loss|undecided)",
        first[-1],
    )
    found = {
        (name, int(seed)): float(share)
        for name, seed, share in re.findall(
            r"^(\w+) seed (\d): ([\d.]+) %", "\n".join(first), re.MULTILINE
        )
    }
    points = [found["distilled", seed] - found["scratch", seed] for seed in (0, 1)]
    assert float(gain[1]) == pytest.approx(np.mean(points), abs=0.011)
    assert float(gain[2]) <= float(gain[1]) <= float(gain[3])
    assert [line.removesuffix(", finished before") for line in run()] == first
    page = tmp_path / "page.md"
    own = ["report", "--recipe", str(tmp_path / "mine.yaml"), "--work", str(tmp_path / "work")]
    assert main([*own, "--out", str(page)]) == 0
    text = page.read_text()
    assert (
        text.startswith("# mine/tones, paper\n")
        and f"`distilled` over `scratch` | 0, 1 | {gain[1]}" in text
    )
    (picture,) = re.findall(r"!\[.*\]\((.*\.png)\)", text)
    assert (tmp_path / picture).is_file()
    assert main(own) == 1 and "--recipe goes with --out" in capsys.readouterr().err


def test_spawned_processes_find_ones_own_file(run):
    (line,) = run("--only", "teacher", "--set", "train.devices=2")
    assert line.startswith("teacher seed 0: ")


def test_processes_for_data_know_ones_own_generator(tmp_path, monkeypatch):
    monkeypatch.setattr(generators, "_generators", dict(generators._generators))
    monkeypatch.setattr("sys.path", list(sys.path))
    (tmp_path / "own.py").write_text(
        "import numpy as np\n"
        "from kdamc_training.datasets.registry import Cell, Generator, register\n"
        "@register('own_of_a_test')\n"
        "class Own(Generator):\n"
        "    version, date, classes, snr_labels = '1', '2026-01-01', ('a', 'b'), (0,)\n"
        "    frame_length, sample_rate, samples_per_symbol = 8, 1.0, (4.0, 4.0)\n"
        "    limits, splits = (), ('train',)\n"
        "    def cell(self, class_index, snr_label, frames, *rest):\n"
        "        return Cell(np.ones((frames, 2, 8), np.float32), np.arange(frames))\n"
    )
    line = f"data generate own_of_a_test {tmp_path}/a.h5 --frames-per-cell 2 --seed 1 --jobs 2"
    assert main(["--import", str(tmp_path / "own.py"), *line.split()]) == 0
    with DataSetFile(tmp_path / "a.h5") as data:
        assert len(data) == 4


def test_processes_for_data_say_what_they_do_not_find(tmp_path):
    own_files.imported.append("gone_of_a_test")
    with pytest.raises(ModuleNotFoundError, match="gone_of_a_test"):
        generate("rml2016.10a", tmp_path / "a.h5", frames_per_cell=1, seed=1, snr=(0, 0), jobs=2)


def test_changed_code_is_another_training(run, mine):
    run("--only", "distilled")
    mine.write_text(mine.read_text().replace("return (student", "return 100 * (student"))
    (error,) = run("--only", "distilled")
    assert "holds a run with other settings" in error


def test_a_data_set_file_counts_by_its_content(run, tmp_path, toy_file):
    moved = tmp_path / "elsewhere" / "moved.h5"
    moved.parent.mkdir()
    run("--only", "teacher")
    shutil.copyfile(toy_file, moved)
    assert "finished before" in run("--only", "teacher", "--set", f"data.file={moved}")[0]
    # One page of runs before and after.
    run("--only", "scratch", "--set", f"data.file={moved}")
    own = ["report", "--recipe", str(tmp_path / "mine.yaml"), "--work", str(tmp_path / "work")]
    assert main([*own, "--out", str(tmp_path / "page.md")]) == 0
    with h5py.File(moved, "r+") as file:
        file["X"][0] = 2 * file["X"][0]
    (error,) = run("--only", "teacher", "--set", f"data.file={moved}")
    assert "holds a run with other settings" in error
    # A recipe of another name finds no training of the same file either.
    (line,) = run("--only", "teacher", "--set", f"data.file={moved}", "--set", "name=mine/other")
    assert "trained as" not in line and "finished" not in line


def test_a_file_that_changed_since_a_run_is_refused(run, toy_file):
    (error,) = run("--only", "teacher", "--set", f"data.file_sha256={'a' * 64}")
    assert "has another content" in error


def test_frames_of_ones_own_are_read_as_the_page_writes_them(tmp_path, monkeypatch):
    (snippet,) = python_in("datasets.md")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    frames, labels = rng.normal(size=(6, 2, 16)), np.array([0, 1, 0, 1, 0, 1])
    exec(snippet, {"frames": frames, "labels": labels, "snr_db": np.full(6, 10.0)})
    with DataSetFile(Path("mine.h5")) as data:
        assert data.info.classes == ("BPSK", "QPSK") and len(data) == 6
        assert data.frame_length == 16 and data.y[:].tolist() == labels.tolist()


def test_a_run_without_a_class_is_measured_and_quantized(run, tmp_path, capsys):
    (line,) = run("--only", "teacher", "--set", "data.without=[noise]")
    overall = re.search(r"([\d.]+) %", line)[1]
    folder = str(tmp_path / "work" / "mine" / "tones-paper" / "teacher-s0")
    work = ["--work", str(tmp_path / "work")]
    assert main(["robustness", folder, "--sweeps", "", *work]) == 0
    assert f"test part: {overall} %" in capsys.readouterr().out
    out = [str(tmp_path / "small.onnx"), "--seconds", "0.01", "--operators", "Gemm"]
    assert main(["quantize", folder, *out, *work]) == 0
    assert re.search(rf"float32 .* {overall} %", capsys.readouterr().out)


def test_frames_that_cannot_be_used_are_named_before_training(run, toy_file, tmp_path):
    with h5py.File(toy_file, "r+") as file:
        file["X"][2345] = 0.0
    (error,) = run()
    assert "toy.h5: frame 2345, counted from 0, is all zeros" in error
    assert not (tmp_path / "work").exists()


def test_what_is_no_network_or_no_loss_is_not_registered():
    with pytest.raises(ValueError, match="it does not take classes and frame_length"):
        networks.register("a_loss")(losses.known("skd"))
    with pytest.raises(ValueError, match="not a class made from Loss"):
        losses.register("a_function")(lambda student, teacher, label: 0.0)


def test_what_set_changes_is_not_published(capsys):
    arguments = ["run", "sbcnn/rml2018.01a", "--budget", "reduced", "--publish"]
    assert main([*arguments, "--set", "train.epochs=1"]) == 1
    assert "--set changes how scratch is trained" in capsys.readouterr().err
