"""Exports an index that follows exact search closely enough, or refuses."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from recsys.config import IndexConfig
from recsys.errors import GateError
from recsys.features import StringColumn
from recsys.index.annoy_index import AnnoyIndex
from recsys.index.exact import ExactIndex
from recsys.index.protocol import Index
from recsys.storage import read_json, write_json

_TIE = 1e-5  # relative: Annoy sums in another order
_FOREST, _IDS, _ABOUT = "items.annoy", "ids.json", "index.json"


class IndexExport(BaseModel):
    """What was exported: `recall` is the share of exact search's `recall_k` best items that the index finds."""

    model_config = ConfigDict(frozen=True)
    metric: str = "dot"
    n_items: int
    dim: int
    n_trees: int
    search_k: int
    recall: float
    recall_k: int
    n_queries: int
    vectors: str = ""  # SHA-256 of the item vectors it was built from


def export_index(
    config: IndexConfig,
    item_ids: StringColumn,
    item_vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    folder: Path,
    ks: Sequence[int] = (),
) -> IndexExport:
    """Build the Annoy index in a folder and choose the smallest `search_k` (by doubling) that passes the recall gate.

    Recall is gated at each of `ks`, by default at `index.recall_k`; the least is reported. Deeper queries inspect more
    nodes in proportion. Raises GateError when inspecting every node is still not enough.
    """
    if not len(item_vectors) or not np.isfinite(item_vectors).all():
        raise GateError(f"an index needs finite item vectors; got {item_vectors.shape} with NaN or infinity, or none")
    index = AnnoyIndex.build(item_vectors, folder / _FOREST, config.n_trees, config.seed)
    depths = [min(k, len(item_vectors)) for k in ks or (config.recall_k,)]
    k = depths[0]
    sample = queries[:: max(1, len(queries) // config.n_queries)][: config.n_queries]
    exact = {depth: ExactIndex(item_vectors).query(sample, depth)[1] for depth in depths}
    search_k, recall = max(config.n_trees, k), 0.0
    while True:
        index.search_k, index.gated_k = search_k, k
        recall = min(recall_of(index.query(sample, depth)[1], found) for depth, found in exact.items())
        if recall >= config.min_recall:
            break
        if search_k > 2 * config.n_trees * max(len(item_vectors), k):
            raise GateError(
                f"index_recall: recall against exact search at {', '.join(map(str, depths))} items is {recall:.4f} at "
                f"worst, below {config.min_recall}; raise index.n_trees"
            )
        search_k *= 2
    about = IndexExport(
        n_items=len(item_ids),
        dim=item_vectors.shape[1],
        n_trees=config.n_trees,
        search_k=search_k,
        recall=recall,
        recall_k=k,
        n_queries=len(sample),
        vectors=vectors_digest(item_vectors),
    )
    write_json(str(folder / _IDS), item_ids.tolist())
    write_json(str(folder / _ABOUT), about.model_dump())
    return about


def load_index(folder: Path) -> tuple[Index, StringColumn, IndexExport]:
    """Open an exported index with the item ids of its rows."""
    about = IndexExport.model_validate(read_json(str(folder / _ABOUT)))
    ids = StringColumn.of(read_json(str(folder / _IDS)))
    return AnnoyIndex.load(folder / _FOREST, about.dim, about.search_k, about.recall_k), ids, about


def vectors_digest(item_vectors: NDArray[np.float32]) -> str:
    """Return the SHA-256 of vectors [n_items, D], by which an index names what it was built from."""
    return hashlib.sha256(np.ascontiguousarray(item_vectors, np.float32).data).hexdigest()


def recall_of(found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """Return the mean share of found scores that reach the lowest exact score of their row; 1.0 without queries.

    Scores, not ids, so that items of equal vectors stand for one another (Aumüller et al. 2020, ANN-Benchmarks).

    >>> recall_of(np.array([[0.9, 0.1]]), np.array([[0.9, 0.5]]))
    0.5
    """
    if not len(exact):
        return 1.0
    limit = exact[:, -1:]
    return float((found >= limit - _TIE * np.maximum(np.abs(limit), 1e-3)).mean())
