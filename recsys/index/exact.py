"""Exact maximum-inner-product search by blocks of matrix products."""

import numpy as np
from numpy.typing import NDArray

from recsys.index.protocol import padded

_SCORES = 2**24  # scores held at a time: 64 MB


class ExactIndex:
    """Brute force; ties are broken by item row."""

    def __init__(self, item_vectors: NDArray[np.float32]) -> None:
        self._vectors = item_vectors
        self.n_items, self.dim = item_vectors.shape

    def query(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the k best rows and their scores; see `Index`."""
        cut = min(k, self.n_items)
        rows = np.empty((len(vectors), cut), np.int32)
        best = np.empty((len(vectors), cut), np.float32)
        step = max(1, _SCORES // max(self.n_items, 1))
        for begin in range(0, len(vectors), step):
            part = slice(begin, begin + step)
            scores = vectors[part] @ self._vectors.T
            order = _best(scores, cut)
            rows[part], best[part] = order, np.take_along_axis(scores, order, axis=1)
        return padded(rows, best, k)


def _best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return int64[n, k] columns of the k highest scores per row; equal scores in column order."""
    if k == scores.shape[1]:
        return np.argsort(-scores, axis=1, kind="stable")
    limits = np.partition(scores, scores.shape[1] - k, axis=1)[:, -k]
    result = np.empty((len(scores), k), np.int64)
    for row, limit in enumerate(limits):
        reached = np.flatnonzero(scores[row] >= limit)  # more than k where the k-th place is tied
        result[row] = reached[np.argsort(-scores[row, reached], kind="stable")[:k]]
    return result
