# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Export of a trained network to one ONNX file under the contract."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from gnuradio.kdamc import contract
from torch import Tensor, nn

from .calibration import Calibration
from .errors import UserError
from .files import replacing
from .lightning_module import ClassifierModule
from .networks.outputs import outputs_of

LICENSE = "GPL-3.0-or-later"


def load_checkpoint(path: str | os.PathLike) -> ClassifierModule:
    """The module of a checkpoint, ready for inference; raises UserError if it is not one."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    try:
        module = ClassifierModule.load_from_checkpoint(path, map_location="cpu")
    except UserError:
        raise
    except Exception as error:  # torch's loading errors are of many kinds
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not a checkpoint of this package: {reason}") from error
    return module.eval()


def export(
    module: ClassifierModule,
    path: str | os.PathLike,
    calibration: Calibration | None = None,
    accuracy: dict[str, Any] | None = None,
) -> None:
    """Write ``module``'s network to ``path``: one file, opset 17, n free, batch norms folded.

    A network that estimates the SNR gets the contract's output for it beside the logits.
    Without a calibration the temperature is 1 and the fusion exponent 1 (frames of a run count as
    copies of one another, so confidence does not grow). ``accuracy`` holds "overall" and "by_snr".
    """
    frame_length = module.hparams.frame_length
    example = torch.randn(2, 2, frame_length, generator=torch.Generator().manual_seed(0))
    whole, outputs = module.network.eval(), [contract.LOGITS_NAME]
    with torch.no_grad():
        if outputs_of(whole, example).snr_db is not None:
            whole, outputs = _WithSnr(whole), [contract.LOGITS_NAME, contract.SNR_NAME]
    with replacing(path) as temporary:
        with warnings.catch_warnings():
            # The exporter that writes opset 17 directly is the one that torch deprecates.
            warnings.simplefilter("ignore")
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
        model = onnx.load(str(temporary))
        left = [node.name for node in model.graph.node if node.op_type == "BatchNormalization"]
        if left:
            raise RuntimeError(f"the exporter left batch norms in the graph: {', '.join(left)}")
        onnx.helper.set_model_props(model, metadata(module, calibration, accuracy))
        onnx.checker.check_model(model)
        onnx.save(model, str(temporary))


class _WithSnr(nn.Module):
    """A network as one that gives the logits and its estimate of the SNR."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, iq: Tensor) -> tuple[Tensor, Tensor]:
        shown = outputs_of(self.network, iq)
        return shown.logits, shown.snr_db


def metadata(
    module: ClassifierModule,
    calibration: Calibration | None,
    accuracy: dict[str, Any] | None,
) -> dict[str, str]:
    """The contract's metadata for ``module``, every value a text."""
    settings = module.hparams
    says = settings.describes
    oversampling = says.get("oversampling")
    return {
        **({contract.KEY_OVERSAMPLING: json.dumps(oversampling)} if oversampling else {}),
        contract.KEY_CONTRACT: contract.CONTRACT_VERSION,
        contract.KEY_CLASSES: json.dumps(settings.classes),
        contract.KEY_INPUT_SIZE: str(settings.frame_length),
        contract.KEY_NORMALISE_MODE: "rms",
        contract.KEY_HISTORY_DEPTH: "0",
        contract.KEY_ARCHITECTURE: settings.network,
        contract.KEY_SAMPLES_PER_SYMBOL: json.dumps(says["samples_per_symbol"]),
        contract.KEY_TEMPERATURE: repr(calibration.temperature if calibration else 1.0),
        contract.KEY_FUSION_EXPONENT: repr(calibration.fusion_exponent if calibration else 1.0),
        contract.KEY_DATASET: says["dataset"],
        contract.KEY_RECIPE: says["recipe"],
        contract.KEY_TEACHER: "",
        contract.KEY_ACCURACY: json.dumps(accuracy or {}),
        contract.KEY_LICENSE: LICENSE,
        contract.KEY_GENERATOR_CMD: says["command"],
        contract.KEY_GIT_REV: git_revision(),
        contract.KEY_CREATED: datetime.datetime.now(datetime.timezone.utc).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        ),
    }


def git_revision() -> str:
    """Revision of the checkout, "-dirty" if the training wing differs; "unknown" outside git."""
    wing = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=wing, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        revision = git("rev-parse", "--short=12", "HEAD")
        return revision + (
            "-dirty" if git("status", "--porcelain", "--untracked-files=no", "--", ".") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
