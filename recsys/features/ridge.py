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
        rest, kernel = targets - mean, _kernel(content)
        held = np.arange(len(targets)) % _HOLD_OUT == 0
        known, across = kernel[~held][:, ~held], kernel[held][:, ~held]
        found = [across @ _weights(known, rest[~held], ridge) for ridge in _RIDGES]
        errors = [((rest[held] - each) ** 2).sum() for each in found]
        if min(errors) < (rest[held] ** 2).sum():
            slopes = content.T @ _weights(kernel, rest, _RIDGES[int(np.argmin(errors))])
    return slopes.astype(np.float32), mean.astype(np.float32)


def _kernel(content: csr_array) -> NDArray[np.float64]:
    """Return the rows' inner products [n, n]; columns that most rows fill are multiplied as dense ones, much faster."""
    full = content.count_nonzero(axis=0) > len(content.indptr) // 2
    dense, sparse = content[:, full].toarray(), content[:, ~full]
    return np.asarray(dense @ dense.T + (sparse @ sparse.T).toarray(), np.float64)


def _weights(kernel: NDArray[np.float64], targets: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Return what each row weighs [n, K] in predictions by inner products."""
    ridged = kernel.copy()
    ridged[np.diag_indices_from(ridged)] += ridge * kernel.diagonal().mean()
    return np.asarray(cho_solve(cho_factor(ridged, overwrite_a=True, check_finite=False), targets, check_finite=False))
