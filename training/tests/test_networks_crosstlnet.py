# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""CrossTLNet, its ablations, and amplitude and phase."""

import io
import math
import warnings

import onnxruntime
import pytest
import torch
from kdamc_training import complexity
from kdamc_training import networks as networks
from kdamc_training.errors import UserError
from kdamc_training.networks import registry
from kdamc_training.networks.crosstlnet import CausalLayer, CrossAttention, TemporalNetwork
from kdamc_training.networks.features import amplitude_phase
from torch import nn
from torch.nn import functional

SIZE = {"classes": 11, "frame_length": 128}
MINI = {"width": 64, "hidden": 32}
TINY = {"width": 8, "hidden": 4, "inner": 16, "heads": 2, "blocks": 3}
ABLATIONS = {
    "full": {},
    "A": {"tcn": False, "cross_attention": False},
    "B": {"tcn": False},
    "C": {"cross_attention": False},
    "TCN-LSTM-IQ": {"branches": "iq"},
    "TCN-LSTM-AP": {"branches": "ap"},
}


@pytest.fixture(autouse=True)
def one_thread():
    """Steps of tiny networks are too short to share: threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def exported(network, length):
    """A function ``(n, 2, length)`` to the first output of the network's exported graph."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.randn(2, 2, length),),
            buffer,
            input_names=["iq"],
            output_names=["out"],
            dynamic_axes={"iq": {0: "n"}, "out": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    return lambda iq: torch.from_numpy(session.run(None, {"iq": iq.numpy()})[0])


@pytest.mark.parametrize(
    ("options", "torch_count", "keras_count", "macs"),
    [({}, 6_763_531, 6_760_459, 873_119_744), (MINI, 575_755, 574_987, 104_999_936)],
)
def test_sizes_are_those_of_the_paper(options, torch_count, keras_count, macs):
    network = registry.create("crosstlnet", **SIZE, **options)
    assert complexity.macs(network, 128) == macs
    assert parameters(network) == torch_count
    # Keras has one bias in an LSTM where torch has two.
    second_biases = sum(
        4 * module.hidden_size for module in network.modules() if isinstance(module, nn.LSTM)
    )
    assert torch_count - second_biases == keras_count


@pytest.mark.parametrize(
    ("ablation", "features", "maps"),
    [
        ("full", 2, 2),
        ("A", 0, 0),
        ("B", 0, 2),
        ("C", 2, 0),
        ("TCN-LSTM-IQ", 1, 0),
        ("TCN-LSTM-AP", 1, 0),
    ],
)
def test_ablations_show_what_they_have(ablation, features, maps):
    network = registry.create("crosstlnet", **SIZE, **TINY, **ABLATIONS[ablation]).eval()
    iq = torch.randn(3, 2, 128)
    plain, shown = network.outputs(iq), network.outputs(iq, attention=True)
    assert plain.logits.shape == (3, 11) and plain.attention == ()
    assert [f.shape for f in plain.features] == [(3, 128, 8)] * features
    assert [a.shape for a in shown.attention] == [(3, 128, 128)] * maps
    for weights in shown.attention:
        torch.testing.assert_close(weights.sum(dim=2), torch.ones(3, 128))
    torch.testing.assert_close(plain.logits, shown.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(network(iq), plain.logits)


def test_a_single_branch_sees_its_own_input_only():
    torch.manual_seed(1)
    iq = torch.randn(2, 2, 64)
    turned = torch.stack([-iq[:, 1], iq[:, 0]], dim=1)
    for branch in ("iq", "ap"):
        network = registry.create("crosstlnet", **SIZE, **TINY, branches=branch).eval()
        seen, seen_turned = (network.feature_maps(x) for x in (iq, turned))
        same = torch.isclose(seen[f"stage1_{branch}"], seen_turned[f"stage1_{branch}"], atol=1e-6)
        # A quarter turn leaves the amplitude as it is, and neither I nor Q.
        assert same[:, :, 0].all() == (branch == "ap")
        assert f"stage1_{ {'iq': 'ap', 'ap': 'iq'}[branch] }" not in seen


def test_stages_have_the_papers_shapes():
    network = registry.create("crosstlnet", **SIZE, **MINI).eval()
    maps = network.feature_maps(torch.randn(2, 2, 128), attention=True)
    wide, last = (2, 128, 64), (2, 32)
    assert {name: tuple(value.shape) for name, value in maps.items()} == {
        **dict.fromkeys(("stage1_iq", "stage1_ap"), (2, 128, 2)),
        **dict.fromkeys(("tcn_iq", "tcn_ap", "stage2_iq", "stage2_ap"), wide),
        **dict.fromkeys(("stage3_iq", "stage3_ap"), wide),
        **dict.fromkeys(("attention_iq", "attention_ap"), (2, 128, 128)),
        **dict.fromkeys(("stage4_iq", "stage4_ap"), last),
        "fused": (2, 32, 32),
    }
    fused = torch.einsum("ni,na->nia", maps["stage4_iq"], maps["stage4_ap"])
    torch.testing.assert_close(maps["fused"], fused)
    torch.testing.assert_close(
        maps["stage1_ap"], amplitude_phase(maps["stage1_iq"].transpose(1, 2)).transpose(1, 2)
    )


def test_a_causal_layer_is_a_causal_convolution():
    torch.manual_seed(2)
    layer = CausalLayer(3, 5, dilation=4)
    tokens = torch.randn(2, 20, 3)
    reference = torch.zeros(2, 20, 5) + layer.convolution.bias
    for tap, delay in enumerate((8, 4, 0)):
        weight = layer.convolution.weight[:, :, 0, tap]
        reference[:, delay:] += tokens[:, : 20 - delay] @ weight.T
    reference = (reference - reference.mean(dim=2, keepdim=True)) / torch.sqrt(
        reference.var(dim=2, keepdim=True, correction=0) + 1e-5
    )
    torch.testing.assert_close(layer(tokens), reference.clamp_min(0), rtol=1e-4, atol=1e-5)


def test_the_temporal_network_reaches_as_far_as_its_dilations():
    torch.manual_seed(3)
    network = TemporalNetwork(2, 8, blocks=3)
    tokens = torch.randn(1, 60, 2)
    changed = tokens.clone()
    changed[:, 20] += 1.0
    touched = (network(tokens) != network(changed)).any(dim=2)[0].nonzero().flatten()
    # Two layers of three taps a block reach back 2 * 2 * (1 + 2 + 4) samples.
    assert touched.min() == 20 and touched.max() == 20 + 28


def test_the_temporal_network_sums_what_its_layers_give():
    torch.manual_seed(6)
    network = TemporalNetwork(2, 8, blocks=3)
    tokens, total = torch.randn(2, 30, 2), torch.zeros(2, 30, 8)
    expected = tokens
    for block in network.blocks:
        result = block.layers(expected)
        total = total + result
        passed = block.match(expected)
        expected = (result + passed).clamp_min(0)
    torch.testing.assert_close(network(tokens), total)
    # What passes by is another thing than what is summed.
    assert (passed - result).abs().max() > 0.1


def test_half_is_dropped_after_both_lstms_and_the_attention():
    torch.manual_seed(7)
    network = registry.create("crosstlnet", **SIZE, **MINI).train()
    iq = torch.randn(16, 2, 128)
    dropped = network.feature_maps(iq)
    whole = network.eval().feature_maps(iq)
    for stage in ("stage2", "stage3", "stage4"):
        for branch in ("iq", "ap"):
            zeros = (dropped[f"{stage}_{branch}"] == 0).float().mean().item()
            assert zeros == pytest.approx(0.5, abs=0.08), stage
            assert not (whole[f"{stage}_{branch}"] == 0).any()
    for branch in ("iq", "ap"):
        torch.testing.assert_close(dropped[f"tcn_{branch}"], whole[f"tcn_{branch}"])


def test_cross_attention_takes_values_from_the_other_branch():
    torch.manual_seed(4)
    attention = CrossAttention(width=6, inner=8, heads=1)
    iq, ap = torch.randn(2, 1, 5, 6).unbind()
    (seen_iq, seen_ap), maps = attention([iq, ap], want_maps=True)
    scores = attention.shared[0](iq)[0] @ attention.shared[1](ap)[0].T / math.sqrt(8)
    torch.testing.assert_close(maps[0][0], scores.softmax(dim=1))
    torch.testing.assert_close(maps[1][0], scores.softmax(dim=0).T)
    torch.testing.assert_close(seen_iq, attention.out[0](maps[0] @ attention.value[1](ap)))
    torch.testing.assert_close(seen_ap, attention.out[1](maps[1] @ attention.value[0](iq)))


def test_a_new_lstm_forgets_little():
    network = registry.create("crosstlnet", **SIZE, **TINY)
    for branch in network.branches.values():
        for lstm in (branch.first, branch.second):
            bias = (lstm.bias_ih_l0 + lstm.bias_hh_l0).reshape(4, lstm.hidden_size)
            assert (bias == torch.tensor([[0.0], [1.0], [0.0], [0.0]])).all()


def test_every_parameter_learns():
    for options in ABLATIONS.values():
        network = registry.create("crosstlnet", **SIZE, **TINY, **options)
        functional.cross_entropy(network(torch.randn(4, 2, 128)), torch.arange(4)).backward()
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("ablation", ["full", "A", "TCN-LSTM-AP"])
def test_exported_graphs_agree(ablation):
    torch.manual_seed(5)
    network = registry.create("crosstlnet", **SIZE, **TINY, **ABLATIONS[ablation]).eval()
    # A new network hardly tells frames apart; large weights show what a graph gets wrong.
    nn.init.normal_(network.head.weight, std=100.0)
    run = exported(network, 128)
    for n in (1, 5):
        iq = torch.randn(n, 2, 128)
        with torch.no_grad():
            logits = network(iq)
        torch.testing.assert_close(run(iq), logits, rtol=0, atol=1e-4)
    assert logits.std(dim=0).min() > 1e-2


@pytest.mark.parametrize("options", [{"branches": "both_"}, {"inner": 15}, {"blocks": 0}])
def test_impossible_options_are_named(options):
    with pytest.raises(UserError, match=next(iter(options))):
        registry.create("crosstlnet", **SIZE, **{**TINY, **options})


def circle():
    """Samples on all axes and diagonals and all round, at radii from small to large, then zero."""
    turn = torch.cat([torch.arange(-8, 8) / 8, torch.linspace(-1, 1, 1001)[1:]]).double()
    angle = (math.pi * turn).repeat(3)
    radius = torch.tensor([1e-3, 1.0, 1e3]).double().repeat_interleave(len(turn))
    i, q = radius * angle.cos(), radius * angle.sin()
    # The axes exactly, without the rounding of cosines.
    axes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [0.0, 0.0]]).double()
    return torch.cat([torch.stack([i, q]), axes.T], dim=1).float()[None]


def test_amplitude_and_phase_all_round():
    iq = circle()
    amplitude, phase = amplitude_phase(iq)[0]
    i, q = iq[0].double()
    torch.testing.assert_close(amplitude.double(), torch.hypot(i, q), rtol=1e-5, atol=1.1e-4)
    expected = torch.atan2(q, i) / math.pi
    torch.testing.assert_close(phase.double(), expected, rtol=0, atol=2e-7)
    torch.testing.assert_close(phase[-5:], torch.tensor([0.0, 0.5, 1.0, -0.5, 0.0]), rtol=0, atol=0)


def test_amplitude_and_phase_export():
    class Features(nn.Module):
        def forward(self, iq):
            return amplitude_phase(iq)

    iq = circle()
    run = exported(Features(), iq.shape[2])
    torch.testing.assert_close(run(iq), amplitude_phase(iq), rtol=1e-6, atol=2e-7)
