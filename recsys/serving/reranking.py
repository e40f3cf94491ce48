"""Re-ranking for more than accuracy: diversity by MMR or a determinantal point process, and popularity control.

Pure: candidates with scores, vectors and counts in, an order out. Strength 0 leaves the order of scores as it is. Ties
go to the candidate of the smaller item row, so the order candidates come in does not matter.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recsys.config import RerankConfig

Floats = NDArray[np.float64]
_SMALLEST_VOLUME = 1e-10  # squared distance to the span of the chosen below which an item adds nothing new


def rerank(
    config: RerankConfig,
    rows: NDArray[np.int32],
    scores: NDArray[np.floating],
    vectors: NDArray[np.floating],
    log_popularity: Floats,
    k: int,
) -> NDArray[np.int64]:
    """Return int64[min(k, n)]: places of the chosen candidates, best first.

    `rows` int32[n] are item rows, `scores` [n] the model's, `vectors` [n, D] unit vectors whose dot product is
    similarity, `log_popularity` [n] the log of each candidate's count. Scores and popularity are standardised over the
    candidates, so that a strength means the same for every model. Raises ValueError when the lengths differ.
    """
    n = len(rows)
    if not (len(scores) == len(vectors) == len(log_popularity) == n):
        raise ValueError(
            f"candidates must agree in length; got {n} rows, {len(scores)} scores, {len(vectors)} vectors and "
            f"{len(log_popularity)} popularities"
        )
    order = np.lexsort((rows, -np.asarray(scores, np.float64)))
    relevance = _standard(np.asarray(scores, np.float64)[order])
    if config.popularity_penalty:
        relevance = relevance - config.popularity_penalty * _standard(log_popularity[order])
    if config.diversity and config.method != "none":
        choose: Callable[..., list[int]] = mmr if config.method == "mmr" else dpp
        chosen = choose(relevance, np.asarray(vectors, np.float64)[order], config.diversity, min(k, n))
    else:
        chosen = np.lexsort((np.arange(n), -relevance))[:k].tolist()
    return order[np.asarray(chosen, np.int64)]


def mmr(relevance: Floats, vectors: Floats, diversity: float, k: int) -> list[int]:
    """Return k places by maximal marginal relevance (Carbonell and Goldstein 1998).

    Each step takes the greatest `(1 - d) * relevance - d * max similarity to the chosen`; of equals, the first.

    >>> mmr(np.array([1.0, 0.9, 0.1]), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 0.5, 2)
    [0, 2]
    """
    nearest = np.zeros(len(relevance))
    left = np.ones(len(relevance), bool)
    chosen: list[int] = []
    for _ in range(k):
        gain = np.where(left, (1 - diversity) * relevance - diversity * nearest, -np.inf)
        best = int(np.argmax(gain))
        left[best] = False
        similarity = vectors @ vectors[best]
        nearest = np.maximum(nearest, similarity) if chosen else similarity
        chosen.append(best)
    return chosen


def dpp(relevance: Floats, vectors: Floats, diversity: float, k: int) -> list[int]:
    """Return k places by greedy MAP inference of a determinantal point process (Chen, Zhang and Zhou 2018).

    The kernel is `diag(q) S diag(q)` with S the similarities and `q = exp((1 - d) / (2 d) * relevance)`, so that the
    log determinant weighs relevance against the volume the vectors span. Each step costs O(n k) by an incremental
    Cholesky factor. When the chosen span all there is, the rest follows by relevance.

    >>> dpp(np.array([1.0, 0.9, 0.1]), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 0.5, 2)
    [0, 2]
    """
    log_quality = (1 - diversity) / diversity * relevance
    factor = np.zeros((k, len(relevance)))  # rows of the Cholesky factor of S
    volume = (vectors**2).sum(axis=1)
    left = np.ones(len(relevance), bool)
    chosen: list[int] = []
    for step in range(k):
        new = left & (volume > _SMALLEST_VOLUME)
        if not new.any():
            rest = np.flatnonzero(left)
            return [*chosen, *map(int, rest[np.lexsort((rest, -relevance[rest]))][: k - step])]
        gain = np.where(new, log_quality + np.log(np.maximum(volume, _SMALLEST_VOLUME)), -np.inf)
        best = int(np.argmax(gain))
        row = (vectors @ vectors[best] - factor[:step].T @ factor[:step, best]) / np.sqrt(volume[best])
        factor[step] = row
        volume = volume - row**2
        left[best] = False
        chosen.append(best)
    return chosen


def similarity_vectors(content: NDArray[np.floating], embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return float32[n, d]: unit vectors whose dot product is the mean of content and embedding cosine."""
    halves = [_unit(np.asarray(part, np.float32)) for part in (content, embeddings)]
    return _unit(np.hstack(halves))


def _standard(values: Floats) -> Floats:
    spread = float(values.std()) if len(values) else 0.0
    return (values - values.mean()) / spread if spread > 1e-12 else np.zeros(len(values))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: NDArray[np.float32] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return result
