"""What every source promises, whatever it reads from."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.data.tables import UNREADABLE
from recsys.schema import (
    EVENT,
    EVENT_ID,
    EVENT_KINDS,
    ITEM_ID,
    PUBLISHED_AT,
    SIGNED_UP_AT,
    TABLE_SCHEMAS,
    TIMESTAMP,
    USER_ID,
    TableName,
)

KEYS: dict[TableName, str] = {"interactions": EVENT_ID, "users": USER_ID, "items": ITEM_ID}
FAR = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def _batches(case: Any, table: TableName, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:  # Any: conftest's
    reader = {"interactions": case.source.interactions, "users": case.source.users, "items": case.source.items}
    yield from reader[table](start, end)


def _read(case: Any, table: TableName, start: datetime, end: datetime) -> pl.DataFrame:
    frames = list(_batches(case, table, start, end)) or [pl.DataFrame(schema=TABLE_SCHEMAS[table])]
    return pl.concat(frames).sort(KEYS[table])


@pytest.mark.parametrize("table", KEYS)
def test_every_batch_has_exactly_the_columns_and_types_of_the_contract(case: Any, table: TableName) -> None:
    for batch in _batches(case, table, *case.source.interval()):
        columns = batch.drop(UNREADABLE, strict=False)
        assert list(columns.schema.items()) == list(TABLE_SCHEMAS[table].items())


def test_interval_is_the_whole_utc_days_of_the_events(case: Any) -> None:
    assert case.source.interval() == case.interval


def test_every_event_of_the_interval_comes_once(case: Any) -> None:
    events = _read(case, "interactions", *case.source.interval())
    assert len(events) == case.n_events or (case.n_events < 0 and len(events) > 100)
    assert events[EVENT_ID].is_unique().all()
    assert_frame_equal(events, _read(case, "interactions", *FAR))


def test_events_lie_inside_the_interval_asked_for(case: Any) -> None:
    first, _ = case.source.interval()
    start, end = first + timedelta(hours=12), first + timedelta(days=2, hours=12)
    times = _read(case, "interactions", start, end)[TIMESTAMP]
    assert len(times)
    assert times.min() >= start
    assert times.max() < end


def test_nothing_happens_outside_the_interval(case: Any) -> None:
    first, last = case.source.interval()
    assert not len(_read(case, "interactions", last, last + timedelta(days=9)))
    assert not len(_read(case, "interactions", first - timedelta(days=9), first))


@pytest.mark.parametrize("table", KEYS)
def test_reading_twice_gives_the_same_rows(case: Any, table: TableName) -> None:
    interval = case.source.interval()
    assert_frame_equal(_read(case, table, *interval), _read(case, table, *interval))


def test_events_day_by_day_equal_the_whole(case: Any) -> None:
    first, last = case.source.interval()
    days = [first + timedelta(days=day) for day in range((last - first).days)]
    parts = [_read(case, "interactions", day, day + timedelta(days=1)) for day in days]
    assert_frame_equal(pl.concat(parts).sort(EVENT_ID), _read(case, "interactions", first, last))


@pytest.mark.parametrize("table", ["users", "items"])
def test_users_and_items_day_by_day_equal_the_whole(case: Any, table: TableName) -> None:
    first, last = case.source.interval()
    days = [first + timedelta(days=day) for day in range((last - first).days)]
    parts = [_read(case, table, day, day + timedelta(days=1)) for day in days]
    once = pl.concat(parts).unique(KEYS[table]).sort(KEYS[table])  # an unknown time comes with every day
    assert_frame_equal(once, _read(case, table, first, last))


def test_users_and_items_of_events_are_known(case: Any) -> None:
    first, last = case.source.interval()
    events = _read(case, "interactions", first, last)
    for table in ("users", "items"):
        known = _read(case, table, first, last)[KEYS[table]]
        if len(known):
            assert set(events[KEYS[table]]) <= set(known)


def test_the_first_day_also_brings_users_and_items_that_came_before(case: Any) -> None:
    first, _ = case.source.interval()
    since: dict[TableName, str] = {"users": SIGNED_UP_AT, "items": PUBLISHED_AT}
    for table, column in since.items():
        on_the_first = _read(case, table, first, first + timedelta(days=1))
        early = _read(case, table, datetime(1000, 1, 1, tzinfo=UTC), first).drop_nulls(column)
        assert set(early[KEYS[table]]) <= set(on_the_first[KEYS[table]])


def test_events_are_of_known_kinds_and_have_ids(case: Any) -> None:
    events = _read(case, "interactions", *case.source.interval())
    assert set(events[EVENT]) <= set(EVENT_KINDS)
    assert events[EVENT_ID].null_count() == 0
