"""Evidence that stands beside the towers: linear in what a user has, so any candidate is scored alone, in any process.

A matrix [n_items, n_items] holds what each item of a user (row) says about each candidate (column); a vector [n_items]
says the same to everybody. Who has nothing gets nothing from a matrix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys.config import BlendConfig
from recsys.features import Dataset, Heldout, histories
from recsys.scoring.baselines import consumption, item_counts
from recsys.scoring.content_taste import content_taste
from recsys.scoring.covisitation import STEPS, follower_weights, recent_weights
from recsys.scoring.ease import ease_weights
from recsys.scoring.graph_filter import filter_weights
from recsys.scoring.links import largest_of_each_row

ITEM_ITEM, COVISITATION, POPULARITY, RECENT = "item_item", "covisitation", "popularity", "recent_popularity"
CONTENT = "content"
COMPONENTS = (ITEM_ITEM, COVISITATION, POPULARITY, RECENT, CONTENT)
Component = NDArray[np.float32] | csr_array
_DAY_S = 86_400
_BLOCK = 1024  # rows of a matrix that are cut at a time


@dataclass(frozen=True)
class Profiles:
    """What users have: `items` float32[n, n_items] is 1 where a user has the item, `recent` int32[n, STEPS] their last
    items, the most recent last, -1 as padding.
    """

    items: csr_array
    recent: NDArray[np.int32]

    @classmethod
    def of(cls, dataset: Dataset, users: Heldout, block: slice) -> Self:
        """Return the profiles of a block of held-out users: their history and nothing more."""
        past = histories(dataset, users.user_rows[block], users.history_end[block], users.query_time[block], STEPS)
        return cls(csr_array(users.seen[block.start : block.stop].astype(np.float32)), past.items)

    @classmethod
    def of_one(cls, positives: NDArray[np.integer], n_items: int) -> Self:
        """Return the profile of one user from item rows, oldest first, which may repeat."""
        own = np.unique(positives)
        items = csr_array((np.ones(own.size, np.float32), (np.zeros(own.size, np.int64), own)), shape=(1, n_items))
        last = np.asarray(positives[-STEPS:], np.int32)
        return cls(items, np.concatenate([np.full(STEPS - last.size, -1, np.int32), last])[None, :])

    def scores(self, name: str, component: Component) -> NDArray[np.float32]:
        """Return float32[n, n_items]: what a component of that name says to each user."""
        n_users, n_items = self.items.shape
        if component.ndim == 1:
            return np.broadcast_to(np.asarray(component, np.float32), (n_users, n_items))
        found = self._weights_of(name) @ component
        return np.asarray(found if isinstance(found, np.ndarray) else found.toarray(), np.float32)

    def _weights_of(self, name: str) -> csr_array:
        """Return float32[n, n_items]: what each item of a user counts in a component of that name."""
        if name == COVISITATION:
            return csr_array(recent_weights(self.recent, self.items.shape[1]).astype(np.float32))
        if name == CONTENT:
            return csr_array(self.items.multiply(1 / np.maximum(self.items.sum(axis=1), 1)[:, None]).astype(np.float32))
        return self.items


def fit_components(
    dataset: Dataset,
    split: int,
    names: Sequence[str],
    settings: BlendConfig,
    *,
    ease_l2: float,
    recent_days: int,
) -> dict[str, Component]:
    """Fit components on all positive events of the splits before `split`.

    Raises ValueError for a name that is none, RecsysError when EASE does not fit into memory.
    """
    if unknown := [name for name in names if name not in COMPONENTS]:
        raise ValueError(f"components must be among {', '.join(COMPONENTS)}; got {', '.join(unknown)}")
    fitted: dict[str, Component] = {}
    for name in names:
        if name == ITEM_ITEM:
            fitted[name] = item_item(dataset, split, settings, ease_l2)
        elif name == COVISITATION:
            fitted[name] = _cut(follower_weights(dataset, split), settings.max_entries)
        elif name == CONTENT:
            fitted[name] = _content(dataset, split, settings)
        else:
            since = _last_second(dataset, split) - recent_days * _DAY_S if name == RECENT else None
            fitted[name] = np.log1p(item_counts(dataset, split, since)).astype(np.float32)
    return fitted


def uses_ease(dataset: Dataset, settings: BlendConfig) -> bool:
    """Tell whether the catalogue is small enough for EASE."""
    return len(dataset.items.ids) <= settings.ease_max_items


def item_item(dataset: Dataset, split: int, settings: BlendConfig, l2: float) -> Component:
    """Return EASE's weights, or the graph filter's where the catalogue is too large; of each row the largest are kept.

    Small matrices stay whole and dense. Items without an event have zeros.
    """
    matrix = consumption(dataset, split)
    n_items = matrix.shape[1]
    if not uses_ease(dataset, settings):
        return filter_weights(matrix, max(settings.max_entries // n_items, 1))
    known = np.flatnonzero(np.asarray(matrix.sum(axis=0)) > 0)
    weights = ease_weights(matrix[:, known], l2, "blend")
    if n_items**2 <= settings.max_entries:
        whole = np.zeros((n_items, n_items), np.float32)
        whole[np.ix_(known, known)] = weights
        return whole
    return _cut_rows(weights, known, n_items, settings.max_entries)


def _content(dataset: Dataset, split: int, settings: BlendConfig) -> Component:
    """Return what content says; of a catalogue whose matrix is too large, of each row what is largest."""
    weights, n_items = content_taste(dataset, split), len(dataset.items.ids)
    if n_items**2 <= settings.max_entries:
        return weights
    return _cut_rows(weights, np.arange(n_items), n_items, settings.max_entries)


def _cut_rows(weights: NDArray[np.float32], known: NDArray[np.intp], n_items: int, max_entries: int) -> csr_array:
    """Return float32[n_items, n_items] of dense weights between the `known` items: the largest of each row."""
    per_row = min(max(max_entries // n_items, 1), known.size)
    kept = np.concatenate(
        [_largest(weights[start : start + _BLOCK], per_row) for start in range(0, known.size, _BLOCK)]
    )
    rows = np.repeat(known, per_row)
    values = np.take_along_axis(weights, kept, axis=1).ravel()
    return csr_array((values, (rows, known[kept.ravel()])), shape=(n_items, n_items))


def _largest(weights: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Return int64[rows, n]: the columns of the n entries of greatest size in each row, in column order."""
    if n == weights.shape[1]:
        return np.broadcast_to(np.arange(n), weights.shape)
    return np.sort(np.argpartition(-np.abs(weights), n - 1, axis=1)[:, :n], axis=1)


def _cut(matrix: csr_array, max_entries: int) -> csr_array:
    """Return a sparse matrix in float32 with its largest entries, as many of each row as `max_entries` allow."""
    matrix = csr_array(matrix.astype(np.float32))
    if matrix.nnz <= max_entries:
        matrix.sort_indices()
        return matrix
    return largest_of_each_row(matrix, max(max_entries // matrix.shape[0], 1))


def _last_second(dataset: Dataset, split: int) -> int:
    times = np.asarray(dataset.events.timestamp)[np.asarray(dataset.events.split) < split]
    return int(times.max(initial=0))
