"""Who met an item, as a vector: what item texts are taught to predict."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from recsys.features.events import ITEM_ROW, USER_ROW

_N_ITERATIONS = 4  # power iterations
_SEED = 19


def taste_vectors(train: pl.DataFrame, rows: pl.Series, dim: int) -> NDArray[np.float32]:
    """Return float32[n, dim] of the items of ascending `rows` [n], of mean length 1; zeros without an event in `train`.

    The singular vectors of the user-item matrix, each entry divided by the roots of its row's and column's sums (Shen
    et al. 2021), times the root of their singular values and the fourth root of the item's number of users: popularity
    counts, but no few items stand for all.
    """
    from sklearn.utils.extmath import randomized_svd

    pairs = train.select(USER_ROW, ITEM_ROW).unique().filter(pl.col(ITEM_ROW).is_in(rows.implode()))
    columns = np.searchsorted(rows.to_numpy(), pairs[ITEM_ROW].to_numpy()).astype(np.int32)
    users = pairs[USER_ROW].rank("dense").to_numpy().astype(np.int32) - 1
    del pairs
    shape = (int(users.max()) + 1 if len(users) else 1, len(rows))
    met = csr_array((np.ones(len(users), np.float32), (users, columns)), shape=shape)
    per_user, per_item = (np.asarray(met.sum(axis=axis), np.float64).ravel() for axis in (1, 0))
    balanced = csr_array(diags_array(inverse_power(per_user)) @ met @ diags_array(inverse_power(per_item)))
    vectors = np.zeros((len(rows), dim), np.float32)
    rank = min(dim, min(shape) - 1)
    if rank < 1:
        return vectors
    _, sizes, right = randomized_svd(balanced, rank, n_iter=_N_ITERATIONS, random_state=_SEED)
    vectors[:, :rank] = right.T * np.sqrt(sizes) * per_item[:, None] ** 0.25
    lengths = np.linalg.norm(vectors, axis=1)
    return vectors / np.float32(lengths[lengths > 0].mean() if lengths.any() else 1.0)


def inverse_power(sums: NDArray[np.floating], power: float = 0.5) -> NDArray[np.floating]:
    """Return 1 / sums^power, by default their inverse roots; 0 where they are 0."""
    return np.where(sums > 0, np.maximum(sums, 1e-12) ** -power, 0.0)
