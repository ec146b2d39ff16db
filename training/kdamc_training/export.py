# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Export of a trained network to one ONNX file under the contract."""

from __future__ import annotations

import datetime
import json
import os
import pickle
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from gnuradio.kdamc import contract
from torch import Tensor, nn

from .calibration import Calibration
from .compression.qat import finished
from .errors import UserError
from .files import replacing
from .lightning_module import ClassifierModule
from .networks.outputs import outputs_of
from .planar import planar
from .unknown import UnknownScore

LICENSE = "GPL-3.0-or-later"
TOLERANCE = 1e-3
"""Largest difference of two logits that counts as the same, in ONNX Runtime and elsewhere."""
_TRIED = (1, 3, 4, 5, 6, 7)
"""How many frames at once an exported network is tried with."""


@dataclass(frozen=True)
class UnknownOutput:
    """A score that becomes an output, and the value above which a frame is unknown."""

    score: UnknownScore
    threshold: float


def load_checkpoint(path: str | os.PathLike) -> ClassifierModule:
    """The module of a checkpoint, ready for inference; raises UserError if it is not one."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    try:
        module = ClassifierModule.load_from_checkpoint(path, map_location="cpu")
    except UserError:
        raise
    except Exception as error:  # torch's loading errors are of many kinds
        # Of a file that is none torch says how to run what it holds.
        foreign = isinstance(error, pickle.UnpicklingError)
        reason = "PyTorch did not write it" if foreign else str(error).splitlines()[0]
        raise UserError(f"{path}: not a checkpoint of this package: {reason}") from error
    return module.eval()


def export(
    module: ClassifierModule,
    path: str | os.PathLike,
    calibration: Calibration | None = None,
    accuracy: dict[str, Any] | None = None,
    unknown: UnknownOutput | None = None,
) -> None:
    """Write ``module``'s network to ``path``: one file, opset 17, n free, batch norms folded,
    convolutions over time as ``planar`` ones.

    A network that estimates the SNR gets the contract's output for it beside the logits, and so
    does the score of ``unknown``.
    Of one trained for int8 it is the float32 network with its rounded weights.
    Raises UserError for a network that ONNX cannot hold, and if ONNX Runtime does not say the same
    as torch: of what depends on the frames' values, or on how many they are, in Python, the file
    holds what was done once.
    Without a calibration the temperature is 1 and so are the fusion's exponents (frames of a run
    count as copies of one another, so confidence does not grow). ``accuracy`` holds "overall" and
    "by_snr".
    """
    frame_length = module.hparams.frame_length
    example = torch.randn(2, 2, frame_length, generator=torch.Generator().manual_seed(0))
    network = finished(module.network)
    whole: nn.Module = _Whole(network, unknown and unknown.score).eval()
    with torch.no_grad():
        outputs = [name for name, value in whole.shown(example).items() if value is not None]
    if outputs == [contract.LOGITS_NAME]:
        whole = network.eval()
    with replacing(path) as temporary:
        with warnings.catch_warnings():
            # The exporter that writes opset 17 directly is the one that torch deprecates.
            warnings.simplefilter("ignore")
            try:
                torch.onnx.export(
                    whole,
                    (example,),
                    str(temporary),
                    input_names=[contract.INPUT_NAME],
                    output_names=outputs,
                    dynamic_axes={name: {0: "n"} for name in (contract.INPUT_NAME, *outputs)},
                    opset_version=contract.MAX_OPSET,
                    dynamo=False,
                )
            except torch.onnx.errors.OnnxExporterError as error:
                reason = str(error).splitlines()[0]
                raise UserError(
                    f"network {module.hparams.network}: ONNX cannot hold it: {reason}"
                ) from error
        model = onnx.load(str(temporary))
        left = [node.name for node in model.graph.node if node.op_type == "BatchNormalization"]
        if left:
            raise RuntimeError(f"the exporter left batch norms in the graph: {', '.join(left)}")
        model = planar(model)
        onnx.helper.set_model_props(model, metadata(module, calibration, accuracy, unknown))
        onnx.checker.check_model(model)
        if differs := _difference(whole, model, frame_length):
            raise UserError(
                f"network {module.hparams.network}: exported it is another: {differs}. What its "
                "forward() does in Python must not depend on frames, nor on how many they are"
            )
        onnx.save(model, str(temporary))


def _difference(whole: nn.Module, model: onnx.ModelProto, frame_length: int) -> str:
    """How ``model`` says something else than ``whole``, "" if it does not.

    Of several batches, each of another size than the one that was traced: of most frames in each
    all outputs must be the same. Of single frames they need not be, where a rounding decides (as
    between the buckets of attention by hashing).
    """
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    generator = torch.Generator().manual_seed(1)
    for n in _TRIED:
        iq = torch.randn(n, 2, frame_length, generator=generator)
        with torch.inference_mode():
            expected = whole(iq)
        expected = expected if isinstance(expected, tuple) else (expected,)
        try:
            given = session.run(None, {contract.INPUT_NAME: iq.numpy()})
        except Exception as error:  # ONNX Runtime's errors are of many kinds
            return f"ONNX Runtime fails with {n} frames ({str(error).splitlines()[0]})"
        for output, one, other in zip(session.get_outputs(), expected, given, strict=True):
            if other.shape != (n, *one.shape[1:]):
                return f"of {n} frames {output.name} has shape {other.shape}"
            one = one.float().reshape(n, -1).numpy()
            most = np.abs(one - other.reshape(n, -1)).max(axis=1)
            scale = max(1.0, float(np.abs(one).max()))
            if n > 2 and not np.median(most) <= TOLERANCE * scale:  # nor is NaN the same
                return f"{output.name} differs by {np.median(most):.3g} where frames are {n}"
    return ""


class _Whole(nn.Module):
    """A network as one that gives all outputs of the contract that there are, in its order."""

    def __init__(self, network: nn.Module, score: UnknownScore | None) -> None:
        super().__init__()
        self.network, self.score = network, score

    def shown(self, iq: Tensor) -> dict[str, Tensor | None]:
        shown = outputs_of(self.network, iq)
        return {
            contract.LOGITS_NAME: shown.logits,
            contract.SNR_NAME: shown.snr_db,
            contract.UNKNOWN_SCORE_NAME: self.score and self.score(shown),
        }

    def forward(self, iq: Tensor) -> tuple[Tensor, ...]:
        return tuple(value for value in self.shown(iq).values() if value is not None)


def metadata(
    module: ClassifierModule,
    calibration: Calibration | None,
    accuracy: dict[str, Any] | None,
    unknown: UnknownOutput | None = None,
) -> dict[str, str]:
    """The contract's metadata for ``module``, every value a text."""
    settings = module.hparams
    says = settings.describes
    oversampling = says.get("oversampling")
    return {
        **({contract.KEY_OVERSAMPLING: json.dumps(oversampling)} if oversampling else {}),
        **({contract.KEY_UNKNOWN_THRESHOLD: repr(unknown.threshold)} if unknown else {}),
        contract.KEY_CONTRACT: contract.CONTRACT_VERSION,
        contract.KEY_CLASSES: json.dumps(settings.classes),
        contract.KEY_INPUT_SIZE: str(settings.frame_length),
        contract.KEY_NORMALISE_MODE: "rms",
        contract.KEY_HISTORY_DEPTH: "0",
        contract.KEY_ARCHITECTURE: settings.network,
        contract.KEY_SAMPLES_PER_SYMBOL: json.dumps(says["samples_per_symbol"]),
        contract.KEY_TEMPERATURE: repr(calibration.temperature if calibration else 1.0),
        **fusion_metadata(calibration.fusion if calibration else contract.Fusion()),
        contract.KEY_DATASET: says["dataset"],
        contract.KEY_RECIPE: says["recipe"],
        contract.KEY_TEACHER: says.get("teacher", ""),
        contract.KEY_ACCURACY: json.dumps(accuracy or {}),
        contract.KEY_LICENSE: LICENSE,
        contract.KEY_GENERATOR_CMD: says["command"],
        contract.KEY_GIT_REV: git_revision(),
        contract.KEY_CREATED: datetime.datetime.now(datetime.timezone.utc).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        ),
    }


def fusion_metadata(fusion: contract.Fusion) -> dict[str, str]:
    """The contract's metadata for ``fusion``."""
    return {
        contract.KEY_FUSION_EXPONENT: repr(fusion.exponent),
        contract.KEY_FUSION_EXPONENT_SURE: repr(fusion.exponent_sure),
        contract.KEY_FUSION_MEAN_SHARE: repr(fusion.mean_share),
    }


def git_revision() -> str:
    """Revision of the checkout, "-dirty" if its code differs; "unknown" outside git.

    Records and recipes do not count: a record tells its settings itself.
    """
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        revision = git("rev-parse", "--short=12", "HEAD")
        code = ("training/kdamc_training", "python", "lib", "include")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *code)
        return f"{revision}-dirty" if changed else revision
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
