"""Demographic segments, and how often each turns to an item: what is known of somebody who has done nothing yet."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.features.dataset import Dataset

SEGMENT_COLUMNS = ("age", "gender")
_STRENGTH = 200.0  # events of everybody that a segment's own are mixed with: small segments follow the whole


@dataclass(frozen=True)
class Segments:
    """Shares of items by segment, float64[n_segments, n_items], each row a distribution.

    A segment is a combination of labels of the demographic columns at `places`, coded in mixed radix by `sizes`.
    """

    places: tuple[int, ...]
    sizes: tuple[int, ...]
    shares: NDArray[np.float64]
    n_users: NDArray[np.int64]

    @classmethod
    def fit(cls, dataset: Dataset, columns: tuple[str, ...] = SEGMENT_COLUMNS, *, positive_only: bool = True) -> Self:
        """Count events of a dataset's users; columns it lacks are left out, and without any there is one segment.

        Shares are `(count + s * share of everybody) / (events of the segment + s)`, additive smoothing towards the
        whole. Without `positive_only` dislikes and poor ratings count too: who dislikes an item knows it.
        """
        names = list(dataset.spec.demographic_vocabs)
        places = tuple(names.index(name) for name in columns if name in names)
        sizes = tuple(len(dataset.spec.demographic_vocabs[names[place]]) + 1 for place in places)
        empty = cls(places, sizes, np.zeros((0, 0)), np.zeros(0, np.int64))
        codes = empty.codes(np.asarray(dataset.users.demographics))
        n_segments, n_items = int(np.prod(sizes, dtype=np.int64)), len(dataset.items.ids)
        chosen = np.asarray(dataset.events.positive) if positive_only else np.ones(len(dataset.events.item), bool)
        owner = np.repeat(codes, np.diff(dataset.events.offsets))[chosen]
        counts = np.zeros((n_segments, n_items))
        np.add.at(counts, (owner, np.asarray(dataset.events.item)[chosen]), 1.0)
        overall = counts.sum(axis=0) / max(counts.sum(), 1.0)
        shares = (counts + _STRENGTH * overall) / (counts.sum(axis=1, keepdims=True) + _STRENGTH)
        return cls(places, sizes, shares, np.bincount(codes, minlength=n_segments).astype(np.int64))

    def codes(self, demographics: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return int64[n]: the segment of each row of demographics int[n, n_columns]; unknown labels are code 0."""
        result = np.zeros(len(demographics), np.int64)
        for place, size in zip(self.places, self.sizes, strict=True):
            result = result * size + demographics[:, place]
        return result
