"""What every source offers."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Final, Protocol

import polars as pl

from recsys.errors import SourceError
from recsys.schema import PUBLISHED_AT, SIGNED_UP_AT, TIMESTAMP, TableName

DATED: Final[dict[TableName, str]] = {"users": SIGNED_UP_AT, "items": PUBLISHED_AT}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Source(Protocol):
    """Tables in batches that hold exactly the contract's columns and declared extra ones.

    Reading twice gives the same rows; reading day by day gives the rows of reading the whole interval.
    """

    def interval(self) -> tuple[datetime, datetime]:
        """Return the midnight before the first event and the one after the last, in UTC."""
        ...

    def users(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield users whose sign-up is in `[start, end)` or unknown; all before `end` when `start` is the first day."""
        ...

    def items(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield items published in `[start, end)` or at an unknown time; all before `end` on the first day."""
        ...

    def interactions(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield events of `[start, end)`; those without a readable timestamp come with the first day.

        Where the source has no times at all, every event has the last second of its one day.
        """
        ...


def arrived(frame: pl.DataFrame, column: str, start: datetime, end: datetime, first: datetime) -> pl.DataFrame:
    """Return the rows of users or items that belong to `[start, end)` by the protocol's rule."""
    since = pl.lit(True) if start <= first else pl.col(column) >= start
    return frame.filter(pl.col(column).is_null() | (since & (pl.col(column) < end)))


def of_interval(events: pl.DataFrame, start: datetime, end: datetime, first: datetime) -> pl.DataFrame:
    """Return the events that belong to `[start, end)` by the protocol's rule."""
    inside = (pl.col(TIMESTAMP) >= start) & (pl.col(TIMESTAMP) < end)
    return events.filter(inside | pl.col(TIMESTAMP).is_null() if start <= first else inside)


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
    return begin, datetime.combine(last.astimezone(UTC).date(), time(), UTC) + timedelta(days=1)
