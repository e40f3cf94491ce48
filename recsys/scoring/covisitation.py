"""What people turn to next: counts of items that follow each other within a few steps."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from recsys.features import Dataset, Heldout, followers, histories
from recsys.scoring.baselines import LinearRecommender, fitted_on, item_counts

STEPS = 5  # how far apart two events may be, and how many of a user's last events count


class Covisitation(LinearRecommender):
    """Sums, over a user's last five items, how often each candidate followed within five steps.

    A pair d steps apart counts 1 / d, the user's d-th last item counts 1 / d, and an item's counts are divided by how
    often it occurs. (Sequence co-occurrence, as in the item-to-item baselines of session recommendation: Ludewig and
    Jannach 2018.)
    """

    name = "covisitation"

    def __init__(self, dataset: Dataset, recommendable: NDArray[np.bool_], split: int) -> None:
        super().__init__(dataset, recommendable, split, follower_weights(dataset, split))
        self._dataset = dataset

    def _profile(self, heldout: Heldout, block: slice) -> csr_array:
        asked = heldout.user_rows[block], heldout.history_end[block], heldout.query_time[block]
        return recent_weights(histories(self._dataset, *asked, STEPS).items, self._recommendable.size)


def recent_weights(recent: NDArray[np.int32], n_items: int) -> csr_array:
    """Return float64[n, n_items], 1 / d for the d-th last item, of int32[n, STEPS], most recent last, -1 as padding."""
    rows, places = np.nonzero(recent >= 0)
    return csr_array((1 / (STEPS - places), (rows, recent[rows, places])), shape=(len(recent), n_items))


def follower_weights(dataset: Dataset, split: int) -> csr_array:
    """Return float64[n_items, n_items]: how often the column's item followed, for each time the row's occurs."""
    chosen, counts = fitted_on(dataset, split), item_counts(dataset, split)
    users = np.repeat(np.arange(len(dataset.users.ids)), np.diff(dataset.events.offsets))[chosen]
    found = followers(users, np.asarray(dataset.events.item)[chosen], counts.size, STEPS)
    return csr_array(diags_array(1 / np.maximum(counts, 1)) @ found)
