"""Builders of small literal tables."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys.config import FeaturesConfig
from recsys.features import Dataset, frames_to_dataset
from recsys.schema import INTERACTIONS, ITEMS, PRIVATE_USERS

START = datetime(2026, 1, 1, tzinfo=UTC)
Row = tuple[str, str, str, float] | tuple[str, str, str, float, float | None]  # user, item, event, day, value


def _events(rows: Sequence[Row]) -> pl.DataFrame:
    records = [
        {"event_id": f"e{number:04d}", "user_id": row[0], "item_id": row[1], "event": row[2],
         "timestamp": START + timedelta(days=row[3]), "value": row[4] if len(row) > 4 else None,
         "device": "phone" if row[3] < 5 else "tv"}
        for number, row in enumerate(rows)
    ]  # fmt: skip
    return pl.DataFrame(records, schema=INTERACTIONS)


def _items(rows: Sequence[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=ITEMS) if rows else pl.DataFrame(schema=ITEMS)


def _users(rows: Sequence[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=PRIVATE_USERS) if rows else pl.DataFrame(schema=PRIVATE_USERS)


def _build(
    rows: Sequence[Row],
    users: Sequence[dict[str, object]] = (),
    items: Sequence[dict[str, object]] = (),
    cutoffs: tuple[float, float] | None = None,
    **settings: object,
) -> Dataset:
    config = FeaturesConfig.model_validate({"min_user_events": 1, "min_item_events": 1, "text_dim": 4, **settings})
    days = (START + timedelta(days=cutoffs[0]), START + timedelta(days=cutoffs[1])) if cutoffs else None
    return frames_to_dataset(config, _events(rows), _users(users), _items(items), cutoffs=days)


@pytest.fixture(scope="session")
def build() -> Callable[..., Dataset]:
    """Build a training set of (user, item, event, day[, value]) rows; cutoffs in days."""
    return _build


@pytest.fixture(scope="session")
def events() -> Callable[[Sequence[Row]], pl.DataFrame]:
    """Build an interactions table of (user, item, event, day[, value]) rows."""
    return _events
