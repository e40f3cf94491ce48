"""EASE, a linear item-item model with a closed form: the bar for models without side information."""

import numpy as np
import psutil
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_array

from recsys.errors import RecsysError
from recsys.features import Dataset, Heldout
from recsys.scoring.baselines import consumption
from recsys.scoring.recommender import ScoredRecommender, Scorer
from recsys.scoring.topk import Scores

_COPIES = 3  # n x n float32 matrices held at once, with room for what LAPACK copies


class Ease(ScoredRecommender):
    """Scores a user's binary row by `B = I - P diag(1 / diag P)` with `P = (X'X + l2 I)^-1` (Steck 2019).

    Covers the `max_items` most frequent items, ties by item order; the others follow all of them. Raises RecsysError
    when the inverse does not fit into memory or cannot be computed.
    """

    name = "ease"

    def __init__(
        self, dataset: Dataset, recommendable: NDArray[np.bool_], split: int, l2: float, max_items: int
    ) -> None:
        super().__init__(recommendable)
        matrix = consumption(dataset, split)
        counts = np.asarray(matrix.sum(axis=0))
        self._covered = np.sort(np.argsort(-counts, kind="stable")[: min(max_items, int((counts > 0).sum()))])
        self._weights = ease_weights(matrix[:, self._covered], l2, "backtest")

    def _scorer(self, heldout: Heldout) -> Scorer:
        def score(block: slice) -> Scores:
            profile = csr_array(heldout.seen[block.start : block.stop].astype(np.float32))[:, self._covered]
            known = profile @ self._weights
            result = np.full((known.shape[0], self._recommendable.size), known.min(initial=0.0) - 1, np.float32)
            result[:, self._covered] = known
            return result

        return score


def ease_weights(matrix: csr_array, l2: float, section: str) -> NDArray[np.float32]:
    """Return B float32[n, n] of a binary matrix [n_users, n]; errors name the settings of a configuration `section`."""
    n_items = matrix.shape[1]
    needed, available = _COPIES * 4 * n_items**2, psutil.virtual_memory().available
    if needed > available:
        raise RecsysError(
            f"EASE over {n_items} items needs {needed / 2**30:.1f} GiB, {available / 2**30:.1f} are free; lower "
            f"{section}.ease_max_items"
        )
    gram = np.asfortranarray((matrix.T @ matrix).toarray(), np.float32)
    gram[np.diag_indices(n_items)] += l2
    factor, failed = lapack.spotrf(gram, lower=True, overwrite_a=True)
    inverse, wrong = lapack.spotri(factor, lower=True, overwrite_c=True)
    if failed or wrong:
        raise RecsysError(f"EASE cannot invert its matrix (LAPACK {failed or wrong}); raise {section}.ease_l2")
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    weights: NDArray[np.float32] = inverse / -np.diag(inverse)
    weights[np.diag_indices(n_items)] = 0.0
    return weights
