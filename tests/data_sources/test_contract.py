"""What every source keeps, whatever it reads from."""

from datetime import datetime, time, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys import schema
from recsys.data.sources import Source

DAY = timedelta(days=1)


def read(source: Source, table: schema.TableName, start: datetime, end: datetime) -> pl.DataFrame:
    batches = list(getattr(source, table)(start, end))
    empty = pl.DataFrame(schema=schema.TABLE_SCHEMAS[table])
    return pl.concat([empty, *batches]).sort(schema.TABLE_SCHEMAS[table].keys() - {schema.CATEGORIES})


def days(source: Source) -> list[datetime]:
    start, end = source.interval()
    return [start + n * DAY for n in range((end - start).days)]


@pytest.mark.parametrize("table", schema.TABLES)
def test_batches_hold_exactly_the_contracts_columns_and_types(source: Source, table: schema.TableName) -> None:
    for batch in getattr(source, table)(*source.interval()):
        assert dict(batch.schema) == schema.TABLE_SCHEMAS[table]


def test_the_interval_is_whole_days_around_the_first_and_last_event(source: Source) -> None:
    start, end = source.interval()
    assert start.time() == end.time() == time()
    times = read(source, "interactions", start - 9 * DAY, end + 9 * DAY)[schema.TIMESTAMP]
    assert start <= times.min() < start + DAY
    assert end - DAY <= times.max() < end


def test_events_lie_in_the_interval_asked_for(source: Source) -> None:
    start, end = source.interval()
    begin, finish = start + timedelta(hours=5), end - timedelta(hours=7)
    events = read(source, "interactions", begin, finish)
    assert events[schema.TIMESTAMP].is_between(begin, finish, closed="left").all()


@pytest.mark.parametrize("table", schema.TABLES)
def test_two_reads_are_equal(source: Source, table: schema.TableName) -> None:
    interval = source.interval()
    assert_frame_equal(read(source, table, *interval), read(source, table, *interval))


@pytest.mark.parametrize("table", schema.TABLES)
def test_days_together_hold_what_the_whole_holds(source: Source, table: schema.TableName) -> None:
    whole = read(source, table, *source.interval())
    parts = pl.concat([read(source, table, day, day + DAY) for day in days(source)])
    parts = parts if table == "interactions" else parts.unique()  # an undated user or item comes with each day
    assert_frame_equal(parts.sort(whole.columns[:1]), whole.sort(whole.columns[:1]))


def test_the_first_day_also_brings_users_and_items_that_came_before(source: Source) -> None:
    start, _ = source.interval()
    for table, since in (("users", schema.SIGNED_UP_AT), ("items", schema.PUBLISHED_AT)):
        first = read(source, table, start, start + DAY)
        early = read(source, table, datetime(1000, 1, 1, tzinfo=start.tzinfo), start)
        assert set(early.drop_nulls(since).to_series(0)) <= set(first.to_series(0))


def test_event_ids_are_all_there_and_different(source: Source) -> None:
    ids = read(source, "interactions", *source.interval())[schema.EVENT_ID]
    assert ids.null_count() == 0
    assert ids.is_unique().all()


def test_events_name_known_kinds_users_and_items(source: Source) -> None:
    interval = source.interval()
    events, users, items = (read(source, table, *interval) for table in schema.TABLES)
    assert set(events[schema.EVENT]) <= set(schema.EVENT_KINDS)
    if len(users):
        assert set(events[schema.USER_ID]) <= set(users[schema.USER_ID])
    if len(items):
        assert set(events[schema.ITEM_ID]) <= set(items[schema.ITEM_ID])
