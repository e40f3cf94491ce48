"""How sure a difference is: bootstrap over users (Efron and Tibshirani 1993, percentile intervals)."""

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.metrics import Floats

_BLOCK_CELLS = 8_000_000  # resampled user indices held at a time: 64 MB


def bootstrap_means(values: Floats, n: int, seed: int) -> Floats:
    """Return float64[n]: the mean of each of `n` samples of users drawn with replacement.

    Users without a value (NaN) are left out first. Empty case: NaN throughout.
    """
    measured = np.asarray(values[~np.isnan(values)])
    if not measured.size:
        return np.full(n, np.nan)
    generator = np.random.default_rng(seed)
    means = np.empty(n)
    step = max(1, _BLOCK_CELLS // measured.size)
    for start in range(0, n, step):
        size = min(step, n - start)
        drawn: NDArray[np.int64] = generator.integers(0, measured.size, (size, measured.size))
        means[start : start + size] = measured[drawn].mean(axis=1)
    return means


def interval(values: Floats, n: int, seed: int, level: float = 0.95) -> tuple[float, float]:
    """Return the bootstrap interval of the users' mean; (0, 0) when no user has a value.

    >>> interval(np.array([0.5, 0.5, np.nan]), 100, seed=0)
    (0.5, 0.5)
    """
    if np.isnan(values).all():
        return 0.0, 0.0
    low, high = np.quantile(bootstrap_means(values, n, seed), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_bootstrap(a: Floats, b: Floats, n: int, seed: int, level: float = 0.95) -> tuple[float, float, float]:
    """Return (mean, low, high) of `a - b` over the same users: the difference is resampled, not each side.

    Users where either side is NaN are left out. Raises ValueError when the shapes differ or no user is left.
    Source: Sakai (2006), paired bootstrap for retrieval experiments.

    >>> paired_bootstrap(np.array([0.75, 0.5]), np.array([0.5, 0.25]), 100, seed=0)
    (0.25, 0.25, 0.25)
    """
    if a.shape != b.shape:
        raise ValueError(f"a and b must hold the same users; got shapes {a.shape} and {b.shape}")
    difference = a - b
    if np.isnan(difference).all():
        raise ValueError("a and b must share a user with a value; got none")
    low, high = interval(difference, n, seed, level)
    return float(np.nanmean(difference)), low, high
