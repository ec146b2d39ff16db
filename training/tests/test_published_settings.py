# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""At the budget paper recipes train as the papers say, as far as these say how."""

from itertools import combinations

import pytest
from kdamc_training import recipe
from kdamc_training.reuse import training_of
from kdamc_training.run_settings import settings_of

_CROSSTLNET = {
    "optimizer": "adam",
    "learning_rate": 1e-4,
    "batch_size": 32,
    "schedule": "plateau",
    "plateau_factor": 0.5,
    "plateau_patience": 10,
    "early_stopping": 50,
    "monitor": "val_loss",
    "keep": "best",
}
_SBCNN = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "batch_size": 64,
    "schedule": "constant",
    "epochs": 20,
    "early_stopping": 0,
    "monitor": "val_accuracy",
    "keep": "best",
}
_CLST = {
    "optimizer": "adam",
    "learning_rate": 1e-2,
    "batch_size": 256,
    "schedule": "cosine",
    "epochs": 100,
}
_CLST_STUDENTS = [
    f"{network}_{taught}"
    for network in ("cnn", "mobilenet")
    for taught in ("scratch", "smoothed", "distilled")
]

TRAINING = [
    ("crosstlnet/rml2016.10a", ["scratch", "smoothed", "distilled"], _CROSSTLNET),
    (
        "crosstlnet/rml2016.10a",
        ["teacher"],
        {**_CROSSTLNET, "plateau_patience": 5, "early_stopping": 25},
    ),
    ("sbcnn/rml2018.01a", ["sbcnn", "teacher", "scratch", "smoothed", "distilled"], _SBCNN),
    *(
        (f"clst/{data}", ["teacher", *_CLST_STUDENTS], _CLST)
        for data in (
            "rml2016.04c-5pct",
            "rml2016.10a-3pct",
            "rml2016.10a-5pct",
            "rml2016.10b-5pct",
            "rml2018.01a-5pct",
        )
    ),
]

LOSSES = [
    (
        "crosstlnet/rml2016.10a",
        "distilled",
        [
            ("cross_entropy", 1.0, {}),
            ("similarity", 9e5, {"normalisation": "matrix"}),
            ("dist", 1.0, {"temperature": 1.5}),
        ],
    ),
    (
        "sbcnn/rml2018.01a",
        "distilled",
        [("cross_entropy", 0.35, {}), ("response", 0.65, {"temperature": 1.0})],
    ),
    *(
        ("edge/rml2016.10a", teacher, [("cross_entropy", 1.0, {"temperature": 10.0})])
        for teacher in ("inceptionnet_teacher", "resnet_teacher")
    ),
    *(
        (
            "edge/rml2016.10a",
            student,
            [
                ("cross_entropy", 0.5, {"temperature": 10.0}),
                ("response", 0.5, {"temperature": 10.0, "squared_temperature": False}),
            ],
        )
        for student in (
            "vtcnn2_from_inceptionnet",
            "vtcnn2_from_resnet",
            "resnet_from_inceptionnet",
        )
    ),
]

NETWORKS = [
    ("crosstlnet/rml2016.10a", "teacher", "crosstlnet", {}),
    ("crosstlnet/rml2016.10a", "distilled", "crosstlnet", {"width": 64, "hidden": 32}),
    ("sbcnn/rml2018.01a", "teacher", "ibcnn", {}),
    ("sbcnn/rml2018.01a", "distilled", "sbcnn_student", {}),
    ("clst/rml2016.10a-5pct", "teacher", "clst", {}),
    ("clst/rml2016.10a-5pct", "cnn_distilled", "kd_cnn", {}),
    ("clst/rml2016.10a-5pct", "mobilenet_distilled", "kd_mobilenet", {}),
    ("mldnet/rml2016.10a", "teacher", "mld_teacher", {}),
    ("mldnet/rml2016.10a", "mldnet", "mld_student", {}),
    ("edge/rml2016.10a", "inceptionnet_teacher", "inceptionnet", {}),
    ("edge/rml2016.10a", "resnet_from_inceptionnet", "resnet_edge", {}),
    ("edge/rml2016.10a", "vtcnn2_from_resnet", "vtcnn2", {}),
]

# Of the frames for training, validation and test together; of ClST, of those for training alone.
SHARES = [
    ("crosstlnet/rml2016.10a", 0.6, 0.2, 0.2),
    ("sbcnn/rml2018.01a", 0.8, 0.1, 0.1),
    ("edge/rml2016.10a", 0.45, 0.05, 0.5),
]

ALIKE = {("edge/rml2016.10a", "paper", frozenset(("resnet_teacher", "resnet_softened")))}
"""A network that teaches and the control that has its temperature are one training."""


def loaded(name, budget="paper"):
    return recipe.load(recipe.find(name), budget)


@pytest.mark.parametrize(("name", "members", "train"), TRAINING)
def test_training_is_the_papers(name, members, train):
    whole = loaded(name)
    for member in members:
        own = vars(whole.train_of(member))
        assert {key: own[key] for key in train} == train, member


@pytest.mark.parametrize(("name", "member", "terms"), LOSSES)
def test_losses_are_the_papers(name, member, terms):
    loss = loaded(name).members[member].loss
    assert [(term.name, term.weight, term.options) for term in loss] == terms


@pytest.mark.parametrize(("name", "member", "network", "options"), NETWORKS)
def test_networks_are_of_full_size(name, member, network, options):
    own = loaded(name).members[member]
    assert (own.network, own.options) == (network, options)


@pytest.mark.parametrize(("name", "training", "validation", "test"), SHARES)
def test_frames_are_parted_as_in_the_paper(name, training, validation, test):
    data = loaded(name).data
    frames = data.train.frames_per_cell + data.test.frames_per_cell
    held = data.validation_share * data.train.frames_per_cell
    assert data.train_share == 1.0
    assert held / frames == pytest.approx(validation, abs=2e-3)
    assert (data.train.frames_per_cell - held) / frames == pytest.approx(training, abs=2e-3)
    assert data.test.frames_per_cell / frames == pytest.approx(test, abs=2e-3)


@pytest.mark.parametrize(
    ("temperature", "member"), [(t, f"temperature{t}") for t in (1, 2, 5, 10, 20)]
)
def test_the_sweep_of_temperatures_is_of_both_terms(temperature, member):
    loss = loaded("edge/temperatures-rml2016.10a").members[member].loss
    assert {term.options["temperature"] for term in loss} == {float(temperature)}


@pytest.mark.parametrize("name", recipe.names())
@pytest.mark.parametrize("budget", ["reduced", "paper"])
def test_no_two_members_are_the_same_training(name, budget):
    whole = loaded(name, budget)
    found = {
        member: training_of(settings_of(whole, member, whole.seeds_of(member)[0]))
        for member in whole.members
    }
    same = {frozenset(pair) for pair in combinations(found, 2) if found[pair[0]] == found[pair[1]]}
    assert same == {pair for *of, pair in ALIKE if of == [name, budget]}


@pytest.mark.parametrize("name", recipe.names())
@pytest.mark.parametrize("budget", ["reduced", "paper"])
def test_who_is_compared_trains_alike(name, budget):
    whole = loaded(name, budget)
    for first, second in whole.report.gains:
        own, other = (dict(vars(whole.train_of(member))) for member in (first, second))
        for settings in (own, other):
            settings.pop("quantize")  # what plain/int8-rml2016.10a compares
        assert own == other, (first, second)
