# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""CrossTLNet, which is its own teacher and, at a quarter of the width, student.

G. Gao et al., "CrossTLNet: A multitask-learning-empowered neural network with temporal
convolutional network-long short-term memory for automatic modulation classification",
Electronics 2023, 12, 4668. One branch sees I and Q, one amplitude and phase. Each has a temporal
convolutional network (TCN) and a long short-term memory (LSTM); the branches look at each other
by attention, pass a second LSTM, and the outer product of what is left is classified.

The paper's text says five TCN blocks; only six, one for each dilation it names, fit its counts
of 6,760.5 k and, for the mini network of width 64 and 32 hidden units, 575.0 k parameters. Keras,
which it used, has one bias in an LSTM; torch has two and so 6,763,531 and 575,755. The TCN is the
common one of Keras; that, the 8 heads of the attention and its bias only in the output map follow
from the counts. Ours are phase in half turns, Keras' first weights and how single branches end.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from ..options import refuse_below_one
from .attention import attend, merge_heads, split_heads
from .features import amplitude_phase
from .keras_start import keras_start
from .outputs import Outputs
from .registry import register

_KERNEL = 3


class CausalLayer(nn.Module):
    """Causal dilated convolution, layer norm over the channels, ReLU: ``(n, L, inputs)`` to
    ``(n, L, width)``.

    Channels lie innermost in memory, as the norm wants them; the convolution is one over a plane
    of height 1, as torch has kernels for this layout there. That halves the time of a training
    step on a CPU against a convolution over a line and transposes.
    """

    def __init__(self, inputs: int, width: int, dilation: int) -> None:
        super().__init__()
        self.past = (_KERNEL - 1) * dilation
        self.convolution = nn.Conv2d(inputs, width, (1, _KERNEL), dilation=(1, dilation))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        padded = functional.pad(tokens, (0, 0, self.past, 0))
        convolved = self.convolution(padded.transpose(1, 2).unsqueeze(2))
        return functional.relu(self.norm(convolved.squeeze(2).transpose(1, 2)))


class TemporalBlock(nn.Module):
    """Two causal layers around which the input passes by; gives the sum and the layers' result."""

    def __init__(self, inputs: int, width: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            CausalLayer(inputs, width, dilation), CausalLayer(width, width, dilation)
        )
        self.match = nn.Identity() if inputs == width else nn.Linear(inputs, width)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        result = self.layers(tokens)
        return functional.relu(result + self.match(tokens)), result


class TemporalNetwork(nn.Module):
    """Blocks of dilation 1, 2, 4, ..., ``(n, L, inputs)`` to the sum of their layers' results
    ``(n, L, width)``."""

    def __init__(self, inputs: int, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TemporalBlock(width if block else inputs, width, 2**block) for block in range(blocks)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        total: Tensor | None = None
        for block in self.blocks:
            tokens, result = block(tokens)
            total = result if total is None else total + result
        return total


class CrossAttention(nn.Module):
    """Two branches ``(n, L, width)`` look at each other (the paper's equations 4 and 5).

    One map of a branch is both its queries and its keys, so both directions weigh the same
    products. Nothing passes by. By the letter of equation 5 the weights of the A/P values are a
    softmax over the I/Q tokens; ours is over the tokens whose values are taken, as in any
    attention, and the scale is the root of a head's width.
    """

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        refuse_below_one(heads=heads)
        if inner % heads:
            raise TypeError(f"inner {inner} must be a multiple of heads {heads}")
        self.heads = heads
        self.shared = nn.ModuleList(nn.Linear(width, inner, bias=False) for _ in range(2))
        self.value = nn.ModuleList(nn.Linear(width, inner, bias=False) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(inner, width) for _ in range(2))

    def forward(
        self, branches: list[Tensor], want_maps: bool
    ) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        shared, value = (
            [split_heads(m(x), self.heads) for m, x in zip(maps, branches, strict=True)]
            for maps in (self.shared, self.value)
        )
        mixed, weights = [], []
        for own, other in ((0, 1), (1, 0)):
            seen, map_ = attend(shared[own], shared[other], value[other], want_map=want_maps)
            mixed.append(self.out[own](merge_heads(seen)))
            weights.append(map_)
        return mixed, tuple(weights) if want_maps else ()


class Branch(nn.Module):
    """What one branch has of its own, each to be called by CrossTlnet: TCN and two LSTMs."""

    def __init__(self, *, width: int, hidden: int, blocks: int, tcn: bool) -> None:
        super().__init__()
        self.tcn = TemporalNetwork(2, width, blocks) if tcn else nn.Identity()
        self.first = nn.LSTM(width if tcn else 2, width, batch_first=True)
        self.second = nn.LSTM(width, hidden, batch_first=True)


@register("crosstlnet")
class CrossTlnet(nn.Module):
    """``(n, 2, L)`` float32 of RMS 1 to ``(n, classes)`` logits; any L.

    ``width`` is that of TCN and first LSTM, ``hidden`` that of the second, ``inner`` that of the
    attention; the mini network has ``width`` 64 and ``hidden`` 32. ``dropout`` acts after the
    first LSTM, the attention and the second LSTM.

    The paper's ablations: A is ``tcn`` and ``cross_attention`` false, B ``tcn`` false, C
    ``cross_attention`` false; TCN-LSTM-IQ and TCN-LSTM-AP are ``branches`` "iq" and "ap". Such a
    single branch has no attention and ends in a dense layer on its ``hidden`` numbers.
    """

    def __init__(
        self,
        *,
        classes: int,
        frame_length: int,
        width: int = 256,
        hidden: int = 128,
        inner: int = 512,
        heads: int = 8,
        blocks: int = 6,
        dropout: float = 0.5,
        tcn: bool = True,
        cross_attention: bool = True,
        branches: str = "both",
    ) -> None:
        super().__init__()
        if branches not in ("both", "iq", "ap"):
            raise TypeError(f'branches is {branches!r}; it must be "both", "iq" or "ap"')
        if blocks < 1:
            raise TypeError(f"blocks is {blocks}; it must be positive")
        names = ("iq", "ap") if branches == "both" else (branches,)
        self.branches = nn.ModuleDict(
            {name: Branch(width=width, hidden=hidden, blocks=blocks, tcn=tcn) for name in names}
        )
        self.has_tcn = tcn
        both = len(names) == 2
        self.attention = CrossAttention(width, inner, heads) if both and cross_attention else None
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden * hidden if both else hidden, classes)
        self.apply(keras_start)

    def feature_maps(self, iq: Tensor, attention: bool = False) -> dict[str, Tensor]:
        """What each stage gives, named by the paper's number of the stage and by the branch.

        ``stage1_iq`` and ``stage1_ap`` ``(n, L, 2)``; of each branch the output of its TCN
        ``tcn_*``, of its first LSTM ``stage2_*`` and, if there is one, of its attention
        ``stage3_*``, all ``(n, L, width)``; ``stage4_*`` ``(n, hidden)``; ``fused`` is what
        the dense layer classifies (the picture in the paper's figure 12): the outer product, I/Q
        along its rows, ``(n, hidden, hidden)``, or a single branch's ``stage4_*``. With
        ``attention`` the maps ``attention_*`` ``(n, L, L)``, named by the branch that looks.
        """
        inputs = {"iq": lambda: iq, "ap": lambda: amplitude_phase(iq)}
        maps: dict[str, Tensor] = {}
        for name, branch in self.branches.items():
            maps[f"stage1_{name}"] = tokens = inputs[name]().transpose(1, 2)
            if self.has_tcn:
                maps[f"tcn_{name}"] = tokens = branch.tcn(tokens)
            maps[f"stage2_{name}"] = self.dropout(_states(branch.first, tokens, iq))
        last = "stage2"
        if self.attention is not None:
            names = list(self.branches)
            mixed, weights = self.attention([maps[f"stage2_{n}"] for n in names], attention)
            for name, tokens in zip(names, mixed, strict=True):
                maps[f"stage3_{name}"] = self.dropout(tokens)
            maps |= {f"attention_{n}": w for n, w in zip(names, weights, strict=False)}
            last = "stage3"
        for name, branch in self.branches.items():
            states = _states(branch.second, maps[f"{last}_{name}"], iq)
            maps[f"stage4_{name}"] = self.dropout(states[:, -1])
        maps["fused"] = _fused({n: maps[f"stage4_{n}"] for n in self.branches})
        return maps

    def outputs(self, iq: Tensor, attention: bool = False) -> Outputs:
        """Logits; features of the TCNs, I/Q before A/P, none without TCN; attention likewise."""
        maps = self.feature_maps(iq, attention)
        logits = self.head(maps["fused"].flatten(1))
        tcn, weights = (
            tuple(maps[f"{kind}_{n}"] for n in self.branches if f"{kind}_{n}" in maps)
            for kind in ("tcn", "attention")
        )
        return Outputs(logits, tcn, weights)

    def forward(self, iq: Tensor) -> Tensor:
        return self.outputs(iq).logits


def _states(lstm: nn.LSTM, tokens: Tensor, iq: Tensor) -> Tensor:
    """What ``lstm`` gives for ``tokens`` from a state of zeros.

    The state is made for as many frames as ``iq`` has: the exporter to ONNX takes the number that
    torch would take from ``tokens`` for a constant.
    """
    zeros = iq.new_zeros(1, iq.shape[0], lstm.hidden_size)
    return lstm(tokens, (zeros, zeros))[0]


def _fused(branches: Mapping[str, Tensor]) -> Tensor:
    """The outer product of two branches ``(n, hidden)`` (the paper's equation 3), or the one."""
    if len(branches) == 1:
        return next(iter(branches.values()))
    return branches["iq"].unsqueeze(2) * branches["ap"].unsqueeze(1)
