"""What another policy would have earned, from the log of one that explored: off-policy estimates with intervals.

A logged row is one decision: an item shown with a known propensity, and its reward. The target policy says how likely
it would have shown the same item. Rows of a user belong together, so intervals are by users, not by rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Floats = NDArray[np.float64]
_LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean reward per decision, its 95 % interval, and the effective number of rows it rests on.

    `effective` is (sum w)^2 / sum w^2 of the weights w (Kish 1965): far below the number of rows, the log holds little
    of what the target would do.
    """

    mean: float
    low: float
    high: float
    n_users: int
    effective: float


def snips(
    rewards: NDArray[np.floating],
    propensities: NDArray[np.floating],
    target: NDArray[np.floating],
    users: NDArray[np.integer],
) -> Estimate:
    """Return the self-normalised inverse propensity estimate (Swaminathan and Joachims 2015) of n logged rows.

    `rewards`, `propensities` of the logging policy and `target`, the target policy's chance of the same item, are
    float[n]; `users` int[n] numbers the user of each row. The interval is the delta method's on sums by user. Raises
    ValueError for shapes that differ, propensities outside (0, 1], fewer than two users, or a target that never agrees.
    """
    rewards, weights = _weights(rewards, propensities, target, users)
    total = float(weights.sum())
    if total <= 0:
        raise ValueError("the target never shows what was logged: nothing can be said of it")
    mean = float((weights * rewards).sum()) / total
    return _estimate(mean, weights * (rewards - mean), users, total, weights)


def doubly_robust(
    rewards: NDArray[np.floating],
    propensities: NDArray[np.floating],
    target: NDArray[np.floating],
    users: NDArray[np.integer],
    predicted: NDArray[np.floating],
    predicted_target: NDArray[np.floating],
) -> Estimate:
    """Return the doubly robust estimate (Dudik et al. 2011): right where propensities or the reward model are.

    `predicted` float[n] is a model's reward for the item shown, `predicted_target` float[n] its mean reward over the
    target policy in the same situation; the rest as for `snips`.
    """
    rewards, weights = _weights(rewards, propensities, target, users)
    for name, values in (("predicted", predicted), ("predicted_target", predicted_target)):
        if np.shape(values) != rewards.shape:
            raise ValueError(f"{name} must have shape {rewards.shape}; got {np.shape(values)}")
    rows = np.asarray(predicted_target, np.float64) + weights * (rewards - np.asarray(predicted, np.float64))
    mean = float(rows.mean())
    return _estimate(mean, rows - mean, users, float(len(rows)), weights)


def _weights(
    rewards: NDArray[np.floating],
    propensities: NDArray[np.floating],
    target: NDArray[np.floating],
    users: NDArray[np.integer],
) -> tuple[Floats, Floats]:
    shapes = {name: np.shape(each) for name, each in
              (("rewards", rewards), ("propensities", propensities), ("target", target), ("users", users))}  # fmt: skip
    if len(set(shapes.values())) > 1 or len(shapes["rewards"]) != 1:
        raise ValueError(f"all must have one shape [n]; got {shapes}")
    logged = np.asarray(propensities, np.float64)
    if not ((logged > 0) & (logged <= 1)).all():
        raise ValueError("propensities must lie in (0, 1]: a row without one cannot be weighed")
    chance = np.asarray(target, np.float64)
    if not ((chance >= 0) & (chance <= 1)).all():
        raise ValueError("the target's chances must lie in [0, 1]")
    return np.asarray(rewards, np.float64), chance / logged


def _estimate(mean: float, residuals: Floats, users: NDArray[np.integer], total: float, weights: Floats) -> Estimate:
    """Return the estimate with the interval of a ratio of sums whose independent parts are users."""
    _, own = np.unique(users, return_inverse=True)
    sums = np.bincount(own, residuals)
    n = len(sums)
    if n < 2:
        raise ValueError(f"at least two users are needed for an interval; got {n}")
    error = float(np.sqrt(n / (n - 1) * (sums**2).sum())) / total
    width = float(student.ppf(0.5 + _LEVEL / 2, n - 1)) * error
    effective = float(weights.sum() ** 2 / max((weights**2).sum(), np.finfo(float).tiny))
    return Estimate(mean, mean - width, mean + width, n, effective)
