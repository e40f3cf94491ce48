"""Where item vectors start: the leading singular vectors of who was met with, or after, what.

A tower that starts there already recommends about as well as a linear model of the same width; training refines it
instead of finding it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd

from recsys.features import Dataset, followers, inverse_power
from recsys.model.examples import Examples, Task

_REACH = 8  # events back that count as having led to one; the k-th counts 1 / k
_MOST_PAIRS = 40_000_000  # pairs counted; with more events fewer of each event's successors are needed
_BALANCE = 0.375, 0.4  # powers of users' and items' events that their meetings are divided by: Gowalla's validation
_N_ITERATIONS = 4  # power iterations: enough for a start


def starting_vectors(dataset: Dataset, examples: Examples, task: Task, dim: int, seed: int) -> NDArray[np.float32]:
    """Return the item tower's start, zeros for items without events: float32[n_items, dim] for `any`, else 2 dim.

    For `any`, the singular vectors of the user-item matrix, each entry divided by powers of its row's and column's sums
    (after Shen et al. 2021, the ideal low-pass filter, whose powers are 1/2), each row divided by the root of its
    length. Else candidate beside history vectors, from the item-item matrix of what followed what; candidates have
    length 1 there: a cosine is bounded, so that the softmax takes it for a log-probability better than a product that
    grows with the item's events. Popularity stands in the last dimension instead: the centred logarithm of an item's
    events beside 1 in each history vector. Beyond the matrix's rank, dimensions are zero.
    """
    any_order, n_items = task == "any", len(dataset.items.ids)
    users = np.repeat(np.arange(len(examples.offsets) - 1), np.diff(examples.offsets))
    items = np.asarray(dataset.events.item)[examples.positions]
    if any_order:
        matrix = _meetings(users, items, (len(examples.offsets) - 1, n_items))
    else:
        matrix = followers(users, items, n_items, min(_REACH, max(1, _MOST_PAIRS // max(1, len(items)))))
    rows, columns = (np.asarray(matrix.sum(axis=axis), np.float64).ravel() for axis in (1, 0))
    row_power, column_power = _BALANCE if any_order else (0.5, 0.5)
    balanced = csr_array(matrix)
    balanced.data *= np.repeat(inverse_power(rows, row_power), np.diff(matrix.indptr)).astype(np.float32)
    balanced.data *= inverse_power(columns, column_power).astype(np.float32)[matrix.indices]
    rank = min(dim - 1, min(balanced.shape) - 1)
    start = np.zeros((n_items, dim if any_order else 2 * dim), np.float32)
    if rank < 1:
        return start
    left, sizes, right = randomized_svd(balanced, rank, n_iter=_N_ITERATIONS, random_state=seed)
    scale = np.sqrt(sizes)
    candidates, past = start[:, :dim], start[:, dim:]
    vectors, known = right.T * scale, columns > 0
    candidates[known, -1] = np.log(columns[known]) - np.log(columns[known]).mean()
    if any_order:
        lengths = np.linalg.norm(vectors, axis=1)
        candidates[:, :rank] = vectors * inverse_power(lengths)[:, None]
        candidates[:, :rank] /= np.sqrt(lengths[known]).mean()
        return start
    candidates[:, :rank] = normalize(vectors)
    past[:, :rank] = left * inverse_power(rows)[:, None] * scale
    past[:, :rank] *= _typical(past, dim)
    past[rows > 0, -1] = 1.0
    return start


def _typical(vectors: NDArray[np.float32], dim: int) -> np.float32:
    """Return what makes the mean length of the vectors that are not zero sqrt(dim)."""
    norms = np.linalg.norm(vectors, axis=1)
    return np.float32(np.sqrt(dim) / norms[norms > 0].mean()) if norms.any() else np.float32(1.0)


def _meetings(users: NDArray[np.integer], items: NDArray[np.integer], shape: tuple[int, int]) -> csr_array:
    matrix = csr_array((np.ones(len(users), np.float32), (users, items)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix
