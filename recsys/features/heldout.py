"""The users of a split, what they turned to there, and what was known before."""

from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.features.availability import available_at
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

    def available(self, block: slice) -> NDArray[np.bool_] | None:  # noqa: ARG002  # what each may get is the same here
        """Return bool[len(block), n_items] where what may be listed depends on the user's own time, else None."""
        return None

    @property
    def hidden(self) -> csr_matrix:
        """bool[n, n_items]: what must not be recommended to each user, whatever its score."""
        return self.seen

    def take(self, rows: NDArray[np.integer]) -> Self:
        """Return the given rows."""
        of_items = ("candidates", "published_at", "expires_at")
        per_user = [field.name for field in fields(self) if field.name not in of_items]
        return replace(self, **{name: getattr(self, name)[rows] for name in per_user})


@dataclass(frozen=True)
class Requested(Heldout):
    """Held-out users as requests at `query_time`: what serving would list then, and nothing else, is ranked.

    `met` bool[n, n_items] are all items a user has met, disliked ones too. `published_at` and `expires_at`
    int64[n_items] say when each item may be listed; items that may not are not relevant.
    """

    met: csr_matrix = field(default_factory=lambda: csr_matrix(np.zeros((0, 0), bool)))
    published_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    expires_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def hidden(self) -> csr_matrix:
        """What each user has met."""
        return self.met

    def available(self, block: slice) -> NDArray[np.bool_] | None:
        """Return bool[len(block), n_items]: which items may be recommended at each user's time."""
        return available_at(self.published_at, self.expires_at, self.query_time[block][:, None])


def requested(dataset: Dataset, split: int) -> Requested:
    """Return whom a split measures, as the requests they would have made; who has nothing left to find is left out."""
    users = heldout(dataset, split)
    items, events = dataset.items, dataset.events
    published, expires = np.asarray(items.published_at), np.asarray(items.expires_at)
    starts = np.asarray(events.offsets)[users.user_rows]
    lengths = users.history_end - starts
    rows = np.repeat(np.arange(len(lengths)), lengths)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(starts, lengths)
    met = _matrix(rows, np.asarray(events.item)[places], *users.seen.shape)
    wanted = users.relevant.tocoo()
    there = available_at(published[wanted.col], expires[wanted.col], users.query_time[wanted.row])
    found = _matrix(wanted.row[there], wanted.col[there], *users.seen.shape)
    fresh = csr_matrix(found.astype(np.int8) - found.astype(np.int8).multiply(met.astype(np.int8)))
    fresh.eliminate_zeros()
    own = {each.name: getattr(users, each.name) for each in fields(Heldout)}
    own["relevant"] = fresh.astype(bool)
    asked = Requested(**own, met=met, published_at=published, expires_at=expires)
    return asked.take(np.flatnonzero(np.diff(fresh.indptr) > 0))


def histories_of(dataset: Dataset, users: Heldout, split: int) -> csr_matrix:
    """Return bool[n, n_items]: positive items before a split, of held-out users of another reading of the dataset."""
    events = dataset.events
    owner = np.repeat(np.arange(len(dataset.users.ids)), np.diff(events.offsets))
    before = np.asarray(events.positive) & (np.asarray(events.split) < split)
    return _matrix(owner[before], np.asarray(events.item)[before], len(dataset.users.ids), users.seen.shape[1])[
        users.user_rows
    ]


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


def _matrix(users: NDArray[np.integer], items: NDArray[np.integer], n_users: int, n_items: int) -> csr_matrix:
    matrix = csr_matrix((np.ones(len(users), np.int32), (users, items)), shape=(n_users, n_items))
    matrix.sum_duplicates()
    return matrix.astype(bool)
