"""Lists that explore: drawn by Plackett and Luce's model, which says of every list how likely it was.

Items are drawn one after another without replacement, each with the softmax of scores over a temperature among those
left (Luce 1959, Plackett 1975); adding Gumbel noise to the scores and sorting does the same (Gumbel-top-k, Kool et al.
2019). The propensity of an item at its rank, given the items before it, is the softmax it was drawn with.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def explored(
    scores: NDArray[np.floating], k: int, temperature: float, generator: np.random.Generator
) -> tuple[NDArray[np.int64], Floats]:
    """Return int64[min(k, n)] places of candidates `scores` [n] in the order drawn, and float64[k] their propensities.

    At temperature 0 the best stand in order, with propensity 1. Raises ValueError for a temperature below 0 or scores
    that are not finite.
    """
    values = np.asarray(scores, np.float64)
    if temperature < 0:
        raise ValueError(f"temperature must be at least 0; got {temperature}")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    if temperature == 0:
        best = np.argsort(-values, kind="stable")[:k]
        return best, np.ones(len(best))
    drawn = np.argsort(-(values / temperature + generator.gumbel(size=len(values))), kind="stable")[:k]
    return drawn, propensities_of(values, drawn, temperature)


def propensities_of(scores: NDArray[np.floating], drawn: NDArray[np.integer], temperature: float) -> Floats:
    """Return float64[k]: the chance of each of the `drawn` places [k] at its rank, given those before it."""
    logits = np.asarray(scores, np.float64) / temperature
    undrawn = np.delete(logits, drawn)
    rest = float(np.logaddexp.reduce(undrawn)) if len(undrawn) else -np.inf
    # What is left at each rank is summed from the end, in logarithms: small chances are neither lost nor rounded away.
    left = np.logaddexp.accumulate(np.concatenate([[rest], logits[drawn][::-1]]))[1:][::-1]
    result: Floats = np.exp(np.minimum(logits[drawn] - left, 0.0))
    return result
