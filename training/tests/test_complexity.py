# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters and multiply-accumulates against figures worked out by hand."""

import pytest
import torch
from kdamc_training import complexity
from torch import nn

LENGTH = 10


class _OnSequence(nn.Module):
    """``layer`` on frames as sequences ``(n, L, 2)``."""

    def __init__(self, layer, **options):
        super().__init__()
        self.layer = layer
        self.options = options

    def forward(self, iq):
        sequence = iq.transpose(1, 2)
        if isinstance(self.layer, nn.MultiheadAttention):
            return self.layer(sequence, sequence, sequence, **self.options)[0]
        return self.layer(sequence)


class _Attention(nn.Module):
    """Scaled dot-product attention of a frame with itself, one head a channel pair."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, iq):
        tokens = self.scale * iq.transpose(1, 2)
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


# A gate's products are width x (inputs + width) a step.
@pytest.mark.parametrize(
    ("module", "macs"),
    [
        (nn.Conv1d(2, 6, 3), 8 * 6 * 2 * 3),
        (nn.Conv1d(2, 6, 3, padding=1), 10 * 6 * 2 * 3),
        (nn.Conv1d(2, 6, 3, groups=2), 8 * 6 * 3),
        (nn.Sequential(nn.Flatten(), nn.Linear(20, 7)), 20 * 7),
        (_OnSequence(nn.LSTM(2, 8, batch_first=True)), LENGTH * 4 * 8 * (2 + 8)),
        (
            _OnSequence(nn.LSTM(2, 8, num_layers=2, batch_first=True)),
            LENGTH * 4 * 8 * (2 + 8 + 8 + 8),
        ),
        (
            _OnSequence(nn.LSTM(2, 8, batch_first=True, bidirectional=True)),
            2 * LENGTH * 4 * 8 * (2 + 8),
        ),
        (_OnSequence(nn.GRU(2, 8, batch_first=True)), LENGTH * 3 * 8 * (2 + 8)),
        (_Attention(), 2 * LENGTH * LENGTH * 2),
        (
            _OnSequence(nn.MultiheadAttention(2, 1, batch_first=True), need_weights=False),
            LENGTH * 4 * 2 * 2 + 2 * LENGTH * LENGTH * 2,
        ),
        (
            _OnSequence(nn.TransformerEncoderLayer(2, 1, 16, batch_first=True)),
            LENGTH * (4 * 2 * 2 + 2 * 2 * 16) + 2 * LENGTH * LENGTH * 2,
        ),
        (nn.Sequential(nn.BatchNorm1d(2), nn.ReLU(), nn.AvgPool1d(2)), 0),
    ],
)
def test_macs(module, macs):
    assert complexity.macs(module, LENGTH) == macs


def test_macs_leaves_the_module_as_it_was():
    module = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4).eval(), nn.Dropout())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with torch.no_grad():
        complexity.macs(module, LENGTH)
    assert [layer.training for layer in module.modules()] == [True, True, False, True]
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in module.parameters())
    assert torch.backends.mkldnn.enabled


def test_keras_counts_running_statistics_and_one_lstm_bias():
    assert complexity.keras_parameters(nn.BatchNorm1d(8)) == 4 * 8
    assert complexity.parameters(nn.BatchNorm1d(8)) == 2 * 8
    unknown = nn.BatchNorm1d(8, affine=False, track_running_stats=False)
    assert complexity.keras_parameters(unknown) == 0
    lstm = nn.LSTM(3, 5, num_layers=2, bidirectional=True)
    assert complexity.keras_parameters(lstm) == 2 * 4 * 5 * ((3 + 5 + 1) + (10 + 5 + 1))
    assert complexity.keras_parameters(nn.LSTM(3, 5, bias=False)) == 4 * 5 * 8
    assert complexity.keras_parameters(nn.GRU(3, 5)) == 3 * 5 * (3 + 5 + 2)
