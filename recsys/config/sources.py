"""Where interactions, users and items come from."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, ValidationInfo, field_validator, model_validator

from recsys.config.frozen import Frozen
from recsys.config.text_files import check_character, check_encoding
from recsys.schema import EVENT, ITEM_ID, TIMESTAMP, USER_ID, EventKind


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


def _name(value: object) -> object:
    """Take the place of a column, from 0, for its name: files without a header row have no other."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _several(value: object) -> object:
    return (value,) if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def _iso(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value  # a date of TOML; a datetime is one too


ColumnName = Annotated[str, BeforeValidator(_name), StringConstraints(min_length=1)]
ColumnNames = Annotated[tuple[ColumnName, ...], BeforeValidator(_several)]
Word = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) in (int, float) else value)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_several)]
KindOrIgnore = Literal[EventKind, "ignore"]


class TableMapping(Frozen):
    """Where a table is and which of its columns mean what: `columns` maps contract names to the source's names."""

    uri: str = Field(default="", description="path, glob or fsspec URI of CSV, Parquet or JSON lines files")
    query: str = Field(default="", description="SQL text, for the SQL source")
    format: Literal["auto", "csv", "parquet", "jsonl"] = "auto"
    separator: str = Field(default=",", description="one character between the cells of a CSV file")
    quote: str = Field(default='"', description="character around a CSV cell that holds a separator; empty: none")
    escape: str = Field(default="", description="character before a quote inside a quoted CSV cell; empty: none")
    encoding: str = "utf8"
    header: bool = Field(default=True, description="whether a CSV file's first row names its columns; else 0, 1, ...")
    columns: dict[str, ColumnName] = Field(default={})
    constants: dict[str, Annotated[str | float | bool, BeforeValidator(_iso)]] = Field(
        default={}, description="contract column -> fixed value"
    )
    ignore: ColumnNames = Field(default=(), description='source columns left out on purpose; "*" stands for any text')
    extra: ColumnNames = Field(default=(), description="further columns that are categorical features")
    missing: dict[str, Words] = Field(
        default={}, description='contract column, or "*" for all -> values that mean that it is not known'
    )
    events: dict[str, KindOrIgnore] = Field(default={}, description="the source's word -> kind of event, or ignore")
    flags: dict[EventKind, ColumnName] = Field(
        default={}, description="kind of event -> column that is true or above 0 in rows that are such an event"
    )
    otherwise: KindOrIgnore = Field(default="impression", description="the event of a row in which no flag is set")
    value_scale: float = Field(default=1.0, gt=0, description="factor of value: 0.001 makes seconds of milliseconds")
    timestamp_unit: Literal["iso", "auto", "s", "ms", "us", "ns"] = Field(
        default="iso", description="auto reads ISO 8601 and epoch numbers of any unit, told apart by their size"
    )
    timestamp_format: tuple[str, ...] = Field(
        default=(), description="patterns in Python's directives, tried in order instead of timestamp_unit"
    )
    decimal: Literal[".", ","] = "."
    timestamps: Literal["given", "none"] = Field(
        default="given", description="none: the interactions have no times; a random hold-out then takes their place"
    )
    list_separator: str = Field(default="|", min_length=1)

    @field_validator("separator", "quote", "escape")
    @classmethod
    def _one_character(cls, value: str, info: ValidationInfo) -> str:
        return check_character(str(info.field_name), value)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        return check_encoding(value)

    @field_validator("events")
    @classmethod
    def _one_kind_a_word(cls, events: dict[str, KindOrIgnore]) -> dict[str, KindOrIgnore]:
        folded = {word.strip().lower(): kind for word, kind in events.items()}
        for word, kind in events.items():
            if folded[word.strip().lower()] != kind:
                raise ValueError(f"events maps {word!r} twice, as upper and lower case do not matter; leave one out")
        return folded

    @model_validator(mode="after")
    def _nothing_said_twice(self) -> "TableMapping":
        if both := sorted(set(self.columns) & set(self.constants)):
            raise ValueError(f"columns and constants both name {', '.join(both)}; leave one of the two out")
        ids = [self.columns[name] for name in (USER_ID, ITEM_ID, EVENT) if name in self.columns]
        if len(set(ids)) < len(ids):
            raise ValueError("columns must name three different columns for user_id, item_id and event")
        if self.flags and (EVENT in self.columns or EVENT in self.constants or self.events):
            raise ValueError(f"flags say which rows are which events; leave {EVENT} out of columns, constants, events")
        if not self.flags and self.otherwise != "impression":
            raise ValueError("otherwise is the event of a row in which no flag is set; set flags, or leave it out")
        return self

    @model_validator(mode="after")
    def _maps_times_or_has_none(self) -> "TableMapping":
        if self.timestamps == "none" and TIMESTAMP in {*self.columns, *self.constants}:
            raise ValueError('timestamps = "none" says there are no times; leave it out, or map no timestamp')
        return self

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


_EVENT_SETTINGS = ("events", "flags", "otherwise", "value_scale")
_FILE_SETTINGS = ("uri", "format", "separator", "quote", "escape", "encoding", "header")


class _Tables(Frozen):
    """The three tables of a source that maps columns."""

    interactions: TableMapping
    users: TableMapping = TableMapping()
    items: TableMapping = TableMapping()

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> "_Tables":
        foreign = _FILE_SETTINGS if isinstance(self, SqlSource) else ("query",)
        reads = "from a database" if isinstance(self, SqlSource) else "files"
        for name in ("interactions", "users", "items"):
            given = {
                each for each, value in getattr(self, name) if value != TableMapping.model_fields[each].get_default()
            }
            if found := [each for each in foreign if each in given]:
                raise ValueError(f"{name}.{found[0]} has no effect in a source that reads {reads}; leave it out")
            if name != "interactions" and (found := [each for each in _EVENT_SETTINGS if each in given]):
                raise ValueError(f"{name}.{found[0]} is about events; it belongs to [source.interactions]")
        return self


class FilesSource(_Tables):
    """CSV, Parquet or JSON lines, local or on any fsspec file system."""

    kind: Literal["files"] = "files"


class SqlSource(_Tables):
    """Any SQLAlchemy URL, read from the environment variable `url_env` so that no secret stands in a file."""

    kind: Literal["sql"] = "sql"
    url_env: str = Field(default="RECSYS_SQL_URL", min_length=1)
    batch_rows: int = Field(default=100_000, ge=1)


class FilesBeside(FilesSource):
    """Files that give users and items to a log of events; interactions may be left out."""

    interactions: TableMapping = TableMapping()


class SqlBeside(SqlSource):
    """A database that gives users and items to a log of events; interactions may be left out."""

    interactions: TableMapping = TableMapping()


Beside = Annotated[DemoSource | MovieLensSource | FilesBeside | SqlBeside, Field(discriminator="kind")]


class LogSource(Frozen):
    """The event log: interactions, and the users and items written to it, which replace those of a source `beside`."""

    kind: Literal["log"] = "log"
    beside: Beside | None = Field(default=None, description="a source whose users and items are read too")


Source = Annotated[DemoSource | MovieLensSource | FilesSource | SqlSource | LogSource, Field(discriminator="kind")]


def _holds_a_date(pattern: str) -> bool:
    moment = datetime(2026, 11, 29, 15, 45, tzinfo=UTC)
    try:
        return datetime.strptime(moment.strftime(pattern), pattern).date() == moment.date()
    except ValueError:
        return False
