# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses between the logits of two networks."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kdamc_training import distillation as distillation
from kdamc_training.distillation import registry
from kdamc_training.distillation.logit_standardisation import standardise
from kdamc_training.errors import UserError
from kdamc_training.networks.outputs import Outputs

# Two frames, three classes.
STUDENT = [[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]]
TEACHER = [[2.0, 1.0, 0.0], [0.5, 0.5, 4.0]]
LABEL = torch.tensor([1, 2])
LOGIT_LOSSES = [
    ("response", {"temperature": 3.0}),
    ("response", {"temperature": 2.0, "standardise": True}),
]
scales = st.floats(0.2, 5.0)
shifts = st.floats(-5.0, 5.0)


def outputs(logits):
    return Outputs(torch.tensor(logits))


def make(name, student=STUDENT, teacher=TEACHER, **options):
    return registry.create(name, student=outputs(student), teacher=outputs(teacher), **options)


def value(name, student=STUDENT, teacher=TEACHER, **options):
    loss = make(name, student, teacher, **options)
    return loss(outputs(student), outputs(teacher), LABEL).item()


def softmax(row, temperature=1.0):
    powers = [math.exp(z / temperature) for z in row]
    return [power / sum(powers) for power in powers]


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def standardised(row):
    mean = sum(row) / len(row)
    std = math.sqrt(sum((z - mean) ** 2 for z in row) / len(row))
    return [(z - mean) / std for z in row]


def random_logits(n=6, classes=5, seed=0):
    return torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))


def test_standardised_logits_by_hand():
    """1, 2, 6 have mean 3 and squares 4, 1, 9 about it: variance 14 / 3."""
    found = standardise(torch.tensor([[1.0, 2.0, 6.0]]))
    expected = torch.tensor([[-2.0, -1.0, 3.0]]) / math.sqrt(14 / 3)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_standardised_equal_logits_are_zero():
    logits = torch.full((2, 4), 3.0, requires_grad=True)
    found = standardise(logits)
    assert torch.equal(found, torch.zeros(2, 4))
    (gradient,) = torch.autograd.grad(found[:, 0].sum(), logits)
    assert gradient.isfinite().all()


@settings(deadline=None, max_examples=30)
@given(scale=scales, shift=shifts)
def test_standardised_response_knows_no_scale_or_shift(scale, shift):
    student, teacher = random_logits(seed=1), random_logits(seed=2)
    options = {"temperature": 2.0, "standardise": True}
    reference = value("response", student.tolist(), teacher.tolist(), **options)
    moved = value("response", (scale * student + shift).tolist(), teacher.tolist(), **options)
    assert moved == pytest.approx(reference, rel=1e-4)


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_response_by_hand(temperature, squared):
    rows = [
        kl(softmax(t, temperature), softmax(s, temperature))
        for t, s in zip(TEACHER, STUDENT, strict=True)
    ]
    expected = (temperature**2 if squared else 1.0) * sum(rows) / 2
    found = value("response", temperature=temperature, squared_temperature=squared)
    assert found == pytest.approx(expected, rel=1e-5)


def test_response_in_plain_numbers():
    """Teacher (1/2, 1/2), student (1/4, 3/4): log 2 / 2 + log(2 / 3) / 2 nats."""
    found = value("response", [[0.0, math.log(3.0)]], [[0.0, 0.0]], temperature=1.0)
    assert found == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), rel=1e-6)


def test_standardised_response_by_hand():
    rows = [
        kl(softmax(standardised(t), 2.0), softmax(standardised(s), 2.0))
        for t, s in zip(TEACHER, STUDENT, strict=True)
    ]
    found = value("response", temperature=2.0, standardise=True)
    assert found == pytest.approx(4.0 * sum(rows) / 2, rel=1e-5)


@pytest.mark.parametrize(("name", "options"), LOGIT_LOSSES)
@pytest.mark.parametrize(
    "logits",
    [STUDENT, [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], [[900.0, 0.0, -900.0], [0.0, -900.0, 900.0]]],
    ids=["plain", "equal", "certain"],
)
def test_a_student_that_agrees_has_nothing_to_learn(name, options, logits):
    student = torch.tensor(logits, requires_grad=True)
    loss = make(name, logits, logits, **options)(Outputs(student), outputs(logits), LABEL)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 1e-4


@pytest.mark.parametrize(("name", "options"), LOGIT_LOSSES)
@pytest.mark.parametrize(
    "logits",
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], [[900.0, 0.0, -900.0], [0.0, -900.0, 900.0]]],
    ids=["equal", "certain"],
)
def test_extreme_students_have_finite_gradients(name, options, logits):
    student = torch.tensor(logits, requires_grad=True)
    loss = make(name, **options)(Outputs(student), outputs(TEACHER), LABEL)
    loss.backward()
    assert loss.item() > 0.0
    assert student.grad.isfinite().all()


@pytest.mark.parametrize(("name", "options"), LOGIT_LOSSES)
def test_gradients_flow_into_the_student_only(name, options):
    student = torch.tensor(STUDENT, requires_grad=True)
    teacher = torch.tensor(TEACHER, requires_grad=True)
    make(name, **options)(Outputs(student), Outputs(teacher), LABEL).backward()
    assert student.grad.abs().max() > 0.0
    assert teacher.grad is None


@pytest.mark.parametrize(("name", "options"), LOGIT_LOSSES)
def test_descent_leads_to_the_teacher(name, options):
    """Two hundred steps against a random teacher take nearly all of the loss away."""
    student = random_logits(seed=3).requires_grad_()
    teacher = Outputs(random_logits(seed=4))
    label = torch.arange(6) % 5
    loss = make(name, student.tolist(), teacher.logits.tolist(), **options)
    start = loss(Outputs(student), teacher, label).item()
    optimizer = torch.optim.Adam([student], 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(Outputs(student), teacher, label).backward()
        optimizer.step()
    assert loss(Outputs(student), teacher, label).item() < 0.02 * start


@pytest.mark.parametrize(("name", "options"), LOGIT_LOSSES)
def test_half_precision_logits_are_computed_in_float32(name, options):
    student = torch.tensor(STUDENT).bfloat16()
    teacher = torch.tensor(TEACHER).bfloat16()
    loss = make(name, **options)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(Outputs(student), Outputs(teacher), LABEL)
    assert found.dtype == torch.float32
    expected = value(name, student.float().tolist(), teacher.float().tolist(), **options)
    assert found.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "option"),
    [
        ("response", {"temperature": 0.0}, "temperature"),
        ("response", {"temperature": math.inf}, "temperature"),
        ("response", {"temperature": "4"}, "temperature"),
        ("response", {"temperature": True}, "temperature"),
        ("response", {"squared_temperature": "no"}, "squared_temperature"),
        ("response", {"standardise": 1}, "standardise"),
        ("response", {"temprature": 2.0}, "temprature"),
    ],
)
def test_impossible_options_are_named(name, options, option):
    with pytest.raises(UserError, match=rf"^loss {name}: .*\b{option}\b"):
        make(name, **options)


@pytest.mark.parametrize("name", sorted({name for name, _ in LOGIT_LOSSES}))
def test_another_number_of_classes_is_refused(name):
    with pytest.raises(UserError, match="the student has 3 classes, the teacher 2"):
        make(name, teacher=[[0.0, 1.0], [1.0, 0.0]])


def test_a_loss_may_come_from_elsewhere():
    @registry.register("logit_distance")
    class LogitDistance(registry.Loss):
        def __init__(self, *, student, teacher, power=2):
            super().__init__()
            self.power = power

        def forward(self, student, teacher, label):
            return (student.logits - teacher.logits).abs().pow(self.power).mean()

    differences = np.abs(np.array(STUDENT) - np.array(TEACHER))
    assert value("logit_distance", power=1) == pytest.approx(differences.mean())
    assert "logit_distance" in registry.names()
    with pytest.raises(ValueError, match="exists already"):
        registry.register("logit_distance")(LogitDistance)
    with pytest.raises(UserError, match="needs a teacher"):
        registry.create("logit_distance", student=outputs(STUDENT), teacher=None)
