"""One file for one network: an ONNX model whose bytes do not depend on counters and hash seeds of the process."""

from pathlib import Path

import onnx

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
    for place, node in enumerate(graph.node):
        node.name, node.doc_string = f"n{place}", ""
        node.input[:] = [names.setdefault(name, f"t{len(names)}") for name in node.input]
        node.output[:] = [names.setdefault(name, f"t{len(names)}") for name in node.output]
    constants = sorted(graph.initializer, key=lambda constant: _number(names, constant.name))
    for constant in constants:
        constant.name = names[constant.name]
    kept = [onnx.TensorProto.FromString(constant.SerializeToString(deterministic=True)) for constant in constants]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)
    for node in [*graph.input, *graph.output]:
        for size in node.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = _ANY
    graph.output[0].name, graph.doc_string, result.doc_string = _OUTPUT, "", ""
    return result


def save(model: "onnx.ModelProto", path: Path) -> None:
    """Write a model in canonical form."""
    checked = canonical(model)
    onnx.checker.check_model(checked)
    path.write_bytes(checked.SerializeToString(deterministic=True))


def _number(names: dict[str, str], name: str) -> int:
    return int(names[name].removeprefix("t"))
