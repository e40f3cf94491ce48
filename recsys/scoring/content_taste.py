"""Who would meet an item nobody has met, from its content: taste vectors that content predicts."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from sklearn.utils.extmath import randomized_svd

from recsys.features import Dataset, inverse_power, predicted_by_content
from recsys.scoring.baselines import consumption

_RANK = 128
_N_ITERATIONS = 4  # power iterations
_SEED = 23
_POPULARITY = 0.3  # standard deviations of score that one of predicted log popularity adds


def content_taste(dataset: Dataset, split: int) -> NDArray[np.float32]:
    """Return float32[n_items, n_items]: what each item of a user (row) says of each candidate (column) by its content.

    The rows are the singular vectors of the balanced user-item matrix before `split` (Shen et al. 2021); the columns
    are what content predicts of them, times the fourth root of the item's events, so that popularity counts. What
    content predicts of log popularity is added to every row alike. Means over a user's items are scores. All items are
    predicted, those with events too, so that old and new ones compare. Zeros without events.
    """
    met = consumption(dataset, split)
    n_items = met.shape[1]
    per_user, per_item = (np.asarray(met.sum(axis=axis), np.float64).ravel() for axis in (1, 0))
    rank = min(_RANK, int((per_user > 0).sum()) - 1, int((per_item > 0).sum()) - 1)
    if rank < 1:
        return np.zeros((n_items, n_items), np.float32)
    balance = diags_array(inverse_power(per_item))
    balanced = csr_array(diags_array(inverse_power(per_user)) @ met @ balance)
    _, _, right = randomized_svd(balanced, rank, n_iter=_N_ITERATIONS, random_state=_SEED)
    tastes, popularity = right.T * per_item[:, None] ** 0.25, np.log(np.maximum(per_item, 1))
    said = predicted_by_content(dataset, np.column_stack([tastes, popularity]), per_item.astype(np.int64))
    weights = np.asarray((balance @ right.T) @ said[:, :-1].T, np.float32)
    return weights + _popularity(met, weights, said[:, -1])


def _popularity(met: csr_array, weights: NDArray[np.float32], logs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32[n_items]: log popularity in units of the spread of users' scores."""
    per_user = np.asarray(met.sum(axis=1), np.float64).ravel()
    some = np.flatnonzero(per_user > 0)
    some = some[:: max(1, some.size // 500)]  # 500 users tell the spread
    means = csr_array(diags_array(1 / per_user[some]) @ met[some]) @ weights
    spread, own = means.std(axis=1).mean(), logs.std()
    return np.asarray(_POPULARITY * spread * (logs - logs.mean()) / (own if own > 0 else 1.0), np.float32)
