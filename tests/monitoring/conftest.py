from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from recsys import schema
from recsys.features import StringColumn

CATEGORIES = ("news", "sport", "music", "film", "games")
N_ITEMS = 100
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Stream:
    """Events of users whose age decides which categories they like; `shift` moves every taste by that many places."""

    seed: int = 0
    n_users: int = 200
    events_per_day: int = 300

    def days(self, first: int, n_days: int, shift: int = 0, hours: tuple[int, int] = (0, 24)) -> pl.DataFrame:
        return pl.concat([self._day(day, shift, hours) for day in range(first, first + n_days)])

    def _day(self, day: int, shift: int, hours: tuple[int, int]) -> pl.DataFrame:
        generator = np.random.default_rng((self.seed, day))
        n = self.events_per_day
        user = generator.integers(0, self.n_users, n)
        band = user % 2
        taste = np.where(generator.random(n) < 0.7, band * 2, generator.integers(0, 5, n))
        category = (taste + shift) % 5
        rank = np.minimum(generator.geometric(0.15, n) - 1, N_ITEMS // 5 - 1)
        seconds = generator.exponential(60, n)
        offset = generator.integers(hours[0] * 3600, hours[1] * 3600, n)
        kind = np.where(generator.random(n) < 0.7, "view", "like")
        return pl.DataFrame(
            {
                schema.USER_ID: [f"u{row}" for row in user],
                schema.ITEM_ID: [f"i{c * (N_ITEMS // 5) + r}" for c, r in zip(category, rank, strict=True)],
                schema.EVENT: kind,
                schema.VALUE: np.where(kind == "view", seconds, np.nan),
                schema.TIMESTAMP: [START + timedelta(days=day, seconds=int(s)) for s in offset],
                schema.CATEGORIES: [[CATEGORIES[c]] for c in category],
                schema.AGE: [("18-24", "25-34")[b] for b in band],
            },
            schema_overrides={schema.TIMESTAMP: pl.Datetime("us", "UTC")},
        )


@pytest.fixture
def stream() -> Callable[..., Stream]:
    return Stream


@pytest.fixture
def item_ids() -> StringColumn:
    return StringColumn.of(f"i{row}" for row in range(N_ITEMS))


@pytest.fixture
def item_vectors() -> NDArray[np.float32]:
    """Vectors near their category's axis."""
    axes = np.repeat(np.eye(5), N_ITEMS // 5, axis=0)
    return (axes + np.random.default_rng(0).normal(0, 0.1, axes.shape)).astype(np.float32)
