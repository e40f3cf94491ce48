"""How a challenger is compared with another model on the same users: a one-sided paired test with a stated error rate.

The bound is that of the mean difference over users, by Student's t. Two trainings that differ in nothing but their seed
differ too, and what will serve is another training than the one that was measured; that spread is added to the
standard error in quadrature.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """The mean difference of challenger and other over `n` users, its standard error, and the other's mean."""

    n: int
    mean: float
    error: float
    other: float

    @classmethod
    def of(cls, challenger: Floats, other: Floats, seed_spread: float = 0.0) -> Self:
        """Compare per-user values; users where either side is NaN are left out.

        `seed_spread` is the standard deviation of a model's mean over training seeds, as a share of the mean: the
        challenger was trained twice, so it counts twice. Raises ValueError when the shapes differ.
        """
        if challenger.shape != other.shape:
            raise ValueError(f"both sides must hold the same users; got shapes {challenger.shape} and {other.shape}")
        measured = ~(np.isnan(challenger) | np.isnan(other))
        difference, n = (challenger - other)[measured], int(measured.sum())
        if n < 2:
            return cls(n, float(difference.sum()), float("inf"), float(other[measured].sum()))
        mean = float(other[measured].mean())
        noise = 2.0 * (seed_spread * mean) ** 2
        return cls(n, float(difference.mean()), float(np.sqrt(difference.var(ddof=1) / n + noise)), mean)

    def lower(self, error_rate: float) -> float:
        """Return what the true difference lies below with probability `error_rate` at most; -inf for too few users."""
        return self.mean - self._width(error_rate)

    def upper(self, error_rate: float) -> float:
        """Return what the true difference lies above with probability `error_rate` at most; inf for too few users."""
        return self.mean + self._width(error_rate)

    def _width(self, error_rate: float) -> float:
        if self.n < 2:
            return float("inf")
        return float(student.ppf(1.0 - error_rate, self.n - 1)) * self.error
