"""What is served, as a recommender over held-out users: requests as they came, scored over the whole catalogue."""

import numpy as np
from numpy.typing import NDArray

from recsys.features import Dataset, Heldout
from recsys.scoring.blend import FittedBlend
from recsys.scoring.components import Profiles
from recsys.scoring.recommender import Scorer, TowerRecommender, Towers
from recsys.scoring.requests import Requests, RequestScorer


class HybridRecommender(TowerRecommender):
    """The towers' scores and the blend's evidence in one sum, over the whole catalogue."""

    def __init__(
        self,
        dataset: Dataset,
        towers: Towers,
        recommendable: NDArray[np.bool_],
        fitted: FittedBlend,
        name: str = "hybrid",
        *,
        vectors: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
    ) -> None:
        super().__init__(dataset, towers, recommendable, name, vectors=vectors)
        self._scores = RequestScorer(self._vectors, fitted)

    def _scorer(self, heldout: Heldout) -> Scorer:
        queries = self._queries(heldout)
        demographics = np.asarray(self._dataset.users.demographics)[heldout.user_rows]

        def score(block: slice) -> NDArray[np.float32]:
            profiles = Profiles.of(self._dataset, heldout, block)
            return self._scores.scores(Requests(queries[block], profiles, demographics[block]))

        return score
