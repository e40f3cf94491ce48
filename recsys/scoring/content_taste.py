"""Who would meet an item nobody has met, from its content: collaborative factors that content predicts."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from recsys.features import Dataset, inverse_power, predicted_by_content
from recsys.scoring.baselines import consumption
from recsys.scoring.ials import ials_factors

_DIM = 64
_L2 = 3.0  # of users' factors on what they met
_MOST_USERS = 20_000  # are enough to learn factors of, and bound the time
_SEED = 23


def content_taste(dataset: Dataset, split: int) -> NDArray[np.float32]:
    """Return float32[n_items, n_items]: what each item of a user (row) says of each candidate (column) by its content.

    The columns are what content predicts of the candidates' iALS factors before `split`, the rows the ridge regression
    of users' factors on what they met, so that a mean over a user's items is nearly the user's own factors. All items
    are predicted, those with events too, so that old and new ones compare. Zeros without events.
    """
    met = _drawn(consumption(dataset, split))
    n_items = met.shape[1]
    if min(met.shape) < 1 or not met.nnz:
        return np.zeros((n_items, n_items), np.float32)
    users, items = ials_factors(met, min(_DIM, *met.shape))
    n_events = np.asarray(met.sum(axis=0)).ravel().astype(np.int64)
    said = predicted_by_content(dataset, items, n_events)
    return np.asarray(_of_history(met, users).astype(np.float32) @ said.T, np.float32)


def _of_history(met: csr_array, users: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64[n_items, d]: what having met an item says of a user's factors [n_users, d]."""
    balanced = csr_array(diags_array(inverse_power(np.asarray(met.sum(axis=1), np.float64).ravel())) @ met)
    gram = (balanced.T @ balanced).toarray()
    gram[np.diag_indices_from(gram)] += _L2
    return np.asarray(np.linalg.solve(gram, balanced.T @ users))


def _drawn(met: csr_array) -> csr_array:
    """Return the rows of users with events, at most 20,000, drawn."""
    some = np.flatnonzero(np.diff(met.indptr))
    if some.size > _MOST_USERS:
        some = np.sort(np.random.default_rng(_SEED).choice(some, _MOST_USERS, replace=False))
    return csr_array(met[some])
