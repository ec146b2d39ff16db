# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests share: analytic models whose answer is known, and flowgraph helpers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

CLASSES = ("I", "Q")


def write_model(
    path: Path,
    frame_len: int = 16,
    gain: float = 4.0,
    classes: tuple[str, ...] | None = CLASSES,
    layout: str = "ncl",
    batch: int | str = "n",
    softmax: bool = False,
    extra_outputs: bool = False,
    metadata: dict[str, str] | None = None,
) -> str:
    """A network whose logits are ``gain`` times the mean square of the I and of the Q row.

    A frame on the real axis is class I, one on the imaginary axis class Q.  With
    ``extra_outputs`` it also gives snr_db (10 everywhere) and unknown_score (the Q logit).
    """
    axis = 2 if layout == "ncl" else 1
    shape = [batch, 2, frame_len] if layout == "ncl" else [batch, frame_len, 2]
    nodes = [
        helper.make_node("Mul", ["iq", "iq"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["means"], axes=[axis], keepdims=0),
        helper.make_node("Mul", ["means", "gain"], ["raw"]),
        helper.make_node("Softmax", ["raw"], ["logits"], axis=1)
        if softmax
        else helper.make_node("Identity", ["raw"], ["logits"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 2])]
    constants = [helper.make_tensor("gain", TensorProto.FLOAT, [], [gain])]
    if extra_outputs:
        constants += [
            helper.make_tensor("ten", TensorProto.FLOAT, [], [10.0]),
            helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
            helper.make_tensor("one", TensorProto.INT64, [], [1]),
        ]
        nodes += [
            helper.make_node("Gather", ["raw", "one"], ["unknown_score"], axis=1),
            helper.make_node("Mul", ["unknown_score", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "ten"], ["snr_db"]),
        ]
        outputs += [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch])
            for name in ("snr_db", "unknown_score")
        ]
    graph = helper.make_graph(
        nodes,
        "mean_square",
        [helper.make_tensor_value_info("iq", TensorProto.FLOAT, shape)],
        outputs,
        constants,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 13)],
        producer_name="gr-kdamc qa_support",
        ir_version=8,
    )
    if classes is not None:
        helper.set_model_props(
            model,
            {
                "kdamc.contract": "1",
                "classes": json.dumps(classes),
                "input_size": str(frame_len),
                "normalise_mode": "rms",
                "fusion_exponent": "0.5",
                **(metadata or {}),
            },
        )
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return str(path)


def axis_signal(pattern: str, samples_each: int, seed: int = 1) -> np.ndarray:
    """complex64: for each letter ``samples_each`` random samples on the I or the Q axis.

    "0" gives zeros, "N" NaNs.
    """
    random = np.random.default_rng(seed)
    axis = {"I": 1, "Q": 1j, "0": 0, "N": np.nan}
    parts = [axis[letter] * (1 + random.random(samples_each)) for letter in pattern]
    return np.concatenate(parts).astype(np.complex64)


def keyed(symbol_rate, seconds, snr_db, rng, rate, hertz=0.0):
    """QPSK with rounded pulses in white noise of power 1."""
    each = rate / symbol_rate
    symbols = np.exp(0.5j * np.pi * rng.integers(0, 4, int(seconds * symbol_rate) + 4))
    at = np.arange(int(seconds * rate)) / each
    first = at.astype(int)
    share = at - first
    mix = 0.5 - 0.5 * np.cos(np.pi * share)
    x = symbols[first] * (1 - mix) + symbols[first + 1] * mix
    x = x / np.sqrt(np.mean(np.abs(x) ** 2)) * np.exp(2j * np.pi * hertz / rate * np.arange(len(x)))
    noise = (rng.standard_normal(len(x)) + 1j * rng.standard_normal(len(x))) / 2**0.5
    power = 10 ** (snr_db / 10) * symbol_rate / rate
    return (np.sqrt(power) * x + noise).astype(np.complex64)


def write_data_set(
    path: Path,
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    classes: tuple[str, ...] = CLASSES,
    **how: object,
) -> str:
    """A data set file at 1 kHz; ``how`` goes to h5py for the frames (``chunks``, ``dtype``, …)."""
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=x, **how)
        file["Y"], file["Z"] = y.astype(np.uint8), z.astype(np.int8)
        file.attrs["classes"] = list(classes)
        file.attrs["sample_rate"] = 1e3
        file.attrs["samples_per_symbol"] = (8.0, 8.0)
        file.attrs["generator"] = "qa_support"
    return str(path)
