"""Tables small enough to work by hand, filled up to the data contract's columns. Times are hours after a Monday."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from recsys.config import FeaturesConfig
from recsys.features import Dataset, frames_to_dataset
from recsys.schema import INTERACTIONS, ITEMS, PRIVATE_USERS

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
CUTS = (100.0, 200.0)  # hours at which validation and test begin, where a test asks for no others
SETTINGS: dict[str, Any] = {"min_item_events": 1, "min_user_events": 1, "text_dim": 4, "max_categories": 2}

Records = Sequence[dict[str, Any]]
Row = tuple[str, str, str | None, float] | tuple[str, str, str | None, float, float | None]
Rows = Sequence[Row]  # user, item, event, hours after the start, value
Frames = Callable[..., pl.DataFrame]
Build = Callable[..., Dataset]


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def frame(records: Records, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame([{name: record.get(name) for name in schema} for record in records], schema=schema)


def _events(*rows: Row, **more: Any) -> pl.DataFrame:
    columns = ("user_id", "item_id", "event", "timestamp", "value")
    named = [
        {**dict(zip(columns, row, strict=False)), "timestamp": at(row[3]), "event_id": f"e{place:04d}", **more}
        for place, row in enumerate(rows)
    ]
    return frame(named, INTERACTIONS)


def _build(
    rows: Rows | pl.DataFrame,
    users: Records | pl.DataFrame = (),
    items: Records | pl.DataFrame = (),
    *,
    cutoffs: tuple[float, float] | None = None,
    as_of: datetime | None = None,
    **settings: Any,
) -> Dataset:
    return frames_to_dataset(
        FeaturesConfig.model_validate(SETTINGS | settings),
        rows if isinstance(rows, pl.DataFrame) else _events(*rows),
        users if isinstance(users, pl.DataFrame) else frame(users, PRIVATE_USERS),
        items if isinstance(items, pl.DataFrame) else frame(items, ITEMS),
        cutoffs=(at(cutoffs[0]), at(cutoffs[1])) if cutoffs else None,
        as_of=as_of,
    )


@pytest.fixture(scope="session")
def events() -> Frames:
    """Rows of (user, item, event, hours after the start[, value]); other columns are given by name."""
    return _events


@pytest.fixture(scope="session")
def users() -> Frames:
    return lambda *records: frame(records, PRIVATE_USERS)


@pytest.fixture(scope="session")
def items() -> Frames:
    return lambda *records: frame(records, ITEMS)


@pytest.fixture(scope="session")
def config() -> FeaturesConfig:
    return FeaturesConfig.model_validate(SETTINGS)


@pytest.fixture(scope="session")
def build() -> Build:
    """Build a training set of rows or tables; cutoffs are hours after the start, settings those of the features."""
    return _build
