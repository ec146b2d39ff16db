# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sparse weights in an ONNX file: only what is not zero, with its row and its column.

ONNX has a form of its own for that, the sparse initializer, and ONNX Runtime 1.32 opens it; but its
indices are int64, 12 bytes a float32 value. Here rows and columns stand in the file as ``Coo`` has
them, 7 bytes a value of the layers of the edge paper, and Cast, Concat and ScatterND put the values
into zeros. ONNX Runtime computes that once, when it opens the file: the layer is dense in memory
and runs as fast as before, not faster.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import UserError
from .coo import Coo


def store_sparse(model: onnx.ModelProto, name: str, weight: Coo) -> onnx.ModelProto:
    """A copy of ``model`` in which the initializer ``name`` is made from ``weight``.

    Raises UserError if the model has no initializer of that name, shape and type.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    dense = next((tensor for tensor in graph.initializer if tensor.name == name), None)
    if dense is None:
        raise UserError(f"the model has no initializer {name!r}")
    stored_type = helper.np_dtype_to_tensor_dtype(weight.values.dtype)
    if tuple(dense.dims) != weight.shape or dense.data_type != stored_type:
        raise UserError(
            f"initializer {name!r} is {tuple(dense.dims)}, not {weight.shape} of "
            f"{weight.values.dtype}"
        )
    graph.initializer.remove(dense)

    def inner(what: str) -> str:
        return f"{name}.{what}"

    for what, array in (
        ("rows", weight.rows[:, None]),
        ("columns", weight.columns[:, None]),
        ("values", weight.values),
    ):
        graph.initializer.append(numpy_helper.from_array(array, inner(what)))
    shape = helper.make_tensor(inner("shape"), TensorProto.INT64, [2], weight.shape)
    graph.initializer.append(shape)
    zero = helper.make_tensor(inner("zero"), stored_type, [1], [0.0])
    nodes = [
        helper.make_node("Cast", [inner("rows")], [inner("row_index")], to=TensorProto.INT64),
        helper.make_node("Cast", [inner("columns")], [inner("column_index")], to=TensorProto.INT64),
        helper.make_node(
            "Concat", [inner("row_index"), inner("column_index")], [inner("index")], axis=1
        ),
        helper.make_node("ConstantOfShape", [inner("shape")], [inner("zeros")], value=zero),
        helper.make_node("ScatterND", [inner("zeros"), inner("index"), inner("values")], [name]),
    ]
    for node in nodes:
        node.name = f"{node.output[0]}.{node.op_type}"
    for at, node in enumerate(nodes):
        graph.node.insert(at, node)
    onnx.checker.check_model(made)
    return made
