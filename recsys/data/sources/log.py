"""The event log as a source, with the users and items of a second one beside it.

Everything is read as of one arrival number, so that a run sees one state however long it takes. User ids of the log are
pseudonyms; those of the source beside it become pseudonyms here, by the same key, so that rows of one person meet.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Final

import polars as pl

from recsys.data.outlying import MAX_GAP_DAYS
from recsys.data.privacy import PseudonymKey, pseudonymise
from recsys.data.sources.source import Source, arrived, history, of_interval
from recsys.data.tables import CHANGED_AT, collect
from recsys.errors import SourceError
from recsys.eventlog import EventLog, Item, Logged, User
from recsys.schema import (
    CONSENT_ANALYTICS,
    CONSENT_PERSONALIZATION,
    DO_NOT_SELL,
    EXPIRES_AT,
    INTERACTIONS,
    ITEM_ID,
    ITEMS,
    PUBLISHED_AT,
    SIGNED_UP_AT,
    TIMESTAMP,
    USER_ID,
    USERS,
    TableName,
)

_BEGINNING: Final = datetime(1000, 1, 1, tzinfo=UTC)  # before any sign-up or publication
_END: Final = datetime(9999, 1, 1, tzinfo=UTC)
_UTC: Final = pl.Datetime("us", "UTC")
_DELETED_AT: Final = "_deleted_at"
_REFUSAL: Final = {CONSENT_PERSONALIZATION: False, CONSENT_ANALYTICS: False, DO_NOT_SELL: True}


class LogReader:
    """A source of pseudonyms: events of the log, users and items of the log before those of the source beside it."""

    def __init__(
        self, log: EventLog, key: PseudonymKey, beside: Source | None = None, max_gap_days: int = MAX_GAP_DAYS
    ) -> None:
        """Read the log as it is now; raises StorageError when it cannot be reached or was written with another key."""
        self._log, self._key, self._beside, self._max_gap_days = log, key, beside, max_gap_days
        self.key_id, self.until = log.key_id, log.last()

    def interval(self) -> tuple[datetime, datetime]:
        """Return the days of the events, counted by the database; raise SourceError while there is no event."""
        if not self._days:
            raise SourceError("the event log holds no event yet; let the service or a consumer write to it first")
        return self._interval

    def interactions(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield events of `[start, end)`, in the order of arrival within each day; only their days are read."""
        whole = self.interval()
        for day in self._days:
            midnight = _midnight(day)
            outlying = not whole[0] <= midnight < whole[1] and start <= whole[0] < end
            if outlying or (midnight < end and midnight + timedelta(days=1) > start):
                for columns in self._log.read_day(day, self.until):
                    events = pl.DataFrame([_series(name, columns[name], kind) for name, kind in INTERACTIONS.items()])
                    yield of_interval(events, start, end, whole)

    def users(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield users who signed up in `[start, end)`; those marked as deleted refuse everything."""
        yield arrived(self._users, SIGNED_UP_AT, start, end, self.interval()[0])

    def items(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield items published in `[start, end)`; those deleted expire at the time of their deletion."""
        yield arrived(self._items, PUBLISHED_AT, start, end, self.interval()[0])

    def touched(self, after: int) -> set[date]:
        """Return the days that come out differently since an arrival number.

        These are the days of new and of erased events, and where users or items changed the last day, for it brings
        their new rows. What lies far from all other events comes with the first day.
        """
        if not self._days:
            return set(self._log.days_since(after, self.until))
        first, last = (moment.date() for moment in self.interval())
        days = set()
        for day in self._log.days_since(after, self.until):
            outlying = day in self._days and not first <= day < last
            days.add(first if outlying else day)
        return days | ({last - timedelta(days=1)} if self._log.changes_since(after, self.until) else set())

    @cached_property
    def _days(self) -> dict[date, int]:
        return {day: n for day, n in self._log.days_since(0, self.until).items() if n}

    @cached_property
    def _interval(self) -> tuple[datetime, datetime]:
        return history(self._days, self._max_gap_days, "the event log")

    @cached_property
    def _users(self) -> pl.DataFrame:
        rows = list(self._log.users(self.until))
        known = _frame(rows, USERS)
        deleted = pl.col(USER_ID).is_in([row.row.user_id for row in rows if row.row.deleted])
        known = known.with_columns(
            pl.when(deleted).then(pl.lit(answer)).otherwise(name).alias(name) for name, answer in _REFUSAL.items()
        )
        beside = self._beside_log("users")
        hidden = pseudonymise(beside[USER_ID].replace("", None), self._key)
        others = beside.with_columns(hidden).join(known, on=USER_ID, how="anti", maintain_order="left")
        return pl.concat([others, known], how="diagonal")

    @cached_property
    def _items(self) -> pl.DataFrame:
        rows = list(self._log.items(self.until))
        known, beside = _frame(rows, ITEMS), self._beside_log("items")
        # An item that was deleted and never written is described by the other source, if by any.
        bare = [row.row.item_id for row in rows if row.row == Item(item_id=row.row.item_id, deleted=True)]
        unwritten = pl.col(ITEM_ID).is_in(bare) & pl.col(ITEM_ID).is_in(beside[ITEM_ID].implode())
        written = known.filter(~unwritten)
        others = beside.join(written, on=ITEM_ID, how="anti", maintain_order="left")
        others = others.join(known.select(ITEM_ID, CHANGED_AT), on=ITEM_ID, how="left", maintain_order="left")
        deleted = {row.row.item_id: row.arrived_at for row in rows if row.row.deleted}
        table = pl.DataFrame(
            {ITEM_ID: list(deleted), _DELETED_AT: list(deleted.values())},
            schema={ITEM_ID: pl.String(), _DELETED_AT: _UTC},
        )
        ends = pl.max_horizontal(pl.min_horizontal(EXPIRES_AT, _DELETED_AT), PUBLISHED_AT)  # none before its beginning
        return (
            pl.concat([others, written], how="diagonal")
            .join(table, on=ITEM_ID, how="left", maintain_order="left")
            .with_columns(pl.when(pl.col(_DELETED_AT).is_null()).then(EXPIRES_AT).otherwise(ends).alias(EXPIRES_AT))
            .drop(_DELETED_AT)
        )

    def _beside_log(self, table: TableName) -> pl.DataFrame:
        """Return the whole table of the source beside the log, empty where there is none."""
        if table == "users":
            batches = self._beside.users(_BEGINNING, _END) if self._beside else iter(())
            return collect(batches, USERS, table)
        batches = self._beside.items(_BEGINNING, _END) if self._beside else iter(())
        return collect(batches, ITEMS, table)


def _frame(rows: Sequence[Logged[User]] | Sequence[Logged[Item]], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """Return rows of the log in the contract's columns, and when they arrived."""
    columns = [
        pl.Series(name, [getattr(row.row, name) for row in rows], dtype=kind, strict=True)
        for name, kind in schema.items()
    ]
    return pl.DataFrame([*columns, pl.Series(CHANGED_AT, [row.arrived_at for row in rows], dtype=_UTC)])


def _series(name: str, cells: Sequence[object], kind: pl.DataType) -> pl.Series:
    return pl.Series(name, cells, dtype=pl.Int64() if name == TIMESTAMP else kind).cast(kind)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
