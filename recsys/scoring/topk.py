"""Deterministic top-k over the full catalogue: exact, batched, ties broken by item order."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.errors import RecsysError

_BLOCK_CELLS = 4_000_000  # scores a thread holds at a time: 32 MB of float64
Scores = NDArray[np.floating]


def top_k(scores: Scores, k: int, allowed: NDArray[np.bool_] | None = None) -> NDArray[np.int32]:
    """Return int32[n, k] columns of the k highest scores per row, best first; equal scores in column order.

    `allowed` bool[n, n_items] hides the rest; a row with fewer allowed columns is padded with -1. Raises RecsysError
    when an allowed score is NaN or infinite.

    >>> top_k(np.array([[1.0, 3.0, 3.0]]), 2).tolist()
    [[1, 2]]
    """
    if k < 1:
        raise ValueError(f"k must be >= 1; got {k}")
    allowed = np.ones(scores.shape, bool) if allowed is None else allowed
    _refuse_non_finite(scores, allowed)
    result = np.full((scores.shape[0], k), -1, np.int32)
    if not scores.size:
        return result
    cost = np.negative(scores, dtype=np.result_type(scores, np.float32))
    cost[~allowed] = np.inf
    last = min(k, scores.shape[1]) - 1
    limit = np.partition(cost, last, axis=1)[:, last, None]
    best = cost <= limit  # k per row, more where the k-th place is tied
    if np.isinf(limit).any():
        best &= allowed
    rows, columns = np.nonzero(best)
    order = np.lexsort((columns, cost[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    place = np.arange(rows.size) - np.searchsorted(rows, rows)
    kept = place < k
    result[rows[kept], place[kept]] = columns[kept]
    return result


def ranked_scores(
    score: Callable[[slice], Scores],
    seen: csr_matrix,
    recommendable: NDArray[np.bool_],
    k: int,
    *,
    name: str,
    allow_constant: bool,
    available: Callable[[slice], NDArray[np.bool_] | None] = lambda _: None,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the best items int32[n_users, k], -1 where they run out, and their scores float64[n_users, k], NaN there.

    `score(block)` returns float[len(block), n_items] and is called from several threads. `available(block)` returns
    bool[len(block), n_items], or None where nothing more is hidden. Raises RecsysError when a score is not finite, or,
    unless `allow_constant`, when every user's scores are all the same: it ranks nothing.
    """
    n_users, n_items = seen.shape
    if recommendable.shape != (n_items,):
        raise ValueError(f"recommendable must have shape ({n_items},); got {recommendable.shape}")
    result, values = np.full((n_users, k), -1, np.int32), np.full((n_users, k), np.nan)
    step = max(1, _BLOCK_CELLS // max(n_items, 1))

    def rank(start: int) -> bool:
        block = slice(start, min(start + step, n_users))
        allowed = np.broadcast_to(recommendable, (block.stop - block.start, n_items)) & ~_dense(seen, block)
        own = available(block)
        if own is not None:
            allowed &= own
        scores = score(block)
        if scores.shape != allowed.shape:
            raise ValueError(f"scores of {name} must have shape {allowed.shape}; got {scores.shape}")
        result[block] = top_k(scores, k, allowed)
        if n_items:
            values[block] = np.where(result[block] >= 0, np.take_along_axis(scores, result[block], axis=1), np.nan)
        return allow_constant or _varies(scores, allowed)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # sorting and multiplying release the interpreter's lock
        varied = any(list(pool.map(rank, range(0, n_users, step))))
    if n_users and not allow_constant and not varied and int(recommendable.sum()) > 1:
        raise RecsysError(f"{name} gives every item the same score for every user; check its training and export")
    return result, values


def _dense(matrix: csr_matrix, block: slice) -> NDArray[np.bool_]:
    result = np.zeros((block.stop - block.start, matrix.shape[1]), bool)
    start, stop = matrix.indptr[block.start], matrix.indptr[block.stop]
    rows = np.repeat(np.arange(result.shape[0]), np.diff(matrix.indptr[block.start : block.stop + 1]))
    result[rows, matrix.indices[start:stop]] = True
    return result


def _varies(scores: Scores, allowed: NDArray[np.bool_]) -> bool:
    high = np.where(allowed, scores, -np.inf).max(axis=1, initial=-np.inf)
    low = np.where(allowed, scores, np.inf).min(axis=1, initial=np.inf)
    return bool((high > low).any())


def _refuse_non_finite(scores: Scores, allowed: NDArray[np.bool_]) -> None:
    if scores.shape != allowed.shape:
        raise ValueError(f"allowed must have shape {scores.shape}; got {allowed.shape}")
    with np.errstate(invalid="ignore"):
        if np.isfinite(scores.sum(dtype=np.float64)):  # one pass instead of three where all is well
            return
    wrong = ~np.isfinite(scores) & allowed
    if wrong.any():
        raise RecsysError(f"scores must be finite; {int(wrong.sum())} of {int(allowed.sum())} are NaN or infinite")
