"""Sparse item-item weights: the strongest links of each item."""

import numpy as np
from scipy.sparse import csr_array, vstack

_BLOCK = 1024  # rows at a time


def links(left: csr_array, right: csr_array, per_row: int) -> csr_array:
    """Return `left` [n, m] times `right` [m, n] without its diagonal, the `per_row` largest entries of each row."""
    blocks = [
        largest_of_each_row(_without_own(csr_array(left[start : start + _BLOCK] @ right), start), per_row)
        for start in range(0, left.shape[0], _BLOCK)
    ]
    return csr_array(vstack(blocks))


def largest_of_each_row(matrix: csr_array, per_row: int) -> csr_array:
    """Return a sparse matrix with the `per_row` largest entries of each row, ties by column; columns in order."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    place = np.arange(rows.size) - matrix.indptr[rows]  # rows are in order already
    kept = order[place < per_row]
    return csr_array((matrix.data[kept], (rows[kept], matrix.indices[kept])), shape=matrix.shape)


def _without_own(weights: csr_array, start: int) -> csr_array:
    """Drop what each row says of its own item, which is column `start` + row."""
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    weights.data[weights.indices == rows + start] = 0.0
    weights.eliminate_zeros()
    return weights
