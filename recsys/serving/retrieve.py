"""From a query vector to a list: ask the index for more than needed, filter, and fall back to exact search."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features import ItemArrays
from recsys.index import Index, best_columns

_OVERFETCH = 3


@dataclass(frozen=True)
class Retrieved:
    """Item rows and scores, best first; `exact` tells that the index found too few after filtering."""

    rows: NDArray[np.int32]
    scores: NDArray[np.float32]
    exact: bool


def available(items: ItemArrays, at: int) -> NDArray[np.bool_]:
    """Return bool[n_items]: published and not expired at second `at`; an unknown date passes."""
    expires = np.asarray(items.expires_at)
    result: NDArray[np.bool_] = (np.asarray(items.published_at) <= at) & ((expires == 0) | (expires > at))
    return result


def retrieve(
    query: NDArray[np.float32],
    vectors: NDArray[np.float32],
    index: Index,
    allowed: NDArray[np.bool_],
    k: int,
    n_seen: int,
) -> Retrieved:
    """Return the k best allowed items of a query vector [D]; fewer only when fewer are allowed.

    Scores are computed from `vectors` [n_items, D] again, so they do not depend on which way an item was found.
    """
    if k < 1:
        raise ValueError(f"k must be >= 1; got {k}")
    found = index.query(query[None], min(_OVERFETCH * k + n_seen, max(len(vectors), 1)))[0][0]
    rows = found[found >= 0]
    rows = rows[allowed[rows]]
    exact = len(rows) < min(k, int(allowed.sum()))
    if exact:
        rows = np.flatnonzero(allowed).astype(np.int32)
    rows = np.sort(rows)
    scores = vectors[rows] @ query
    best = best_columns(scores[None], k)[0]
    return Retrieved(rows[best], scores[best], exact)
