"""Warm start: go on from earlier towers, whatever came and went since.

Known items keep their vectors and known users their rows; new ones start from content and demographics; those that left
are gone. Weights that belong to no vocabulary are taken over as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.features import FeatureSpec, StringColumn
from recsys.model._tensorflow import tf
from recsys.model.exported import HISTORY_FILE, VECTORS_FILE
from recsys.model.pooling import N_HEADS
from recsys.model.query_tower import QueryTower
from recsys.model.sizes import N_KINDS

_WEIGHTS_FILE = "query_weights.npz"


@dataclass(frozen=True)
class Predecessor:
    """Exported towers in `folder`, and what they were trained on: their spec and the ids of their item rows."""

    folder: Path
    spec: FeatureSpec
    item_ids: StringColumn

    def fits(self, dim: int, tower_shapes: list[tuple[int, ...]]) -> bool:
        """Whether its weights have these shapes, and its vectors `dim` columns; it may know fewer kinds of events."""
        if not (self.folder / _WEIGHTS_FILE).exists():
            return False
        with np.load(self.folder / _WEIGHTS_FILE) as arrays:
            shapes = [arrays[name].shape for name in arrays.files if name.startswith("weight/")]
        width = np.load(self.folder / VECTORS_FILE, mmap_mode="r").shape[1]
        kinds = len(self.spec.event_kinds) + 1, N_HEADS  # kinds of events that came later get rows of their own
        alike = [old in (new, kinds) if new == (N_KINDS, N_HEADS) else old == new
                 for old, new in zip(shapes, tower_shapes, strict=False)]  # fmt: skip
        return len(shapes) == len(tower_shapes) and all(alike) and width == dim

    def item_vectors(self, ids: StringColumn) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the vectors float32[len(ids), 2 D] of items, zeros where unknown, and which are known."""
        places = {item: row for row, item in enumerate(self.item_ids.tolist())}
        rows = np.array([places.get(item, -1) for item in ids.tolist()], np.int64)
        known = rows >= 0
        halves = [np.load(self.folder / name, mmap_mode="r") for name in (VECTORS_FILE, HISTORY_FILE)]
        vectors = np.zeros((len(ids), sum(half.shape[1] for half in halves)), np.float32)
        vectors[known] = np.hstack([half[rows[known]] for half in halves])
        return vectors, known

    def start(self, tower: QueryTower, spec: FeatureSpec) -> None:
        """Set a built query tower's weights: rows by label, the rest as they are."""
        with np.load(self.folder / _WEIGHTS_FILE) as arrays:
            for number, variable in enumerate(_weights(tower)):
                rows = variable.numpy()
                saved = arrays[f"weight/{number}"]
                rows[: len(saved)] = saved
                variable.assign(rows)
            for (name, table, vocabulary), old in _paired(tower, spec, self.spec):
                rows = table.embeddings.numpy()
                places = {label: row for row, label in enumerate(old, 1)}
                known = [(row, places[label]) for row, label in enumerate(vocabulary, 1) if label in places]
                if known:
                    new_rows, old_rows = np.array(known).T
                    rows[new_rows] = arrays[f"table/{name}"][old_rows]
                table.embeddings.assign(rows)


def save_query_weights(tower: QueryTower, spec: FeatureSpec, folder: Path) -> None:
    """Write what a successor needs besides the item vectors."""
    tables = {f"table/{name}": table.embeddings.numpy() for name, table, _ in _tables(tower, spec)}
    weights = {f"weight/{number}": variable.numpy() for number, variable in enumerate(_weights(tower))}
    np.savez(folder / _WEIGHTS_FILE, allow_pickle=False, **weights, **tables)


def weight_shapes(tower: QueryTower) -> list[tuple[int, ...]]:
    """Return the shapes of a built tower's weights that belong to no vocabulary."""
    return [tuple(variable.shape) for variable in _weights(tower)]


def _tables(tower: QueryTower, spec: FeatureSpec) -> "list[tuple[str, tf.keras.layers.Embedding, list[str]]]":
    demographics = zip(tower.demographics, spec.demographic_vocabs.items(), strict=True)
    return [
        ("user", tower.users, spec.user_vocab),
        ("device", tower.devices, spec.device_vocab),
        *((f"demographic/{name}", table, vocabulary) for table, (name, vocabulary) in demographics),
    ]


def _paired(
    tower: QueryTower, spec: FeatureSpec, old: FeatureSpec
) -> "Iterator[tuple[tuple[str, tf.keras.layers.Embedding, list[str]], list[str]]]":
    before = {"user": old.user_vocab, "device": old.device_vocab} | {
        f"demographic/{name}": vocabulary for name, vocabulary in old.demographic_vocabs.items()
    }
    for each in _tables(tower, spec):
        if each[0] in before:
            yield each, before[each[0]]


def _weights(tower: QueryTower) -> "list[tf.Variable]":
    tables = {id(each.embeddings) for each in (tower.users, tower.devices, *tower.demographics)}
    return [variable for variable in tower.trainable_variables if id(variable) not in tables]
