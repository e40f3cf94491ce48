"""Accuracy of ranked lists, one value per user; `average` makes the one number.

All functions take `hits` bool[n_users, k], True where the item at that rank (column 0 is rank 1) is relevant, and
`n_relevant` int[n_users]. A list shorter than k is padded with False. A user without a relevant item gets NaN, which
`average` leaves out; `n_measured` counts the others. Ties among scores were already broken by item order in `top_k`.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def recall_at_k(hits: Bools, n_relevant: Ints) -> Floats:
    """Return the share of relevant items found: `sum(hits) / min(k, n_relevant)`.

    Capping the denominator by k lets a perfect list reach 1. Empty case: NaN. Source: LensKit `Recall`.

    >>> recall_at_k(np.array([[True, False], [True, True]]), np.array([1, 5])).tolist()
    [1.0, 1.0]
    """
    _check(hits, n_relevant)
    return _divide(hits.sum(axis=1), np.minimum(n_relevant, hits.shape[1]))


def full_recall_at_k(hits: Bools, n_relevant: Ints) -> Floats:
    """Return the share of relevant items found, all of them counted: `sum(hits) / n_relevant`.

    A list of k cannot reach 1 where more than k items are relevant. Empty case: NaN. Source: RecTools `Recall`.

    >>> full_recall_at_k(np.array([[True, False], [True, True]]), np.array([1, 4])).tolist()
    [1.0, 0.5]
    """
    _check(hits, n_relevant)
    return _divide(hits.sum(axis=1), n_relevant)


def precision_at_k(hits: Bools, n_relevant: Ints) -> Floats:
    """Return the share of the k places that hold a relevant item: `sum(hits) / k`.

    The denominator is k even for a shorter list. Empty case: NaN. Source: RecTools `Precision`.

    >>> precision_at_k(np.array([[True, False, False, True]]), np.array([2])).tolist()
    [0.5]
    """
    _check(hits, n_relevant)
    return np.where(n_relevant > 0, hits.sum(axis=1) / hits.shape[1], np.nan)


def ndcg_at_k(hits: Bools, n_relevant: Ints) -> Floats:
    """Return `DCG / IDCG` with binary gain: `DCG = sum(hit_r / log2(r + 1))` over ranks r from 1.

    IDCG is the DCG of `min(k, n_relevant)` hits at the top. Empty case: NaN. Source: Järvelin and Kekäläinen (2002);
    LensKit `NDCG` with `LogRankWeight(offset=1)`; RecTools `NDCG` when a user has at least k relevant items.

    >>> ndcg_at_k(np.array([[True, False, True]]), np.array([3])).round(8).tolist()
    [0.70391809]
    """
    _check(hits, n_relevant)
    discounts = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    return _divide((hits * discounts).sum(axis=1), ideal[np.minimum(n_relevant, hits.shape[1])])


def map_at_k(hits: Bools, n_relevant: Ints) -> Floats:
    """Return average precision: `sum(hit_r * precision_at_r) / min(k, n_relevant)` over ranks r from 1.

    Empty case: NaN. Source: LensKit `AveragePrecision`; RecTools `MAP` when a user has at most k relevant items.

    >>> map_at_k(np.array([[True, False, True]]), np.array([3])).round(8).tolist()
    [0.55555556]
    """
    _check(hits, n_relevant)
    precisions = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _divide((precisions * hits).sum(axis=1), np.minimum(n_relevant, hits.shape[1]))


def mrr_at_k(hits: Bools, n_relevant: Ints) -> Floats:
    """Return the reciprocal rank of the first hit, `1 / rank`, and 0 without one in the first k.

    Empty case: NaN. Source: LensKit `RecipRank`; RecTools `MRR`.

    >>> mrr_at_k(np.array([[False, True], [False, False]]), np.array([1, 1])).tolist()
    [0.5, 0.0]
    """
    _check(hits, n_relevant)
    found = hits.any(axis=1)
    return np.where(n_relevant > 0, found / (hits.argmax(axis=1) + 1.0), np.nan)


def hit_rate_at_k(hits: Bools, n_relevant: Ints) -> Floats:
    """Return 1 where at least one of the first k items is relevant, else 0.

    Empty case: NaN. Source: LensKit `Hit`; RecTools `HitRate`.

    >>> hit_rate_at_k(np.array([[False, True], [False, False]]), np.array([1, 0])).tolist()
    [1.0, nan]
    """
    _check(hits, n_relevant)
    return np.where(n_relevant > 0, hits.any(axis=1).astype(np.float64), np.nan)


ACCURACY = {
    "recall": recall_at_k,
    "precision": precision_at_k,
    "ndcg": ndcg_at_k,
    "map": map_at_k,
    "mrr": mrr_at_k,
    "hit_rate": hit_rate_at_k,
}


def average(values: Floats) -> float:
    """Return the mean over users that have a value; 0 when none has, so that reports stay valid JSON.

    >>> average(np.array([1.0, np.nan, 0.0]))
    0.5
    """
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if measured.size else 0.0


def n_measured(values: Floats) -> int:
    """Return how many users have a value.

    >>> n_measured(np.array([1.0, np.nan, 0.0]))
    2
    """
    return int((~np.isnan(values)).sum())


def _check(hits: Bools, n_relevant: Ints) -> None:
    if hits.ndim != 2 or hits.shape[1] < 1:
        raise ValueError(f"hits must be [n_users, k] with k >= 1; got shape {hits.shape}")
    if n_relevant.shape != hits.shape[:1]:
        raise ValueError(f"n_relevant must have shape ({hits.shape[0]},); got {n_relevant.shape}")


def _divide(numerator: Ints | Floats, denominator: Ints | Floats) -> Floats:
    result = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
