"""What every source offers."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Protocol, runtime_checkable

import polars as pl

from recsys.data.outlying import history_days
from recsys.errors import SourceError
from recsys.schema import PUBLISHED_AT, SIGNED_UP_AT, TIMESTAMP, TableName

DATED: Final[dict[TableName, str]] = {"users": SIGNED_UP_AT, "items": PUBLISHED_AT}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Source(Protocol):
    """Tables in batches that hold the contract's columns, declared extra ones and, where values are cast, `UNREADABLE`.

    A source that learns of users and items bit by bit says when each row came in `CHANGED_AT`.

    Reading twice gives the same rows; reading day by day gives the rows of reading the whole interval.
    """

    def interval(self) -> tuple[datetime, datetime]:
        """Return the midnight before the first event and the one after the last, in UTC.

        A source may leave out events whose time is far from all others; they come with the first day.
        """
        ...

    def users(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield users whose sign-up is in `[start, end)` or unknown; all before `end` when `start` is the first day."""
        ...

    def items(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield items published in `[start, end)` or at an unknown time; all before `end` on the first day."""
        ...

    def interactions(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield events of `[start, end)`; those without a time, or outside `interval()`, come with the first day.

        Where the source has no times at all, every event has the last second of its one day.
        """
        ...


@runtime_checkable
class Pseudonymous(Protocol):
    """A source whose user ids are pseudonyms already, made with the key that has the id `key_id`."""

    key_id: str


def arrived(frame: pl.DataFrame, column: str, start: datetime, end: datetime, first: datetime) -> pl.DataFrame:
    """Return the rows of users or items that belong to `[start, end)` by the protocol's rule."""
    since = pl.lit(True) if start <= first else pl.col(column) >= start
    return frame.filter(pl.col(column).is_null() | (since & (pl.col(column) < end)))


def of_interval(events: pl.DataFrame, start: datetime, end: datetime, whole: tuple[datetime, datetime]) -> pl.DataFrame:
    """Return the events that belong to `[start, end)` by the protocol's rule; `whole` is the source's interval."""
    moment = pl.col(TIMESTAMP)
    known = ((moment >= whole[0]) & (moment < whole[1])).fill_null(False)
    inside = known & (moment >= start) & (moment < end)
    return events.filter(inside | ~known if start <= whole[0] < end else inside)


def untimed_day(dates: Iterable[object]) -> tuple[datetime, datetime]:
    """Return the day that events without times count as of: the last on which a user or an item came.

    By its end all of them have come. Without a known date it is 1 January 1970.
    """
    last = max((date for date in dates if isinstance(date, datetime)), default=_EPOCH)
    return whole_days(last, last, "")


def at_no_time(events: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """Give events without times the last second before `end`, one for all."""
    moment = pl.lit(end - timedelta(seconds=1)).cast(events.schema[TIMESTAMP])
    return events.with_columns(moment.alias(TIMESTAMP))


def whole_days(first: datetime | None, last: datetime | None, where: str) -> tuple[datetime, datetime]:
    """Widen the times of the first and last event to whole days; raise SourceError when there is none."""
    if first is None or last is None:
        raise SourceError(f"{where} holds no event with a readable timestamp; check the mapping and timestamp_unit")
    begin = datetime.combine(first.astimezone(UTC).date(), time(), UTC)
    last_day = min(last.astimezone(UTC).date(), date.max - timedelta(days=1))
    return begin, datetime.combine(last_day, time(), UTC) + timedelta(days=1)


def history(events_per_day: Mapping[date, int], max_gap_days: int, where: str) -> tuple[datetime, datetime]:
    """Return the interval of the events without those far from all others; raise SourceError when there is none."""
    if not events_per_day:
        return whole_days(None, None, where)
    first, last = (datetime.combine(day, time(), UTC) for day in history_days(events_per_day, max_gap_days))
    return whole_days(first, last, where)
