# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static int8 quantization of an exported model, and the record of what it costs and gains.

ONNX Runtime's quantizer writes the QDQ form: float32 operators between QuantizeLinear and
DequantizeLinear, which ONNX Runtime turns into integer kernels when it opens the file. Our choices
below were measured with ``rml2016_10a_plain`` on 22,000 validation frames (negative
log-likelihood, 1.0774 in float32; a difference in accuracy of 0.1 points is chance) and, for speed,
on a core with AVX-512 VNNI (frames a second in batches of 256, 40,000 in float32):

- Convolutions alone are quantized, with what follows them and only holds or joins values. The
  heads in int8 as well: 1.0786 for 1.0778, no faster. The first convolution, whose inputs are of
  different ranges, left in float32: 1.0773, but 122,000 for 155,000.
- Activations are uint8: with int8 ONNX Runtime has slower kernels on x86 (86,000 for 155,000).
- Weights are int8, one scale an output channel, of 7 bits: processors without VNNI add pairs of
  8-bit products in 16 bits, which 7 bits cannot overflow, so a file gives the same everywhere.
  8 bits: 1.0778 for 1.0779, as fast. On an emulated processor with AVX2 alone a network with
  weights of one sign was off by 0.4 of its logits' spread with 8 bits, and exact with 7.
- Ranges of activations are the least and largest values over the calibration frames. ONNX
  Runtime's percentiles and its entropy method gave 1.0775 and 1.0778 for 1.0778.

The record of ``kdamc-train quantize`` holds, besides ``command``, ``hardware``, ``versions`` and
``git_rev``:

- ``recipe``, ``budget``, ``quantization`` (what stands in the file under that key: bits, which
  nodes, how many frames of what it was calibrated on, whether it was trained for it);
- ``float32`` and ``int8``: ``model`` (see ``describe_model``), ``bytes``, ``calibration``,
  ``test`` (``frames``, ``overall``, ``from_0_db``, ``by_snr``, ``ece``, ``classes``,
  ``confusion``), ``received`` (see ``evaluate``) of data that hold each frame's draws,
  ``decisions`` of runs where the recipe has them, ``frames_per_second`` by batch size on one
  thread. The calibration of float32 is that of its file;
- ``difference``, int8 less float32: ``overall``, ``from_0_db``, ``by_snr``; ``changed``, the share
  of frames called something else; ``snr_db``, the mean magnitude in dB of the change of the
  network's estimate of the SNR, if it makes one;
- ``bytes_ratio`` (float32 over int8), ``speed_ratio`` (int8 over float32, by batch size) and
  ``faster``, whether that is over 1 at all of them; ``cpu_features`` that integer kernels use;
- ``test_data``: both were measured on the same frames, in one run.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from gnuradio.kdamc import contract

from .. import datasets as datasets
from ..errors import UserError
from ..files import replacing
from ..planar import is_planar, linear

if TYPE_CHECKING:
    from ..calibration import Calibration

CALIBRATION_FRAMES = 2048
WEIGHT_BITS = (7, 8)
TRAINED_BITS = 7
"""Of networks trained for int8, see ``qat``."""
BATCH_SIZES = (1, 64, 256, 1024)

_CALIBRATION_BATCH = 256
_CARRIED = ("Relu", "Clip", "MaxPool", "Add", "Concat")
_ROUNDS = 2
_CPU_FEATURES = (
    *("avx2", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "sve"),
)


@dataclass(frozen=True)
class Scheme:
    """What is quantized, and how.

    ``operators`` are the kinds of nodes with constant weights that are (Conv, Gemm, MatMul),
    ``keep_float`` names nodes that are not. ``weight_bits`` is 7 or 8. ``ranges`` gives, by the
    name of a node, the lowest and highest value of its input where training has settled them; those
    of all others are taken from calibration frames.
    """

    weight_bits: int = 7
    operators: tuple[str, ...] = ("Conv",)
    keep_float: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def quantize(
    model: onnx.ModelProto, frames: np.ndarray, scheme: Scheme | None = None
) -> tuple[onnx.ModelProto, list[str]]:
    """``model`` in int8 and the names of its quantized nodes.

    ``frames (m, 2, L)`` float32 of RMS 1 are for calibration. Input, outputs, metadata and opset
    stay. Raises UserError for a model that is quantized already or has nothing to quantize, for
    nodes that it does not have, and for frames that are none.
    """
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quant_pre_process,
        quantize_static,
    )

    scheme = scheme or Scheme()
    check(model, scheme)
    if frames.ndim != 3 or not len(frames):
        raise UserError("there are no frames to calibrate on")
    with tempfile.TemporaryDirectory() as folder:
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        # It changes what it is given. Planes are no gain in int8.
        copy = onnx.ModelProto()
        copy.CopyFrom(linear(model))
        # Shapes of these graphs are found without the symbolic kind.
        quant_pre_process(copy, prepared, skip_symbolic_shape=True)
        ready = onnx.load(prepared)
        nodes = nodes_to_quantize(ready.graph, scheme)
        quantize_static(
            ready,
            made,
            _reader(frames),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=scheme.weight_bits == 7,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=nodes,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"TensorQuantOverrides": _overrides(ready.graph, nodes, scheme.ranges)},
        )
        quantized = onnx.load(made)
    # The tools leave shapes of inner tensors, marks of their own, and names of domains not used.
    del quantized.graph.value_info[:]
    _restore(quantized, model)
    onnx.checker.check_model(quantized)
    return quantized, nodes


def describe(
    model: onnx.ModelProto, scheme: Scheme, nodes: list[str], calibrated_on: str
) -> dict[str, Any]:
    """What a file says of how it was quantized, under the key ``quantization``."""
    return {
        "weights": f"int8 of {scheme.weight_bits} bits, a scale an output channel",
        "activations": "uint8",
        "nodes": nodes,
        "calibrated_on": calibrated_on,
        "trained_for_it": bool(scheme.ranges),
        "float32_sha256": hashlib.sha256(model.SerializeToString()).hexdigest(),
    }


def check(model: onnx.ModelProto, scheme: Scheme) -> None:
    """Raise the UserError of ``quantize`` for what can be told without frames."""
    if scheme.weight_bits not in WEIGHT_BITS:
        raise UserError(f"weights of {scheme.weight_bits} bits: they have 7 or 8")
    if _is_quantized(model):
        raise UserError("the model is quantized already")
    nodes_to_quantize(model.graph, scheme)


def _is_quantized(model: onnx.ModelProto) -> bool:
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def nodes_to_quantize(graph: onnx.GraphProto, scheme: Scheme) -> list[str]:
    """Names of the nodes of ``graph`` that ``scheme`` means, in order; raises UserError for none.

    To those with weights come the ones that work on nothing but what they give, and that integers
    pass through: else every such node would go through float32.
    """
    constant = {tensor.name for tensor in graph.initializer}
    constant |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    known = {node.name for node in graph.node}
    for name in (*scheme.keep_float, *scheme.ranges):
        if name not in known:
            raise UserError(f"the model has no node {name!r}")
    nodes, integer = [], set()
    for node in graph.node:
        if node.name in scheme.keep_float:
            continue
        with_weights = node.op_type in scheme.operators and constant.intersection(node.input[1:2])
        sources = [name for name in node.input if name and name not in constant]
        carries = node.op_type in _CARRIED and sources and integer.issuperset(sources)
        if with_weights or carries:
            nodes.append(node.name)
            integer.update(node.output)
    if not nodes:
        raise UserError(f"the model has no {' or '.join(scheme.operators)} to quantize")
    return nodes


def _overrides(
    graph: onnx.GraphProto, nodes: Sequence[str], ranges: Mapping[str, tuple[float, float]]
) -> dict[str, list[dict[str, Any]]]:
    """``ranges`` by tensor, as ONNX Runtime's quantizer takes them."""
    return {
        node.input[0]: [{"rmin": np.float32(low), "rmax": np.float32(high)}]
        for node in graph.node
        if node.name in ranges and node.name in nodes
        for low, high in [ranges[node.name]]
    }


def _reader(frames: np.ndarray) -> Any:
    """``frames`` in batches, as ONNX Runtime's calibration asks for them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            parts = range(0, len(frames), _CALIBRATION_BATCH)
            self._batches = iter([frames[at : at + _CALIBRATION_BATCH] for at in parts])

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {contract.INPUT_NAME: batch}

    return Reader()


def _restore(quantized: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Opsets and metadata of ``model``."""
    used = {node.domain for node in quantized.graph.node}
    kept = [entry for entry in quantized.opset_import if entry.domain in used]
    if any(entry.domain or entry.version > contract.MAX_OPSET for entry in kept):
        raise RuntimeError(f"the quantizer wrote other opsets: {kept}")
    del quantized.opset_import[:]
    quantized.opset_import.extend(kept)
    onnx.helper.set_model_props(quantized, _props(model))


def _props(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


@dataclass(frozen=True)
class Target:
    """A float32 model under the contract and the data that it learnt from.

    ``ranges`` are those of a network that was trained for int8 (see ``qat``), by node.
    """

    model: onnx.ModelProto
    name: str
    recipe: str
    budget: str
    data: Any
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def open_target(
    given: str, recipe_name: str = "", budget: str = "paper", work: Path | None = None
) -> Target:
    """The model of an ONNX file, of a run's folder, or of a recipe that publishes one.

    Of a recipe it is the published member's first seed, run before in ``work``; of a run it is the
    file that it shipped, or else its checkpoint. A file names its recipe, if not ``recipe_name``
    does. Raises UserError for what is none of these.
    """
    from .. import pipeline, recipe

    if given.endswith(".onnx"):
        return _of_file(Path(given), recipe_name, budget)
    if recipe_name:
        raise UserError("--recipe goes with an ONNX file")
    if Path(given).is_dir():
        if budget != "paper":
            raise UserError("--budget does not go with the folder of a run, which has its own")
        return _of_run(Path(given))
    chosen = recipe.load(recipe.find(given), budget)
    members = {entry.member for entry in chosen.publish}
    if len(members) != 1:
        many = "several members" if members else "no member"
        raise UserError(f"{given} publishes {many}; give the folder of a run")
    (member,) = members
    folder = (work or pipeline.WORK) / f"{chosen.name}-{budget}"
    return _of_run(pipeline.member_folder(folder, member, chosen.seeds_of(member)[0]))


def _of_file(path: Path, recipe_name: str, budget: str) -> Target:
    from .. import recipe
    from ..onnx_models import open_model

    model_recipe = open_model(str(path)).info.metadata.get(contract.KEY_RECIPE, "")
    name = recipe_name or model_recipe
    if not name:
        raise UserError(f"{path} does not name its recipe; give --recipe")
    chosen = recipe.load(recipe.find(name), budget)
    return Target(onnx.load(path), path.stem, chosen.name, budget, chosen.data)


def _of_run(folder: Path) -> Target:
    from ..calibration import read_calibration
    from ..checkpoints import open_run
    from ..export import export
    from ..recipe import data_section
    from . import qat

    module, about = open_run(folder)
    name = f"{about['member']}-s{about['seed']}"
    with tempfile.TemporaryDirectory() as scratch:
        # With its card beside it: other files may lie there. Of one that is in int8 already the
        # checkpoint has what it was made of.
        cards = sorted(folder.glob("*.md"))
        files = [card.with_suffix(".onnx") for card in cards]
        shipped = [file for file in files if not _is_quantized(onnx.load(file))]
        path = shipped[0] if shipped else Path(scratch) / f"{name}.onnx"
        if not shipped:
            export(module, path, read_calibration(folder / "calibration.json"))
        model = onnx.load(path)
    data = data_section(about["settings"]["data"])
    ranges = qat.ranges_by_node(module.network, model.graph, module.hparams.frame_length)
    return Target(model, path.stem, about["recipe"], about["budget"], data, ranges)


def record(
    target: Target,
    out: Path,
    command: str,
    *,
    scheme: Scheme | None = None,
    calibration_frames: int = CALIBRATION_FRAMES,
    seconds: float = 1.0,
    work: Path | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Quantize ``target`` to the file ``out`` and measure both; see the module's docstring.

    Data are generated under ``work`` where they are not there. Ranges come from
    ``calibration_frames`` of the validation part, drawn with seed 0; the temperature is fitted
    again on all of that part, and the fusion on the recipe's runs, if it has any.
    """
    from .. import pipeline
    from ..export import git_revision

    if calibration_frames < 1:
        raise UserError("it takes at least one frame to calibrate on")
    if not 0 < seconds <= 3600:
        raise UserError(f"seconds is {seconds}; it must lie over 0 and up to 3600")
    if not out.parent.is_dir():
        raise UserError(f"folder {out.parent} does not exist")
    scheme = _settled(scheme or Scheme(), target)
    try:
        check(target.model, scheme)
    except UserError as error:
        raise UserError(f"{target.name}: {error}") from error
    revision = git_revision()
    parts = pipeline.prepare_data(target.data, (work or pipeline.WORK) / "data", jobs)
    if target.data.without:
        # Runs hold the classes left out, too.
        parts = dataclasses.replace(parts, runs=None, test_runs=None)
    frames, calibrated_on = calibration_part(parts.validation, calibration_frames)
    quantized, nodes = quantize(target.model, frames, scheme)
    how = describe(target.model, scheme, nodes, calibrated_on)
    props = _props(target.model) | {
        contract.KEY_QUANTIZATION: json.dumps(how),
        contract.KEY_GENERATOR_CMD: command,
        contract.KEY_GIT_REV: revision,
        contract.KEY_CREATED: datetime.datetime.now(datetime.timezone.utc).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float32" / f"{target.name}.onnx"
        made = Path(folder) / "int8" / out.name
        for path in (plain, made):
            path.parent.mkdir()
        onnx.save(target.model, plain)
        _save(quantized, props, made)
        measured = _measured(plain, made, quantized, props, parts)
        measured["int8"]["bytes"], measured["float32"]["bytes"] = (
            path.stat().st_size for path in (made, plain)
        )
        speeds = speeds_in_turns({"float32": plain, "int8": made}, seconds)
        with replacing(out) as temporary:
            shutil.copyfile(made, temporary)
    for kind, speed in speeds.items():
        measured[kind]["frames_per_second"] = speed
    ratio = {size: speeds["int8"][size] / speeds["float32"][size] for size in speeds["int8"]}
    return {
        "command": command,
        "recipe": target.recipe,
        "budget": target.budget,
        "quantization": how,
        "float32_planar": is_planar(target.model),
        **measured,
        "bytes_ratio": measured["float32"]["bytes"] / measured["int8"]["bytes"],
        "speed_ratio": ratio,
        "faster": min(ratio.values()) > 1.0,
        "cpu_features": cpu_features(),
        **pipeline.surroundings(),
        "git_rev": revision,
    }


def _settled(scheme: Scheme, target: Target) -> Scheme:
    """``scheme`` with what training has settled for ``target``."""
    if target.ranges and scheme.weight_bits != TRAINED_BITS:
        raise UserError(
            f"{target.name} was trained for weights of {TRAINED_BITS} bits, "
            f"not {scheme.weight_bits}"
        )
    left = {name: ends for name, ends in target.ranges.items() if name not in scheme.keep_float}
    return dataclasses.replace(scheme, ranges={**left, **scheme.ranges})


def calibration_part(validation: Any, most: int) -> tuple[np.ndarray, str]:
    """At most ``most`` frames ``(m, 2, L)`` of a validation part, drawn with seed 0, and in words
    what they are."""
    import torch

    from ..datasets.dataset_file import DataSetFile
    from ..training_data import Frames, Part, describe

    drawn = np.random.default_rng(0).permutation(len(validation))[:most]
    part = Part(validation.path, validation.chosen[np.sort(drawn)])
    with DataSetFile(part.path) as data:
        words = f"{len(part)} validation frames of {describe(data.info)}"
    frames, _, _ = Frames(part)[torch.arange(len(part))]
    return frames.numpy(), words


def _save(quantized: onnx.ModelProto, props: Mapping[str, str], path: Path) -> None:
    onnx.helper.set_model_props(quantized, dict(props))
    onnx.save(quantized, path)


def _measured(
    plain: Path, made: Path, quantized: onnx.ModelProto, props: dict[str, str], parts: Any
) -> dict[str, Any]:
    """Fit the int8 file ``made`` again, write it with its figures, and measure both.

    Gives the entries ``float32``, ``int8``, ``difference`` and ``test_data``, bytes and speed
    left out.
    """
    from ..datasets.dataset_file import DataSetFile
    from ..evaluate import describe_data, describe_model, evaluate_runs, received
    from ..export import fusion_metadata
    from ..onnx_models import open_model, outputs_for

    before = open_model(str(plain))
    fitted = _fitted(before, open_model(str(made)), parts)
    props |= fusion_metadata(fitted.fusion)
    props[contract.KEY_TEMPERATURE] = repr(fitted.temperature)
    threshold = _threshold(before, open_model(str(made)), parts)
    if threshold is not None:
        props[contract.KEY_UNKNOWN_THRESHOLD] = repr(threshold)
    _save(quantized, props, made)
    labels, snr = parts.test.labels()
    found, shown = {}, {}
    for kind, path in (("float32", plain), ("int8", made)):
        model = open_model(str(path))
        with DataSetFile(parts.test.path) as data:
            shown[kind] = outputs_for(model, data, parts.test.chosen, parts.test.classes)
            test_data = describe_data(data)
            draws = {name: data.draws[name][:][parts.test.chosen] for name in data.draws}
        found[kind] = {"test": _test(model, shown[kind].logits, labels, snr)}
        if {"snr_db", "oversampling"} <= set(draws):
            info = model.info
            found[kind]["received"] = received(
                shown[kind], labels, info.classes, info.temperature, draws
            )
    accuracy = {key: found["int8"]["test"][key] for key in ("overall", "by_snr")}
    props[contract.KEY_ACCURACY] = json.dumps(accuracy)
    _save(quantized, props, made)
    for kind, path in (("float32", plain), ("int8", made)):
        model = open_model(str(path))
        found[kind]["model"] = describe_model(model)
        if parts.test_runs is not None:
            found[kind]["decisions"] = evaluate_runs(model, parts.test_runs)["decisions"]
    found["int8"]["calibration"] = dataclasses.asdict(fitted)
    found["float32"]["calibration"] = {"temperature": before.info.temperature}
    if threshold is not None:
        found["int8"]["calibration"][contract.KEY_UNKNOWN_THRESHOLD] = threshold
        found["float32"]["calibration"][contract.KEY_UNKNOWN_THRESHOLD] = (
            before.info.unknown_threshold
        )
    return {**found, "difference": _difference(found, shown), "test_data": test_data}


def _fitted(before: Any, model: Any, parts: Any) -> Calibration:
    """The calibration of the int8 ``model``; without runs, its fusion is that of ``before``, the
    model in float32."""
    from ..calibration import fit

    fitted = fit(model, parts.validation, parts.runs)
    if parts.runs is not None:
        return fitted
    fusion = before.info.fusion
    return dataclasses.replace(
        fitted,
        fusion_exponent=fusion.exponent,
        fusion_exponent_sure=fusion.exponent_sure,
        fusion_mean_share=fusion.mean_share,
        fitted_on=f"{fitted.fitted_on}; the fusion as in float32",
    )


def _threshold(before: Any, model: Any, parts: Any) -> float | None:
    """Where the int8 ``model`` scores frames as unknown: it rejects as many of the validation part
    as ``before`` does; None if that does not."""
    from ..datasets.dataset_file import DataSetFile
    from ..onnx_models import outputs_for

    threshold = before.info.unknown_threshold
    part = parts.validation
    with DataSetFile(part.path) as data:
        scores, scores_before = (
            outputs_for(one, data, part.chosen, part.classes).unknown_score
            for one in (model, before)
        )
    if scores is None or threshold is None:
        return None
    return float(np.quantile(scores, 1.0 - (scores_before > threshold).mean()))


def _test(model: Any, logits: np.ndarray, labels: np.ndarray, snr: np.ndarray) -> dict[str, Any]:
    from ..evaluate import measure
    from ..robustness import accuracies

    whole = measure(logits, labels, snr, model.classes, model.info.temperature)
    kept = ("frames", "overall", "by_snr", "ece", "classes", "confusion")
    loud = accuracies(logits.argmax(axis=1), labels, snr)["from_0_db"]
    return {**{key: whole[key] for key in kept}, "from_0_db": loud}


def _difference(found: Mapping[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
    before, after = found["float32"]["test"], found["int8"]["test"]
    called = [shown[kind].logits.argmax(axis=1) for kind in ("float32", "int8")]
    loud = before["from_0_db"] is not None
    estimates = [shown[kind].snr_db for kind in ("float32", "int8")]
    known = estimates[0] is not None
    return {
        "overall": after["overall"] - before["overall"],
        "from_0_db": after["from_0_db"] - before["from_0_db"] if loud else None,
        "by_snr": {at: after["by_snr"][at] - share for at, share in before["by_snr"].items()},
        "changed": float((called[0] != called[1]).mean()),
        **({"snr_db": float(np.abs(estimates[1] - estimates[0]).mean())} if known else {}),
    }


def speeds_in_turns(paths: Mapping[str, Path], seconds: float) -> dict[str, dict[str, float]]:
    """Frames a second by batch size of each file: the better of two rounds, turn by turn, so that
    what else the machine does meets both."""
    from ..onnx_models import frames_per_second, open_model

    models = {kind: open_model(str(path)) for kind, path in paths.items()}
    best: dict[str, dict[str, float]] = {kind: {} for kind in models}
    for size in BATCH_SIZES:
        for _ in range(_ROUNDS):
            for kind, model in models.items():
                speed = frames_per_second(model, (size,), seconds / _ROUNDS)[str(size)]
                best[kind][str(size)] = max(speed, best[kind].get(str(size), 0.0))
    return best


def cpu_features(path: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Those of the processor's features that integer kernels use, as Linux names them; none where
    that is not told."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip().lower() in ("flags", "features"):
            has = set(value.split())
            return [feature for feature in _CPU_FEATURES if feature in has]
    return []
