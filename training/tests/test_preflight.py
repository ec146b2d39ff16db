# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recipe asks for and cannot be had is told before anything is done."""

import h5py
import pytest
from kdamc_training import preflight, recipe
from kdamc_training.errors import UserError


def checked(name: str, *overrides: str) -> None:
    one = recipe.load(recipe.find(name), "smoke", overrides=overrides)
    preflight.check(one, list(one.members))


def published(**changed: str) -> str:
    says = {"score": "stranger", "generator": "live-unknown"} | changed
    frames = says.pop("frames", "{frames_per_cell: 1, seed: 2, speech: test}")
    keys = ", ".join(f"{key}: {value}" for key, value in says.items())
    unknown = f"{{{keys}, frames: {frames}}}"
    return f"publish=[{{member: student, model_name: mine, unknown: {unknown}}}]"


def test_what_can_be_had_is_not_refused():
    checked("live/live", published())
    checked("live/live", published(score="energy"))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("publish=[{member: student, model_name: ../mine}]", r"'publish\.0\.model_name' is '\.\./"),
        (published(score="surprise"), r"score' is 'surprise'; .* energy, mahalanobis, stranger"),
        (published(score="own"), r"score' is 'own'"),
        (published(generator="nowhere"), "nowhere"),
        (published(false_rejection="1.5"), r"false_rejection' is 1\.5"),
        (
            published(frames="{frames_per_cell: 1, seed: 2, speech: sung}"),
            r"frames\.speech' is 'sung'",
        ),
        ("report.classes_of_interest=[QAM-16]", "classes_of_interest' names 'QAM-16'"),
        ("report.confusion_at=[45]", "no label 45 dB"),
        ("report.bands=[[100, 120]]", r"'report\.bands\.0': no label is in 100 to 120"),
        (
            "data.train={generator: nothing, frames_per_cell: 4, seed: 1, speech: train}",
            "nothing",
        ),
    ],
)
def test_what_cannot_be_had_is_named(override, says):
    with pytest.raises(UserError, match=says):
        checked("live/live", override)


def test_a_model_that_runs_calibrate_knows_all_classes():
    with pytest.raises(UserError, match=r"the classes of 'data\.without', too"):
        checked("live/live", published(), "data.without=[BPSK]")


@pytest.mark.parametrize(
    ("without", "says"),
    [("[]", "the data have fewer"), ("[low, high]", r"key 'data\.without' leaves fewer")],
)
def test_one_class_is_too_few(toy_file, without, says):
    if without == "[]":
        with h5py.File(toy_file, "r+") as file:
            file["Y"][:] = 0
            file.attrs["classes"] = ["low"]
    data = f"data={{file: {toy_file}, split: edge, without: {without}}}"
    with pytest.raises(UserError, match=f"{says} than two classes"):
        checked("plain/rml2016.10a", data, "publish=[]")


def test_classes_left_out_are_measured_on_loud_frames():
    checked("plain/rml2016.10a", "publish=[]", "data.without=[BPSK]", "data.snr=[0, 6]")
    with pytest.raises(UserError, match=r"'data\.without'.* from 5 dB on"):
        checked("plain/rml2016.10a", "publish=[]", "data.without=[BPSK]", "data.snr=[-20, 4]")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("{widths: [-2, 8, 8, 8]}", "its network or loss cannot be made: RuntimeError"),
        ("{kernels: [0, 5, 5, 3]}", "its network or loss cannot be made: "),
        ("{width: 3}", "unexpected keyword argument 'width'"),
    ],
)
def test_options_that_make_no_network_are_refused(options, says):
    with pytest.raises(UserError, match=f"'members.student': .*{says}"):
        checked("plain/rml2016.10a", f"members.student.options={options}")


def test_a_gpu_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(preflight, "gpu", lambda: None)
    with pytest.raises(UserError, match=r"train\.accelerator is gpu, but PyTorch finds none"):
        checked("live/live", "train.accelerator=gpu")
    monkeypatch.setattr(preflight, "gpu", lambda: "cuda")
    checked("live/live", "train.accelerator=gpu")
    with pytest.raises(UserError, match=r"train\.devices is 1024, but GPUs are"):
        checked("live/live", "train.accelerator=auto", "train.devices=1024")


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["augment.noise=0.1"], r"'augment\.noise' needs a data set that tells each frame's SNR"),
        (["augment.noise_rise=3"], r"'augment\.noise_rise' needs"),
        (["members.student.loss=[{name: snr}]"], r"'members\.student': loss snr needs a data set"),
        (["members.student.loss=[{name: posterior}]"], "loss posterior needs a data set"),
    ],
)
def test_what_the_data_do_not_tell_of_a_frame_is_named(overrides, says):
    with pytest.raises(UserError, match=says):
        checked("plain/rml2016.10a", *overrides)


def test_shares_of_noise_are_enough_for_a_rise():
    checked("plain/rml2016.10a", "augment.noise_rise=3", "data.train.generator=rml2016.10a-quiet")


@pytest.mark.parametrize("more", ["teacher_rotations: 2", "more_teachers: [second]"])
def test_several_teachers_show_logits_alone(more):
    student = f"network: live_conv, teacher: first, loss: [{{name: similarity}}], {more}"
    members = f"{{first: {{network: live_conv}}, second: {{network: live_conv}}, a: {{{student}}}}}"
    overrides = [f"members={members}", "augment.strangers=0", "publish=[]", "report={}"]
    with pytest.raises(UserError, match=r"'members\.a': .*the teacher shows no features"):
        checked("live/live", *overrides)
    checked("live/live", overrides[0].replace(more, "teacher_sees: original"), *overrides[1:])
