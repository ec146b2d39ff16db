# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of results: what it says of records, and that it says what they hold."""

import json
import math
import re
import shutil

import numpy as np
import pytest
import yaml
from gnuradio.kdamc.accuracy import measure
from kdamc_training import cli, pipeline, recipe, report, run_settings
from kdamc_training.compression import recipe as compression_recipe
from kdamc_training.errors import UserError
from kdamc_training.records import read_record, write_record
from kdamc_training.report import collect, published

TOP = pipeline.RESULTS.parents[1]
SBCNN, MLD = "sbcnn/rml2018.01a", "mldnet/rml2016.10a"
LEFT_OUT = "live/left-out"
CROSS, MAPS = "crosstlnet/rml2016.10a", "crosstlnet/ablations-rml2016.10a"


def make_record(results, name, member, seed, *, overall=None, budget="reduced", frames=8, **other):
    """A record as a run leaves it, of frames called by chance; its path."""
    chosen = recipe.load(recipe.find(name), budget)
    many = name == SBCNN
    classes = [f"C{n}" for n in range(24)] if many else ["QAM16", "QAM64", "BPSK"]
    snr_labels = np.arange(0, 18, 2) if many else np.arange(-20, 20, 2)
    labels, snr, _ = (
        axis.ravel() for axis in np.meshgrid(range(len(classes)), snr_labels, range(frames))
    )
    rng = np.random.default_rng([seed, *member.encode()])
    logits = rng.normal(size=(len(labels), len(classes)))
    logits[np.arange(len(labels)), labels] += 1 + np.maximum(snr, -10) / 10
    test = measure(logits, labels, snr, classes, 1.0, chosen.report.confusion_at)
    if overall is not None:
        test["overall"] = overall
    generator = chosen.data.generator
    record = {
        "recipe": name,
        "budget": budget,
        "member": member,
        "seed": seed,
        "settings": run_settings.settings_of(chosen, member, seed),
        "train_data": f"{generator} 1 seed 11 speech train",
        "train_frames": 1000,
        "validation_frames": 100,
        "parameters": 15000,
        "keras_parameters": 15100,
        "macs": 2000000,
        "epochs": 6,
        "best_epoch": 4 + seed,
        "teacher": {"member": "teacher", "seed": 0, "overall": 0.85}
        if chosen.members[member].teacher
        else None,
        "calibration": {"temperature": 1.5, "fusion_exponent": 1.0, "fitted_on": "validation"},
        "test": {
            **test,
            "data": {"generator": f"{generator} 1", "seed": 2, "speech": "test", "created": "now"},
        },
        "hardware": "a processor",
    } | other
    path = results / name / budget / f"{member}-s{seed}.json"
    write_record(path, record)
    return path


@pytest.fixture
def results(tmp_path):
    """Records of a teacher, and of two students with three seeds; their folder."""
    folder = tmp_path / "training" / "results"
    make_record(folder, SBCNN, "teacher", 0, overall=0.85)
    for seed, (scratch, distilled) in enumerate([(0.78, 0.79), (0.77, 0.80), (0.79, 0.81)]):
        make_record(folder, SBCNN, "scratch", seed, overall=scratch)
        make_record(folder, SBCNN, "distilled", seed, overall=distilled)
    return folder


@pytest.fixture
def page(tmp_path):
    """Where to write the page."""
    (tmp_path / "docs").mkdir()
    return tmp_path / "docs" / "results.md"


def rows_of(text, starts):
    """The cells of all table rows that start so."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith(f"| {starts}")
    ]


def records(*overall):
    return [{"seed": seed, "test": {"overall": share}} for seed, share in enumerate(overall)]


def test_gain_is_paired_by_seed_with_a_t_interval():
    found = collect.gain(records(0.79, 0.80, 0.81), records(0.78, 0.77, 0.79))
    # Differences 1, 3 and 2 points: mean 2, standard deviation 1; t(0.975, 2) = 4.302653.
    assert found.seeds == [0, 1, 2]
    assert found.mean == pytest.approx(0.02)
    assert found.half_width == pytest.approx(0.01 * 4.302653 / math.sqrt(3), rel=1e-6)
    assert found.verdict == "undecided"


@pytest.mark.parametrize(
    ("first", "verdict"),
    [((0.79, 0.78, 0.80), "gain"), ((0.77, 0.76, 0.78), "loss"), ((0.78, 0.77, 0.79), "undecided")],
)
def test_verdicts(first, verdict):
    assert collect.gain(records(*first), records(0.78, 0.7701, 0.7899)).verdict == verdict


def test_one_common_seed_gives_no_interval():
    found = collect.gain(records(0.9), records(0.5, 0.5))
    assert found.half_width is None and found.verdict == "undecided"
    assert collect.gain(records(0.9), []) is None


def test_the_page_shows_means_and_gains(results):
    text, _ = report.build(results)
    (scratch,) = rows_of(text, "`scratch` | sbcnn_student")
    assert "78.00 ± 1.00" in scratch and "0, 1, 2" in scratch and "6 (4 to 6)" in scratch
    (teacher,) = rows_of(text, "`teacher` | ibcnn")
    assert "85.00" in teacher
    (gain,) = rows_of(text, "`distilled` over `scratch`")
    # The teacher has 85 %, the mean of those without one is 78 %.
    assert gain[1:] == ["0, 1, 2", "+2.00", "-0.48 to +4.48", "undecided", "+7.00"]
    (in_short,) = rows_of(text, f"[{SBCNN}, reduced](#sbcnnrml201801a-reduced)")
    assert in_short[1:] == gain
    assert "- SBCNN and IBCNN: 0 gains, 1 undecided, 0 losses\n" in text
    assert "Regenerated data: generator `rml2018.01a`, version 1" in text


def test_in_short_has_no_pairs_of_one_seed(results):
    for member in ("smoothed", "scratch"):
        make_record(results, SBCNN, member, 3, overall=0.7)
    text, _ = report.build(results)
    rows = rows_of(text, f"[{SBCNN}, reduced]")
    assert [row[1] for row in rows] == ["`distilled` over `scratch`"]
    assert len(rows_of(text, "`smoothed` over `scratch`")) == 1
    # Smoothing is no teaching: it does not count.
    make_record(results, SBCNN, "smoothed", 2, overall=0.1)
    text, _ = report.build(results)
    assert len(rows_of(text, f"[{SBCNN}, reduced]")) == 2
    assert "- SBCNN and IBCNN: 0 gains, 1 undecided, 0 losses\n" in text


def test_pairs_of_different_processors_are_named(results):
    assert "different processors" not in report.build(results)[0]
    for seed in (1, 2):
        path = results / SBCNN / "reduced" / f"distilled-s{seed}.json"
        write_record(path, read_record(path) | {"hardware": "another"})
    text, _ = report.build(results)
    assert "different processors" in text and "- `distilled` over `scratch`: 1, 2\n" in text


def test_what_rebuilds_no_set_is_not_called_regenerated(tmp_path):
    make_record(tmp_path, "live/live", "student", 0)
    text, _ = report.build(tmp_path)
    assert "Generated data: generator `live`, version 1" in text


def test_links_of_the_page_have_their_heading():
    text, _ = report.build(report.RESULTS)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 _-]", "", one.lower()).replace(" ", "-") for one in headings}
    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert len(links) > 5 and links <= anchors


def test_missing_members_are_named_and_their_gains_left_out(results):
    text, _ = report.build(results)
    assert "No records yet of `sbcnn`, `smoothed`." in text
    assert not rows_of(text, "`distilled` over `smoothed`")


def test_one_seed_says_so(tmp_path):
    for member in ("scratch", "distilled"):
        make_record(tmp_path, CROSS, member, 0)
    text, _ = report.build(tmp_path)
    (gain,) = rows_of(text, "`distilled` over `scratch`")
    assert gain[3:5] == ["one seed, no interval", "undecided"]
    assert "One seed each: small differences can be chance." in text


def test_the_scatter_of_other_seeds_stands_below_members_of_one(tmp_path):
    for seed, overall in enumerate((0.5, 0.52, 0.54)):
        make_record(tmp_path, CROSS, "distilled", seed, overall=overall)
    for member in ("a", "c"):
        make_record(tmp_path, MAPS, member, 0)
    text, _ = report.build(tmp_path)
    below = " ".join(text.split("### " + MAPS)[1].split())
    assert f"`distilled` of {CROSS} varies most from seed to seed" in below
    assert "a standard deviation of 2.00 points" in below
    # 1.96 standard deviations of a difference of two.
    assert "differ by up to 5.54 points in 95 of 100 cases" in below


def test_members_of_one_seed_beside_others_are_named(results):
    make_record(results, SBCNN, "sbcnn", 0)
    text, _ = report.build(results)
    assert "One seed each of `sbcnn`. Of this system's networks `" in text


def test_an_empty_folder_gives_a_page_without_figures(tmp_path):
    text, _ = report.build(tmp_path)
    named = [name for system in recipe.SYSTEMS for name in collect.of_system(system)]
    assert MLD in named and text.count("No records yet.") == len(named)
    assert all(f"### {name}\n" in text for name in named)
    assert text.index(f"### {MLD}\n") < text.index("### mldnet/baselines-rml2016.10a\n")
    # The paper's own stand there already.
    assert rows_of(text, "CrossTLNet-128")
    with pytest.raises(UserError, match=r"results\.md does not exist"):
        report.check(tmp_path, tmp_path / "results.md")


def test_bands_are_means_over_their_labels(tmp_path):
    path = make_record(tmp_path, MLD, "scratch", 0)
    by_snr = read_record(path)["test"]["by_snr"]
    low = np.mean([share for label, share in by_snr.items() if int(label) < 0])
    text, _ = report.build(tmp_path)
    header = rows_of(text, "member | network")[0]
    (row,) = rows_of(text, "`scratch` | mld_student")
    assert row[header.index("-20..-2 dB")] == f"{100 * low:.2f}"
    # The band 0 to 18 dB is the same as SNR >= 0, which is not repeated.
    assert "SNR >= 0" not in header


def test_classes_of_interest_are_the_records(tmp_path):
    test = read_record(make_record(tmp_path, CROSS, "teacher", 0))["test"]
    at_4_db = [test["by_class"][of][test["snr_labels"].index(4)] for of in ("QAM16", "QAM64")]
    text, _ = report.build(tmp_path)
    header = rows_of(text, "member | QAM16, 4 dB")[0]
    row = rows_of(text, "`teacher`")[-1]
    assert row[header.index("QAM64, 4 dB")] == f"{100 * at_4_db[1]:.2f}"
    assert row[header.index("mean, 4 dB")] == f"{100 * np.mean(at_4_db):.2f}"
    counts = test["confusion_from_0_db"]
    assert row[header.index("QAM16, SNR >= 0")] == f"{100 * counts[0][0] / sum(counts[0]):.2f}"
    right = counts[0][0] + counts[1][1]
    share = right / (right + counts[0][1] + counts[1][0])
    assert row[header.index("told apart, SNR >= 0")] == f"{100 * share:.2f}"


def test_classes_without_frames_have_no_figure(tmp_path):
    path = make_record(tmp_path, CROSS, "teacher", 0)
    record = read_record(path)
    counts = record["test"]["confusion_from_0_db"]
    record["test"]["confusion_from_0_db"] = np.zeros_like(counts).tolist()
    record["test"]["by_class"]["QAM64"] = [None] * len(record["test"]["snr_labels"])
    write_record(path, record)
    text, _ = report.build(tmp_path)
    header, row = rows_of(text, "member | QAM16")[0], rows_of(text, "`teacher`")[-1]
    found = dict(zip(header, row, strict=True))
    nothing = [name for name, cell in found.items() if cell == "-"]
    assert found["QAM16, 4 dB"] != "-" and "QAM64, 4 dB" in nothing
    assert {"QAM16, SNR >= 0", "mean, SNR >= 0", "told apart, SNR >= 0"} <= set(nothing)
    assert "nan" not in text


def test_terms_of_the_loss_are_the_records(tmp_path):
    terms = {"cross_entropy": [1.91234, 1.2], "attention": [0.0396289, 0.03970149]}
    make_record(tmp_path, MLD, "attention", 0, loss_terms=terms)
    make_record(tmp_path, MLD, "output", 0)
    make_record(tmp_path, MLD, "output", 1, loss_terms={"cross_entropy": [2.0, 1.0]})
    make_record(tmp_path, MLD, "scratch", 0)
    text, _ = report.build(tmp_path)
    assert rows_of(text, "member | cross_entropy") == [["member", "cross_entropy", "attention"]]
    assert rows_of(text, "`attention`, seed 0")[-1][1:] == ["1.912 to 1.2", "0.03963 to 0.0397"]
    assert rows_of(text, "`output`, seed 1")[-1][1:] == ["2 to 1", "-"]
    assert len(rows_of(text, "`scratch`")) == 1


def test_class_report_and_table_by_snr(results):
    test = read_record(results / SBCNN / "reduced" / "teacher-s0.json")["test"]
    text, _ = report.build(results)
    (row,) = rows_of(text, "C7 ")
    assert row[1:4] == [f"{100 * share:.1f}" for share in test["scores"]["C7"].values()]
    header = rows_of(text, "SNR label")[0]
    (row,) = rows_of(text, "6 ")
    at = header.index("`teacher` accuracy")
    assert row[at] == f"{100 * test['by_snr']['6']:.1f}"
    assert row[at + 1] == f"{100 * test['f1_by_snr']['6']:.1f}"


def test_papers_figures_stand_beside_the_paper_budget_only(tmp_path):
    make_record(tmp_path, MLD, "mldnet", 0, budget="reduced", overall=0.5)
    text, _ = report.build(tmp_path)
    own, paper = text.split("#### The paper's figures, not comparable with those above")
    own = own.split("### mldnet/rml2016.10a, reduced")[1]
    assert "61.14" not in own and "genuine" not in own
    assert "full networks on genuine data" in paper and "| MLD-Net | 61.14 |" in paper

    shutil.rmtree(tmp_path / MLD)
    make_record(tmp_path, MLD, "mldnet", 0, budget="paper", overall=0.5)
    text = report.build(tmp_path)[0].split("### mldnet/rml2016.10b\n")[0]
    assert "#### The paper's figures" not in text
    (row,) = rows_of(text, "`mldnet` | mld_student")
    assert row[-1].startswith("61.14; ")
    assert rows_of(text, "member")[0][-1] == "paper, genuine data, full size"


def test_budgets_are_parts_of_their_own_and_smoke_is_none(tmp_path):
    for budget, overall in (("smoke", 0.11), ("reduced", 0.22), ("paper", 0.33)):
        make_record(tmp_path, MLD, "scratch", 0, budget=budget, overall=overall)
    text, _ = report.build(tmp_path)
    assert re.findall(r"### (mldnet.*, .*)", text) == [f"{MLD}, paper", f"{MLD}, reduced"]
    shares = [row[6] for row in rows_of(text, "`scratch` | mld_student")]
    assert shares == ["33.00", "22.00"]


def test_check_passes_after_writing_and_tells_what_was_changed(tmp_path, page):
    for seed, overall in enumerate((0.58, 0.57, 0.59)):
        path = make_record(tmp_path, MLD, "scratch", seed, overall=overall)
    _, picture = report.write(tmp_path, page)
    report.check(tmp_path, page)
    text = page.read_text()

    page.write_text(text.replace("58.00 ± 1.00", "59.00 ± 1.00", 1))
    with pytest.raises(UserError, match=r"line \d+ is '.*59\.00 ± 1\.00.*expected '.*58\.00 ± 1"):
        report.check(tmp_path, page)
    page.write_text(text + "more\n")
    with pytest.raises(UserError, match="is 'more', expected missing"):
        report.check(tmp_path, page)
    page.write_text(text)

    original = path.read_text()
    record = json.loads(original)
    record["test"]["overall"] += 0.01
    write_record(path, record)
    with pytest.raises(UserError, match="does not match the records"):
        report.check(tmp_path, page)
    # Too little to show in a table: the picture alone is out of date.
    record = json.loads(original)
    record["test"]["by_snr"]["0"] += 1e-7
    write_record(path, record)
    with pytest.raises(UserError, match=r"snr\.png does not show"):
        report.check(tmp_path, page)
    path.write_text(original)

    report.check(tmp_path, page)
    picture.unlink()
    with pytest.raises(UserError, match=r"snr\.png is missing"):
        report.check(tmp_path, page)


def test_writing_twice_gives_the_same_files_and_removes_old_pictures(tmp_path, page):
    make_record(tmp_path, CROSS, "teacher", 0)
    written = {path: path.read_bytes() for path in report.write(tmp_path, page)}
    pictures = [path for path in written if path.suffix == ".png"]
    assert [path.stem for path in pictures] == [
        f"crosstlnet-rml2016.10a-reduced-{what}" for what in ("snr", "confusion-4dB")
    ]
    old = pictures[0].with_name("old.png")
    old.write_bytes(b"")
    for path in pictures:
        path.unlink()
    report.write(tmp_path, page)
    assert {path: path.read_bytes() for path in written} == written
    assert not old.exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"member": "other"}, "is the record of .*reduced/other-s1"),
        ({"seed": 2}, "is the record of .*scratch-s2"),
        ({"budget": "paper"}, "is the record of .*/paper/scratch-s1"),
        ({"macs": None}, "has no 'macs'"),
        ({"test.scores": None}, "has no 'scores'"),
        ({"settings.data": {"generator": "else"}}, "other data than those beside it"),
        ({"settings.train": {"epochs": 1}}, "seeds of scratch were trained with other settings"),
    ],
)
def test_records_that_cannot_stand_in_a_table_are_refused(results, change, says):
    path = results / SBCNN / "reduced" / "scratch-s1.json"
    record = read_record(path)
    for key, value in change.items():
        section, _, last = key.rpartition(".")
        target = record[section] if section else record
        target[last] = value
        if value is None:
            del target[last]
    write_record(path, record)
    with pytest.raises(UserError, match=says):
        report.build(results)


def test_records_of_a_recipe_that_was_changed_since_are_refused(tmp_path):
    path = make_record(tmp_path, SBCNN, "distilled", 0)
    record = read_record(path)
    record["settings"]["teacher"]["train"]["epochs"] += 1
    write_record(path, record)
    with pytest.raises(UserError, match="distilled was trained with other settings than sbcnn/"):
        report.build(tmp_path)


def test_a_student_of_another_run_of_its_teacher_is_told(results):
    says = "Taught by another run of their teacher"
    assert says not in report.build(results)[0]
    path = results / SBCNN / "reduced" / "distilled-s1.json"
    told = read_record(path)["teacher"]
    write_record(path, read_record(path) | {"teacher": told | {"overall": 0.82}})
    text = report.build(results)[0]
    assert says in text and "- `distilled`, seed 1: a `teacher` of 82.00 %" in text
    # Two had the teacher of 85 %, one that of 82 %; those without one have 78 % on average.
    assert rows_of(text, "`distilled` over `scratch`")[0][-1] == "+6.00"


def test_held_out_frames_of_some_cells_are_told(tmp_path):
    path = make_record(tmp_path, SBCNN, "distilled", 0)
    assert "chosen on 100 held-out frames; measured" in report.build(tmp_path)[0]
    write_record(path, read_record(path) | {"validation_cells": [47, 216]})
    assert "chosen on 100 held-out frames of 47 of 216 cells; measured" in report.build(tmp_path)[0]


def test_a_recipes_note_is_shown(tmp_path):
    make_record(tmp_path, SBCNN, "distilled", 0)
    assert recipe.load(recipe.find(SBCNN)).report.note in report.build(tmp_path)[0]


def test_a_data_set_file_may_stand_for_the_recipes_data(tmp_path):
    path = make_record(tmp_path, SBCNN, "distilled", 0)
    record = read_record(path)
    genuine = {"generator": "", "file": "genuine.h5", "split": "sbcnn"}
    record["settings"]["data"] = record["settings"]["teacher"]["data"] = genuine
    write_record(path, record)
    assert "parted as `sbcnn`" in report.build(tmp_path)[0]


def test_a_record_of_no_known_recipe_or_member_is_refused(results):
    path = make_record(results, SBCNN, "sbcnn", 0)
    write_record(path.with_name("bcnn-s0.json"), read_record(path) | {"member": "bcnn"})
    with pytest.raises(UserError, match="has no member 'bcnn'"):
        report.build(results)
    shutil.move(results / SBCNN, results / "sbcnn" / "other")
    with pytest.raises(UserError, match="no recipe 'sbcnn/other'"):
        report.build(results)


def test_speeds_are_those_of_their_record(tmp_path):
    row = {
        "network": "vtcnn2",
        "options": {"width": 4},
        "recipe": "edge/rml2016.10a",
        "member": "vtcnn2",
        "classes": 11,
        "frame_length": 128,
        "parameters": 1234,
        "keras_parameters": 1235,
        "macs": 5678,
        "onnx_bytes": 91011,
        "ms_per_frame": 0.12345,
        "frames_per_second": 54321.9,
        "batch": 256,
    }
    about = {"runtime": "A", "threads": 1, "hardware": "B", "weights": "untrained"}
    write_record(tmp_path / "speed" / "b.json", about | {"rows": [row]})
    (cells,) = rows_of(report.build(tmp_path)[0], "`vtcnn2` (width 4)")
    assert cells[2:] == ["11", "128", "1,234", "1,235", "5,678", "91,011", "0.123", "54,322"]


def write_speeds(results, *rows):
    """A record of the speeds of runs: recipe, member, network and frames a second of each."""
    common = {"budget": "reduced", "seed": 0, "batch": 256, "ms_per_frame": 0.1}
    common |= {"parameters": 5, "macs": 6}
    keys = ("recipe", "member", "network", "frames_per_second")
    about = {"runtime": "A", "threads": 1, "hardware": "B", "weights": "trained"}
    about["rows"] = [dict(zip(keys, row, strict=True)) | common for row in rows]
    write_record(results / "accuracy_speed" / "here.json", about)


def test_networks_trained_alike_stand_together_over_speed(tmp_path):
    scratch, taught = "frontier/scratch-rml2016.10a", "frontier/taught-rml2016.10a"
    for member, overall in (("small", 0.5), ("large", 0.6), ("clst", 0.55), ("kd_cnn", 0.5)):
        make_record(tmp_path, scratch, member, 0, overall=overall)
    make_record(tmp_path, "mldnet/baselines-rml2016.10a", "ulcnn", 0, overall=0.4)
    make_record(tmp_path, taught, "large", 0, overall=0.61)
    make_record(tmp_path, taught, "ulcnn", 0, overall=0.45)
    write_speeds(
        tmp_path,
        (scratch, "small", "plain_conv", 40_000.0),
        (scratch, "large", "plain_conv", 9_000.0),
        (scratch, "clst", "clst", 3_000.0),
        (scratch, "kd_cnn", "kd_cnn", 40_000.0),
        ("mldnet/baselines-rml2016.10a", "ulcnn", "ulcnn", 50_000.0),
        (taught, "ulcnn", "ulcnn", 50_000.0),
    )
    text, pictures = report.build(tmp_path)
    part = text[text.index("## Accuracy against speed") :]
    alone, together = part.split("Taught by large and mcldnn, 1,000 training frames, 6 epochs:")
    assert "From scratch, 1,000 training frames, 6 epochs:" in alone
    cells = {row[1]: row for row in rows_of(alone, "`")}
    assert {member: row[-1] for member, row in cells.items()} == {
        "`ulcnn`": "yes",  # the fastest
        "`small`": "yes",  # as fast and as accurate as kd_cnn: neither beats the other
        "`kd_cnn`": "yes",
        "`large`": "yes",
        "`clst`": "no",  # large is faster and more accurate
    }
    assert cells["`small`"][0] == "`plain_conv`, ours" and cells["`clst`"][0] == "`clst`"
    assert cells["`small`"][4] == "40,000" and cells["`small`"][6] == "50.00"
    assert [row[1] for row in rows_of(together, "`ulcnn`")] == ["`ulcnn`"]
    (tmp_path / "docs").mkdir()
    assert "accuracy-speed-here.png" in [path.name for path in pictures.draw(tmp_path / "docs")]


def test_a_speed_without_its_record_is_refused(tmp_path):
    make_record(tmp_path, "frontier/scratch-rml2016.10a", "small", 0)
    row = ("frontier/scratch-rml2016.10a", "large", "plain_conv", 1.0)
    write_speeds(tmp_path, row)
    with pytest.raises(UserError, match="reduced, large, seed 0"):
        report.build(tmp_path)


def test_int8_is_that_of_its_record(tmp_path):
    confusion = [[2, 1], [0, 3]]

    def kind(overall, size, speed):
        return {
            "test": {"overall": overall, "frames": 900, "ece": 0.0123, "confusion": confusion},
            "model": {"sha256": "a"},
            "bytes": size,
            "frames_per_second": {"1": speed, "256": 10 * speed},
            "calibration": {"temperature": 1.25},
        }

    record = {
        "recipe": "plain/rml2016.10a",
        "budget": "paper",
        "quantization": {"trained_for_it": False},
        "float32": kind(0.61929, 1000, 100.0),
        "int8": kind(0.61873, 400, 150.0),
        "difference": {"overall": -0.00056, "changed": 0.016},
        "test_data": {"generator": "g 1", "seed": 2},
        "bytes_ratio": 2.5,
        "speed_ratio": {"1": 1.5, "256": 0.9},
        "faster": False,
        "cpu_features": ["avx2"],
        "hardware": "B",
    }
    write_record(tmp_path / "int8" / "here.json", record)
    text = report.build(tmp_path)[0]
    assert "Measured on 900 frames of g 1 seed 2;" in text and "- A: B (avx2)\n" in text
    (cells,) = rows_of(text, "`here`")
    assert cells[2:7] == ["no", "61.93", "61.87", "-0.06", "1.60"]
    assert cells[7:11] == ["1.23", "1.25", "1,000 to 400", "2.50"]
    assert cells[11:] == [
        "A",
        "100 to 150",
        "1.50",
        "1,000 to 1,500",
        "0.90",
        "not at every batch size",
    ]
    assert "emulated" not in text

    there = {"model": {"sha256": "a"}, "overall": 0.6187, "confusion": [[2, 1], [0, 3]]}
    path = tmp_path / "int8" / "elsewhere" / "here-Haswell.json"
    write_record(path, there)
    assert rows_of(report.build(tmp_path)[0], "`here` | Haswell")[0][2:] == [
        "61.87",
        "61.87",
        "yes",
    ]
    write_record(path, there | {"confusion": [[3, 0], [0, 3]]})
    assert rows_of(report.build(tmp_path)[0], "`here` | Haswell")[0][-1] == "no"
    write_record(path, there | {"model": {"sha256": "b"}})
    with pytest.raises(UserError, match="another file than the record of here"):
        report.build(tmp_path)
    write_record(path.with_name("none-Haswell.json"), there)
    path.unlink()
    with pytest.raises(UserError, match="no record of 'none'"):
        report.build(tmp_path)
    path.with_name("none-Haswell.json").unlink()
    del record["faster"]
    write_record(tmp_path / "int8" / "here.json", record)
    with pytest.raises(UserError, match="no 'faster'"):
        report.build(tmp_path)


def test_robustness_is_that_of_its_record(tmp_path):
    def row(seed, loud):
        return {
            "model": f"a seed {seed}",
            "network": "kd_cnn",
            "recipe": "clst/sizes",
            "budget": "reduced",
            "member": "a",
            "seed": seed,
            "train_frames": 500,
            "data": {"generator": "g 1", "seed": 2},
            "test": {"frames": 9, "overall": 0.4321, "from_0_db": loud, "by_snr": {}},
            "sweeps": {
                "carrier_offset": {
                    "unit": "cycles a sample",
                    "frames": 1234,
                    "at": [0.0, 0.005],
                    "overall": [0.1, 0.2],
                    "from_0_db": [0.55512, None],
                }
            },
            "sets": {"other": {"from_0_db": 0.7777}} if seed else {},
        }

    rows = [row(1, 0.61), row(0, 0.52)]
    write_record(tmp_path / "robustness" / "b.json", {"rows": rows})
    text = report.build(tmp_path)[0]
    assert "g 1 seed 2" in text and "Carrier offset, cycles a sample" in text
    assert rows_of(text, "a seed 0") == [["a seed 0", "1,234", "55.5", "-"]]
    assert rows_of(text, "a seed 1")[1] == ["a seed 1", "61.0", "77.8"]


@pytest.mark.parametrize("system", sorted(path.stem for path in published.PUBLISHED.glob("*")))
def test_published_rows_name_members_and_bands_of_the_recipes(system):
    paper = published.read(system)
    for table in paper.tables:
        if not table.recipe:
            continue
        if table.recipe in recipe.names(compression=True):
            rows = compression_recipe.load(recipe.find(table.recipe)).rows
            assert all(row.member in {"", *rows} for row in table.rows)
            assert not any(row.overall or row.bands for row in table.rows)
            continue
        chosen = recipe.load(recipe.find(table.recipe))
        bands = {f"{low}..{high} dB" for low, high in chosen.report.bands}
        for row in table.rows:
            assert not row.member or row.member in chosen.members, row
            assert set(row.bands) <= bands, row
            accuracies = [row.overall or "50", *row.bands.values()]
            assert all(1 < float(accuracy) < 100 for accuracy in accuracies), row


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("tables: [{source: a, rows: [{name: b, overal: 1}]}]", r"rows\[0\].*'overal'"),
        ("tables: [{rows: []}]", r"tables\[0\].*'source'"),
        ("tables: [{source: a, rows: [{name: b, overall: 63.6}]}]", "overall is 63.6"),
        ("tables: 3", "tables is 3"),
    ],
)
def test_published_figures_are_read_strictly(tmp_path, line, says):
    (tmp_path / "a.yaml").write_text(f"title: A\ncitation: B\ndata: C\n{line}\n")
    with pytest.raises(UserError, match=says):
        published.read("a", tmp_path)


@pytest.mark.parametrize("key", ["confusion_of", "by_snr", "class_report", "feature_maps_of"])
def test_recipes_refuse_members_that_they_have_not(key):
    with pytest.raises(UserError, match=rf"'report\.{key}' names 'teachr'"):
        recipe.load(recipe.find(SBCNN), overrides=[f"report.{key}=[teachr]"])


def test_recipes_refuse_confusion_of_members_at_no_label():
    with pytest.raises(UserError, match=r"needs report\.confusion_at"):
        recipe.load(recipe.find(SBCNN), overrides=["report.confusion_at=[]"])


def test_recipes_refuse_feature_maps_of_one_class():
    with pytest.raises(UserError, match=r"'report\.feature_maps_of' needs two"):
        recipe.load(recipe.find(MAPS), overrides=["report.classes_of_interest=[QAM16]"])


def test_scores_of_left_out_classes_are_the_records(tmp_path):
    told = {"from_db": 5, "known_frames": 1200, "unknown_frames": 50, "auroc": 0.7}
    left_out = {"energy": {**told, "auroc_by_class": {"4FSK": 0.5, "OFDM": 0.9}}}
    make_record(tmp_path, LEFT_OUT, "student", 0, left_out=left_out)
    text, _ = report.build(tmp_path)
    (row,) = rows_of(text, "`student` | energy")
    assert row[2:] == ["0.700", "4FSK 0.500, OFDM 0.900", "1,200 and 50", "test file"]
    assert "from 5 dB" in text


def test_feature_maps_are_the_records(tmp_path):
    near, far = np.zeros((2, 2)), np.array([[0.0, 3.0], [0.0, 4.0]])
    for member, mean in (("b", near), ("whole", far)):
        classes = {
            "QAM16": {"mean": near.tolist(), "spread": 1.0, "frames": 9},
            "QAM64": {"mean": mean.tolist(), "spread": 7.0, "frames": 9},
        }
        make_record(tmp_path, MAPS, member, 0, feature_maps={"4": classes})
    text, pictures = report.build(tmp_path)
    # The means lie 0 and 5 apart, the spread is that of (1 + 49) / 2.
    assert "lie 0.00 with `b`, 1.00 with `whole` apart" in text
    pictures.draw(tmp_path)
    (drawn,) = tmp_path.rglob("*maps-4dB.png")
    assert drawn.stat().st_size > 1000


def test_feature_maps_that_a_run_has_not_are_left_out(tmp_path):
    make_record(tmp_path, MAPS, "b", 0)
    assert "Feature maps" not in report.build(tmp_path)[0]


def test_the_page_in_the_repository_is_that_of_its_records(capsys):
    assert cli.main(["report", "--check"]) == 0, capsys.readouterr().err


def test_citation():
    citation = yaml.safe_load((TOP / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    for key in ("message", "title", "abstract", "authors"):
        assert citation[key]
    assert citation["authors"] == [{"name": "gr-kdamc authors"}]
    assert citation["license"] == "GPL-3.0-or-later"
    project = (TOP / "training" / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{citation["version"]}"' in project
    titles = [reference["title"] for reference in citation["references"]]
    cited = [published.read(path.stem).citation for path in published.PUBLISHED.glob("*.yaml")]
    assert len(titles) == len(cited) == 5
    for title in titles:
        assert any(" ".join(title.split()) in " ".join(one.split()) for one in cited), title
    for reference in citation["references"]:
        assert reference["type"] and reference["authors"] and reference["year"]
