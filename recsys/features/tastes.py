"""Who met an item, as a vector: what item texts are taught to predict."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from sklearn.utils.extmath import randomized_svd

from recsys.schema import ITEM_ID, USER_ID

_N_ITERATIONS = 4  # power iterations
_SEED = 19


def taste_vectors(train: pl.DataFrame, items: pl.DataFrame, dim: int) -> NDArray[np.float32]:
    """Return float32[n_items, dim] of the rows of `items`, of mean length 1; zeros without an event in `train`.

    The singular vectors of the user-item matrix, each entry divided by the roots of its row's and column's sums (Shen
    et al. 2021), times the root of their singular values and the fourth root of the item's number of users: popularity
    counts, but no few items stand for all.
    """
    pairs = train.select(USER_ID, ITEM_ID).unique()
    rows = items.select(ITEM_ID).with_row_index("row").join(pairs, on=ITEM_ID, maintain_order="left")
    columns, users = rows["row"].to_numpy(), rows[USER_ID].rank("dense").to_numpy() - 1
    shape = (int(users.max()) + 1 if len(users) else 1, len(items))
    met = csr_array((np.ones(len(users), np.float32), (users, columns)), shape=shape)
    per_user, per_item = (np.asarray(met.sum(axis=axis), np.float64).ravel() for axis in (1, 0))
    balanced = csr_array(diags_array(inverse_power(per_user)) @ met @ diags_array(inverse_power(per_item)))
    vectors = np.zeros((len(items), dim), np.float32)
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
