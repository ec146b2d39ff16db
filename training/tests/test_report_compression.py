# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page's section on compressed networks: figures of its records, and what it refuses."""

import numpy as np
import pytest
from gnuradio.kdamc.accuracy import measure
from kdamc_training import recipe, report
from kdamc_training.compression import recipe as compression_recipe
from kdamc_training.compression.compress import settings_of
from kdamc_training.errors import UserError
from kdamc_training.records import read_record, write_record

NAME = "compression/edge-rml2016.10a"
HEADING = "## Smaller still"
CLASSES = ["BPSK", "QPSK", "WBFM"]
CUT = {"outputs": 3, "channels": 33, "inputs": 7021, "parameters": 982330, "bytes": 500000}


def add(results, row, *, budget="reduced", ratio=1.0, cut_ratio=1.7, cut=CUT, **other):
    """A record of a row as ``compress`` leaves it; its path."""
    chosen = compression_recipe.load(recipe.find(NAME, compression=True), budget)
    training = recipe.load(recipe.find(chosen.of), budget)
    origin = chosen.origin(row)
    labels = np.tile(np.arange(3), 40)
    snr = np.repeat((0, 10), 60)
    logits = np.random.default_rng(0).normal(size=(120, 3))
    test = measure(logits, labels, snr, CLASSES, 1.0)
    pruned = origin.gain is not None
    speed = {"original": 1000.0, "compressed": 1000.0 * ratio, "ratio": ratio}
    if pruned and cut:
        speed |= {"cut": 1000.0 * cut_ratio, "cut_ratio": cut_ratio}
    layer = {"bytes": 700000, "factor": 15.4321, "weights": 2703360}
    layer |= (
        {"nonzero": 100000, "p_e": 0.96301}
        if pruned
        else {"blocks": origin.blocks, "c_q": 39.654, "c_q_stored": 38.171}
    )
    record = {
        "recipe": NAME,
        "budget": budget,
        "row": row,
        "member": origin.member,
        "seed": 0,
        "settings": settings_of(chosen, training, row),
        "method": "net_trim" if pruned else "product_quantization",
        "layer": layer,
        "file": {
            "bytes": 1234567,
            "original_bytes": 11323728,
            "factor": 9.1723,
            "factor_claimed": 9.2345,
            "difference": -0.00674,
        },
        "cut": cut if pruned else None,
        "test": {**test, "overall": 0.4567},
        "original": {**test, "overall": 0.4612},
        "difference": {"overall": -0.0045, "changed": 0.1234},
        "data": {"generator": "rml2016.10a 1", "seed": 2, "created": row},
        "speed": {"turns": 5, "threads": 1, "1": speed, "256": speed},
        "hardware": "a processor",
    }
    if pruned:
        record["admm"] = {
            "gain": origin.gain,
            "frames": 5000,
            "iterations": 777,
            "converged": False,
            "primal": 1.234,
            "dual": 5.678,
        }
    if chosen.rows[row].after:
        record["retrained"] = {"epochs": 20, "best_epoch": 7}
    path = results / NAME / budget / f"{row}.json"
    write_record(path, record | other)
    return path


def section(results):
    """The section's text, and the pictures of the page."""
    text, pictures = report.build(results)
    start = text.index(HEADING)
    end = text.find("\n## ", start + 1)
    return text[start : end if end > 0 else None], pictures


def rows(text, starts):
    """The cells of all table rows that begin so, by the table's header."""
    found, header = [], []
    lines = text.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and not before.startswith("|"):
            header = cells
        elif line.startswith(f"| `{starts}` |"):
            found.append(list(zip(header, cells, strict=True)))
    return found


def test_without_records_the_papers_figures_stand_alone(tmp_path):
    text, _ = section(tmp_path)
    assert f"No records of `{NAME}` yet." in text
    assert "| VTCNN2, P = 2 | 39.65 |" in text and "96.5 %" in text


def test_a_row_is_what_its_record_says(tmp_path):
    add(tmp_path, "vtcnn2-nt-0.08")
    add(tmp_path, "vtcnn2-nt-0.08-retrained")
    add(tmp_path, "vtcnn2-pq-2")
    text, _ = section(tmp_path)
    pruned, cut, speed = (dict(row) for row in rows(text, "vtcnn2-nt-0.08"))
    assert pruned["allowed error (epsilon)"] == "0.08" and pruned["p_e, %"] == "96.30"
    assert pruned["non-zero"] == "100,000" and pruned["layer's bytes"] == "700,000"
    assert pruned["times smaller"] == "15.43" and pruned["file's bytes"] == "1,234,567"
    assert (pruned["claimed"], pruned["measured"], pruned["measured over claimed"]) == (
        *("9.23", "9.17"),
        "-0.7 %",
    )
    assert (pruned["original, %"], pruned["accuracy, %"], pruned["points"]) == (
        *("46.12", "45.67"),
        "-0.45",
    )
    assert pruned["iterations"] == "777" and pruned["residuals over tolerances"] == "1.2, 5.7"
    assert pruned["converged"] == "no" and pruned["retrained"] == "no"
    assert cut["channels"] == "33" and cut["times smaller"] == f"{11323728 / 500000:.2f}"
    assert speed["original, one at a time"] == "1,000" and speed["cut"] == "1,700"
    again = dict(rows(text, "vtcnn2-nt-0.08-retrained")[0])
    assert again["retrained"] == "epoch 7 of 20"
    quantized = dict(rows(text, "vtcnn2-pq-2")[0])
    assert quantized["blocks"] == "2" and quantized["C_Q at 64 bits"] == "39.65"
    assert quantized["at 32 bits"] == "38.17"
    assert "No records yet of `vtcnn2-nt-0.02`" in text
    assert "3 classes, 0..10 dB" in text and "120 frames" in text
    # The page has no part for it among the recipes of training.
    assert f"### {NAME}, reduced" in text
    assert report.build(tmp_path)[0].count(f"### {NAME}") == 1


@pytest.mark.parametrize(
    ("ratio", "cut_ratio", "says"),
    [
        (1.02, 1.7, "the file: not faster; cut: yes"),
        (1.2, 0.9, "the file: yes; cut: not faster"),
    ],
)
def test_what_is_not_faster_is_told_in_words(tmp_path, ratio, cut_ratio, says):
    add(tmp_path, "resnet-nt-0.02", ratio=ratio, cut_ratio=cut_ratio)
    add(tmp_path, "resnet-pq-8", ratio=0.98)
    text, _ = section(tmp_path)
    assert dict(rows(text, "resnet-nt-0.02")[-1])["faster on a CPU?"] == says
    assert dict(rows(text, "resnet-pq-8")[-1])["faster on a CPU?"] == "the file: not faster"


def test_some_batch_sizes_are_not_all(tmp_path):
    path = add(tmp_path, "resnet-nt-0.02", cut=None)
    record = read_record(path)
    record["speed"]["256"] = {"original": 10.0, "compressed": 15.0, "ratio": 1.5}
    write_record(path, record)
    told = dict(rows(section(tmp_path)[0], "resnet-nt-0.02")[-1])["faster on a CPU?"]
    assert told == "the file: not at every batch size"


def test_pictures_show_gains_and_snr(tmp_path):
    add(tmp_path, "vtcnn2-nt-0.02")
    text, _ = section(tmp_path)
    assert "efficiency.png" not in text, "one gain is no line"
    add(tmp_path, "vtcnn2-nt-0.08")
    add(tmp_path, "vtcnn2-pq-2")
    text, pictures = section(tmp_path)
    for name in ("efficiency", "vtcnn2-net-trim", "vtcnn2-product-quantization"):
        assert f"compression-edge-rml2016.10a-reduced-{name}.png" in text
    (tmp_path / "docs").mkdir()
    pictures.draw(tmp_path / "docs")
    pictures.check(tmp_path / "docs")
    path = add(tmp_path, "vtcnn2-nt-0.08", layer={**read_layer(tmp_path), "p_e": 0.5})
    _, changed = section(tmp_path)
    with pytest.raises(UserError, match=r"efficiency\.png does not show"):
        changed.check(tmp_path / "docs")
    assert path.is_file()


def test_gains_of_different_runs_of_a_network_are_no_line(tmp_path):
    add(tmp_path, "vtcnn2-nt-0.02")
    path = add(tmp_path, "vtcnn2-nt-0.08")
    text, _ = section(tmp_path)
    assert "efficiency.png" in text and "begin from 2" not in text
    record = read_record(path)
    write_record(path, record | {"original": record["original"] | {"overall": 0.4701}})
    text, _ = section(tmp_path)
    assert "efficiency.png" not in text
    assert "Rows of `vtcnn2` begin from 2 runs of it" in text and "of 46.12 % and 47.01 %" in text


def read_layer(results):
    return read_record(results / NAME / "reduced" / "vtcnn2-nt-0.08.json")["layer"]


def test_papers_figures_stand_beside_its_own_budget_and_below_others(tmp_path):
    add(tmp_path, "vtcnn2-nt-0.08")
    beside = "paper, genuine data, full size"
    below = "The paper's figures, not comparable with those above"
    text, _ = section(tmp_path)
    assert beside not in text and below in text
    add(tmp_path / "full", "vtcnn2-nt-0.08", budget="paper")
    add(tmp_path / "full", "vtcnn2-pq-8", budget="paper")
    text, _ = section(tmp_path / "full")
    assert below not in text
    assert "pruning efficiency: 96.5 %" in dict(rows(text, "vtcnn2-nt-0.08")[0])[beside]
    assert dict(rows(text, "vtcnn2-pq-8")[0])[beside] == "compression rate: 35.52"


def test_records_that_do_not_fit_are_refused_by_name(tmp_path):
    path = add(tmp_path, "vtcnn2-nt-0.08")
    whole = read_record(path)
    for change, says in (
        ({"row": "vtcnn2-pq-2"}, "is the record of another row"),
        ({"budget": "paper"}, "is the record of another row"),
        ({"settings": {**whole["settings"], "seed": 7}}, "was made with other settings"),
    ):
        write_record(path, whole | change)
        with pytest.raises(UserError, match=says):
            report.build(tmp_path)
    write_record(path, {key: value for key, value in whole.items() if key != "speed"})
    with pytest.raises(UserError, match=r"vtcnn2-nt-0\.08\.json: the record has no 'speed'"):
        report.build(tmp_path)
    write_record(path, whole)
    other = add(tmp_path, "vtcnn2-pq-2")
    write_record(other, read_record(other) | {"data": {"generator": "other", "seed": 3}})
    with pytest.raises(UserError, match="measured on different frames"):
        report.build(tmp_path)
    other.unlink()
    unknown = path.with_name("nothing.json")
    write_record(unknown, whole | {"row": "nothing"})
    with pytest.raises(UserError, match="has no row 'nothing'"):
        report.build(tmp_path)
