"""Exported towers without what they learned of single users: the rows of the users' table become zeros.

A row of zeros adds nothing to a query, as for a user whom training never saw. What the rest of the network learned from
a user is spread over all its weights and stays; see docs/privacy-erasure.md.
"""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from recsys.errors import StorageError
from recsys.features import redacted_from
from recsys.model.exported import QUERY_FILE
from recsys.storage import local_path, publish, verify

if TYPE_CHECKING:
    import onnx

_USER: Final = "user"  # the query tower's input of users' places
_PASSED_ON: Final = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")  # what leaves a place what it is


def forget_rows(path: Path, rows: Collection[int]) -> int:
    """Overwrite rows of the users' table in a query tower's file with zeros; returns how many were not zero.

    `rows` are places in the vocabulary, from 1; the file is replaced by a whole one, and only where a row changes.
    Raises StorageError when the file is no query tower or has no such row.
    """
    import onnx

    model = _load(path)
    constant = _users_table(model, path)
    table = np.array(onnx.numpy_helper.to_array(constant))
    left = _learned(table, rows, path)
    if left:
        table[left] = 0.0
        constant.CopyFrom(onnx.numpy_helper.from_array(table, constant.name))
        aside = path.with_name(f".{path.name}.new")
        aside.write_bytes(model.SerializeToString(deterministic=True))
        aside.replace(path)
    return len(left)


def learned_rows(path: Path, rows: Collection[int]) -> list[int]:
    """Return those of some rows of the users' table in a query tower's file that are not zero."""
    import onnx

    if not rows:
        return []
    constant = _users_table(_load(path), path)
    return _learned(onnx.numpy_helper.to_array(constant), rows, path)


def redact_towers(uri: str, rows: Collection[int], info: Mapping[str, JsonValue]) -> str:
    """Publish a copy of towers that knows nothing of some rows of the users' table; returns its address.

    `info` replaces entries of the manifest. The towers it is made from stay until they are collected.
    """
    told, folder = verify(uri).info, local_path(uri)
    about = {**told, **info, "redacted_from": redacted_from(told, uri)}
    with publish(uri.rsplit("/", 1)[0], about) as publication:
        shutil.copytree(folder, publication.path, ignore=shutil.ignore_patterns("MANIFEST.json"), dirs_exist_ok=True)
        forget_rows(publication.path / QUERY_FILE, rows)
    return publication.uri


def _load(path: Path) -> "onnx.ModelProto":
    import onnx

    try:
        model = onnx.ModelProto()
        model.ParseFromString(path.read_bytes())
        return model
    except OSError as error:
        raise StorageError(f"cannot read the query tower {path}: {error}") from None


def _users_table(model: "onnx.ModelProto", path: Path) -> "onnx.TensorProto":
    """Return the constant float32[n_user_ids, D] from which the tower gathers by the input `user`."""
    constants: dict[str, onnx.TensorProto] = {each.name: each for each in model.graph.initializer}
    places = {_USER}
    for node in model.graph.node:
        if node.op_type in _PASSED_ON and node.input[0] in places:
            places.update(node.output)
        elif node.op_type == "Gather" and node.input[1] in places and node.input[0] in constants:
            return constants[node.input[0]]
    raise StorageError(f"{path} gathers no row by user; export the towers again")


def _learned(table: NDArray[np.float32], rows: Collection[int], path: Path) -> list[int]:
    if wrong := [row for row in rows if not 0 < row < len(table)]:
        raise StorageError(f"{path} has rows 1 to {len(table) - 1} of users; got {wrong[0]}: it is of other features")
    return [row for row in sorted(rows) if np.any(table[row])]
