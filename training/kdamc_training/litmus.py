# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The litmus: torch, ONNX Runtime and the GNU Radio block say the same of the same frames."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .compression.qat import finished
from .datasets.dataset_file import DataSetFile, rms_normalised
from .errors import UserError
from .export import TOLERANCE, export
from .lightning_module import ClassifierModule
from .onnx_models import open_model

_BATCH = 256


@dataclass(frozen=True)
class Pair:
    """How two of the three ways to run a network differ.

    ``difference`` is the largest of all logits, ``labels`` counts frames that they call
    differently, ``unexcused`` those of them whose two best logits are not within ``TOLERANCE``.
    """

    first: str
    second: str
    frames: int
    difference: float
    labels: int
    unexcused: int

    @property
    def agree(self) -> bool:
        """Whether the two are the same but for rounding."""
        return self.difference <= TOLERANCE and self.unexcused == 0


def litmus(
    module: ClassifierModule, data_path: Path, frames: int = 500, model_path: Path | None = None
) -> list[Pair]:
    """Run ``frames`` frames, spread evenly over a data set file, in all three ways.

    The ONNX file is ``model_path``, or one exported for the purpose and thrown away. The block is
    the ONNX Classifier in a flowgraph of its own; it gives logits, so logits are compared
    throughout. Raises UserError if data and network do not fit.
    """
    iq = _frames(module, data_path, frames)
    with tempfile.TemporaryDirectory() as folder:
        if model_path is None:
            model_path = Path(folder) / "litmus.onnx"
            export(module, model_path)
        logits = {
            "torch": torch_logits(module, iq),
            "ONNX Runtime": onnx_logits(model_path, iq),
            "GNU Radio": block_logits(model_path, iq),
        }
    return [
        compare(one, logits[one], two, logits[two])
        for one, two in itertools.combinations(logits, 2)
    ]


def compare(first: str, one: np.ndarray, second: str, other: np.ndarray) -> Pair:
    """Compare logits ``(n, classes)`` of two ways; those that are not numbers differ by infinity.

    Raises UserError if the two are not of one shape.
    """
    if one.shape != other.shape:
        raise UserError(f"{first} gives logits {one.shape}, {second} {other.shape}")
    difference = np.abs(one.astype(np.float64) - other)
    called, otherwise = one.argmax(axis=1), other.argmax(axis=1)
    best = np.sort(one, axis=1)
    tied = best[:, -1] - best[:, -2] <= TOLERANCE
    differ = called != otherwise
    return Pair(
        first,
        second,
        len(one),
        float(np.nan_to_num(difference, nan=np.inf).max()),
        int(differ.sum()),
        int((differ & ~tied).sum()),
    )


def torch_logits(module: ClassifierModule, iq: np.ndarray) -> np.ndarray:
    """Logits of frames ``(n, 2, L)`` float32 of RMS 1 by torch.

    Of a network trained for int8 they are those of the float32 network that is exported.
    """
    network = finished(module.network).eval()
    with torch.inference_mode():
        pieces = [
            network(torch.from_numpy(iq[at : at + _BATCH])).float().numpy()
            for at in range(0, len(iq), _BATCH)
        ]
    return np.concatenate(pieces)


def onnx_logits(model_path: Path, iq: np.ndarray) -> np.ndarray:
    """Logits of frames ``(n, 2, L)`` float32 of RMS 1 by ONNX Runtime."""
    model = open_model(str(model_path))
    pieces = [model.run(iq[at : at + _BATCH]).logits for at in range(0, len(iq), _BATCH)]
    return np.concatenate(pieces)


def block_logits(model_path: Path, iq: np.ndarray) -> np.ndarray:
    """Logits of frames ``(n, 2, L)`` float32 of RMS 1 by the ONNX Classifier in a flowgraph."""
    from gnuradio import blocks, gr, kdamc

    samples = (iq[:, 0] + 1j * iq[:, 1]).astype(np.complex64)
    flowgraph = gr.top_block()
    source = blocks.vector_source_c(samples.ravel().tolist(), False, iq.shape[2])
    classifier = kdamc.onnx_classifier(model=str(model_path))
    count = len(classifier.classes())
    sink = blocks.vector_sink_f(count)
    flowgraph.connect(source, classifier, sink)
    flowgraph.run()
    if classifier.error is not None:
        raise classifier.error
    return np.array(sink.data(), np.float32).reshape(-1, count)


def _frames(module: ClassifierModule, data_path: Path, count: int) -> np.ndarray:
    """``count`` frames spread evenly over the file, ``(n, 2, L)`` float32 of RMS 1."""
    settings = module.hparams
    if count < 1:
        raise UserError(f"frames is {count}; it must be at least 1")
    with DataSetFile(data_path) as data:
        if data.frame_length != settings.frame_length:
            raise UserError(
                f"the network takes frames of {settings.frame_length} samples; {data.path} has "
                f"{data.frame_length}"
            )
        # Any signal will do for a comparison, so the classes need not be the network's.
        chosen = np.unique(np.linspace(0, len(data) - 1, count).astype(int))
        return rms_normalised(data.x[chosen])
