"""Where item vectors start: the leading singular vectors of who was met with, or after, what.

A tower that starts there already recommends about as well as a linear model of the same width; training refines it
instead of finding it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd

from recsys.features import Dataset, inverse_root
from recsys.model.examples import Examples, Task

_REACH = 8  # events back that count as having led to one; the k-th counts 1 / k
_MOST_PAIRS = 40_000_000  # pairs counted; with more events fewer of each event's successors are needed
_N_ITERATIONS = 4  # power iterations: enough for a start


def starting_vectors(
    dataset: Dataset, examples: Examples, task: Task, dim: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return candidate and history vectors float32[n_items, dim] of items; zeros for items without events.

    For `any`, the singular vectors of the user-item matrix, each entry divided by the roots of its row's and column's
    sums (Shen et al. 2021, the ideal low-pass filter); else those of the item-item matrix of what followed what.
    Candidates have length 1 there: a cosine is bounded, so that the softmax takes it for a log-probability better than
    a product that grows with the item's events. Popularity stands in the last dimension instead: the centred logarithm
    of an item's events beside 1 in each history vector. Beyond the matrix's rank, dimensions are zero.
    """
    matrix = _meetings(dataset, examples) if task == "any" else _followers(dataset, examples)
    rows, columns = (np.asarray(matrix.sum(axis=axis), np.float64).ravel() for axis in (1, 0))
    balanced = csr_array(matrix)
    balanced.data *= np.repeat(inverse_root(rows), np.diff(matrix.indptr)).astype(np.float32)
    balanced.data *= inverse_root(columns).astype(np.float32)[matrix.indices]
    rank = min(dim - 1, min(balanced.shape) - 1)
    n_items = len(dataset.items.ids)
    candidates, past = np.zeros((n_items, dim), np.float32), np.zeros((n_items, dim), np.float32)
    if rank < 1:
        return candidates, past
    left, sizes, right = randomized_svd(balanced, rank, n_iter=_N_ITERATIONS, random_state=seed)
    scale = np.sqrt(sizes)
    led, leading = (columns, right.T) if task == "any" else (rows, left)
    candidates[:, :rank] = normalize(right.T * scale)
    past[:, :rank] = leading * inverse_root(led)[:, None] * scale
    past[:, :rank] *= _typical(past, dim)
    known = columns > 0
    candidates[known, -1] = np.log(columns[known]) - np.log(columns[known]).mean()
    past[led > 0, -1] = 1.0
    return candidates, past


def _typical(vectors: NDArray[np.float32], dim: int) -> np.float32:
    """Return what makes the mean length of the vectors that are not zero sqrt(dim)."""
    norms = np.linalg.norm(vectors, axis=1)
    return np.float32(np.sqrt(dim) / norms[norms > 0].mean()) if norms.any() else np.float32(1.0)


def _meetings(dataset: Dataset, examples: Examples) -> csr_array:
    users = np.repeat(np.arange(len(examples.offsets) - 1), np.diff(examples.offsets))
    shape = (len(examples.offsets) - 1, len(dataset.items.ids))
    matrix = csr_array((np.ones(len(users), np.float32), (users, _items(dataset, examples))), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def _followers(dataset: Dataset, examples: Examples) -> csr_array:
    items, n_items = _items(dataset, examples), len(dataset.items.ids)
    users = np.repeat(np.arange(len(examples.offsets) - 1), np.diff(examples.offsets))
    total = csr_array((n_items, n_items), dtype=np.float32)
    reach = min(_REACH, max(1, _MOST_PAIRS // max(1, len(items))), len(items) - 1)
    for back in range(1, reach + 1):
        same = users[back:] == users[:-back]
        pairs = (items[:-back][same], items[back:][same])
        total = total + csr_array((np.full(same.sum(), 1.0 / back, np.float32), pairs), shape=(n_items, n_items))
    return csr_array(total)


def _items(dataset: Dataset, examples: Examples) -> NDArray[np.int32]:
    return np.asarray(dataset.events.item)[examples.positions]
