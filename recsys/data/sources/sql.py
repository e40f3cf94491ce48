"""Any database SQLAlchemy reads, a query or table for each of the contract's tables."""

import os
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property

import polars as pl
import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from recsys.config import SqlSource, TableMapping
from recsys.data.sources.mapping import conform
from recsys.data.sources.source import arrived, of_interval, whole_days
from recsys.errors import ConfigError, SourceError
from recsys.schema import PUBLISHED_AT, SIGNED_UP_AT, TIMESTAMP, TableName


class SqlReader:
    """A source of SQL queries, streamed in batches by a server-side cursor where the database has one."""

    def __init__(self, settings: SqlSource) -> None:
        self._settings = settings
        self._tables: dict[TableName, TableMapping] = {
            "interactions": settings.interactions,
            "users": settings.users,
            "items": settings.items,
        }

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        url = os.environ.get(self._settings.url_env)
        if not url:
            raise ConfigError(f"the SQL source needs its database URL in the environment: {self._settings.url_env}")
        try:
            return sqlalchemy.create_engine(url)
        except (SQLAlchemyError, ImportError) as error:
            raise ConfigError(f"{self._settings.url_env} is no usable database URL: {type(error).__name__}") from None

    @cached_property
    def _interval(self) -> tuple[datetime, datetime]:
        times = [(batch[TIMESTAMP].min(), batch[TIMESTAMP].max()) for batch in self._read("interactions")]
        known = [time for pair in times for time in pair if isinstance(time, datetime)]
        return whole_days(min(known, default=None), max(known, default=None), "the interactions query")

    def interval(self) -> tuple[datetime, datetime]:
        """Return the days of the events; reads them once."""
        return self._interval

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
        first = self._interval[0]
        for batch in self._read("interactions"):
            yield of_interval(batch, start, end, first)

    def _read(self, table: TableName) -> Iterator[pl.DataFrame]:
        mapping = self._tables[table]
        if not mapping.query:
            return
        try:
            with self._engine.connect() as connection:
                stream = connection.execution_options(stream_results=True, yield_per=self._settings.batch_rows)
                result = stream.execute(sqlalchemy.text(mapping.query))
                names = list(result.keys())
                for rows in result.partitions(self._settings.batch_rows):
                    raw = pl.DataFrame([tuple(row) for row in rows], schema=names, orient="row",
                                       infer_schema_length=None)  # fmt: skip
                    yield conform(raw, mapping, table, f"the {table} query")
        except SQLAlchemyError as error:
            raise SourceError(
                f"the {table} query failed ({type(error).__name__}); run it by hand against the same database"
            ) from None
