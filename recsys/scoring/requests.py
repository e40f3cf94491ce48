"""One function scores (request, candidates): evaluation, gates, the pyfunc model, the command line and serving call it.

A score is the weighted sum of the towers' dot product and of what the blend's components say. A request of somebody
without a positive event is scored in standard deviations over the catalogue, to which the taste of people of the same
demographics is added; so is one that brings answers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.scoring.blend import FittedBlend
from recsys.scoring.components import Profiles
from recsys.scoring.taste import standardised


@dataclass(frozen=True)
class Requests:
    """Who asks: query vectors float32[n, D], what each has, demographic codes int[n, n_columns].

    `taste` float64[n, n_items], where given, is evidence that was told apart, such as answers: it is added to
    standardised scores in place of the prior of newcomers.
    """

    queries: NDArray[np.float32]
    profiles: Profiles
    demographics: NDArray[np.integer]
    taste: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class RequestScorer:
    """Candidates' vectors float32[n_items, D], and the blend where more than the towers counts."""

    item_vectors: NDArray[np.float32]
    blend: FittedBlend | None = None

    @property
    def n_items(self) -> int:
        """The size of the catalogue."""
        return len(self.item_vectors)

    def needs_catalogue(self, requests: Requests) -> bool:
        """Tell whether a score depends on those of the whole catalogue, so that no subset can be scored alone."""
        return requests.taste is not None or bool(self._newcomers(requests).any())

    def scores(self, requests: Requests, rows: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """Return float32[n, C] of the candidates `rows` [C], by default of the whole catalogue.

        Raises ValueError when evidence is not about the catalogue, or rows are given where all of it is needed.
        """
        if self.needs_catalogue(requests):
            if rows is not None:
                raise ValueError("requests without events or with answers are scored over the whole catalogue")
            return self._with_taste(requests, self._sums(requests, None))
        return self._sums(requests, rows)

    def _sums(self, requests: Requests, rows: NDArray[np.integer] | None) -> NDArray[np.float32]:
        vectors = self.item_vectors if rows is None else self.item_vectors[rows]
        towers = requests.queries @ vectors.T
        if self.blend is None:
            return np.asarray(towers, np.float32)
        evidence = self.blend.evidence(requests.profiles)
        own = evidence if rows is None else evidence[:, rows]
        return np.asarray(self.blend.tower_coefficient * towers + own, np.float32)

    def _with_taste(self, requests: Requests, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        result = scores.copy()
        if requests.taste is not None:
            if requests.taste.shape != scores.shape:
                raise ValueError(f"taste must have shape {scores.shape}; got {requests.taste.shape}")
            return np.asarray(standardised(scores.astype(np.float64)) + requests.taste, np.float32)
        new = self._newcomers(requests)
        taste = self.blend.taste if self.blend else None
        if taste is not None:
            said = taste.evidence(requests.demographics[new], self.n_items)
            result[new] = standardised(scores[new].astype(np.float64)) + said
        return result

    def _newcomers(self, requests: Requests) -> NDArray[np.bool_]:
        """Return bool[n]: who has no positive event, where a prior is served to them."""
        n = np.diff(requests.profiles.items.indptr)
        known = self.blend is not None and self.blend.taste is not None
        return np.asarray((n == 0) & known)
