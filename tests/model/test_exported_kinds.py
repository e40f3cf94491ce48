"""Towers exported when there were fewer kinds of events answer for the kinds that came later."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from recsys.model.exported import ExportedTowers
from recsys.schema import EVENT_KINDS

CODES = {kind: code for code, kind in enumerate(EVENT_KINDS, 1)}


def tower(path: Path, n_rows: int, kinds: str | None) -> ExportedTowers:
    """Return towers whose query vector is the row number that the last event's kind reads."""
    table = np.arange(n_rows, dtype=np.float32)[:, None]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "history_kinds"], ["rows"], axis=0),
            helper.make_node("ReduceSum", ["rows", "axes"], ["vectors"], keepdims=0),
        ],
        "query",
        [
            helper.make_tensor_value_info("history_kinds", TensorProto.INT32, ["n", 1]),
            helper.make_tensor_value_info("history_vectors", TensorProto.FLOAT, ["n", 1, 1]),
        ],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if kinds:
        model.metadata_props.add(key="event_kinds", value=kinds)
    onnx.save(model, path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return ExportedTowers(session, session, np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32))


def read_row(towers: ExportedTowers, kind: str) -> int:
    kinds = np.array([[CODES[kind]]], np.int32)
    return int(towers.query(history_kinds=kinds, history_vectors=np.zeros((1, 1, 1), np.float32))[0, 0])


@pytest.mark.parametrize(("kind", "read"), [("purchase", "like"), ("add_to_cart", "save"), ("view", "view")])
def test_an_older_tower_reads_a_later_kind_as_the_nearest_it_knows(tmp_path: Path, kind: str, read: str) -> None:
    assert read_row(tower(tmp_path / "old.onnx", 9, None), kind) == CODES[read]


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_a_tower_that_names_its_kinds_reads_each_as_itself(tmp_path: Path, kind: str) -> None:
    assert read_row(tower(tmp_path / "new.onnx", 11, ",".join(EVENT_KINDS)), kind) == CODES[kind]


def test_kinds_are_found_by_name_whatever_their_order(tmp_path: Path) -> None:
    assert read_row(tower(tmp_path / "other.onnx", 4, "click,purchase,view"), "purchase") == 2


def test_kinds_that_are_published_keep_their_codes() -> None:
    published = ("impression", "view", "click", "like", "dislike", "share", "save", "rating", "add_to_cart", "purchase")
    assert EVENT_KINDS[: len(published)] == published
