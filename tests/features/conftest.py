"""Tables small enough to work by hand, filled up to the data contract's columns."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from recsys.config import FeaturesConfig
from recsys.schema import INTERACTIONS, ITEMS, PRIVATE_USERS

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
Rows = Sequence[dict[str, Any]]


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def frame(rows: Rows, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def _events(*rows: tuple[str, str, str, float], **more: Any) -> pl.DataFrame:
    columns = ("user_id", "item_id", "event")
    named = [
        {**dict(zip(columns, row, strict=False)), "timestamp": at(row[3]), "event_id": f"e{place:03d}", **more}
        for place, row in enumerate(rows)
    ]
    return frame(named, INTERACTIONS)


@pytest.fixture
def events() -> Callable[..., pl.DataFrame]:
    """Rows of (user, item, event, hours after the start)."""
    return _events


@pytest.fixture
def users() -> Callable[..., pl.DataFrame]:
    return lambda *rows: frame(rows, PRIVATE_USERS)


@pytest.fixture
def items() -> Callable[..., pl.DataFrame]:
    return lambda *rows: frame(rows, ITEMS)


@pytest.fixture
def config() -> FeaturesConfig:
    return FeaturesConfig(min_item_events=1, min_user_events=1, text_dim=3, max_categories=2)


@pytest.fixture
def cuts() -> tuple[datetime, datetime]:
    """Validation starts after 100 hours, test after 200."""
    return at(100), at(200)
