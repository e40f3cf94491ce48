"""What items have in common through the users who met both: a linear filter on the graph of users and items."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys.features import Dataset
from recsys.scoring.baselines import LinearRecommender, consumption
from recsys.scoring.links import links

# Between counting users and events alike; between plain counts and cosines. Chosen on the validation users of two
# catalogues (Gowalla, Amazon Beauty), where it ranks better than item-kNN: nDCG .122 against .103, .048 against .039.
_USER_POWER, _OWN_POWER, _CANDIDATE_POWER = 0.75, 0.5, 0.25


class GraphFilter(LinearRecommender):
    """Sums a candidate's filter weights from the items a user has."""

    name = "graph_filter"

    def __init__(self, dataset: Dataset, recommendable: NDArray[np.bool_], split: int) -> None:
        matrix = consumption(dataset, split)
        super().__init__(dataset, recommendable, split, filter_weights(matrix, matrix.shape[1]))


def filter_weights(matrix: csr_array, per_row: int) -> csr_array:
    """Return float32[n_items, n_items] of a binary matrix [n_users, n_items], the `per_row` largest of each row.

    Entry (i, j) sums, over the users who met both, their number of items ** -0.75, times i's number of users ** -0.5
    and j's ** -0.25. (The linear filter of Shen et al. 2021, whose powers are 1, 0.5 and 0.)
    """
    n_of_user, n_of_item = (np.maximum(np.asarray(matrix.sum(axis=axis)).ravel(), 1.0) for axis in (1, 0))
    by_user = csr_array(matrix.astype(np.float32))
    by_user.data *= np.repeat(n_of_user**-_USER_POWER, np.diff(matrix.indptr)).astype(np.float32)
    by_user.data *= (n_of_item**-_CANDIDATE_POWER).astype(np.float32)[by_user.indices]
    by_item = csr_array(matrix.T.astype(np.float32))
    by_item.data *= np.repeat(n_of_item**-_OWN_POWER, np.diff(by_item.indptr)).astype(np.float32)
    return links(by_item, by_user, per_row)
