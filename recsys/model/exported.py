"""Exported towers: what serving and evaluation run, on ONNX Runtime and NumPy alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from recsys.errors import StorageError
from recsys.features import Dataset, ItemArrays
from recsys.model.inputs import item_inputs, query_inputs
from recsys.model.kinds import METADATA_KEY, kind_rows

QUERY_FILE = "query.onnx"
ITEM_FILE = "item.onnx"
VECTORS_FILE = "item_vectors.npy"
HISTORY_FILE = "history_vectors.npy"
TRAINING_FILE = "training.json"
_ERRORS_ONLY = 3  # ONNX Runtime's log severity


class ExportedTowers:
    """The two towers of one training run and the vectors of its items.

    A score is the plain dot product of a query vector and an item vector. What an item says in a history is another
    vector than what it is as a candidate: `history_vectors` beside `item_vectors`, both float32[n_items, D].
    """

    def __init__(
        self,
        query: ort.InferenceSession,
        item: ort.InferenceSession,
        item_vectors: NDArray[np.float32],
        history_vectors: NDArray[np.float32],
    ) -> None:
        self._query = query
        self._item = item
        self.item_vectors = item_vectors
        self.history_vectors = history_vectors
        self._query_names = [node.name for node in query.get_inputs()]
        self._item_names = [node.name for node in item.get_inputs()]
        shapes = {node.name: node.shape for node in query.get_inputs()}
        self.history_length, self.dim = (int(size) for size in shapes["history_vectors"][1:])
        self._kind_rows = kind_rows(query.get_modelmeta().custom_metadata_map.get(METADATA_KEY))

    @classmethod
    def load(cls, folder: str | Path, threads: int = 2) -> Self:
        """Open a folder written by `train`; raise StorageError when a file is missing or unreadable."""
        folder = Path(folder)
        try:
            query, item = (_session(folder / name, threads) for name in (QUERY_FILE, ITEM_FILE))
            return cls(query, item, np.load(folder / VECTORS_FILE), np.load(folder / HISTORY_FILE))
        except (OSError, EOFError, ValueError) as error:
            raise StorageError(f"cannot read the towers in {folder}: {error}; run the training stage again") from error

    @staticmethod
    def training(folder: str | Path) -> dict[str, object]:
        """Return what training wrote about itself: history by epoch, best epoch, parameters, seconds."""
        loaded: dict[str, object] = json.loads((Path(folder) / TRAINING_FILE).read_text(encoding="utf-8"))
        return loaded

    def query(
        self, inputs: Mapping[str, NDArray[np.generic]] | None = None, /, **arrays: NDArray[np.generic]
    ) -> NDArray[np.float32]:
        """Return query vectors [B, D] of `history_vectors` [B, L, D], `history_kinds` and `history_ages` [B, L],
        `user` [B], `demographics` [B, n_demo] and `context` [B, 3].
        """
        given = {**(inputs or {}), **arrays}
        if "history_kinds" in given:
            given["history_kinds"] = self._kind_rows[given["history_kinds"]]
        return _run(self._query, self._query_names, given, self.dim)

    def encode_items(self, items: ItemArrays, batch: int = 4096) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return item and history vectors, [N, D] each, of all rows of item arrays, known to training or not."""
        result = np.empty((len(items.ids), 2 * self.dim), np.float32)
        for start in range(0, len(result), batch):
            rows = slice(start, start + batch)
            result[rows] = self.encode_rows(items, rows)
        return result[:, : self.dim], result[:, self.dim :]

    def encode_rows(self, items: ItemArrays, rows: slice) -> NDArray[np.float32]:
        """Return item beside history vectors [n, 2 D] of some rows of item arrays."""
        return _run(self._item, self._item_names, item_inputs(items, rows), 2 * self.dim)

    def query_vectors(
        self,
        dataset: Dataset,
        history_vectors: NDArray[np.float32],
        user_rows: NDArray[np.integer],
        history_end: NDArray[np.integer],
        query_time: NDArray[np.integer],
        device: NDArray[np.integer],
        batch: int = 1024,
    ) -> NDArray[np.float32]:
        """Return query vectors [n, D] of users of a dataset, each at its own time.

        `history_vectors` [n_items, D] belong to the dataset's item rows; a history is the user's positive events before
        position `history_end` of the dataset's events.
        """
        result = np.empty((len(user_rows), self.dim), np.float32)
        for start in range(0, len(user_rows), batch):
            part = slice(start, start + batch)
            result[part] = self.query(
                self.query_arrays(
                    dataset, history_vectors, user_rows[part], history_end[part], query_time[part], device[part]
                )
            )
        return result

    def query_arrays(
        self,
        dataset: Dataset,
        history_vectors: NDArray[np.float32],
        user_rows: NDArray[np.integer],
        history_end: NDArray[np.integer],
        query_time: NDArray[np.integer],
        device: NDArray[np.integer],
    ) -> dict[str, NDArray[np.generic]]:
        """Return what `query` is asked with; arguments are those of `query_vectors`."""
        inputs = query_inputs(dataset, user_rows, history_end, query_time, device, self.history_length)
        history = inputs.pop("history")
        vectors = history_vectors[np.maximum(history - 1, 0)]
        vectors[history == 0] = 0.0  # padding
        return {**inputs, "history_vectors": vectors}


def _session(path: Path, threads: int) -> ort.InferenceSession:
    if not path.exists():
        raise FileNotFoundError(f"{path.name} is missing")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run(
    session: ort.InferenceSession, names: list[str], inputs: Mapping[str, NDArray[np.generic]], dim: int
) -> NDArray[np.float32]:
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ValueError(f"inputs must hold {names}; missing {missing}")
    if not len(inputs[names[0]]):
        return np.empty((0, dim), np.float32)
    (vectors,) = session.run(None, {name: inputs[name] for name in names})
    return np.asarray(vectors, np.float32)
