# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: one clear line for bad input, a whole recipe in seconds for good."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kdamc_training import onnx_models, pipeline, report
from kdamc_training.cli import main
from kdamc_training.networks import registry


def fails(capsys, *arguments) -> str:
    """Run a command that must fail; returns its one line on stderr."""
    assert main([str(argument) for argument in arguments]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("kdamc-train: error: ")
    return lines[0]


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from kdamc_training.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'gnuradio', 'numpy', 'h5py'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_unknown_data_set(capsys, tmp_path):
    line = fails(
        capsys, *f"data generate other {tmp_path}/a.h5 --frames-per-cell 1 --seed 1".split()
    )
    assert "'other'" in line and "rml2016.10a" in line


def test_missing_folder(capsys, tmp_path):
    out = tmp_path / "none" / "a.h5"
    line = fails(capsys, *f"data generate rml2016.10a {out} --frames-per-cell 1 --seed 1".split())
    assert "does not exist" in line


def test_bad_models_and_data(capsys, tmp_path, toy_file):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    assert "not a usable ONNX model" in fails(capsys, "evaluate", toy_file, "--model", bad)
    assert "no such" in fails(capsys, "evaluate", toy_file, "--model", tmp_path / "none.onnx")
    assert "not a checkpoint" in fails(capsys, "export", bad, tmp_path / "o.onnx", "--uncalibrated")
    assert "--uncalibrated" in fails(capsys, "export", bad, tmp_path / "o.onnx")
    assert not (tmp_path / "o.onnx").exists()


def test_bad_recipes(capsys):
    assert "no recipe 'none'" in fails(capsys, "run", "none")
    line = fails(capsys, "run", "plain/rml2016.10a", "--set", "train.speed=3")
    assert "'train.speed' is unknown" in line


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("report --out {}/page.md", "go with --recipe"),
        ("report --work {}", "go with --recipe"),
        ("report --check --budget smoke", "go with --recipe"),
        ("report --set train.epochs=1", "go with --recipe"),
        (
            "data fidelity {}/a.h5 --trained {}/m.onnx --own-scale --reference {}/r.csv",
            "--own-scale goes with --yardstick",
        ),
        ("quantize {} {}/m.onnx --budget smoke", "--budget does not go with the folder of a run"),
    ],
)
def test_options_without_effect_are_refused(capsys, tmp_path, monkeypatch, command, says):
    monkeypatch.setattr(report, "write", lambda: [])
    assert says in fails(capsys, *command.replace("{}", str(tmp_path)).split())


def test_list_names_everything(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("rml2016.10a", "plain_conv", "plain/rml2016.10a"):
        assert name in out


def test_a_recipe_from_data_to_model_card(capsys, tmp_path):
    arguments = [
        "run",
        "plain/rml2016.10a",
        "--budget",
        "smoke",
        "--work",
        str(tmp_path),
        "--set",
        "publish=[{member: student, model_name: rml2016_10a_plain}, "
        "{member: student, model_name: rml2016_10a_plain_int8, quantize: int8}]",
    ]
    assert main(arguments) == 0
    folder = tmp_path / "plain" / "rml2016.10a-smoke" / "student-s0"
    record = json.loads((folder / "rml2016_10a_plain.json").read_text())
    assert record["parameters"] == 38_283
    assert record["test"]["frames"] == 132
    assert "regenerated" in (folder / "rml2016_10a_plain.md").read_text()
    assert "quantization" not in record and record["speed_ratio"]["to"] == "rml2016_10a_plain"

    # The same network in int8 beside it, calibrated for itself.
    rounded = json.loads((folder / "rml2016_10a_plain_int8.json").read_text())
    assert rounded["bytes"] < record["bytes"] / 2
    assert rounded["quantization"]["calibrated_on"].endswith("seed 1 speech train")
    assert rounded["calibration"] != record["calibration"]
    card = (folder / "rml2016_10a_plain_int8.md").read_text()
    assert "one thread, int8, on" in card and "times as fast as `rml2016_10a_plain`" in card
    info = onnx_models.open_model(str(folder / "rml2016_10a_plain_int8.onnx")).info
    assert info.temperature == rounded["calibration"]["temperature"]
    assert json.loads(info.metadata["quantization"]) == rounded["quantization"]

    # A second start finds all of it done; other settings in the same folder are refused.
    before = sorted(path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir())
    assert main(arguments) == 0
    assert before == sorted(path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir())
    capsys.readouterr()
    assert "other settings" in fails(capsys, *arguments, "--set", "train.epochs=3")

    test_file = next((tmp_path / "data").glob("*-test-s2-*.h5"))
    out = tmp_path / "evaluated.json"
    model = folder / "rml2016_10a_plain.onnx"
    assert main(["evaluate", str(test_file), "--model", str(model), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["overall"] == record["test"]["overall"]

    exported = tmp_path / "again.onnx"
    assert main(["export", str(folder / "last.ckpt"), str(exported)]) == 0
    assert exported.is_file()


SHIPPED = sorted(pipeline.RESULTS.glob("*.json"))


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_shipped_model_cards_are_those_of_their_records(path: Path):
    import hashlib

    from kdamc_training import datasets as datasets
    from kdamc_training.datasets import registry
    from kdamc_training.model_card import model_card

    record = json.loads(path.read_text())
    limits = registry.create(record["settings"]["data"]["generator"]).limits
    card = pipeline.MODELS / f"{path.stem}.md"
    assert card.read_text() == model_card(record, record["about"], limits)
    model = pipeline.MODELS / f"{path.stem}.onnx"
    assert hashlib.sha256(model.read_bytes()).hexdigest() == record["test"]["model"]["sha256"]


def test_files_of_one_name_are_imported_each(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(registry, "_networks", dict(registry._networks))
    monkeypatch.setattr("sys.path", list(sys.path))
    imports = []
    for place in ("one/own.py", "two/own.py", "one/types.py"):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        (path.parent / f"beside_{path.parent.name}.py").touch()
        path.write_text(
            f"import beside_{path.parent.name}, torch\n"
            "from kdamc_training.networks.registry import register\n"
            f"@register('of_{path.parent.name}_{path.stem}')\n"
            "class Mine(torch.nn.Module):\n"
            "    def __init__(self, classes, frame_length): ...\n"
        )
        imports += ["--import", str(path)]
    assert main([*imports, "list"]) == 0
    told = capsys.readouterr().out
    assert all(f"  of_{name}\n" in told for name in ("one_own", "two_own", "one_types"))
    assert "no such file" in fails(capsys, "--import", tmp_path / "none.py", "list")


def test_a_module_of_ones_own_is_imported_first(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine_for_a_test.py").write_text(
        "import torch\n"
        "from kdamc_training.networks.registry import register\n"
        "@register('mine_for_a_test')\n"
        "class Mine(torch.nn.Module):\n"
        "    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_networks", dict(registry._networks))
    assert main(["--import", "mine_for_a_test", "list"]) == 0
    assert "  mine_for_a_test\n" in capsys.readouterr().out
    assert main(["--import", "none_for_a_test", "list"]) == 1
    assert "--import none_for_a_test: No module named" in capsys.readouterr().err
