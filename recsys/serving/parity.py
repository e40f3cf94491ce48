"""Serving parity: a bundle reloaded in a fresh process must answer as the model did where it was trained.

`python -m recsys.serving.parity BUNDLE INDEX K` reads pseudonyms as JSON from standard input and writes their lists.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from recsys.errors import StorageError
from recsys.features import Dataset
from recsys.index import load_index
from recsys.model import ExportedTowers
from recsys.serving.recommender import BundleRecommender
from recsys.serving.retrieve import available, retrieve
from recsys.storage import local_path

_TOLERANCE = 1e-4  # of a score; batches of another size sum in another order
_TIMEOUT_S = 300


def check_parity(
    bundle_uri: str, index_uri: str, dataset: Dataset, towers: ExportedTowers, user_ids: Sequence[str], k: int = 10
) -> dict[str, JsonValue]:
    """Compare the lists of a fresh process with those computed here from the training set and the towers.

    Returns `parity` (share of users with equal lists), `n_users`, `max_score_difference` and `max_vector_difference`.
    Two lists are equal when each rank holds the same item, or one whose score differs by at most 1e-4. Raises
    StorageError when the fresh process cannot open the bundle.
    """
    expected_vectors, expected = _here(index_uri, dataset, towers, user_ids, k)
    answers = _in_fresh_process(bundle_uri, index_uri, user_ids, k)
    equal, score_difference, vector_difference = 0, 0.0, 0.0
    for user, vector in zip(user_ids, expected_vectors, strict=True):
        theirs, ours = answers[user]["items"], expected[user]
        difference = _difference(theirs, ours)
        equal += difference <= _TOLERANCE
        score_difference = max(score_difference, difference)
        vector_difference = max(vector_difference, float(np.abs(np.array(answers[user]["vector"]) - vector).max()))
    return {
        "parity": equal / len(user_ids) if user_ids else 1.0,
        "n_users": len(user_ids),
        "max_score_difference": score_difference if np.isfinite(score_difference) else None,
        "max_vector_difference": vector_difference,
    }


def _here(
    index_uri: str, dataset: Dataset, towers: ExportedTowers, user_ids: Sequence[str], k: int
) -> tuple[NDArray[np.float32], dict[str, list[tuple[str, float]]]]:
    """Vectors [n, D] and lists in one batch, from arrays that never went through a bundle."""
    index = load_index(local_path(index_uri))[0]
    events, items = dataset.events, dataset.items
    rows = np.searchsorted(dataset.users.ids, np.array(user_ids, dtype=np.str_)).astype(np.int32)
    when = int(np.asarray(events.timestamp).max()) + 1
    vectors = towers.query_vectors(
        dataset,
        towers.item_vectors,
        rows,
        np.asarray(events.offsets)[rows + 1],
        np.full(len(rows), when, np.int64),
        np.zeros(len(rows), np.int32),
    )
    lists = {}
    for user, row, vector in zip(user_ids, rows, vectors, strict=True):
        allowed = available(items, when)
        seen = np.unique(events.item[events.offsets[row] : events.offsets[row + 1]])
        allowed[seen] = False
        found = retrieve(vector, towers.item_vectors, index, allowed, k, len(seen))
        lists[user] = [(str(items.ids[at]), float(score)) for at, score in zip(found.rows, found.scores, strict=True)]
    return vectors, lists


def _difference(theirs: list[tuple[str, float]], ours: list[tuple[str, float]]) -> float:
    """The largest difference of scores by rank; infinite when a list is shorter or holds an item of another score."""
    if len(theirs) != len(ours):
        return float("inf")
    return max((abs(a[1] - b[1]) for a, b in zip(theirs, ours, strict=True)), default=0.0)


def _in_fresh_process(bundle_uri: str, index_uri: str, user_ids: Sequence[str], k: int) -> dict[str, dict[str, list]]:  # type: ignore[type-arg]
    command = [sys.executable, "-m", "recsys.serving.parity", bundle_uri, index_uri, str(k)]
    source = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]).rstrip(":")}
    done = subprocess.run(
        command,
        input=json.dumps(list(user_ids)),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        env=environment,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise StorageError(f"a fresh process cannot open bundle {bundle_uri}: {reason}")
    answers: dict[str, dict[str, list]] = json.loads(done.stdout)  # type: ignore[type-arg]
    return answers


def _answer(bundle_uri: str, index_uri: str, k: int, user_ids: Sequence[str]) -> dict[str, JsonValue]:
    recommender = BundleRecommender.open(bundle_uri, index_uri)
    at = datetime.fromtimestamp(int(recommender.as_of.timestamp()) + 1, UTC)
    return {
        user: {
            "items": [[each.item_id, each.score] for each in recommender.recommend(user, k, at=at)],
            "vector": recommender.query_vector(user, at).tolist(),
        }
        for user in user_ids
    }


if __name__ == "__main__":
    json.dump(_answer(sys.argv[1], sys.argv[2], int(sys.argv[3]), json.load(sys.stdin)), sys.stdout)
