# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Convolutions over time written as those over a plane of height 1, in an ONNX graph.

The values are the same, the speed is not: ONNX Runtime's float32 convolutions work on blocks of
channels only if they have two dimensions, and those of one dimension go the long way through a
matrix of copies. In int8 it is the other way round. Measured on one core of an x86-64 with AVX-512,
ONNX Runtime 1.32: in batches of 64 ``plain_conv`` 2.4, ``kd_mobilenet`` 5 and ``ulcnn`` 2.6 times
as fast as planes in float32; in batches of 256 ``plain_conv`` of three sizes 0.85 to 1 times in
int8. So float32 files hold planes, and the quantizer takes them out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

_AXIS = "planar_axis"
"""The constant with the axis that is put in, and by which that is found again."""
_HEIGHT = 2
_MARK = "was over one dimension"
"""The remark at nodes that got a height; their names stay."""

_WINDOWS = ("kernel_shape", "strides", "dilations")
_POOLS = ("MaxPool", "AveragePool")
_ONE_BY_ONE = ("Add", "Clip", "Elu", "HardSigmoid", "LeakyRelu", "Mul", "Relu", "Sigmoid", "Sub")
"""Operators that take each value by itself: on planes as on lines, if all of their inputs are."""
_SCALARS = ("Clip",)
"""Those of them whose inputs after the first are settings."""


def planar(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with two-dimensional convolutions for all one-dimensional ones, as far as their
    weights are stored; what lies between two of them goes along. It is not changed itself."""
    if not any(_is_line(node) for node in model.graph.node):
        return model
    model = _copy(model)
    graph = model.graph
    # What the graph gives keeps its rank.
    given = {output.name for output in graph.output}
    weights = _stored_for_convolutions(graph, given)
    planes: set[str] = set()
    written: dict[tuple[str, str], str] = {}
    nodes: list[onnx.NodeProto] = []

    def between(kind: str, name: str) -> str:
        """``name`` behind an Unsqueeze or Squeeze, which all who need it share."""
        if (kind, name) not in written:
            written[kind, name] = f"{name}_{'plane' if kind == 'Unsqueeze' else 'line'}"
            out = written[kind, name]
            nodes.append(helper.make_node(kind, [name, _AXIS], [out], name=f"{out}_{kind}"))
        return written[kind, name]

    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in weights:
            if node.input[0] not in planes:
                node.input[0] = between("Unsqueeze", node.input[0])
            _add_height(node)
            planes.add(node.output[0])
        elif given.isdisjoint(node.output) and _goes_along(node, planes):
            if node.op_type in _POOLS:
                _add_height(node)
            planes.update(node.output)
        else:
            for at, name in enumerate(node.input):
                if name in planes:
                    node.input[at] = between("Squeeze", name)
        nodes.append(node)
    if not planes:
        return model
    for tensor in graph.initializer:
        if tensor.name in weights:
            lines = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(lines[:, :, None], tensor.name))
    axis = numpy_helper.from_array(np.array([_HEIGHT], np.int64))
    # A node, not an initializer, whose value not all tools see when they infer shapes.
    return _rewritten(model, [helper.make_node("Constant", [], [_AXIS], value=axis), *nodes])


def linear(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` as it was before ``planar``; any other is given back."""
    if not is_planar(model):
        return model
    model = _copy(model)
    graph = model.graph
    before: dict[str, str] = {}
    weights: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if _AXIS in node.output:
            continue
        if _AXIS in node.input:
            before[node.output[0]] = node.input[0]
            continue
        for at, name in enumerate(node.input):
            node.input[at] = before.get(name, name)
        if node.doc_string == _MARK:
            _drop_height(node)
            if node.op_type == "Conv":
                weights.add(node.input[1])
        nodes.append(node)
    for tensor in graph.initializer:
        if tensor.name in weights:
            plane = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(plane[:, :, 0], tensor.name))
    return _rewritten(model, nodes)


def is_planar(model: onnx.ModelProto) -> bool:
    """Whether ``planar`` has changed ``model``."""
    return any(_AXIS in node.output for node in model.graph.node)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _rewritten(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    # Shapes that the graph told of values between its nodes are no longer true.
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def _attribute(node: onnx.NodeProto, name: str) -> onnx.AttributeProto | None:
    return next((entry for entry in node.attribute if entry.name == name), None)


def _is_line(node: onnx.NodeProto) -> bool:
    """Whether ``node`` is a convolution or pool over one dimension with its padding told."""
    if node.op_type not in ("Conv", *_POOLS):
        return False
    kernel, automatic = _attribute(node, "kernel_shape"), _attribute(node, "auto_pad")
    told = automatic is None or automatic.s == b"NOTSET"
    return told and len(kernel.ints) == 1


def _stored_for_convolutions(graph: onnx.GraphProto, given: set[str]) -> set[str]:
    """Initializers that are the weights of one-dimensional convolutions and nothing else; not of
    those that have their output in ``given``."""
    uses: dict[str, list[bool]] = defaultdict(list)
    for node in graph.node:
        fits = node.op_type == "Conv" and _is_line(node) and given.isdisjoint(node.output)
        for at, name in enumerate(node.input):
            uses[name].append(fits and at == 1)
    stored = {tensor.name for tensor in graph.initializer}
    return {name for name in stored if uses[name] and all(uses[name])}


def _goes_along(node: onnx.NodeProto, planes: set[str]) -> bool:
    """Whether ``node`` does the same on ``planes`` as it did on lines, and all it takes is such."""
    if node.op_type in _POOLS:
        # The place of a maximum, the second output, is counted over the plane.
        return _is_line(node) and len(node.output) == 1 and node.input[0] in planes
    if node.op_type == "Concat":
        if _attribute(node, "axis").i != 1:
            return False
    elif node.op_type not in _ONE_BY_ONE:
        return False
    inputs = node.input[:1] if node.op_type in _SCALARS else node.input
    return all(name in planes for name in inputs)


def _add_height(node: onnx.NodeProto) -> None:
    for name in _WINDOWS:
        if entry := _attribute(node, name):
            entry.ints[:] = [1, *entry.ints]
    if pads := _attribute(node, "pads"):
        first, last = pads.ints
        pads.ints[:] = [0, first, 0, last]
    node.doc_string = _MARK


def _drop_height(node: onnx.NodeProto) -> None:
    for name in _WINDOWS:
        if entry := _attribute(node, name):
            entry.ints[:] = entry.ints[1:]
    if pads := _attribute(node, "pads"):
        pads.ints[:] = pads.ints[1::2]
    node.ClearField("doc_string")
