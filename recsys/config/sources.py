"""Where interactions, users and items come from."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator

from recsys.config.frozen import Frozen


class DemoSource(Frozen):
    """The built-in world: `scale` multiplies users and items; a taste shift may begin on a day."""

    kind: Literal["demo"] = "demo"
    seed: int = 7
    start: date = date(2026, 1, 1)
    days: int = Field(default=60, ge=1, description="days of the world that exist")
    scale: float = Field(default=1.0, gt=0, description="1 is about 300 k events in 60 days")
    n_items: int = Field(default=1000, ge=1)
    shift_from: date | None = Field(default=None, description="first day on which tastes have shifted")


class MovieLensSource(Frozen):
    """A MovieLens release in `path`; `""` downloads it from GroupLens into the storage root."""

    kind: Literal["movielens"] = "movielens"
    release: Literal["100k", "1m", "latest-small"] = "1m"
    path: str = ""


class TableMapping(Frozen):
    """Where a table is and which of its columns mean what: `columns` maps contract names to the source's names."""

    uri: str = Field(default="", description="path, glob or fsspec URI of CSV, Parquet or JSON lines files")
    query: str = Field(default="", description="SQL text, for the SQL source")
    format: Literal["auto", "csv", "parquet", "jsonl"] = "auto"
    separator: str = ","
    encoding: str = "utf8"
    columns: dict[str, str] = Field(default={})
    constants: dict[str, str | float | bool] = Field(default={}, description="contract column -> fixed value")
    ignore: tuple[str, ...] = Field(default=(), description="source columns left out on purpose")
    extra: tuple[str, ...] = Field(default=(), description="further columns that are categorical features")
    timestamp_unit: Literal["iso", "auto", "s", "ms", "us", "ns"] = Field(
        default="iso", description="auto reads ISO 8601 and epoch numbers of any unit, told apart by their size"
    )
    timestamp_format: tuple[str, ...] = Field(
        default=(), description="patterns in Python's directives, tried in order instead of timestamp_unit"
    )
    decimal: Literal[".", ","] = "."
    list_separator: str = "|"

    @field_validator("timestamp_format", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("timestamp_format")
    @classmethod
    def _whole_dates(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not _holds_a_date(pattern):
                raise ValueError(
                    f'timestamp_format must hold year, month and day, such as "%d.%m.%Y %H:%M"; got {pattern!r}'
                )
        return patterns


class FilesSource(Frozen):
    """CSV, Parquet or JSON lines, local or on any fsspec file system."""

    kind: Literal["files"] = "files"
    interactions: TableMapping
    users: TableMapping = TableMapping()
    items: TableMapping = TableMapping()


class SqlSource(Frozen):
    """Any SQLAlchemy URL, read from the environment variable `url_env` so that no secret stands in a file."""

    kind: Literal["sql"] = "sql"
    url_env: str = "RECSYS_SQL_URL"
    interactions: TableMapping
    users: TableMapping = TableMapping()
    items: TableMapping = TableMapping()
    batch_rows: int = Field(default=100_000, ge=1)


Source = Annotated[DemoSource | MovieLensSource | FilesSource | SqlSource, Field(discriminator="kind")]


def _holds_a_date(pattern: str) -> bool:
    moment = datetime(2026, 11, 29, 15, 45, tzinfo=UTC)
    try:
        return datetime.strptime(moment.strftime(pattern), pattern).date() == moment.date()
    except ValueError:
        return False
