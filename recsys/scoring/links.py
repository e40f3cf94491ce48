"""Sparse item-item weights: the strongest links of each item."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

_BLOCK = 1024  # rows at a time
_ENTRIES = 16_000_000  # entries at a time, but for a row that has more: with what sorts them 1 GB


def links(left: csr_array, right: csr_array, per_row: int) -> csr_array:
    """Return `left` [n, m] times `right` [m, n] without its diagonal, the `per_row` largest entries of each row."""
    pattern = csr_array((np.ones(left.nnz, np.int64), left.indices, left.indptr), shape=left.shape)
    products = pattern @ np.diff(right.indptr).astype(np.int64)
    blocks = [
        _largest(_without_own(csr_array(left[rows] @ right), rows.start), per_row)
        for rows in row_blocks(products, right.shape[1])
    ]
    return csr_array(vstack(blocks)) if blocks else csr_array((0, right.shape[1]), dtype=right.dtype)


def largest_of_each_row(matrix: csr_array, per_row: int) -> csr_array:
    """Return a sparse matrix with the `per_row` largest entries of each row, ties by column; columns in order."""
    blocks = [_largest(csr_array(matrix[rows]), per_row) for rows in row_blocks(np.diff(matrix.indptr))]
    return csr_array(vstack(blocks)) if blocks else matrix


def row_blocks(sizes: NDArray[np.integer], most: int | None = None) -> Iterator[slice]:
    """Yield runs of rows of at most 1,024 rows and 16 million entries, or one row that has more of them.

    `sizes` [n] are the rows' numbers of entries, or what they cannot exceed; no row has more than `most`.
    """
    ends = np.cumsum(np.minimum(sizes, most) if most is not None else sizes, dtype=np.int64)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + _ENTRIES, side="right"))
        stop = min(max(stop, start + 1), start + _BLOCK)
        yield slice(start, stop)
        start = stop


def _largest(matrix: csr_array, per_row: int) -> csr_array:
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
