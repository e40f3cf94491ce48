"""What recommended lists are like, whether or not they hit: coverage, novelty, diversity, popularity bias.

`items` is int32[n_users, k] of item rows; -1 pads a list that is shorter than k and is ignored.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from recsys.evaluation.metrics import Floats, average

Rows = NDArray[np.int32]


def coverage(items: Rows, n_items: int) -> float:
    """Return the share of the `n_items` recommendable items that stand in at least one list.

    Empty case (no recommendable item): 0. Source: Ge et al. (2010), catalogue coverage.

    >>> coverage(np.array([[0, 1], [0, -1]], dtype=np.int32), 4)
    0.5
    """
    return np.unique(items[items >= 0]).size / n_items if n_items else 0.0


def novelty(items: Rows, counts: NDArray[np.int64], n_events: int) -> Floats:
    """Return each list's mean self-information in bits: `mean(-log2(max(count_i, 1) / n_events))`.

    `counts` int64[n_items] are training positives, `n_events` their sum; an item never seen counts as seen once.
    Empty list: NaN. Source: Zhou et al. (2010); RecTools `MeanInvUserFreq` with events instead of users.

    >>> novelty(np.array([[0, 1]], dtype=np.int32), np.array([4, 1]), 8).tolist()
    [2.0]
    """
    information = -np.log2(np.maximum(counts, 1) / max(n_events, 1))
    return _mean_of(items, information)


def diversity(items: Rows, vectors: NDArray[np.float32]) -> Floats:
    """Return each list's intra-list diversity: 1 - the mean cosine over its pairs of items.

    `vectors` float32[n_items, d] describe content (text, categories); a zero vector is orthogonal to all. Denominator:
    m (m - 1) / 2 pairs of a list of m items. Fewer than two items: NaN. Source: Ziegler et al. (2005).

    >>> diversity(np.array([[0, 1]], dtype=np.int32), np.eye(2, dtype=np.float32)).tolist()
    [1.0]
    """
    total = np.zeros((items.shape[0], vectors.shape[1]))
    own = np.zeros(items.shape[0])
    for column in items.T:  # one rank at a time: n_users x d in memory, not n_users x k x d
        chosen = vectors[column].astype(np.float64)
        norms = np.linalg.norm(chosen, axis=1, keepdims=True)
        chosen = np.divide(chosen, norms, out=np.zeros_like(chosen), where=(norms > 0) & (column >= 0)[:, None])
        total += chosen
        own += (chosen**2).sum(axis=1)
    n = (items >= 0).sum(axis=1)
    pairs = n * (n - 1.0)
    similarity = np.full(items.shape[0], np.nan)
    np.divide((total**2).sum(axis=1) - own, pairs, out=similarity, where=pairs > 0)
    result: Floats = 1.0 - similarity
    return result


def popularity_percentiles(counts: NDArray[np.int64]) -> Floats:
    """Return each item's popularity as mid-rank / n_items, in (0, 1]; equal counts share their mean rank.

    >>> popularity_percentiles(np.array([5, 1, 1, 9])).tolist()
    [0.75, 0.375, 0.375, 1.0]
    """
    result: Floats = np.asarray(rankdata(counts, method="average") / max(counts.size, 1), dtype=np.float64)
    return result


def popularity_bias(items: Rows, counts: NDArray[np.int64]) -> Floats:
    """Return each list's mean popularity percentile; 0.5 is what items drawn at random get.

    Empty list: NaN. Source: Abdollahpouri et al. (2019), average recommendation popularity, on percentiles.

    >>> popularity_bias(np.array([[3, 0]], dtype=np.int32), np.array([5, 1, 1, 9])).tolist()
    [0.875]
    """
    return _mean_of(items, popularity_percentiles(counts))


def averages(
    items: Rows, n_items: int, counts: NDArray[np.int64], content: Callable[[Rows], NDArray[np.float32]]
) -> dict[str, float]:
    """Return the four by name, each averaged over users; `n_items` are recommendable, the rest as above.

    `content` returns the vectors float32[n, d] of some item rows int32[n]; it is called with those that are listed.
    """
    listed = np.unique(items[items >= 0])
    places = np.where(items >= 0, np.searchsorted(listed, items), -1).astype(np.int32)
    return {
        "coverage": coverage(items, n_items),
        "novelty": average(novelty(items, counts, int(counts.sum()))),
        "diversity": average(diversity(places, content(listed))) if listed.size else 0.0,
        "popularity_bias": average(popularity_bias(items, counts)),
    }


def _mean_of(items: Rows, values: Floats) -> Floats:
    present = items >= 0
    n = present.sum(axis=1)
    result = np.full(items.shape[0], np.nan)
    np.divide(np.where(present, values[items], 0.0).sum(axis=1), n, out=result, where=n > 0)
    return result
