"""nDCG@k of vectors on held-out users, over the full catalogue; what early stopping listens to."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

_CELLS = 25_000_000  # scores held at a time: 100 MB
_MOST_ROWS = 512  # users scored at a time where the catalogue is small
_RUN = 256  # columns of which only the highest score is looked at first


def ndcg_at_k(
    queries: NDArray[np.float32],
    item_vectors: NDArray[np.float32],
    relevant: csr_matrix,
    seen: csr_matrix,
    candidates: NDArray[np.bool_] | None = None,
    k: int = 10,
) -> float:
    """Return the mean binary nDCG@k of users with a relevant item; NaN when there is none.

    `candidates` bool[n_items], where given, are the only items that are ranked.
    DCG sums 1 / log2(rank + 1) over the hits among the k best unseen items, and is divided by that of min(k, n
    relevant) hits in a row. Ties are broken by item order. (Järvelin and Kekäläinen, 2002.)

    >>> one = csr_matrix(np.array([[False, True, False]]))
    >>> none = csr_matrix((1, 3), dtype=bool)
    >>> vectors = np.array([[3.0], [2.0], [1.0]], np.float32)
    >>> round(ndcg_at_k(np.ones((1, 1), np.float32), vectors, one, none), 4)  # second place: 1 / log2(3)
    0.6309
    """
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    values: list[NDArray[np.float64]] = []
    batch = min(_MOST_ROWS, max(1, _CELLS // max(1, len(item_vectors))))
    for start in range(0, len(queries), batch):
        stop = start + batch
        scores = queries[start:stop] @ item_vectors.T
        scores[seen[start:stop].nonzero()] = -np.inf
        if candidates is not None:
            scores[:, ~candidates] = -np.inf
        hits = np.take_along_axis(relevant[start:stop].toarray().astype(bool), _best(scores, k), axis=1)
        n_relevant = np.asarray(relevant[start:stop].sum(axis=1)).ravel().astype(int)
        has_some = n_relevant > 0
        gains = hits[has_some] @ discounts[: hits.shape[1]]
        values.append(gains / ideal[np.minimum(n_relevant[has_some], k)])
    joined = np.concatenate(values) if values else np.empty(0)
    return float(joined.mean()) if len(joined) else float("nan")


def _best(scores: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    k = min(k, scores.shape[1])
    columns = _columns_of_best_runs(scores, k)
    near = scores if columns is None else np.take_along_axis(scores, columns, axis=1)
    some = np.sort(np.argpartition(-near, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(near, some, axis=1), axis=1, kind="stable")
    places = np.take_along_axis(some, order, axis=1)
    return places if columns is None else np.take_along_axis(columns, places, axis=1)


def _columns_of_best_runs(scores: NDArray[np.float32], k: int) -> NDArray[np.intp] | None:
    """Return, ascending, columns among which a row's k best are: those of the k runs with the highest maxima and the
    rest after the last whole run. None where that saves nothing.
    """
    n_runs = scores.shape[1] // _RUN
    if n_runs < 2 * k:
        return None
    highest = np.maximum.reduceat(scores[:, : n_runs * _RUN], np.arange(0, n_runs * _RUN, _RUN), axis=1)
    runs = np.sort(np.argpartition(-highest, k - 1, axis=1)[:, :k], axis=1)
    columns = (runs[:, :, None] * _RUN + np.arange(_RUN)).reshape(len(scores), -1)
    rest = np.broadcast_to(np.arange(n_runs * _RUN, scores.shape[1]), (len(scores), scores.shape[1] % _RUN))
    return np.hstack([columns, rest])
