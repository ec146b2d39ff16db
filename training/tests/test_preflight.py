# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recipe asks for and cannot be had is told before anything is done."""

import re
import shutil

import h5py
import pytest
import torch
from kdamc_training import preflight, recipe
from kdamc_training.distillation import registry as losses
from kdamc_training.errors import UserError
from kdamc_training.networks import registry as networks
from torch.nn import functional


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
        ("data.snr=[45, 46]", r"'data\.snr' is \[45, 46\]; the data have no SNR label within"),
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
        ("{width: 3}", "option 'width' is unknown; known: .*widths"),
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


def test_an_unknown_split_is_refused_before_a_run_is_looked_at(toy_file):
    with pytest.raises(UserError, match=r"'data\.split' is 'halves'; known: sbcnn, "):
        checked(
            "plain/rml2016.10a",
            f"data={{file: {toy_file}, split: halves}}",
            "publish=[]",
            "report={}",
        )


class Giving(torch.nn.Module):
    """A network that gives what ``gives`` makes of logits."""

    gives = staticmethod(lambda logits: logits)

    def __init__(self, *, classes, frame_length):
        super().__init__()
        self.layer = torch.nn.Linear(2 * frame_length, classes)

    def forward(self, iq):
        return self.gives(self.layer(iq.flatten(1)))


@pytest.mark.parametrize(
    ("gives", "says"),
    [
        (lambda logits: logits[:, 1:], r"it gives \(2, 10\) for 2 frames and 11 classes"),
        (lambda logits: logits.sum(dim=1), r"it gives \(2,\) for 2 frames"),
        (lambda logits: (logits, logits), "it gives a tuple for 2 frames"),
    ],
)
def test_a_network_that_gives_no_logits_is_refused(gives, says, monkeypatch):
    kind = type("Mine", (Giving,), {"gives": staticmethod(gives)})
    monkeypatch.setitem(networks._networks, "mine", kind)
    with pytest.raises(UserError, match=f"'members.student': network mine: {says}"):
        checked("plain/rml2016.10a", "members.student={network: mine}")


def test_a_network_whose_outputs_are_none_is_refused(monkeypatch):
    kind = type("Mine", (Giving,), {"outputs": lambda self, iq, attention: self(iq)})
    monkeypatch.setitem(networks._networks, "mine", kind)
    with pytest.raises(UserError, match=r"network mine: its outputs\(\) gives \(2, 11\), not"):
        checked("plain/rml2016.10a", "members.student={network: mine}")


@pytest.mark.parametrize(
    ("gives", "says"),
    [
        (lambda loss: loss, r"it gives \(4,\), not a scalar"),
        (lambda loss: float(loss.mean()), r"it gives [\d.]+, not a scalar"),
    ],
)
def test_a_loss_that_gives_no_scalar_is_refused(gives, says, monkeypatch):
    class Mine(losses.Loss):
        needs_teacher = False

        def __init__(self, *, student, teacher):
            super().__init__()

        def forward(self, student, teacher, label):
            return gives(functional.cross_entropy(student.logits, label, reduction="none"))

    monkeypatch.setitem(losses._losses, "mine", Mine)
    with pytest.raises(UserError, match=f"'members.student': loss mine: {says}"):
        checked("plain/rml2016.10a", "members.student.loss=[{name: mine}]")


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_passes(name):
    checked(name)


@pytest.mark.parametrize("name", ["crosstlnet/rml2016.10a", "mldnet/rml2016.10a"])
def test_what_is_said_to_leave_labels_out_does(name, toy_file, tmp_path):
    """A file with one SNR label, which the report's bands and matrices do not show."""
    few = tmp_path / "few.h5"
    shutil.copyfile(toy_file, few)
    with h5py.File(few, "r+") as file:
        file["Z"][:] = 30
    path, told = recipe.find(name), []
    for _ in range(3):
        given = [*recipe.for_file(path, "smoke", few, "edge"), "report.classes_of_interest=[]"]
        try:
            one = recipe.load(path, "smoke", [*given, "data.snr=[]", *told])
            preflight.check(one, ["scratch"])
        except UserError as error:
            told += re.findall(r"--set '([^']*)'", str(error))
        else:
            break
    else:
        pytest.fail("it does not")
    assert told
