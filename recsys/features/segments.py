"""Demographic segments, and how often each turns to an item: what is known of somebody who has done nothing yet."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys.features.dataset import Dataset

SEGMENT_COLUMNS = ("age", "gender")
_STRENGTH = 200.0  # events of everybody that a segment's own are mixed with: small segments follow the whole


@dataclass(frozen=True)
class Segments:
    """How often each segment turned to each item: `counts` float64[n_segments, n_items], `overall` float64[n_items].

    A segment is a combination of labels of the demographic columns at `places`, coded in mixed radix by `sizes`; it had
    `n_users` [n_segments]. Only what was counted is held; a segment's shares of all items are made when asked for.
    """

    places: tuple[int, ...]
    sizes: tuple[int, ...]
    counts: csr_array
    overall: NDArray[np.float64]
    n_users: NDArray[np.int64]

    @classmethod
    def fit(cls, dataset: Dataset, columns: tuple[str, ...] = SEGMENT_COLUMNS, *, positive_only: bool = True) -> Self:
        """Count events of a dataset's users; columns it lacks are left out, and without any there is one segment.

        Without `positive_only` dislikes and poor ratings count too: who dislikes an item knows it.
        """
        names = list(dataset.spec.demographic_vocabs)
        places = tuple(names.index(name) for name in columns if name in names)
        sizes = tuple(len(dataset.spec.demographic_vocabs[names[place]]) + 1 for place in places)
        codes = _codes(np.asarray(dataset.users.demographics), places, sizes)
        n_segments, n_items = int(np.prod(sizes, dtype=np.int64)), len(dataset.items.ids)
        chosen = np.asarray(dataset.events.positive) if positive_only else np.ones(len(dataset.events.item), bool)
        owner = np.repeat(codes, np.diff(dataset.events.offsets))[chosen]
        items = np.asarray(dataset.events.item)[chosen]
        counts = csr_array((np.ones(len(items)), (owner, items)), shape=(n_segments, n_items))
        overall = np.bincount(items, minlength=n_items) / max(len(items), 1)
        return cls(places, sizes, counts, overall, np.bincount(codes, minlength=n_segments).astype(np.int64))

    def codes(self, demographics: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return int64[n]: the segment of each row of demographics int[n, n_columns]; unknown labels are code 0."""
        return _codes(demographics, self.places, self.sizes)

    def shares(self, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return float64[n, n_items]: the distribution over items of each of some segments int[n].

        Shares are `(count + s * share of everybody) / (events of the segment + s)`, additive smoothing towards the
        whole.
        """
        counts = self.counts[codes].toarray()
        totals = counts.sum(axis=1, keepdims=True)
        result: NDArray[np.float64] = (counts + _STRENGTH * self.overall) / (totals + _STRENGTH)
        return result


def _codes(demographics: NDArray[np.integer], places: tuple[int, ...], sizes: tuple[int, ...]) -> NDArray[np.int64]:
    result = np.zeros(len(demographics), np.int64)
    for place, size in zip(places, sizes, strict=True):
        result = result * size + demographics[:, place]
    return result
