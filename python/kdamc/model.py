# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open an ONNX model, check it against the contract, run batches of frames through it.

Imports neither GNU Radio nor torch; onnxruntime only when a model is opened.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import contract
from .contract import ModelError, ModelInfo

#: Extra folders with models, searched before the installed ones (separated as PATH is).
MODEL_PATH_VARIABLE = "KDAMC_MODEL_PATH"

# Where layouts put the batch, channel and time axes of a (n, 2, L) array.
_EXPAND = {
    "ncl": lambda x: x,
    "nlc": lambda x: x.transpose(0, 2, 1),
    "ncl1": lambda x: x[:, :, :, None],
    "n1cl": lambda x: x[:, None, :, :],
    "nlc1": lambda x: x.transpose(0, 2, 1)[:, :, :, None],
    "n1lc": lambda x: x.transpose(0, 2, 1)[:, None, :, :],
}


def model_folders() -> list[Path]:
    """Folders in which a model's name is looked up, first match first."""
    here = Path(__file__).resolve().parent
    listed = os.environ.get(MODEL_PATH_VARIABLE, "").split(os.pathsep)
    folders = [Path(folder) for folder in listed if folder]
    # Beside the installed module; in a source tree the models have a folder of their own.
    folders += [here / "models", here.parents[1] / "models"]
    return [folder for folder in folders if folder.is_dir()]


def installed_models() -> dict[str, Path]:
    """Name -> file of every model that can be opened by name."""
    found: dict[str, Path] = {}
    for folder in model_folders():
        for path in sorted(folder.glob("*.onnx")):
            found.setdefault(path.stem, path)
    return found


def default_model() -> str:
    """The name in the first ``default`` file of the model folders; raises :class:`ModelError`."""
    for folder in model_folders():
        chosen = folder / "default"
        if chosen.is_file():
            return chosen.read_text(encoding="utf-8").strip()
    raise ModelError("no model folder names a default model; name a model or a file")


def find_model(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a model given by name, by path, or ``""``/``"default"`` for the default one."""
    text = os.fspath(name_or_path)
    if text in ("", "default"):
        text = default_model()
    installed = installed_models()
    if text in installed:
        return installed[text]
    try:
        path = Path(text).expanduser()
        if path.is_file():
            return path
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"{text[:80]}: cannot be a model file: {_one_line(error)}") from None
    if path.suffix or os.sep in text:
        raise ModelError(f"{text}: no such model file")
    names = ", ".join(installed) or "none"
    raise ModelError(f"{text}: no such model; installed: {names}")


@dataclass(frozen=True)
class Outputs:
    """What a model said of n frames.

    ``logits`` (n, classes) float32, up to a constant a row; ``snr_db`` and ``unknown_score``
    (n,) float32 or ``None`` where the model has no such output.
    """

    logits: np.ndarray
    snr_db: np.ndarray | None = None
    unknown_score: np.ndarray | None = None

    def __getitem__(self, rows: slice) -> Outputs:
        def part(a: np.ndarray | None) -> np.ndarray | None:
            return None if a is None else a[rows]

        return Outputs(self.logits[rows], part(self.snr_db), part(self.unknown_score))


class Model:
    """An open model: an ONNX Runtime session and what the contract says of it.

    ``run`` may be called from any one thread at a time.
    """

    def __init__(self, path: Path, info: ModelInfo, session: Any) -> None:
        self.path = path
        self.info = info
        self._session = session
        self._input = session.get_inputs()[0].name
        outputs = [output.name for output in session.get_outputs()]
        self._logits = contract.LOGITS_NAME if contract.LOGITS_NAME in outputs else outputs[0]
        self._wanted = [self._logits]
        self._wanted += [
            n for n in (contract.SNR_NAME, contract.UNKNOWN_SCORE_NAME) if n in outputs
        ]

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the output."""
        return self.info.classes

    @property
    def input_size(self) -> int:
        """Samples a frame, L."""
        return self.info.input_size

    @property
    def samples_per_symbol(self) -> tuple[float, float] | None:
        """Range of samples a symbol in training, or ``None``."""
        return self.info.samples_per_symbol

    def run(self, frames: np.ndarray, power: np.ndarray | None = None) -> Outputs:
        """Classify ``frames`` (n, 2, L) float32, each of RMS 1.

        ``power`` (n,) is each frame's mean power before normalisation; only a model whose
        ``normalise_mode`` is ``none`` needs it.  Raises :class:`ModelError` when ONNX Runtime
        fails or the power is missing.
        """
        x = _EXPAND[self.info.layout](self._scaled(frames, power))
        try:
            # A contiguous array goes in without a copy.
            raw = self._session.run(self._wanted, {self._input: np.ascontiguousarray(x)})
        except Exception as error:
            raise ModelError(f"{self.name}: {_one_line(error)}") from error
        found = dict(zip(self._wanted, raw, strict=True))
        # Third-party files may compute in other precisions.
        logits = np.ascontiguousarray(found[self._logits], np.float32).reshape(len(frames), -1)
        if self.info.output == "probabilities":
            logits = np.log(np.maximum(logits, np.float32(1e-30)))
        return Outputs(
            logits,
            _flat(found.get(contract.SNR_NAME)),
            _flat(found.get(contract.UNKNOWN_SCORE_NAME)),
        )

    def log_posteriors(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated log probabilities (n, classes) float32: log softmax(logits / temperature)."""
        # Classes are few and frames many: NumPy reduces along the long rows of the transpose.
        scaled = np.multiply(logits.T, np.float32(1.0 / self.info.temperature), order="C")
        scaled -= scaled.max(axis=0)
        scaled -= np.log(np.exp(scaled).sum(axis=0))
        return scaled.T

    def _scaled(self, frames: np.ndarray, power: np.ndarray | None) -> np.ndarray:
        mode = self.info.normalise_mode
        if mode == "rms":
            return frames
        if mode == "none":
            if power is None:
                raise ModelError(f"{self.name}: wants frames as received, but no power is given")
            return frames * np.sqrt(power).astype(np.float32)[:, None, None]
        magnitude = np.sqrt(frames[:, 0] ** 2 + frames[:, 1] ** 2)
        by = magnitude.sum(axis=1) if mode == "l1" else magnitude.max(axis=1)
        return frames / by[:, None, None]


def open_model(
    name_or_path: str | os.PathLike[str] = "",
    *,
    classes: Sequence[str] | str | None = None,
    input_size: int | None = None,
    layout: str | None = None,
    normalise_mode: str | None = None,
    output: str | None = None,
    samples_per_symbol: tuple[float, float] | None = None,
    oversampling: tuple[float, float] | None = None,
    temperature: float | None = None,
    fusion_exponent: float | None = None,
    unknown_threshold: float | None = None,
    intra_op_threads: int = 1,
    spinning: bool = False,
) -> Model:
    """Open a model by file or by name and check that it does what the contract says.

    The keyword settings name what a third-party file lacks, or overrule what it says (see
    :mod:`contract` for values); ``classes`` may be a list or a comma-separated string.
    ``intra_op_threads`` and ``spinning`` are ONNX Runtime's: one thread that sleeps when idle
    unless asked otherwise, because a runtime that spins takes cores from the radio.

    Raises :class:`ModelError` with a one-line reason for a missing, truncated or non-ONNX
    file, an unusable shape, classes that contradict the output, or unresolved settings.
    """
    path = find_model(name_or_path)
    session = _open_session(path, intra_op_threads, spinning)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    where = path.name
    if len(inputs) != 1:
        names = ", ".join(i.name for i in inputs)
        raise ModelError(f"{where}: must have one input, has {len(inputs)}: {names}")
    if inputs[0].type != "tensor(float)":
        raise ModelError(f"{where}: the input must be float32, is {inputs[0].type}")

    metadata = dict(session.get_modelmeta().custom_metadata_map)
    explicit = {
        "classes": classes,
        "input_size": input_size,
        "layout": layout,
        "normalise_mode": normalise_mode,
        "output": output,
        "samples_per_symbol": samples_per_symbol,
        "oversampling": oversampling,
        "temperature": temperature,
        "fusion_exponent": fusion_exponent,
        "unknown_threshold": unknown_threshold,
    }
    shape = list(inputs[0].shape)
    chosen = layout or metadata.get(contract.KEY_LAYOUT) or "ncl"
    if explicit["input_size"] is None and contract.KEY_INPUT_SIZE not in metadata:
        # Not a guess: the graph itself fixes the number of samples.
        explicit["input_size"] = _fixed_length(shape, chosen)
    info = contract.resolve(metadata, explicit, where)
    _check_shape(where, shape, info)

    model = Model(path, info, session)
    if len(outputs) == 0:
        raise ModelError(f"{where}: has no output")
    _try_out(model)
    return model


def _open_session(path: Path, threads: int, spinning: bool) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ModelError(
            "onnxruntime is not installed for this Python; install it with"
            " 'pip install onnxruntime' (or run script/bootstrap and script/run)"
        ) from None
    if path.stat().st_size == 0:
        raise ModelError(f"{path.name}: the file is empty")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    options.log_severity_level = 4  # what fails is raised, and reported by the caller
    try:
        return onnxruntime.InferenceSession(
            os.fspath(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise ModelError(f"{path.name}: not a usable ONNX model: {_one_line(error)}") from None


def _fixed_length(shape: list[Any], layout: str) -> int | None:
    if layout not in contract.LAYOUTS or len(shape) != len(layout):
        return None
    length = shape[layout.index("l")]
    return length if isinstance(length, int) else None


def _check_shape(where: str, shape: list[Any], info: ModelInfo) -> None:
    wanted = {"n": None, "c": 2, "l": info.input_size, "1": 1}
    text = "(" + ", ".join(str(d) for d in shape) + ")"
    axes = ", ".join({"n": "n", "c": "2", "l": str(info.input_size), "1": "1"}[a]
                     for a in info.layout)  # fmt: skip
    fits = len(shape) == len(info.layout) and all(
        not isinstance(size, int) or wanted[axis] in (None, size)
        for axis, size in zip(info.layout, shape, strict=True)
    )
    if not fits:
        others = [name for name in contract.LAYOUTS if len(name) == len(shape)]
        raise ModelError(
            f"{where}: the input has shape {text}, layout {info.layout!r} wants ({axes});"
            f" name layout= ({', '.join(others) or 'none fits'}) or input_size="
        )
    batch = shape[info.layout.index("n")]
    if isinstance(batch, int):
        raise ModelError(f"{where}: the batch size is fixed at {batch}; export it with n free")


def _try_out(model: Model) -> None:
    """Run two frames of noise: shapes that the file leaves open show only then."""
    frames = np.random.default_rng(1).standard_normal((2, 2, model.input_size)).astype(np.float32)
    frames /= np.sqrt((frames**2).sum(axis=(1, 2), keepdims=True) / model.input_size)
    logits = model.run(frames, np.ones(2, np.float32)).logits
    if logits.shape != (2, len(model.classes)):
        raise ModelError(
            f"{model.path.name}: names {len(model.classes)} classes"
            f" but gives {logits.size // 2} values a frame"
        )
    if not np.isfinite(logits).all():
        raise ModelError(f"{model.path.name}: gives values that are not finite")


def _flat(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else np.asarray(values, np.float32).reshape(-1)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
