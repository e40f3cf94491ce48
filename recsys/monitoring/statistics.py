"""Distances between two samples: 0 for equal samples, greater with the difference, NaN where a sample is empty."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

Floats = NDArray[np.float64]
Counts = NDArray[np.int64] | Floats
NOTHING = float("nan")  # what a distance to an empty sample is: unknown, not none
_HALF = 0.5  # added to each count of psi (Jeffreys prior): an empty bin is finite and small samples do not explode


def psi(reference: Counts, fresh: Counts) -> float:
    """Return the population stability index of two histograms: `sum((f - r) * ln(f / r))` over bins.

    `reference` and `fresh` are counts of the same bins; f and r are shares after 0.5 is added to every count. Below
    0.1 is usually called stable, above 0.25 shifted. Empty sample: NaN. Source: Siddiqi (2006).

    >>> round(psi(np.array([49.5, 49.5]), np.array([24.5, 74.5])), 6)  # shares 1/2, 1/2 and 1/4, 3/4
    0.274653
    """
    _check(reference, fresh)
    if not reference.sum() or not fresh.sum():
        return NOTHING
    r, f = (_shares(np.asarray(counts + _HALF, np.float64)) for counts in (reference, fresh))
    return float(((f - r) * np.log(f / r)).sum())


def jensen_shannon(reference: Counts, fresh: Counts) -> float:
    """Return the Jensen-Shannon distance of two histograms, in [0, 1]: the root of the divergence in bits.

    `divergence = H((r + f) / 2) - (H(r) + H(f)) / 2` with H the entropy to base 2. Empty sample: NaN. Source: Lin
    (1991); Endres and Schindelin (2003) for the root being a metric.

    >>> jensen_shannon(np.array([1, 0]), np.array([0, 1]))
    1.0
    >>> round(jensen_shannon(np.array([1, 1]), np.array([1, 0])), 6)
    0.557923
    """
    _check(reference, fresh)
    if not reference.sum() or not fresh.sum():
        return NOTHING
    r, f = _shares(reference), _shares(fresh)
    divergence = _entropy((r + f) / 2) - (_entropy(r) + _entropy(f)) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def kolmogorov_smirnov(reference: Floats, fresh: Floats) -> float:
    """Return the largest gap between the two empirical distribution functions, in [0, 1].

    NaN is left out. Empty sample: NaN. Source: Hodges (1958), by `scipy.stats.ks_2samp`.

    >>> kolmogorov_smirnov(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.5
    """
    reference, fresh = reference[~np.isnan(reference)], fresh[~np.isnan(fresh)]
    if not reference.size or not fresh.size:
        return NOTHING
    return float(ks_2samp(reference, fresh, method="asymp").statistic)


def cosine_distance(a: Floats, b: Floats) -> float:
    """Return `1 - cos(a, b)`, in [0, 2]; NaN when either vector is zero, as it then says nothing.

    >>> cosine_distance(np.array([1.0, 0.0]), np.array([0.0, 2.0]))
    1.0
    """
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 1.0 - float(np.dot(a, b)) / norm if norm > 0 else NOTHING


def _check(reference: Counts, fresh: Counts) -> None:
    if reference.shape != fresh.shape or reference.ndim != 1:
        raise ValueError(f"reference and fresh must count the same bins; got {reference.shape} and {fresh.shape}")
    if (reference < 0).any() or (fresh < 0).any():
        raise ValueError("counts must be >= 0; got a negative one")


def _shares(counts: Counts) -> Floats:
    return np.asarray(counts / counts.sum(), np.float64)


def _entropy(shares: Floats) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log2(present)).sum())
