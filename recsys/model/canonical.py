"""One file for one network: an ONNX model whose bytes do not depend on counters and hash seeds of the process."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import ArrayLike

_OUTPUT = "vectors"
_ANY = "n"  # the name of the one dimension that is free


def canonical(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Return the model with tensors named by first use and constants in that order; inputs keep their names.

    The converter names tensors by counters and orders constants by hash, so equal weights would make unequal files,
    and a published folder is named after its bytes. The single output is named `vectors`.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    names = {"": "", **{node.name: node.name for node in graph.input}, graph.output[0].name: _OUTPUT}
    nodes = _by_use(graph)
    for place, node in enumerate(nodes):
        node.name, node.doc_string = f"n{place}", ""
        node.input[:] = [names.setdefault(name, f"t{len(names)}") for name in node.input]
        node.output[:] = [names.setdefault(name, f"t{len(names)}") for name in node.output]
    used = [constant for constant in graph.initializer if constant.name in names]
    constants = sorted(used, key=lambda constant: _number(names, constant.name))
    for constant in constants:
        constant.name = names[constant.name]
    kept = [onnx.TensorProto.FromString(constant.SerializeToString(deterministic=True)) for constant in constants]
    ordered = [onnx.NodeProto.FromString(node.SerializeToString(deterministic=True)) for node in nodes]
    del graph.initializer[:], graph.value_info[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(ordered)
    for node in [*graph.input, *graph.output]:
        for size in node.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = _ANY
    graph.output[0].name, graph.doc_string, result.doc_string = _OUTPUT, "", ""
    return result


def save(model: "onnx.ModelProto", path: Path, tables: Mapping[bytes, ArrayLike]) -> None:
    """Write a model in canonical form, with the constants that hold a key of `tables` replaced by its value."""
    checked = canonical(model)
    for constant in checked.graph.initializer:
        table = tables.get(onnx.numpy_helper.to_array(constant).tobytes())
        if table is not None:
            constant.CopyFrom(onnx.numpy_helper.from_array(np.asarray(table), constant.name))
    onnx.checker.check_model(checked)
    path.write_bytes(checked.SerializeToString(deterministic=True))


def _by_use(graph: "onnx.GraphProto") -> "list[onnx.NodeProto]":
    """Return the nodes the output needs, each after its inputs, in the order in which the output reaches them."""
    makers = {name: node for node in graph.node for name in node.output}
    ordered: list[onnx.NodeProto] = []
    placed: set[str] = set()

    def place(name: str) -> None:
        if (node := makers.get(name)) is None or node.output[0] in placed:
            return
        placed.add(node.output[0])
        for needed in node.input:
            place(needed)
        ordered.append(node)

    place(graph.output[0].name)
    return ordered


def _number(names: dict[str, str], name: str) -> int:
    return int(names[name].removeprefix("t"))
