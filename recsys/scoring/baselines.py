"""The four baselines that stand in every report.

A baseline knows what a history knows: for a split it is fitted on all positive events of the splits before it, so on
the test rows popularity and item-kNN see train and validation, as the towers' histories do. What is known of held-out
users is their history and nothing more: nobody is fitted on it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys.features import TRAIN, Dataset, Heldout
from recsys.scoring.links import links
from recsys.scoring.recommender import ScoredRecommender, Scorer, recommendable_items, split_interval
from recsys.scoring.topk import Scores

_DAY_S = 86_400
_TIE_SHARE = 1e-9  # popularity's weight beside evidence: orders what none reaches, moves nothing else


class Random(ScoredRecommender):
    """Draws a seeded random order per user: the floor of every metric."""

    name = "random"

    def __init__(self, recommendable: NDArray[np.bool_], seed: int) -> None:
        super().__init__(recommendable)
        self._seed = seed

    def _scorer(self, heldout: Heldout) -> Scorer:
        n_items = self._recommendable.size

        def score(block: slice) -> Scores:
            rows = heldout.user_rows[block]
            return np.stack([np.random.default_rng((self._seed, int(row))).random(n_items) for row in rows])

        return score


class Popularity(ScoredRecommender):
    """Ranks by the number of positive events: in all splits before, or in their last days when `since` is given."""

    def __init__(self, dataset: Dataset, recommendable: NDArray[np.bool_], split: int, since: int | None = None):
        super().__init__(recommendable)
        self.name = "popularity" if since is None else "recent_popularity"
        self._counts = item_counts(dataset, split, since)

    def _scorer(self, heldout: Heldout) -> Scorer:  # noqa: ARG002  # the same list for everybody
        return lambda block: np.broadcast_to(
            self._counts.astype(np.float64), (block.stop - block.start, self._counts.size)
        )


class LinearRecommender(ScoredRecommender):
    """Sums a candidate's `weights` [n_items, n_items] from the items a user has.

    Candidates that nothing leads to follow by popularity, so a user without history gets the popular items.
    """

    def __init__(self, dataset: Dataset, recommendable: NDArray[np.bool_], split: int, weights: csr_array) -> None:
        super().__init__(recommendable)
        counts = item_counts(dataset, split)
        self._tie_break = counts * (_TIE_SHARE / max(int(counts.max(initial=0)), 1))
        self._weights = weights

    def _scorer(self, heldout: Heldout) -> Scorer:
        def score(block: slice) -> Scores:
            result: Scores = (self._profile(heldout, block) @ self._weights).toarray() + self._tie_break
            return result

        return score

    def _profile(self, heldout: Heldout, block: slice) -> csr_array:
        """Return float[len(block), n_items]: how much each of a user's items counts."""
        return csr_array(heldout.seen[block.start : block.stop]).astype(np.float64)


class ItemKnn(LinearRecommender):
    """Sums a candidate's cosines to those of its nearest neighbours that the user has.

    Cosine of columns of the binary user-item matrix; the neighbourhood is the candidate's (Sarwar et al. 2001), which
    is far better than that of the user's items.
    """

    name = "item_knn"

    def __init__(self, dataset: Dataset, recommendable: NDArray[np.bool_], split: int, n_neighbours: int) -> None:
        super().__init__(dataset, recommendable, split, neighbour_weights(dataset, split, n_neighbours))


def item_counts(dataset: Dataset, split: int, since: int | None = None) -> NDArray[np.int64]:
    """Return int64[n_items]: positive events before `split`, from the second `since` on when it is given."""
    events = dataset.events
    chosen = fitted_on(dataset, split)
    if since is not None:
        chosen &= np.asarray(events.timestamp) >= since
    items = np.asarray(events.item)[chosen]
    counts: NDArray[np.int64] = np.bincount(items, minlength=len(dataset.items.ids)).astype(np.int64)
    return counts


def baselines(
    dataset: Dataset, split: int, *, recent_days: int, n_neighbours: int, seed: int
) -> list[ScoredRecommender]:
    """Fit the four baselines for a split."""
    recommendable = recommendable_items(dataset, split)
    since = split_interval(dataset, split)[0] - recent_days * _DAY_S
    return [
        Random(recommendable, seed),
        Popularity(dataset, recommendable, split),
        Popularity(dataset, recommendable, split, since),
        ItemKnn(dataset, recommendable, split, n_neighbours),
    ]


def fitted_on(dataset: Dataset, split: int) -> NDArray[np.bool_]:
    """Return bool[n_events]: the positive events a baseline is fitted on for a split."""
    splits = np.asarray(dataset.events.split)
    chosen: NDArray[np.bool_] = np.asarray(dataset.events.positive) & (splits >= TRAIN) & (splits < split)
    return chosen


def consumption(dataset: Dataset, split: int) -> csr_array:
    """Return float64[n_users, n_items]: 1 where a user has a positive event that baselines are fitted on."""
    chosen = fitted_on(dataset, split)
    users = np.repeat(np.arange(len(dataset.users.ids)), np.diff(dataset.events.offsets))[chosen]
    shape = (len(dataset.users.ids), len(dataset.items.ids))
    matrix = csr_array((np.ones(users.size), (users, np.asarray(dataset.events.item)[chosen])), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def neighbour_weights(dataset: Dataset, split: int, n_neighbours: int) -> csr_array:
    """Return float64[n_items, n_items]: column j holds the cosines of item j's nearest neighbours to it."""
    matrix = consumption(dataset, split)
    unit = matrix.multiply(1.0 / np.maximum(np.sqrt(matrix.sum(axis=0)), 1.0)).tocsr()
    return csr_array(links(csr_array(unit.T), unit, n_neighbours).T)
