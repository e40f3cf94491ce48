"""Items like those a user has, by content alone: what a newcomer can be ranked by."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys.features import Dataset, Heldout, content_vectors
from recsys.scoring.recommender import ScoredRecommender, Scorer
from recsys.scoring.topk import Scores


class ContentKnn(ScoredRecommender):
    """Scores a candidate by its mean cosine to the user's items in text and categories, less that to all items.

    Taking off the mean keeps items that resemble everything, such as dramas among films, from heading every list.
    """

    name = "content_knn"

    def __init__(self, dataset: Dataset, recommendable: NDArray[np.bool_]) -> None:
        super().__init__(recommendable)
        vectors = content_vectors(dataset)
        known = np.asarray(dataset.items.train_count) > 0
        self._vectors = vectors - vectors[known].mean(axis=0) if known.any() else vectors

    def _scorer(self, heldout: Heldout) -> Scorer:
        def score(block: slice) -> Scores:
            profile = csr_array(heldout.seen[block.start : block.stop].astype(np.float32)) @ self._vectors
            result: Scores = np.asarray(profile @ self._vectors.T)
            return result

        return score
