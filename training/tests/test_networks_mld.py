# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The teacher and the student of MLD-Net, and attention by hashing."""

import io
import math
import warnings

import onnxruntime
import pytest
import torch
from kdamc_training import networks as networks
from kdamc_training.complexity import macs
from kdamc_training.errors import UserError
from kdamc_training.networks import registry
from kdamc_training.networks.attention import NEVER, EncoderLayer, SelfAttention, attend, sinusoids
from kdamc_training.networks.mld_student import LshAttention
from torch import nn
from torch.nn import functional

SIZE = {"classes": 11, "frame_length": 128}
SMALL_TEACHER = {"width": 32, "layers": 3, "heads": 4}


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def assert_exports(network, length=128, tolerance=1e-4):
    network.eval()
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.randn(2, 2, length),),
            buffer,
            input_names=["iq"],
            output_names=["logits"],
            dynamic_axes={"iq": {0: "n"}, "logits": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    for n in (1, 5):
        iq = torch.randn(n, 2, length)
        with torch.no_grad():
            expected = network(iq)
        (logits,) = session.run(None, {"iq": iq.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=0, atol=tolerance)


def test_sizes_are_those_of_the_paper():
    assert parameters(registry.create("mld_teacher", **SIZE)) == 38_268_875
    assert parameters(registry.create("mld_student", **SIZE)) == 285_035


def test_macs():
    layers = 12 * (4 * 512 * 512 + 2 * 512 * 2048 + 2 * 128 * 512)
    convolutions = 2 * 64 * 7 + 64 * 128 * 5 + 128 * 256 * 3 + 256 * 512
    head = 512 * 192 + 192 * 11
    teacher = registry.create("mld_teacher", **SIZE)
    assert macs(teacher, 128) == 128 * (layers + convolutions) + head
    # What the paper counts is that of the maps alone; the scores and the hashing are beside it.
    maps = 2 * (3 * 128 * 128 + 2 * 128 * 256) + 2 * 32 * 5 + 32 * 64 * 5 + 64 * 128 * 5
    attention = 2 * (2 * 128 * 128 + 128 * 4 * 4)
    student = registry.create("mld_student", **SIZE)
    assert macs(student, 128) == 128 * (maps + attention) + 128 * 11
    assert 128 * maps + 128 * 11 == pytest.approx(35.899e6, rel=0.002)


@pytest.mark.parametrize(
    ("name", "options", "layers", "width"),
    [("mld_teacher", SMALL_TEACHER, 3, 32), ("mld_student", {}, 2, 128)],
)
def test_outputs_show_every_layer(name, options, layers, width):
    network = registry.create(name, **SIZE, **options).eval()
    iq = torch.randn(3, 2, 128)
    plain, shown = network.outputs(iq), network.outputs(iq, attention=True)
    assert plain.attention == ()
    assert [f.shape for f in plain.features] == [(3, 128, width)] * layers
    assert [a.shape for a in shown.attention] == [(3, 128, 128)] * layers
    for weights in shown.attention:
        torch.testing.assert_close(weights.sum(dim=2), torch.ones(3, 128))
    # The fused kernel and the written out attention are the same.
    torch.testing.assert_close(plain.logits, shown.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(network(iq), plain.logits)


def test_exported_graphs_agree():
    torch.manual_seed(1)
    assert_exports(registry.create("mld_teacher", **SIZE, **SMALL_TEACHER))
    assert_exports(registry.create("mld_student", **SIZE))
    assert_exports(registry.create("mld_student", **SIZE, attention="full"))


def test_a_map_is_what_the_forward_pass_used():
    torch.manual_seed(2)
    layer = LshAttention(width=16, heads=1, length=64, bucket=8, hashes=2)
    tokens = torch.randn(2, 64, 16)
    mixed, weights = layer(tokens, want_map=True)
    torch.testing.assert_close(layer.out(weights @ layer.value(tokens)), mixed)
    torch.testing.assert_close(layer(tokens)[0], mixed)


def full_attention(query):
    """Weights ``(L, L)`` of shared-QK attention of one head ``(L, width)``, no token on itself."""
    key = query / query.norm(dim=1, keepdim=True)
    scores = query @ key.T / math.sqrt(query.shape[1])
    scores.fill_diagonal_(-math.inf)
    return scores.exp() / scores.exp().sum(dim=1, keepdim=True)


@pytest.mark.parametrize("options", [{"bucket": 32}, {"bucket": 64}, {"kind": "full"}])
def test_one_bucket_is_full_attention(options):
    layer = LshAttention(width=8, heads=1, length=32, **options)
    tokens = torch.randn(1, 32, 8)
    _, weights = layer(tokens, want_map=True)
    torch.testing.assert_close(weights[0], full_attention(layer.shared(tokens)[0]))


def sorted_attention(query, value, rotations, chunk):
    """LSH attention of one head by sorting, chunks and log-sum-exp over rounds, token by token."""
    length, width = query.shape
    key = query / query.norm(dim=1, keepdim=True)
    rounds = []
    for rotation in rotations.unbind(dim=1):
        bucket = torch.cat([query @ rotation, -(query @ rotation)], dim=1).argmax(dim=1).tolist()
        order = sorted(range(length), key=lambda t: (bucket[t], t))
        at = {t: place // chunk for place, t in enumerate(order)}
        rounds.append(
            [
                {j for j in order if bucket[j] == bucket[i] and at[i] - 1 <= at[j] <= at[i]}
                for i in range(length)
            ]
        )
    out, weights = torch.zeros_like(value), torch.zeros(length, length)
    for i in range(length):
        totals, results, shares = [], [], []
        for seen in rounds:
            keys = sorted(seen[i])
            scores = torch.stack(
                [
                    torch.tensor(-1e5)
                    if j == i
                    else query[i] @ key[j] / math.sqrt(width)
                    - math.log(sum(j in other[i] for other in rounds))
                    for j in keys
                ]
            )
            totals.append(scores.logsumexp(dim=0))
            results.append(scores.softmax(dim=0) @ value[keys])
            shares.append(torch.zeros(length).index_add(0, torch.tensor(keys), scores.softmax(0)))
        share = torch.stack(totals).softmax(dim=0)
        out[i] = share @ torch.stack(results)
        weights[i] = share @ torch.stack(shares)
    return out, weights


@pytest.mark.parametrize(
    ("length", "bucket", "hashes"), [(64, 8, 4), (50, 8, 2), (40, 2, 2), (80, 2, 2)]
)
def test_counting_gives_the_attention_that_sorting_gives(length, bucket, hashes):
    torch.manual_seed(3)
    layer = LshAttention(width=8, heads=1, length=length, bucket=bucket, hashes=hashes).eval()
    tokens = torch.randn(1, length, 8)
    query, value = layer.shared(tokens), layer.value(tokens)
    out, weights = sorted_attention(query[0], value[0], layer.rotations[0], bucket)
    mixed, got = layer(tokens, want_map=True)
    torch.testing.assert_close(got[0], weights)
    torch.testing.assert_close(mixed[0], layer.out(out))
    # The case is not an empty one: some pairs are seen and some are not, some tokens are alone.
    assert 0.02 < (weights > 0).float().mean() < 0.9
    assert (weights.diagonal() == 1).any() == (bucket == 2)


def test_a_token_alone_looks_at_itself():
    layer = LshAttention(width=4, heads=2, length=1)
    _, weights = layer(torch.randn(2, 1, 4), want_map=True)
    torch.testing.assert_close(weights, torch.ones(2, 1, 1))


def test_rotations_are_fixed_in_evaluation():
    network = registry.create("mld_student", **SIZE, redraw=True)
    iq = torch.randn(2, 2, 128)
    assert not torch.equal(
        network.outputs(iq, attention=True).attention[0],
        network.outputs(iq, attention=True).attention[0],
    )
    network.eval()
    assert torch.equal(network(iq), network(iq))
    again = registry.create("mld_student", **SIZE).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(network(iq), again(iq))
    again.train()
    first = again.outputs(iq, attention=True).attention
    second = again.outputs(iq, attention=True).attention
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_every_parameter_learns():
    for name, options in (("mld_teacher", SMALL_TEACHER), ("mld_student", {})):
        network = registry.create(name, **SIZE, **options)
        functional.cross_entropy(network(torch.randn(4, 2, 128)), torch.arange(4)).backward()
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


def test_a_map_is_the_mean_over_the_heads():
    torch.manual_seed(4)
    query, key, value = torch.randn(3, 2, 4, 6, 8).unbind()
    mixed, weights = attend(query, key, value, want_map=True)
    each = (query @ key.transpose(2, 3) / math.sqrt(8)).softmax(dim=3)
    torch.testing.assert_close(mixed, each @ value)
    torch.testing.assert_close(weights, sum(each[:, head] for head in range(4)) / 4)


def test_an_encoder_layer_norms_what_enters_its_parts_and_adds_what_they_give():
    torch.manual_seed(5)
    layer = EncoderLayer(SelfAttention(8, 2), width=8, feed_forward=16, dropout=0.5).eval()
    for norm in (layer.norm_attention, layer.norm_feed_forward):
        nn.init.normal_(norm.weight)
    tokens = 3 * torch.randn(2, 6, 8)
    middle = tokens + layer.attention(layer.norm_attention(tokens))[0]
    expected = middle + layer.feed_forward(layer.norm_feed_forward(middle))
    torch.testing.assert_close(layer(tokens)[0], expected)
    assert not torch.allclose(layer.train()(tokens)[0], expected)


def test_positions_are_sines_and_cosines():
    positions = sinusoids(5, 6)
    for place in range(5):
        for k in range(3):
            angle = place / 10_000 ** (k / 3)
            assert positions[place, k].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert positions[place, 3 + k].item() == pytest.approx(math.cos(angle), abs=1e-6)


@pytest.mark.parametrize(("name", "options"), [("mld_teacher", SMALL_TEACHER), ("mld_student", {})])
def test_positions_are_added_and_the_normed_mean_of_the_tokens_is_classified(name, options):
    torch.manual_seed(6)
    network = registry.create(name, **SIZE, **options).eval()
    iq = torch.randn(3, 2, 128)
    tokens = network.embedding(iq).transpose(1, 2) + network.positions
    for layer in network.layers:
        tokens, _ = layer(tokens)
    normed = functional.layer_norm(tokens, tokens.shape[2:])
    torch.testing.assert_close(network(iq), network.head(normed.mean(dim=1)))


def test_attention_looks_only_where_it_may():
    query, key, value = torch.randn(3, 2, 2, 6, 4).unbind()
    allowed = torch.eye(6, dtype=torch.bool).roll(1, dims=1)
    for want_map in (False, True):
        mixed, weights = attend(query, key, value, (~allowed).float() * NEVER, want_map)
        torch.testing.assert_close(mixed, value.roll(-1, dims=2))
    torch.testing.assert_close(weights, allowed.float().expand(2, 6, 6))


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("mld_teacher", {"heads": 7}, "multiple of heads"),
        ("mld_teacher", {"convolutions": [8]}, "as many kernels"),
        ("mld_student", {"attention": "dense"}, "lsh"),
        ("mld_student", {"heads": 3}, "multiple of heads"),
        ("mld_teacher", {"heads": 0}, "heads is 0; it must be a positive whole number"),
        ("mld_teacher", {"layers": -1}, "layers is -1"),
        ("mld_student", {"width": 0}, "width is 0"),
        ("mld_student", {"depth": 3}, "'depth' is unknown; known: width, layers, heads,"),
        ("mld_student", {"hashes": 0}, "positive"),
        ("mld_student", {"width": 31, "heads": 1}, "even"),
    ],
)
def test_impossible_options_are_named(name, options, says):
    with pytest.raises(UserError, match=says):
        registry.create(name, **SIZE, **options)
