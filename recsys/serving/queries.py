"""Query vectors of users as they are now: what an index is asked."""

import numpy as np
from numpy.typing import NDArray

from recsys.features import Dataset
from recsys.model import ExportedTowers


def sample_queries(dataset: Dataset, towers: ExportedTowers, n: int) -> NDArray[np.float32]:
    """Return float32[<= n, D]: evenly chosen users with all of their events, just after the last event of the data."""
    n_users = len(dataset.users.ids)
    rows = np.unique(np.linspace(0, n_users - 1, min(n, n_users)).astype(np.int64))
    now = np.full(len(rows), int(np.max(dataset.events.timestamp)) + 1, np.int64)
    ends = np.asarray(dataset.events.offsets)[rows + 1]
    return towers.query_vectors(dataset, towers.history_vectors, rows, ends, now, np.zeros(len(rows), np.int32))
