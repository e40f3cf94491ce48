"""The users of a split, what they turned to there, and what was known before."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.features.dataset import Dataset


@dataclass(frozen=True)
class Heldout:
    """One row per user with a new positive item in the split.

    `relevant` and `seen` are bool[n, n_items]; `query_time` (seconds) and `device` are those of the user's first event
    in the split, the time never before the history's last event; the history of a user is their events before position
    `history_end`. `candidates` bool[n_items], where given, are the only items that are ranked.
    """

    user_rows: NDArray[np.int32]
    relevant: csr_matrix
    seen: csr_matrix
    query_time: NDArray[np.int64]
    device: NDArray[np.int32]
    history_end: NDArray[np.int64]
    cold_user: NDArray[np.bool_]
    candidates: NDArray[np.bool_] | None = None


def heldout(dataset: Dataset, split: int) -> Heldout:
    """Return whom a split measures. Items seen before it are not relevant; cold users have no positive in train.

    Where a split ranks newcomers alone, users without any history are left out.
    """
    events, n_items = dataset.events, len(dataset.items.ids)
    n_users = len(dataset.users.ids)
    users = np.repeat(np.arange(n_users, dtype=np.int32), np.diff(events.offsets))
    positive, splits = np.asarray(events.positive), np.asarray(events.split)
    before, inside = positive & (splits < split), positive & (splits == split)
    seen = _matrix(users[before], events.item[before], n_users, n_items)
    wanted = _matrix(users[inside], events.item[inside], n_users, n_items)
    fresh = csr_matrix(wanted.astype(np.int8) - wanted.astype(np.int8).multiply(seen.astype(np.int8)))
    fresh.eliminate_zeros()
    candidates = None if dataset.newcomers is None else np.asarray(dataset.newcomers) == split
    measured = np.diff(fresh.indptr) > 0
    if candidates is not None:
        measured &= np.diff(seen.indptr) > 0
    chosen = np.flatnonzero(measured).astype(np.int32)
    first = np.full(n_users, len(users), np.int64)
    np.minimum.at(first, users[inside], np.flatnonzero(inside))
    ends = np.asarray(events.offsets)[:-1] + np.bincount(users[splits < split], minlength=n_users)
    times = np.asarray(events.timestamp)
    last = np.full(n_users, np.iinfo(np.int64).min)
    np.maximum.at(last, users[before], times[before])
    in_train = np.bincount(users[positive & (splits == 0)], minlength=n_users) > 0
    return Heldout(
        user_rows=chosen,
        relevant=fresh[chosen].astype(bool),
        seen=seen[chosen],
        query_time=np.maximum(times[first[chosen]], last[chosen]),
        device=np.asarray(events.device)[first[chosen]],
        history_end=ends[chosen],
        cold_user=~in_train[chosen],
        candidates=candidates,
    )


def _matrix(users: NDArray[np.int32], items: NDArray[np.int32], n_users: int, n_items: int) -> csr_matrix:
    matrix = csr_matrix((np.ones(len(users), np.int32), (users, items)), shape=(n_users, n_items))
    matrix.sum_duplicates()
    return matrix.astype(bool)
