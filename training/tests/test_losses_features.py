# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses between the features and the attention maps of two networks."""

import numpy as np
import pytest
import torch
from kdamc_training import distillation as distillation
from kdamc_training.distillation import registry
from kdamc_training.distillation.layer_pairs import layer_pairs
from kdamc_training.errors import UserError
from kdamc_training.networks.outputs import Outputs

BATCH, TOKENS = 4, 6
LABEL = torch.zeros(BATCH, dtype=torch.int64)
LOSSES = ["feature", "attention", "similarity"]


def network(layers, width, *, seed, tokens=TOKENS, batch=BATCH):
    """Outputs of ``layers`` features and attention maps, all random."""
    generator = torch.Generator().manual_seed(seed)
    features = [torch.randn(batch, tokens, width, generator=generator) for _ in range(layers)]
    scores = [3 * torch.randn(batch, tokens, tokens, generator=generator) for _ in range(layers)]
    logits = torch.randn(batch, 3, generator=generator)
    return Outputs(logits, tuple(features), tuple(x.softmax(dim=2) for x in scores))


def mapped(outputs, change):
    """``outputs`` with every feature and map changed by ``change``."""
    features, attention = (tuple(map(change, x)) for x in (outputs.features, outputs.attention))
    return Outputs(change(outputs.logits), features, attention)


def make(name, student, teacher, **options):
    torch.manual_seed(0)
    return registry.create(name, student=student, teacher=teacher, **options)


def value(name, student, teacher, **options):
    return make(name, student, teacher, **options)(student, teacher, LABEL).item()


def numbers(tensors):
    return [x.detach().numpy().astype(np.float64) for x in tensors]


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        (2, 12, ((0, 5), (1, 11))),
        (2, 4, ((0, 1), (1, 3))),
        (3, 4, ((0, 0), (1, 1), (2, 3))),
        (2, 2, ((0, 0), (1, 1))),
        (1, 5, ((0, 4),)),
        (5, 2, ((1, 0), (4, 1))),
    ],
)
def test_layers_are_matched_evenly(student, teacher, expected):
    shown = torch.zeros(1, 1)
    assert layer_pairs("features", [shown] * student, [shown] * teacher) == expected


def test_feature_by_hand():
    student, teacher = network(2, 3, seed=1), network(4, 5, seed=2)
    loss = make("feature", student, teacher)
    weights = numbers(projection.weight for projection in loss.projections)
    assert [w.shape for w in weights] == [(5, 3), (5, 3)]
    mine, theirs = numbers(student.features), numbers(teacher.features)
    first = ((mine[0] @ weights[0].T - theirs[1]) ** 2).mean()
    last = ((mine[1] @ weights[1].T - theirs[3]) ** 2).mean()
    found = loss(student, teacher, LABEL).item()
    assert found == pytest.approx((first + last) / 2, rel=1e-5)


def test_feature_in_plain_numbers():
    """1 and 2 projected to one channel by 3 and -1 give 1; the teacher has 5: 16."""
    student = Outputs(torch.zeros(1, 3), (torch.tensor([[[1.0, 2.0]]]),))
    teacher = Outputs(torch.zeros(1, 3), (torch.tensor([[[5.0]]]),))
    loss = make("feature", student, teacher)
    loss.projections[0].weight.data = torch.tensor([[3.0, -1.0]])
    assert loss(student, teacher, LABEL).item() == 16.0


def test_normalised_features_in_plain_numbers():
    """1 and 5 become -1 and 1, projected by 3 and 1 to -2 and -1; 20 and 10 become 1 and -1."""
    student = Outputs(torch.zeros(1, 3), (torch.tensor([[[1.0, 5.0]]]),))
    teacher = Outputs(torch.zeros(1, 3), (torch.tensor([[[20.0, 10.0]]]),))
    loss = make("feature", student, teacher, normalised=True)
    loss.projections[0].weight.data = torch.tensor([[3.0, 1.0], [1.0, 0.0]])
    assert loss(student, teacher, LABEL).item() == pytest.approx((9 + 0) / 2, rel=1e-5)
    with pytest.raises(UserError, match="normalised"):
        make("feature", student, teacher, normalised=1)


def test_projection_learns_what_it_can():
    """Features that are a linear map of the student's can be met by W alone."""
    student = network(1, 5, seed=1)
    teacher = mapped(student, lambda x: x[..., :3] @ torch.diag(torch.tensor([1.0, 2.0, -1.0])))
    loss = make("feature", student, teacher)
    optimizer = torch.optim.Adam(loss.parameters(), 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss(student, teacher, LABEL).backward()
        optimizer.step()
    assert loss(student, teacher, LABEL).item() < 1e-3


def test_attention_by_hand():
    student, teacher = network(2, 3, seed=1), network(4, 5, seed=2)
    mine, theirs = numbers(student.attention), numbers(teacher.attention)
    squares = [(mine[0] - theirs[1]) ** 2, (mine[1] - theirs[3]) ** 2]
    expected = sum(x.sum() for x in squares) / (2 * BATCH * TOKENS)
    assert value("attention", student, teacher) == pytest.approx(expected, rel=1e-5)
    plain_mean = np.mean(squares)
    assert value("attention", student, teacher) == pytest.approx(TOKENS * plain_mean, rel=1e-5)


def test_attention_to_other_tokens_costs_two():
    student = Outputs(torch.zeros(1, 3), (), (torch.eye(4)[None],))
    teacher = Outputs(torch.zeros(1, 3), (), (torch.eye(4).roll(1, 1)[None],))
    assert value("attention", student, teacher) == 2.0


@pytest.mark.parametrize("name", ["feature", "attention"])
def test_chosen_layers(name):
    student, teacher = network(2, 3, seed=1), network(4, 3, seed=2)
    loss = make(name, student, teacher, layers=[[1, 0]])
    alone = Outputs(student.logits, student.features[1:], student.attention[1:])
    target = Outputs(teacher.logits, teacher.features[:1], teacher.attention[:1])
    found = loss(student, teacher, LABEL).item()
    assert found == pytest.approx(value(name, alone, target), rel=1e-6)


@pytest.mark.parametrize("normalisation", ["rows", "matrix"])
def test_similarity_by_hand(normalisation):
    student, teacher = network(2, 3, seed=1, tokens=5), network(2, 4, seed=2)
    expected = 0.0
    for mine, theirs in zip(numbers(student.features), numbers(teacher.features), strict=True):
        grams = []
        for feature in (mine, theirs):
            flat = feature.reshape(BATCH, -1)
            gram = np.array([[a @ b for b in flat] for a in flat])
            squares = (gram**2).sum(axis=1, keepdims=True)
            grams.append(gram / np.sqrt(squares if normalisation == "rows" else squares.sum()))
        expected += ((grams[1] - grams[0]) ** 2).sum() / BATCH**2
    found = value("similarity", student, teacher, normalisation=normalisation)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("normalisation", "expected"), [("rows", 2 * (2 - 2**0.5)), ("matrix", 2 - 2**0.5)]
)
def test_similarity_in_plain_numbers(normalisation, expected):
    """Alike frames against orthogonal ones, times b^2.

    Rows (1, 1) / sqrt 2 and (1, 0) are 2 - sqrt 2 apart, and there are two. Matrices of four
    halves and of two times 1 / sqrt 2 are 2 - sqrt 2 apart.
    """
    student = Outputs(torch.zeros(2, 3), (torch.tensor([[[2.0, 0.0]], [[2.0, 0.0]]]),))
    teacher = Outputs(torch.zeros(2, 3), (torch.eye(2)[:, None],))
    found = 4 * value("similarity", student, teacher, normalisation=normalisation)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("normalisation", ["rows", "matrix"])
def test_similarity_knows_no_rotation_or_scale(normalisation):
    student, teacher = network(1, 3, seed=1), network(1, 4, seed=2)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(3))).Q
    turned = mapped(student, lambda x: 2.5 * x @ rotation if x.shape[-1] == 3 else x)
    assert not torch.allclose(turned.features[0], 2.5 * student.features[0], atol=0.1)
    options = {"normalisation": normalisation}
    reference = value("similarity", student, teacher, **options)
    assert value("similarity", turned, teacher, **options) == pytest.approx(reference, rel=1e-4)
    assert value("similarity", student, turned, **options) == pytest.approx(0.0, abs=1e-10)


@pytest.mark.parametrize("normalisation", ["rows", "matrix"])
def test_similarity_without_features_has_finite_gradients(normalisation):
    teacher = network(1, 4, seed=2)
    feature = torch.zeros(BATCH, TOKENS, 3, requires_grad=True)
    student = Outputs(teacher.logits, (feature,))
    loss = make("similarity", student, teacher, normalisation=normalisation)
    loss(student, teacher, LABEL).backward()
    assert feature.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_student_that_agrees_has_nothing_to_learn(name):
    same = network(2, 3, seed=1)
    student = mapped(same, lambda x: x.clone().requires_grad_())
    loss = make(name, student, same)
    for parameter in loss.parameters():
        parameter.data = torch.eye(3)
    result = loss(student, same, LABEL)
    result.backward()
    assert result.item() == pytest.approx(0.0, abs=1e-10)
    learners = student.attention if name == "attention" else student.features
    for tensor in [*learners, *loss.parameters()]:
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().max() < 1e-6


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_flow_into_the_student_and_the_projections(name):
    student = mapped(network(2, 3, seed=1), lambda x: x.clone().requires_grad_())
    teacher = mapped(network(2, 5, seed=2), lambda x: x.clone().requires_grad_())
    loss = make(name, student, teacher)
    loss(student, teacher, LABEL).backward()
    learners = student.attention if name == "attention" else student.features
    for tensor in [*learners, *loss.parameters()]:
        assert tensor.grad.abs().max() > 0.0
    for tensor in [*teacher.features, *teacher.attention]:
        assert tensor.grad is None
    assert len(list(loss.parameters())) == (2 if name == "feature" else 0)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32(name):
    student, teacher = (mapped(network(2, 3, seed=s), torch.Tensor.bfloat16) for s in (1, 2))
    loss = make(name, student, teacher)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(student, teacher, LABEL)
    assert found.dtype == torch.float32
    wide = mapped(student, torch.Tensor.float), mapped(teacher, torch.Tensor.float)
    assert found.item() == pytest.approx(loss(*wide, LABEL).item(), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("who", ["student", "teacher"])
def test_a_network_that_shows_only_logits_is_refused(name, who):
    shown = {"student": network(2, 3, seed=1), "teacher": network(2, 3, seed=2)}
    shown[who] = Outputs(shown[who].logits)
    with pytest.raises(UserError, match=rf"the {who} shows no "):
        make(name, **shown)


def test_another_number_of_features_is_refused():
    with pytest.raises(UserError, match="the student shows 2 features, the teacher 3"):
        make("similarity", network(2, 3, seed=1), network(3, 3, seed=2))


@pytest.mark.parametrize("name", ["feature", "attention"])
def test_another_number_of_tokens_is_refused(name):
    with pytest.raises(
        UserError, match=r"0 of the student is of 6 tokens, .*0 of the teacher of 8"
    ):
        make(name, network(1, 3, seed=1), network(1, 3, seed=2, tokens=8))


@pytest.mark.parametrize("name", ["feature", "attention"])
@pytest.mark.parametrize(
    "layers", [[], 3, [[0]], [[0, 4]], [[2, 0]], [[-1, 0]], [[0, True]], [["0", 0]], [1, 2]]
)
def test_impossible_layers_are_refused(name, layers):
    with pytest.raises(UserError, match=rf"^loss {name}: layers is .* from 0 to 1 and from 0 to 3"):
        make(name, network(2, 3, seed=1), network(4, 3, seed=2), layers=layers)


def test_an_unknown_normalisation_is_refused():
    both = network(1, 3, seed=1)
    with pytest.raises(UserError, match="normalisation is 'columns'"):
        make("similarity", both, both, normalisation="columns")


@pytest.mark.parametrize(
    ("name", "features", "attention"),
    [("feature", True, False), ("attention", False, True), ("similarity", True, False)],
)
def test_losses_say_what_they_need(name, features, attention):
    kind = registry.known(name)
    needs = kind.needs_teacher, kind.needs_features, kind.needs_attention
    assert needs == (True, features, attention)
