"""Serving parity: a bundle reloaded in a fresh process must answer as the model did where it was trained."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.errors import StorageError
from recsys.features import Dataset
from recsys.index import Index, load_index
from recsys.model import ExportedTowers
from recsys.serving.fresh import Answer
from recsys.serving.retrieve import available, retrieve
from recsys.storage import local_path

_TOLERANCE = 1e-4  # of a score; batches of another size sum in another order
_TIMEOUT_S = 300


def check_parity(
    bundle_uri: str, index_uri: str, dataset: Dataset, towers: ExportedTowers, user_ids: Sequence[str], k: int = 10
) -> dict[str, float | int | None]:
    """Compare the lists of a fresh process with those computed here from the training set and the towers.

    Returns `parity` (share of users with equal lists; 1 without users), `n_users`, `max_score_difference` (None when
    lists differ in length or items) and `max_vector_difference`. Lists are equal when every item, and every rank, has
    the same score within 1e-4, so that ties may be broken either way. Raises StorageError when the fresh process
    cannot open the bundle.
    """
    if unknown := sorted(set(user_ids) - set(dataset.users.ids.tolist())):
        raise ValueError(f"user_ids must be users of the training set; {len(unknown)} are not")
    vectors = _query_vectors(dataset, towers, user_ids)
    index = load_index(local_path(index_uri))[0]
    theirs = _in_fresh_process(bundle_uri, index_uri, user_ids, k)
    places = {str(item): row for row, item in enumerate(dataset.items.ids)}
    apart = [0.0]
    n_equal, vector_difference = 0, 0.0
    for user, vector in zip(user_ids, vectors, strict=True):
        expected = _scores(dataset, towers, index, user, vector, k)
        found = theirs[user]
        rows = [places.get(item, -1) for item, _ in found["items"]]
        apart.append(_difference(found, rows, expected, towers.item_vectors @ vector))
        n_equal += apart[-1] <= _TOLERANCE
        vector_difference = max(vector_difference, float(np.abs(np.array(found["vector"]) - vector).max()))
    return {
        "parity": n_equal / len(user_ids) if user_ids else 1.0,
        "n_users": len(user_ids),
        "max_score_difference": max(apart) if math.isfinite(max(apart)) else None,
        "max_vector_difference": vector_difference,
    }


def _query_vectors(dataset: Dataset, towers: ExportedTowers, user_ids: Sequence[str]) -> NDArray[np.float32]:
    """Query vectors [n, D] in one batch, from arrays that never went through a bundle."""
    rows = _rows(dataset, user_ids)
    ends = np.asarray(dataset.events.offsets)[rows + 1]
    when = np.full(len(rows), _when(dataset), np.int64)
    return towers.query_vectors(dataset, towers.item_vectors, rows, ends, when, np.zeros(len(rows), np.int32))


def _scores(
    dataset: Dataset, towers: ExportedTowers, index: Index, user: str, vector: NDArray[np.float32], k: int
) -> NDArray[np.float32]:
    """The scores of the user's list, best first."""
    (row,) = _rows(dataset, [user])
    events = dataset.events
    seen = np.unique(events.item[events.offsets[row] : events.offsets[row + 1]])
    allowed = available(dataset.items, _when(dataset))
    allowed[seen] = False
    return retrieve(vector, towers.item_vectors, index, allowed, k, len(seen)).scores


def _difference(
    found: Answer, rows: list[int], expected: NDArray[np.float32], all_scores: NDArray[np.float32]
) -> float:
    """The largest difference of scores, by rank and by item; infinite for lists of unequal length or unknown items."""
    scores = np.array([score for _, score in found["items"]], np.float32)
    if len(scores) != len(expected) or -1 in rows or len(set(rows)) != len(rows):
        return math.inf
    by_rank, by_item = np.abs(scores - expected), np.abs(scores - all_scores[rows])
    return float(max(by_rank.max(initial=0.0), by_item.max(initial=0.0)))


def _in_fresh_process(bundle_uri: str, index_uri: str, user_ids: Sequence[str], k: int) -> dict[str, Answer]:
    source = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "recsys.serving.fresh", bundle_uri, index_uri, str(k)],
        input=json.dumps(list(user_ids)),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(source)},
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise StorageError(f"a fresh process cannot answer from bundle {bundle_uri}: {reason}")
    answers: dict[str, Answer] = json.loads(done.stdout)
    return answers


def _rows(dataset: Dataset, user_ids: Sequence[str]) -> NDArray[np.int32]:
    places = {str(user): row for row, user in enumerate(dataset.users.ids)}
    return np.array([places[user] for user in user_ids], np.int32)


def _when(dataset: Dataset) -> int:
    return int(np.asarray(dataset.events.timestamp).max()) + 1
