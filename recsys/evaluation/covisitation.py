"""What people turn to next: counts of items that follow each other within a few steps."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from recsys.evaluation.baselines import fitted_on, item_counts
from recsys.evaluation.recommender import ScoredRecommender, Scorer
from recsys.evaluation.topk import Scores
from recsys.features import Dataset, Heldout, histories

STEPS = 5  # how far apart two events may be, and how many of a user's last events count
_TIE_SHARE = 1e-9  # popularity's weight: orders what nothing leads to, moves nothing else


class Covisitation(ScoredRecommender):
    """Sums, over a user's last five items, how often each candidate followed within five steps.

    A pair d steps apart counts 1 / d, the user's d-th last item counts 1 / d, and an item's counts are divided by how
    often it occurs. Candidates that nothing leads to follow by popularity. (Sequence co-occurrence, as in the
    item-to-item baselines of session recommendation: Ludewig and Jannach 2018.)
    """

    name = "covisitation"

    def __init__(self, dataset: Dataset, recommendable: NDArray[np.bool_], split: int) -> None:
        super().__init__(recommendable)
        self._dataset = dataset
        counts = item_counts(dataset, split)
        self._tie_break = counts * (_TIE_SHARE / max(int(counts.max(initial=0)), 1))
        self._followers = follower_weights(dataset, split)

    def _scorer(self, heldout: Heldout) -> Scorer:
        def score(block: slice) -> Scores:
            recent = histories(
                self._dataset,
                heldout.user_rows[block],
                heldout.history_end[block],
                heldout.query_time[block],
                STEPS,
            ).items
            profile = recent_weights(recent, self._recommendable.size)
            result: Scores = (profile @ self._followers).toarray() + self._tie_break
            return result

        return score


def recent_weights(recent: NDArray[np.int32], n_items: int) -> csr_array:
    """Return float64[n, n_items], 1 / d for the d-th last item, of int32[n, STEPS], most recent last, -1 as padding."""
    rows, places = np.nonzero(recent >= 0)
    return csr_array((1 / (STEPS - places), (rows, recent[rows, places])), shape=(len(recent), n_items))


def follower_weights(dataset: Dataset, split: int) -> csr_array:
    """Return float64[n_items, n_items]: how often the column's item followed, for each time the row's occurs."""
    counts = item_counts(dataset, split)
    return csr_array(diags_array(1 / np.maximum(counts, 1)) @ _followers(dataset, split))


def _followers(dataset: Dataset, split: int) -> csr_array:
    """Return float64[n_items, n_items]: how often the column's item followed the row's, near pairs counting more."""
    chosen, n_items = fitted_on(dataset, split), len(dataset.items.ids)
    users = np.repeat(np.arange(len(dataset.users.ids)), np.diff(dataset.events.offsets))[chosen]
    items = np.asarray(dataset.events.item)[chosen]
    total = csr_array((n_items, n_items))
    for step in range(1, STEPS + 1):
        same = users[:-step] == users[step:]
        pair = (items[:-step][same], items[step:][same])
        total = total + csr_array((np.full(len(pair[0]), 1 / step), pair), shape=(n_items, n_items))
    return csr_array(total)
