"""What is served to somebody without events: the taste of people of the same demographics, beside the towers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.scoring.taste import Floats, TastePrior, standardised


@dataclass(frozen=True)
class NewcomerTaste:
    """A taste prior, and its weight beside scores in standard deviations."""

    prior: TastePrior
    weight: float

    def evidence(self, demographics: NDArray[np.integer], n_items: int) -> Floats:
        """Return float64[n, n_items] to add to standardised scores of users of demographic codes int[n, n_columns]."""
        if not len(demographics):
            return np.zeros((0, n_items))
        codes, inverse = np.unique(demographics, axis=0, return_inverse=True)
        liked = np.stack([over_catalogue(self.prior, self.prior.liked(row, {}), n_items) for row in codes])
        result: Floats = self.weight * standardised(liked)[inverse.ravel()]
        return result


def over_catalogue(prior: TastePrior, liked: Floats, n_items: int) -> Floats:
    """Return float64[n_items] of the chances [T] of a prior's targets; all other items have the least of them."""
    result = np.full(n_items, liked.min() if liked.size else 0.0)
    result[prior.targets] = liked
    return result
