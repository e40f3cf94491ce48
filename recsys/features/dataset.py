"""The arrays of one training set, and their folder of `.npy` and Parquet files."""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.features.spec import FeatureSpec
from recsys.features.strings import StringColumn
from recsys.features.text import TextModel
from recsys.schema import CATEGORIES, ITEM_ID, TITLE, USER_ID


@dataclass(frozen=True)
class ItemArrays:
    """One row per item of the catalogue, sorted by id, known to training or not; C categories, T text, M numeric.

    Times are seconds since 1970; `published_at` 0 is unknown, `expires_at` 0 is never. `category_names` holds a list of
    strings per item, empty where there are none.
    """

    ids: StringColumn
    titles: StringColumn
    category_names: pl.Series
    vocab: NDArray[np.int32]
    categories: NDArray[np.int32]
    creator: NDArray[np.int32]
    language: NDArray[np.int32]
    text: NDArray[np.float32]
    numeric: NDArray[np.float32]
    published_at: NDArray[np.int64]
    expires_at: NDArray[np.int64]
    train_count: NDArray[np.int64]


@dataclass(frozen=True)
class UserArrays:
    """One row per user, sorted by pseudonym."""

    ids: StringColumn
    vocab: NDArray[np.int32]
    demographics: NDArray[np.int32]


@dataclass(frozen=True)
class EventArrays:
    """One row per event, sorted by user row and time; user u's rows are `offsets[u]:offsets[u + 1]`.

    `item` is an item row, `kind` counts from 1 in `EVENT_KINDS`, `timestamp` is in seconds, `split` is 0 train,
    1 validation, 2 test, and -1 for what is known of a held-out user and never trained on. Where a split is not one of
    time, a user's events are sorted by split first, so that a history ends where the split begins.
    """

    item: NDArray[np.int32]
    kind: NDArray[np.int8]
    weight: NDArray[np.float32]
    timestamp: NDArray[np.int64]
    device: NDArray[np.int32]
    positive: NDArray[np.bool_]
    split: NDArray[np.int8]
    offsets: NDArray[np.int64]

    @cached_property
    def positive_positions(self) -> NDArray[np.int64]:
        """Return the places of positive events, in order; computed once, as every batch of histories needs them."""
        return np.flatnonzero(self.positive)


@dataclass(frozen=True)
class Dataset:
    """A training set: arrays, what they were encoded with, and the tables they came from.

    `items_table` is the whole table of items, with descriptions; of a training set that was loaded it stays on disk
    until `items_frame` is asked for, each time anew.
    `newcomers` int8[n_items], where given, says in which split an item is held out of all training (0: in none): then
    a split ranks its own newcomers and nothing else.
    """

    spec: FeatureSpec
    text_model: TextModel
    items: ItemArrays
    users: UserArrays
    events: EventArrays
    items_table: pl.LazyFrame
    users_frame: pl.DataFrame
    newcomers: NDArray[np.int8] | None = None

    @property
    def items_frame(self) -> pl.DataFrame:
        """Return the table of items, in the order of the item rows."""
        return self.items_table.collect()

    def save(self, folder: Path) -> None:
        """Write every array to a file of its own; the tables as Parquet."""
        self.spec.save(folder)
        self.text_model.save(folder)
        self.items_frame.write_parquet(folder / "items.parquet", statistics=False)
        self.users_frame.write_parquet(folder / "users.parquet", statistics=False)
        if self.newcomers is not None:
            np.save(folder / _NEWCOMERS, self.newcomers, allow_pickle=False)
        for room in (self.items, self.users, self.events):
            for name, array in _numeric(room).items():
                np.save(folder / f"{_prefix(type(room))}_{name}.npy", array, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, mmap: bool = True) -> Self:
        """Read what `save` wrote; with `mmap` large arrays stay on disk until they are touched."""
        table, users = pl.scan_parquet(folder / "items.parquet"), pl.read_parquet(folder / "users.parquet")
        items = table.select(ITEM_ID, TITLE, CATEGORIES).collect()
        return cls(
            spec=FeatureSpec.load(folder),
            text_model=TextModel.load(folder),
            items=ItemArrays(
                ids=StringColumn(items[ITEM_ID]),
                titles=StringColumn(items[TITLE]),
                category_names=category_names(items),
                **_read(folder, ItemArrays, mmap),
            ),
            users=UserArrays(ids=StringColumn(users[USER_ID]), **_read(folder, UserArrays, mmap)),
            events=EventArrays(**_read(folder, EventArrays, mmap)),
            items_table=table,
            users_frame=users,
            newcomers=np.load(folder / _NEWCOMERS) if (folder / _NEWCOMERS).exists() else None,
        )


def category_names(items: pl.DataFrame) -> pl.Series:
    """Return each item's category names as a series of lists of strings; an empty list where there are none."""
    names = items.select(pl.col(CATEGORIES).cast(pl.List(pl.String)).fill_null([]).list.drop_nulls())
    return names.to_series()


_NEWCOMERS = "newcomers.npy"
_STRINGS = ("ids", "titles", "category_names")


def _prefix(kind: type) -> str:
    return kind.__name__.removesuffix("Arrays").lower()


def _numeric(room: ItemArrays | UserArrays | EventArrays) -> dict[str, NDArray[np.generic]]:
    return {field.name: getattr(room, field.name) for field in fields(room) if field.name not in _STRINGS}


def _read(folder: Path, kind: type, mmap: bool) -> dict[str, Any]:  # Any: each array has the type its field states
    names = [field.name for field in fields(kind) if field.name not in _STRINGS]
    return {name: np.load(folder / f"{_prefix(kind)}_{name}.npy", mmap_mode="r" if mmap else None) for name in names}
