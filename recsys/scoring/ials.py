"""Implicit alternating least squares: factors of users and items (Hu, Koren and Volinsky 2008)."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

_SWEEPS = 8
_UNSEEN = 0.05  # what an unseen pair weighs beside a seen one
_L2 = 0.01  # for every unit of weight a row has (Rendle et al. 2022)
_SEED = 29

Floats = NDArray[np.float64]


def ials_factors(met: csr_array, dim: int) -> tuple[Floats, Floats]:
    """Return float64[n_users, dim] and float64[n_items, dim] whose products approach 1 where `met` is 1, else 0.

    `met` [n_users, n_items] holds 0 and 1. Rows without an event are zeros.
    """
    generator = np.random.default_rng(_SEED)
    users, items = (generator.normal(0, 0.1 / np.sqrt(dim), (n, dim)) for n in met.shape)
    by_user, by_item = csr_array(met), csr_array(met.T)
    for _ in range(_SWEEPS):
        users = _solved(by_user, items)
        items = _solved(by_item, users)
    return users, items


def _solved(met: csr_array, others: Floats) -> Floats:
    """Return the least squares factors of each row of `met`, those of its columns being fixed."""
    dim = others.shape[1]
    every, result = _UNSEEN * others.T @ others, np.zeros((met.shape[0], dim))
    for row in np.flatnonzero(np.diff(met.indptr)):
        own = others[met.indices[met.indptr[row] : met.indptr[row + 1]]]
        l2 = _L2 * (len(own) + _UNSEEN * len(others))
        result[row] = np.linalg.solve(every + own.T @ own + l2 * np.eye(dim), own.sum(axis=0))
    return result
