"""Any database SQLAlchemy reads, a query or table for each of the contract's tables."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

import polars as pl
import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from recsys.config import SqlBeside, SqlSource, TableMapping
from recsys.data.outlying import MAX_GAP_DAYS, events_per_day
from recsys.data.sources.columns import column_problems
from recsys.data.sources.counted import COUNT, counted_days, deciding_columns
from recsys.data.sources.mapping import conform, identified
from recsys.data.sources.readability import Readability
from recsys.data.sources.source import DATED, arrived, at_no_time, history, of_interval, untimed_day
from recsys.errors import ConfigError, SourceError
from recsys.schema import PUBLISHED_AT, SIGNED_UP_AT, TIMESTAMP, TableName

_PLAIN: Final = {str, int, float, bool, bytes, datetime, date, Decimal}


class SqlReader:
    """A source of SQL queries, streamed in batches by a server-side cursor where the database has one."""

    def __init__(self, settings: SqlSource, max_gap_days: int = MAX_GAP_DAYS) -> None:
        self._settings, self._max_gap_days = settings, max_gap_days
        self._tables: dict[TableName, TableMapping] = {
            "interactions": settings.interactions,
            "users": settings.users,
            "items": settings.items,
        }
        # Beside an event log only users and items are read; then there are no events to take the interval from.
        self._untimed = settings.interactions.timestamps == "none" or isinstance(settings, SqlBeside)
        self._checked = False

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        url = os.environ.get(self._settings.url_env)
        if not url:
            raise ConfigError(f"the SQL source needs its database URL in the environment: {self._settings.url_env}")
        try:
            return sqlalchemy.create_engine(url)
        except (SQLAlchemyError, ImportError, ValueError) as error:
            raise ConfigError(f"{self._settings.url_env} is no usable database URL: {type(error).__name__}") from None

    @cached_property
    def _interval(self) -> tuple[datetime, datetime]:
        if self._untimed:
            return untimed_day(batch[column].max() for table, column in DATED.items() for batch in self._read(table))
        days = self._counted_days()
        if days is None:
            days = Counter()
            for batch in self._read("interactions"):
                days.update(events_per_day(batch[TIMESTAMP]))
        return history(days, self._max_gap_days, "the interactions query")

    def interval(self) -> tuple[datetime, datetime]:
        """Return the days of the events, from one query in which the database counts them by time and kind.

        Where it refuses that query, or its times cannot be read, the events are read once.
        """
        return self._interval

    def _counted_days(self) -> Counter[date] | None:
        """Return events by day as the database counts them; None where only the rows can tell, or say what is wrong."""
        mapping, where = self._tables["interactions"], "the interactions query"
        if not mapping.query:
            return None
        self._check_mappings()
        with self._result("interactions") as (names, _):
            wanted = deciding_columns(names, mapping)
        if not wanted:
            return None
        readability, days = Readability("interactions", where, mapping), Counter[date]()
        try:
            with self._result("interactions", counting(mapping.query, names, wanted)) as (found, result):
                for rows in result.partitions(self._settings.batch_rows):
                    days.update(counted_days(_frame(found, rows), mapping, readability))
            readability.check()
        except SourceError:
            return None
        return days or None

    def users(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield users who signed up in `[start, end)`."""
        for batch in self._read("users"):
            yield arrived(batch, SIGNED_UP_AT, start, end, self._interval[0])

    def items(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield items published in `[start, end)`."""
        for batch in self._read("items"):
            yield arrived(batch, PUBLISHED_AT, start, end, self._interval[0])

    def interactions(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield events of `[start, end)`."""
        whole = self._interval
        for batch in self._read("interactions"):
            events = identified(of_interval(batch, start, end, whole))
            yield at_no_time(events, whole[1]) if self._untimed else events

    def _read(self, table: TableName) -> Iterator[pl.DataFrame]:
        mapping, where = self._tables[table], f"the {table} query"
        if not mapping.query:
            if table == "interactions":
                raise ConfigError("source.interactions.query is empty; say which rows are the interactions")
            return
        self._check_mappings()
        readability, n_rows = Readability(table, where, mapping), 0
        with self._result(table) as (names, result):
            for rows in result.partitions(self._settings.batch_rows):
                n_rows += len(rows)
                yield conform(_frame(names, rows), mapping, table, where, readability)
        if not n_rows:
            raise SourceError(f"{where} returned no rows; check it, or leave the table out")
        readability.check()

    @contextmanager
    def _result(
        self, table: TableName, statement: sqlalchemy.Executable | None = None
    ) -> Iterator[tuple[list[str], sqlalchemy.CursorResult[Any]]]:  # Any: a row
        """Run a table's query, or a `statement` about it; yields the names of its columns and the rows to come."""
        where = f"the {table} query"
        try:
            with self._engine.connect() as connection:
                stream = connection.execution_options(stream_results=True, yield_per=self._settings.batch_rows)
                result = stream.execute(sqlalchemy.text(self._tables[table].query) if statement is None else statement)
                yield _distinct(list(result.keys()), where), result
        except SQLAlchemyError as error:
            raise SourceError(
                f"{where} failed ({type(error).__name__}); run it by hand against the same database"
            ) from None

    def _check_mappings(self) -> None:
        """Raise SourceError naming every mapping that does not fit its query; looks once."""
        if self._checked:
            return
        problems = []
        for table, mapping in self._tables.items():
            try:
                if mapping.query:
                    with self._result(table) as (names, _):
                        problems += column_problems(names, mapping, table, f"the {table} query")
            except SourceError as error:
                problems.append(str(error))
        if problems:
            raise SourceError("; ".join(problems))
        self._checked = True


def counting(query: str, names: Sequence[str], by: Sequence[str]) -> sqlalchemy.Select[Any]:  # Any: a row
    """Return the statement that counts the rows of a query, which returns columns `names`, by some of them."""
    columns: list[sqlalchemy.ColumnClause[Any]] = [sqlalchemy.column(name) for name in names]  # Any: of every type
    rows = sqlalchemy.text(query.strip().removesuffix(";")).columns(*columns).subquery("recsys_rows")
    keys = [rows.c[name] for name in by]
    return sqlalchemy.select(*keys, sqlalchemy.func.count().label(COUNT)).group_by(*keys)


def _frame(names: Sequence[str], rows: Sequence[Sequence[object]]) -> pl.DataFrame:
    return pl.DataFrame([_series(*column) for column in zip(names, zip(*rows, strict=True), strict=True)])


def _distinct(names: list[str], where: str) -> list[str]:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(f"{where} returns columns twice: {', '.join(twice)}; give each its own name")
    return names


def _series(name: str, values: Sequence[object]) -> pl.Series:
    """Return a column; values Polars has no type for, or of several types (SQLite allows them), become text."""
    kinds = {type(value) for value in values if value is not None}
    if (len(kinds) <= 1 and kinds <= _PLAIN) or kinds == {list}:
        return pl.Series(name, values, dtype=pl.Null if not kinds else None, strict=False)
    return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)
