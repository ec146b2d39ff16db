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
from kdamc_training.distillation.dist import pearson_distance
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
    ("dist", {}),
    ("skd", {}),
    ("dkd", {}),
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


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_by_hand(smoothing, temperature):
    """The target is the class with 1 - smoothing and all three with a third of it."""
    expected = 0.0
    for row, label in zip(STUDENT, LABEL.tolist(), strict=True):
        logs = [math.log(p) for p in softmax(row, temperature)]
        expected -= ((1 - smoothing) * logs[label] + smoothing * sum(logs) / 3) / 2
    found = value("cross_entropy", label_smoothing=smoothing, temperature=temperature)
    assert found == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_in_plain_numbers():
    """Posteriors (1/4, 3/4) of a frame of class 1; at smoothing 1/2 targets (1/4, 3/4)."""
    student, label = outputs([[0.0, math.log(3.0)]]), torch.tensor([1])
    options = {"student": student, "teacher": None}
    plain = registry.create("cross_entropy", **options)(student, None, label).item()
    smooth = registry.create("cross_entropy", **options, label_smoothing=0.5)
    assert plain == pytest.approx(math.log(4 / 3), rel=1e-6)
    assert smooth(student, None, label).item() == pytest.approx(
        0.25 * math.log(4) + 0.75 * math.log(4 / 3), rel=1e-6
    )


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


def pearson_distances(student, teacher):
    """One minus the correlation of each row."""
    pairs = zip(student, teacher, strict=True)
    return [1.0 - np.corrcoef(s, t)[0, 1] for s, t in pairs]


@pytest.mark.parametrize(("inter", "intra"), [(1.0, 1.0), (2.0, 0.0), (0.0, 3.0)])
def test_dist_by_hand(inter, intra):
    # Three frames: the columns of two would all correlate by 1 or -1.
    student, teacher = [*STUDENT, [0.0, 0.5, 0.2]], [*TEACHER, [1.0, 3.0, 2.0]]
    mine = np.array([softmax(row, 1.5) for row in student])
    theirs = np.array([softmax(row, 1.5) for row in teacher])
    rows = sum(pearson_distances(mine, theirs)) / 3
    columns = sum(pearson_distances(mine.T, theirs.T)) / 3
    expected = inter * rows + intra * columns
    found = value("dist", student, teacher, inter=inter, intra=intra)
    assert found == pytest.approx(expected, rel=1e-5)
    squared = value("dist", student, teacher, inter=inter, intra=intra, squared_temperature=True)
    assert squared == pytest.approx(2.25 * expected, rel=1e-5)


def test_pearson_distance_in_plain_numbers():
    """1, 2, 3 against 1, 3, 2: products 1, 0, 0 about the mean, squares 2 and 2; 1 - 1 / 2."""
    student = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    teacher = torch.tensor([[1.0, 3.0, 2.0], [10.0, 20.0, 30.0]])
    assert pearson_distance(student, teacher).item() == pytest.approx((0.5 + 2.0) / 2)


def test_pearson_distance_of_constant_rows():
    constant, rising = torch.full((1, 3), 0.2), torch.tensor([[0.1, 0.2, 0.7]])
    assert pearson_distance(constant, rising).item() == 1.0
    assert pearson_distance(rising, constant).item() == 0.0


@settings(deadline=None, max_examples=30)
@given(share=st.floats(0.1, 1.0))
def test_dist_knows_no_scale_or_shift_of_posteriors(share):
    """A posterior mixed with an even one is scaled and shifted."""
    student, teacher = random_logits(seed=1).softmax(dim=1), random_logits(seed=2)
    mixed = share * student + (1.0 - share) / 5
    reference = value("dist", student.log().tolist(), teacher.tolist(), temperature=1.0)
    found = value("dist", mixed.log().tolist(), teacher.tolist(), temperature=1.0)
    assert found == pytest.approx(reference, rel=1e-4)


def test_dist_of_one_frame_is_between_classes_only():
    student, teacher = STUDENT[:1], TEACHER[:1]
    found = value("dist", student, teacher)
    assert found == pytest.approx(value("dist", student, teacher, intra=0.0))
    assert found > 0.0


@pytest.mark.parametrize(("kl_weight", "mse_weight"), [(0.5, 0.5), (2.0, 0.0), (0.0, 3.0)])
def test_skd_by_hand(kl_weight, mse_weight):
    pairs = list(zip(TEACHER, STUDENT, strict=True))
    divergence = sum(kl(softmax(t, 4.0), softmax(s, 4.0)) for t, s in pairs) / 2
    teacher = np.array([standardised(t) for t, _ in pairs])
    student = np.array([standardised(s) for _, s in pairs])
    squares = ((teacher - student) ** 2).mean()
    found = value("skd", kl=kl_weight, mse=mse_weight)
    assert found == pytest.approx(kl_weight * 16 * divergence + mse_weight * squares, rel=1e-5)


@settings(deadline=None, max_examples=30)
@given(scale=scales, shift=shifts)
def test_second_term_of_skd_knows_no_scale_or_shift(scale, shift):
    student, teacher = random_logits(seed=1), random_logits(seed=2)
    options = {"kl": 0.0, "mse": 1.0}
    reference = value("skd", student.tolist(), teacher.tolist(), **options)
    moved = value("skd", (scale * student + shift).tolist(), teacher.tolist(), **options)
    assert moved == pytest.approx(reference, rel=1e-4)


def decoupled(row, label, temperature):
    """Posteriors of the true class and of any other, and among the others."""
    posterior = softmax(row, temperature)
    own = posterior.pop(label)
    return [own, 1.0 - own], [p / (1.0 - own) for p in posterior]


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 8.0), (1.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dkd_by_hand(alpha, beta, temperature):
    total = 0.0
    for s, t, label in zip(STUDENT, TEACHER, LABEL.tolist(), strict=True):
        own_s, others_s = decoupled(s, label, temperature)
        own_t, others_t = decoupled(t, label, temperature)
        total += alpha * kl(own_t, own_s) + beta * kl(others_t, others_s)
    found = value("dkd", alpha=alpha, beta=beta, temperature=temperature)
    assert found == pytest.approx(temperature**2 * total / 2, rel=1e-5)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_dkd_in_its_coupled_weights_is_response_distillation(label):
    student, teacher = Outputs(torch.tensor(STUDENT[:1])), Outputs(torch.tensor(TEACHER[:1]))
    beta = 1.0 - softmax(TEACHER[0], 2.0)[label]
    examples = {"student": student, "teacher": teacher}
    dkd = registry.create("dkd", **examples, alpha=1.0, beta=beta, temperature=2.0)
    response = registry.create("response", **examples, temperature=2.0)
    label = torch.tensor([label])
    found = dkd(student, teacher, label)
    assert found.item() == pytest.approx(response(student, teacher, label).item(), rel=1e-5)


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
        ("dist", {"inter": -1.0}, "inter"),
        ("dist", {"intra": math.nan}, "intra"),
        ("dist", {"temperature": -1.5}, "temperature"),
        ("dist", {"squared_temperature": None}, "squared_temperature"),
        ("skd", {"kl": "1"}, "kl"),
        ("skd", {"mse": -0.5}, "mse"),
        ("skd", {"temperature": 0}, "temperature"),
        ("dkd", {"alpha": -1}, "alpha"),
        ("dkd", {"beta": False}, "beta"),
        ("dkd", {"temperature": math.nan}, "temperature"),
        ("cross_entropy", {"temperature": math.inf}, "temperature"),
        ("cross_entropy", {"temperature": True}, "temperature"),
        ("cross_entropy", {"label_smoothing": 1.0}, "label_smoothing"),
        ("cross_entropy", {"label_smoothing": -0.1}, "label_smoothing"),
    ],
)
def test_impossible_options_are_named(name, options, option):
    with pytest.raises(UserError, match=rf"^loss {name}: .*\b{option}\b"):
        make(name, **options)


@pytest.mark.parametrize("name", sorted({name for name, _ in LOGIT_LOSSES}))
def test_another_number_of_classes_is_refused(name):
    with pytest.raises(UserError, match="the student has 3 classes, the teacher 2"):
        make(name, teacher=[[0.0, 1.0], [1.0, 0.0]])


def test_dkd_needs_another_class():
    with pytest.raises(UserError, match="at least two classes"):
        make("dkd", [[1.0]], [[2.0]])


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
