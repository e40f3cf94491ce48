"""Averages over folds, seeds and users, with intervals: a user counts as one draw however often they were measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.metrics import Floats

_BLOCK_CELLS = 8_000_000  # weights of resampled users held at a time: 64 MB


@dataclass(frozen=True)
class Pooled:
    """Sums and counts float64[n_users, n_metrics] of what was measured, for the same users and metrics everywhere."""

    names: list[str]
    sums: Floats
    counts: Floats

    @classmethod
    def of(
        cls, parts: Sequence[tuple[NDArray[np.object_], Mapping[str, Floats]]], users: NDArray[np.object_]
    ) -> "Pooled":
        """Pool parts of (user ids, metric -> value per user; NaN counts as not measured); `users` are sorted."""
        names = list(parts[0][1])
        sums, counts = np.zeros((len(users), len(names))), np.zeros((len(users), len(names)))
        for ids, values in parts:
            rows = np.searchsorted(users, ids)
            table = np.column_stack([values[name] for name in names])
            np.add.at(sums, rows, np.nan_to_num(table))
            np.add.at(counts, rows, ~np.isnan(table))
        return cls(names, sums, counts)

    def means(self) -> dict[str, float]:
        """Return each metric's mean over all measured values; 0 where there are none."""
        return dict(zip(self.names, _ratio(self.sums.sum(axis=0), self.counts.sum(axis=0)).tolist(), strict=True))

    def measured(self) -> "Pooled":
        """Return the users that have a value of every metric, and no others."""
        kept = (self.counts > 0).all(axis=1)
        return Pooled(self.names, self.sums[kept], self.counts[kept])

    def resampled(self, n: int, seed: int) -> Floats:
        """Return float64[n, n_metrics]: the means of `n` draws of users with replacement (Efron 1979).

        The same number of users and the same seed give the same draws, so that two models' means are paired.
        """
        generator = np.random.default_rng(seed)
        n_users = len(self.sums)
        result = np.zeros((n, len(self.names)))
        if not n_users:
            return result
        step = max(1, _BLOCK_CELLS // max(n_users, 1))
        for start in range(0, n, step):
            size = min(step, n - start)
            drawn = generator.integers(0, n_users, (size, n_users)) + np.arange(size)[:, None] * n_users
            weights = np.bincount(drawn.ravel(), minlength=size * n_users).reshape(size, n_users).astype(np.float64)
            result[start : start + size] = _ratio(weights @ self.sums, weights @ self.counts)
        return result


def intervals(names: Sequence[str], resampled: Floats, level: float = 0.95) -> dict[str, list[float]]:
    """Return [low, high] of each column of resampled means."""
    edges = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {name: [float(low), float(high)] for name, low, high in zip(names, *edges, strict=True)}


def _ratio(sums: Floats, counts: Floats) -> Floats:
    result = np.zeros(sums.shape)
    np.divide(sums, counts, out=result, where=counts > 0)
    return result
