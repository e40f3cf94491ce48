"""MovieLens releases: ratings as events, demographics of users, genres and years of films.

GroupLens' participants agreed to research use and the release holds no consent column, so consent is recorded as
given. Ratings whose time is interpolated keep the user's true order by a microsecond offset.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import polars as pl

from recsys.config import MovieLensSource
from recsys.data.sources.grouplens import download
from recsys.data.sources.movielens_files import read_films, read_ratings, read_users
from recsys.data.sources.source import arrived, of_interval, whole_days
from recsys.errors import SourceError
from recsys.schema import (
    CONSENT_ANALYTICS,
    CONSENT_PERSONALIZATION,
    DO_NOT_SELL,
    EVENT,
    EVENT_ID,
    INTERACTIONS,
    ITEM_ID,
    ITEMS,
    PUBLISHED_AT,
    SIGNED_UP_AT,
    TIMESTAMP,
    TITLE,
    USER_ID,
    USERS,
    VALUE,
)

_YEAR = re.compile(r"\((\d{4})\)\s*$")


class MovieLensReader:
    """A MovieLens release as a source; films count as published on 1 January of their year."""

    def __init__(self, settings: MovieLensSource, storage: str) -> None:
        self._release = settings.release
        self._folder = Path(settings.path) if settings.path else download(settings.release, storage)
        if not self._folder.is_dir():
            raise SourceError(f"there is no folder {self._folder}; set source.path (DATA_DIR) to the unpacked release")

    @cached_property
    def _events(self) -> pl.DataFrame:
        ratings = read_ratings(self._folder, self._release)
        by_user = ratings.sort("user", "second", "place", "item")
        offset = _place_in_second() if self._release == "1m" else pl.lit(0, pl.Int64)
        moments = by_user.with_columns((pl.col("second") * 1_000_000 + offset).alias("moment"))
        ordered = moments.sort("moment", "user", "item").with_columns(pl.col("user", "item").cast(pl.String))
        rows = ordered.select(
            pl.col("moment").cast(pl.Datetime("us", "UTC")).alias(TIMESTAMP),
            pl.concat_str("user", "item", separator="-").alias(EVENT_ID),
            pl.col("user").alias(USER_ID),
            pl.col("item").alias(ITEM_ID),
            pl.lit("rating").alias(EVENT),
            pl.col("rating").alias(VALUE),
        )
        return _complete(rows, INTERACTIONS)

    def interval(self) -> tuple[datetime, datetime]:
        """Return the days of the ratings."""
        times = (self._events[TIMESTAMP].min(), self._events[TIMESTAMP].max())
        known = [moment for moment in times if isinstance(moment, datetime)]
        return whole_days(min(known, default=None), max(known, default=None), str(self._folder))

    def users(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield all users: MovieLens does not say when they joined."""
        users = read_users(self._folder, self._release)
        if users is None:
            users = self._events.select(USER_ID).unique().sort(USER_ID)
        agreed = users.with_columns(
            pl.lit(True).alias(CONSENT_PERSONALIZATION),
            pl.lit(True).alias(CONSENT_ANALYTICS),
            pl.lit(False).alias(DO_NOT_SELL),
        )
        yield arrived(_complete(agreed, USERS), SIGNED_UP_AT, start, end, self.interval()[0])

    def items(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield films of the years in the interval."""
        films = read_films(self._folder, self._release)
        years = [_YEAR.search(title or "") for title in films[TITLE].to_list()]
        published = pl.Series([datetime(int(year[1]), 1, 1, tzinfo=UTC) if year else None for year in years],
                              dtype=pl.Datetime("us", "UTC"))  # fmt: skip
        yield arrived(_complete(films.with_columns(published.alias(PUBLISHED_AT)), ITEMS), PUBLISHED_AT, start, end,
                      self.interval()[0])  # fmt: skip

    def interactions(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield ratings of `[start, end)`."""
        yield of_interval(self._events, start, end, self.interval())


def _place_in_second() -> pl.Expr:
    """Count, from 0, a user's ratings of one second, in a frame sorted by user and second; far faster than `over`."""
    row = pl.int_range(pl.len())
    begins = (row == 0) | (pl.col("user") != pl.col("user").shift()) | (pl.col("second") != pl.col("second").shift())
    return row - pl.when(begins).then(row).forward_fill()


def _complete(rows: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    given = {name: pl.col(name) if name in rows.columns else pl.lit(None) for name in schema}
    return rows.select(given[name].cast(dtype).alias(name) for name, dtype in schema.items())
