from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from recsys.features import TextModel
from recsys.features.encode import texts

DAY_S = 86_400


@dataclass(frozen=True)
class World:
    """A dataset small enough to work by hand; attribute names are those of recsys.features.Dataset.

    `events` are (user row, item row, day, split), in that order.
    """

    events_: list[tuple[int, int, int, int]]
    n_users: int
    n_items: int
    published: dict[int, int] = field(default_factory=dict)
    expires: dict[int, int] = field(default_factory=dict)
    words: dict[int, str] = field(default_factory=dict)

    def build(self) -> SimpleNamespace:
        rows = sorted(self.events_, key=lambda row: (row[0], row[2]))
        user, item, day, split = (np.array(column, np.int64) for column in zip(*rows, strict=True))
        n = self.n_items
        train = np.bincount(item[split == 0], minlength=n)
        described = pl.DataFrame(
            {"description": [self.words.get(row, "") for row in range(n)]}, schema={"description": pl.String}
        ).with_columns(title=None, creator=pl.lit(None, pl.String), categories=pl.lit([], pl.List(pl.String)))
        return SimpleNamespace(
            newcomers=None,
            items_frame=described,
            text_model=TextModel.fit(texts(described), 4),
            spec=SimpleNamespace(demographic_vocabs={"age": ["18-24", "25-34"]}),
            items=SimpleNamespace(
                ids=np.array([f"i{row:03d}" for row in range(n)]),
                train_count=train,
                text=np.eye(n, 4, dtype=np.float32),
                numeric=np.zeros((n, 0), np.float32),
                categories=(np.arange(n, dtype=np.int32)[:, None] % 3) + 1,
                published_at=self._dates(self.published),
                expires_at=self._dates(self.expires),
            ),
            users=SimpleNamespace(
                ids=np.array([f"u{row:03d}" for row in range(self.n_users)]),
                demographics=(np.arange(self.n_users, dtype=np.int32) % 3)[:, None],
            ),
            users_frame=pl.DataFrame({"user_id": [f"u{row:03d}" for row in range(self.n_users)]}),
            events=SimpleNamespace(
                item=item.astype(np.int32),
                kind=np.ones(len(item), np.int8),
                weight=np.ones(len(item), np.float32),
                timestamp=day * DAY_S,
                device=np.zeros(len(item), np.int32),
                positive=np.ones(len(item), bool),
                positive_positions=np.arange(len(item)),
                split=split.astype(np.int8),
                offsets=np.searchsorted(user, np.arange(self.n_users + 1)),
            ),
        )

    def _dates(self, days: dict[int, int]) -> NDArray[np.int64]:
        result = np.zeros(self.n_items, np.int64)
        for row, day in days.items():
            result[row] = day * DAY_S
        return result


class OracleTowers:
    """Towers whose query vector is the sum of one-hot items the user will consume: a perfect model."""

    def __init__(self, dataset: SimpleNamespace, split: int = 2) -> None:
        self.dataset, self.split = dataset, split
        self.item_vectors = self.history_vectors = np.eye(len(dataset.items.ids), dtype=np.float32)

    def encode_items(self, items: SimpleNamespace) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self.item_vectors, self.history_vectors

    def query_vectors(self, dataset, history_vectors, user_rows, history_end, query_time, device):  # type: ignore[no-untyped-def]
        events = self.dataset.events
        result = np.zeros((len(user_rows), history_vectors.shape[1]), np.float32)
        for place, row in enumerate(user_rows):
            own = slice(events.offsets[row], events.offsets[row + 1])
            result[place] = history_vectors[events.item[own][events.split[own] == self.split]].sum(axis=0)
        return result


@pytest.fixture
def world() -> SimpleNamespace:
    """Five users, six items. Item 5 is new in test; user 4 is cold; test is day 20 to 21."""
    return World(
        [
            (0, 0, 1, 0),
            (0, 1, 2, 0),
            (0, 2, 20, 2),
            (1, 0, 1, 0),
            (1, 1, 3, 0),
            (1, 2, 15, 1),
            (1, 5, 20, 2),
            (2, 0, 2, 0),
            (2, 3, 16, 1),
            (2, 2, 20, 2),
            (2, 4, 21, 2),
            (3, 0, 2, 0),
            (3, 2, 15, 1),
            (3, 3, 21, 2),
            (4, 0, 20, 2),
        ],
        n_users=5,
        n_items=6,
    ).build()


@pytest.fixture
def make_world() -> type[World]:
    return World


@pytest.fixture
def oracle() -> type[OracleTowers]:
    return OracleTowers
