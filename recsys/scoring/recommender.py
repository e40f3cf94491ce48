"""What can be ranked, and by whom: the Recommender protocol, and the towers behind it with exact search.

All recommenders rank the same items: those published and not yet expired during the split, and where users are
requests at the time of each, without what the user met before.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.features import Dataset, Heldout, ItemArrays
from recsys.scoring.topk import Scores, ranked_scores


class Recommender(Protocol):
    """Ranks unseen, recommendable items for held-out users."""

    @property
    def name(self) -> str:
        """The name under which metrics are reported."""
        ...

    def recommend(self, heldout: Heldout, k: int) -> NDArray[np.int32]:
        """Return int32[n_users, k] item rows, best first; -1 pads a list for which items ran out."""
        ...


class Towers(Protocol):
    """What evaluation needs of an exported model."""

    @property
    def item_vectors(self) -> NDArray[np.float32]:
        """float32[n_items, d] in the row order of the dataset the towers were trained on."""
        ...

    @property
    def history_vectors(self) -> NDArray[np.float32]:
        """float32[n_items, d] in the same order: what the items say in a history."""
        ...

    def encode_items(self, items: ItemArrays) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return item and history vectors, float32[n_items, d] each, of any catalogue under the towers' own spec."""
        ...

    def query_vectors(
        self,
        dataset: Dataset,
        history_vectors: NDArray[np.float32],
        user_rows: NDArray[np.int32],
        history_end: NDArray[np.int64],
        query_time: NDArray[np.int64],
        device: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """Return float32[n_users, d]; a dot product with an item vector is the score."""
        ...


class Scorer(Protocol):
    """Scores a block of held-out users."""

    def __call__(self, block: slice, /) -> Scores:
        """Return float[len(block), n_items]."""
        ...


class ScoredRecommender:
    """A recommender that can score the whole catalogue; ranking, masking and checks are shared."""

    name = ""
    allow_constant = True

    def __init__(self, recommendable: NDArray[np.bool_]) -> None:
        self._recommendable = recommendable

    def recommend(self, heldout: Heldout, k: int) -> NDArray[np.int32]:
        """Rank the whole catalogue for each held-out user."""
        return self.ranked(heldout, k)[0]

    def ranked(self, heldout: Heldout, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the same items with their scores float64[n_users, k], NaN beside padding."""
        return ranked_scores(
            self._scorer(heldout),
            heldout.hidden,
            self._recommendable,
            k,
            name=self.name,
            allow_constant=self.allow_constant,
            available=heldout.available,
        )

    def _scorer(self, heldout: Heldout) -> Scorer:
        raise NotImplementedError


class TowerRecommender(ScoredRecommender):
    """The two towers with exact search, over the item and history vectors they were exported with or over `vectors`."""

    allow_constant = False

    def __init__(
        self,
        dataset: Dataset,
        towers: Towers,
        recommendable: NDArray[np.bool_],
        name: str = "two_tower",
        *,
        vectors: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
    ) -> None:
        super().__init__(recommendable)
        self.name = name
        self._dataset, self._towers = dataset, towers
        self._vectors, self._past = map(np.asarray, vectors or (towers.item_vectors, towers.history_vectors))
        if self._vectors.shape[0] != recommendable.size:
            raise ValueError(
                f"item_vectors must have {recommendable.size} rows (items of the dataset); "
                f"got {self._vectors.shape[0]}; encode this dataset's items with the towers first"
            )

    def _scorer(self, heldout: Heldout) -> Scorer:
        queries = self._queries(heldout)
        return lambda block: queries[block] @ self._vectors.T

    def _queries(self, heldout: Heldout) -> NDArray[np.float32]:
        return self._towers.query_vectors(
            self._dataset, self._past, heldout.user_rows, heldout.history_end, heldout.query_time, heldout.device
        )


def split_interval(dataset: Dataset, split: int) -> tuple[int, int]:
    """Return the seconds of the first and the last event of a split; raise ValueError when it has none."""
    times = dataset.events.timestamp[np.asarray(dataset.events.split) == split]
    if not times.size:
        raise ValueError(f"split must hold events to be evaluated; split {split} has none")
    return int(times.min()), int(times.max())


def recommendable_items(dataset: Dataset, split: int) -> NDArray[np.bool_]:
    """Return bool[n_items]: published before the split ends and not expired when it starts; unknown dates pass."""
    start, end = split_interval(dataset, split)
    expires = np.asarray(dataset.items.expires_at)
    result: NDArray[np.bool_] = (np.asarray(dataset.items.published_at) <= end) & ((expires == 0) | (expires > start))
    return result
