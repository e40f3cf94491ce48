"""MovieLens releases: ratings as events, demographics of users, genres and years of films.

GroupLens' participants agreed to research use and the release holds no consent column, so consent is recorded as
given. Ratings whose time is interpolated keep the user's true order by a microsecond offset.
"""

import gzip
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import polars as pl

from recsys.config import MovieLensSource
from recsys.data.sources.grouplens import download
from recsys.data.sources.source import arrived, of_interval, whole_days
from recsys.errors import SourceError
from recsys.schema import (
    AGE,
    CATEGORIES,
    CONSENT_ANALYTICS,
    CONSENT_PERSONALIZATION,
    DO_NOT_SELL,
    EVENT,
    EVENT_ID,
    GENDER,
    INTERACTIONS,
    ITEM_ID,
    ITEMS,
    LOCATION,
    OCCUPATION,
    PUBLISHED_AT,
    SIGNED_UP_AT,
    TIMESTAMP,
    TITLE,
    USER_ID,
    USERS,
    VALUE,
)

_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
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
        ratings = _ratings(self._folder, self._release)
        by_time = ["user", "order", "item"] if "order" in ratings.columns else ["user", "second", "item"]
        place = pl.int_range(pl.len()).over("user", "second") if "order" in ratings.columns else pl.lit(0, pl.Int64)
        moment = (pl.col("second") * 1_000_000 + place).cast(pl.Datetime("us", "UTC"))
        rows = ratings.sort(by_time).with_columns(
            moment.alias(TIMESTAMP),
            pl.format("{}-{}", "user", "item").alias(EVENT_ID),
            pl.col("user").cast(pl.String).alias(USER_ID),
            pl.col("item").cast(pl.String).alias(ITEM_ID),
            pl.lit("rating").alias(EVENT),
            pl.col("rating").alias(VALUE),
        )
        return _complete(rows, INTERACTIONS).sort(TIMESTAMP, EVENT_ID)

    def interval(self) -> tuple[datetime, datetime]:
        """Return the days of the ratings."""
        first, last = self._events[TIMESTAMP].min(), self._events[TIMESTAMP].max()
        assert first is None or isinstance(first, datetime)
        assert last is None or isinstance(last, datetime)
        return whole_days(first, last, str(self._folder))

    def users(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield all users: MovieLens does not say when they joined."""
        users = _users(self._folder, self._release)
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
        films = _films(self._folder, self._release)
        years = [_YEAR.search(title or "") for title in films[TITLE].to_list()]
        published = pl.Series([datetime(int(year[1]), 1, 1, tzinfo=UTC) if year else None for year in years],
                              dtype=pl.Datetime("us", "UTC"))  # fmt: skip
        yield arrived(_complete(films.with_columns(published.alias(PUBLISHED_AT)), ITEMS), PUBLISHED_AT, start, end,
                      self.interval()[0])  # fmt: skip

    def interactions(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield ratings of `[start, end)`."""
        yield of_interval(self._events, start, end, self.interval()[0])


def _ratings(folder: Path, release: str) -> pl.DataFrame:
    if release == "1m" and (folder / "ratings.parquet").exists():
        raw = pl.read_parquet(folder / "ratings.parquet")
        order = pl.col("sas_pos").fill_null(0) if "sas_pos" in raw.columns else pl.lit(0)
        return raw.select(
            pl.col("user_id").alias("user"),
            pl.col("movie_id").alias("item"),
            pl.col("rating").cast(pl.Float64),
            pl.col("timestamp").cast(pl.Int64).alias("second"),
        ).with_columns(order=pl.struct("second", raw.select(order.alias("o"))["o"]))
    if release == "100k":
        return _separated(folder, ("u.data", "u.data.gz"), "\t", ["user", "item", "rating", "second"])
    if release == "1m":
        return _separated(folder, ("ratings.dat",), "::", ["user", "item", "rating", "second"])
    raw = _separated(folder, ("ratings.csv",), ",", ["user", "item", "rating", "second"], skip=1)
    return raw


def _users(folder: Path, release: str) -> pl.DataFrame | None:
    if release == "latest-small":
        return None
    name, separator, columns = (
        ("u.user", "|", [USER_ID, AGE, GENDER, OCCUPATION, "zip"])
        if release == "100k"
        else ("users.dat", "::", [USER_ID, GENDER, AGE, OCCUPATION, "zip"])
    )
    rows = _lines(folder, (name,), separator, len(columns))
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        pl.col(AGE).cast(pl.Int32), pl.col("zip").str.slice(0, 1).alias(LOCATION)
    )


def _films(folder: Path, release: str) -> pl.DataFrame:
    if release == "latest-small":
        films = pl.read_csv(_file(folder, ("movies.csv",)), schema_overrides={"movieId": pl.String})
        return films.select(
            pl.col("movieId").alias(ITEM_ID), pl.col("title").alias(TITLE), pl.col("genres").str.split("|").alias(CATEGORIES)
        )
    if release == "1m":
        rows = _lines(folder, ("movies.dat",), "::", 3)
        return pl.DataFrame(rows, schema=[ITEM_ID, TITLE, CATEGORIES], orient="row").with_columns(
            pl.col(CATEGORIES).str.split("|")
        )
    rows = _lines(folder, ("u.item",), "|", 24)
    genres = [[name for name, flag in zip(_GENRES_100K, row[5:], strict=True) if flag == "1"] for row in rows]
    return pl.DataFrame({ITEM_ID: [row[0] for row in rows], TITLE: [row[1] for row in rows], CATEGORIES: genres})


def _separated(folder: Path, names: tuple[str, ...], separator: str, columns: list[str], skip: int = 0) -> pl.DataFrame:
    content = _content(folder, names)
    if len(separator) > 1:
        content, separator = content.replace(separator.encode(), b"\t"), "\t"
    try:
        raw = pl.read_csv(io.BytesIO(content), separator=separator, has_header=False, skip_rows=skip,
                          new_columns=columns)  # fmt: skip
        return raw.with_columns(pl.col("rating").cast(pl.Float64), pl.col("second").cast(pl.Int64))
    except pl.exceptions.PolarsError:
        raise SourceError(f"{folder / names[0]} is not a MovieLens ratings file; unpack the release again") from None


def _lines(folder: Path, names: tuple[str, ...], separator: str, n_fields: int) -> list[list[str]]:
    rows = [line.split(separator) for line in _content(folder, names).decode("latin-1").splitlines() if line]
    if any(len(row) != n_fields for row in rows):
        raise SourceError(f"{folder / names[0]} must have {n_fields} fields a line; unpack the release again")
    return rows


def _content(folder: Path, names: tuple[str, ...]) -> bytes:
    path = _file(folder, names)
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if not content:
        raise SourceError(f"{path} is empty; unpack the release again")
    return content


def _file(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise SourceError(f"{folder} has no {names[0]}; set source.path (DATA_DIR) to the unpacked MovieLens release")


def _complete(rows: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    columns = [
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(dtype).alias(name) for name, dtype in schema.items()
    ]
    return rows.select(columns)
