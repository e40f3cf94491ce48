"""Ridge regression of vectors on the content of items, by the kernel of the items, its strength chosen on held rows."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array

_MAX_ROWS = 6000  # the kernel of more would cost minutes
_HOLD_OUT = 8  # every eighth row measures the ridges
_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # noise of a row, in mean variances of the content

Floats = NDArray[np.floating]


def rows_to_regress(importance: NDArray[np.number]) -> NDArray[np.intp]:
    """Return the rows, at most 6,000, of greatest importance above 0, the greatest first."""
    known = np.flatnonzero(importance > 0)
    return known[np.argsort(-importance[known], kind="stable")[:_MAX_ROWS]]


def ridge_regression(content: csr_array, targets: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return slopes float32[F, K] and intercepts float32[K] of `targets` [n, K] on `content` [n, F].

    The ridge is the one that predicts every eighth row best from the others. Slopes are 0 where content predicts
    nothing better than the mean does, or rows are too few to tell. (Hoerl and Kennard 1970, in its dual form: rows are
    fewer than columns.)
    """
    targets = np.asarray(targets, np.float64)
    slopes, mean = np.zeros((content.shape[1], targets.shape[1])), np.zeros(targets.shape[1])
    if len(targets):
        mean = targets.mean(axis=0)
    if len(targets) >= 2 * _HOLD_OUT and content.nnz and np.isfinite(content.data).all():
        rest = targets - mean
        held = np.arange(len(targets)) % _HOLD_OUT == 0
        found = [_slopes(content[~held], rest[~held], ridge) for ridge in _RIDGES]
        errors = [((rest[held] - content[held] @ each) ** 2).sum() for each in found]
        if min(errors) < (rest[held] ** 2).sum():
            slopes = _slopes(content, rest, _RIDGES[int(np.argmin(errors))])
    return slopes.astype(np.float32), mean.astype(np.float32)


def _slopes(content: csr_array, targets: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    kernel = (content @ content.T).toarray().astype(np.float64)
    kernel[np.diag_indices_from(kernel)] += ridge * kernel.diagonal().mean()
    factor = cho_factor(kernel, overwrite_a=True, check_finite=False)
    return np.asarray(content.T @ cho_solve(factor, targets, check_finite=False))
