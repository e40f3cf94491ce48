"""From a source's own columns to the data contract, as a `TableMapping` says."""

from typing import Final

import polars as pl

from recsys.config import TableMapping
from recsys.errors import SourceError
from recsys.schema import EVENT_ID, REQUIRED_COLUMNS, TABLE_SCHEMAS, TableName

_PER_SECOND: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}  # microseconds in one unit
_TRUE: Final = ("true", "1", "yes", "y", "t")
_FALSE: Final = ("false", "0", "no", "n", "f")


def check_columns(found: list[str], mapping: TableMapping, table: TableName, where: str) -> None:
    """Raise SourceError when a required column is missing or a column is neither mapped, declared nor ignored."""
    contract = TABLE_SCHEMAS[table]
    given = set(mapping.columns) | set(mapping.constants) | (set(found) - set(mapping.columns.values()))
    for name in [*REQUIRED_COLUMNS[table], *mapping.columns, *mapping.extra]:
        source = mapping.columns.get(name, name)
        if name not in given or (name not in mapping.constants and source not in found):
            raise SourceError(
                f"{where} lacks the column {source!r} for {table}.{name}; found {', '.join(found)}. "
                f"Map it: source.{table}.columns = {{ {name} = \"...\" }}"
            )
    known = {*mapping.columns.values(), *mapping.extra, *mapping.ignore, *contract}
    unknown = [name for name in found if name not in known]
    if unknown:
        raise SourceError(
            f"{where} has columns nobody declared: {', '.join(unknown)}; map them in source.{table}.columns, or list "
            f"them in source.{table}.extra (categorical features) or source.{table}.ignore"
        )


def conform(raw: pl.DataFrame, mapping: TableMapping, table: TableName, where: str) -> pl.DataFrame:
    """Return a batch in the contract's columns and types, then the extra ones as strings.

    A value that cannot be read becomes null, for validation to judge; a column with none that can raises SourceError.
    """
    check_columns(raw.columns, mapping, table, where)
    columns = [_column(raw, name, dtype, mapping, table, where) for name, dtype in TABLE_SCHEMAS[table].items()]
    columns += [raw[name].cast(pl.String).alias(name) for name in mapping.extra]
    frame = pl.DataFrame(columns)
    return frame.with_columns(_derived_event_id(frame)) if table == "interactions" else frame


def _column(
    raw: pl.DataFrame, name: str, dtype: pl.DataType, mapping: TableMapping, table: TableName, where: str
) -> pl.Series:
    if name in mapping.constants:
        return pl.Series(name, [mapping.constants[name]] * len(raw)).cast(dtype)
    source = mapping.columns.get(name, name)
    if source not in raw.columns:
        return pl.Series(name, [None] * len(raw), dtype=dtype)
    column = raw[source]
    cast = _cast(column, dtype, mapping).alias(name)
    if column.len() and cast.null_count() == len(cast) and column.null_count() < len(column):
        raise SourceError(
            f"{where}: no value of column {source!r} can be read as {dtype} for {table}.{name}; "
            "check the mapping, the separator and timestamp_unit"
        )
    return cast


def _cast(column: pl.Series, dtype: pl.DataType, mapping: TableMapping) -> pl.Series:
    if isinstance(dtype, pl.Datetime):
        return _moment(column, mapping)
    if isinstance(dtype, pl.List):
        return column if column.dtype == dtype else column.cast(pl.String).str.split(mapping.list_separator)
    if isinstance(dtype, pl.Boolean) and column.dtype != pl.Boolean:
        words = column.cast(pl.String).str.strip_chars().str.to_lowercase()
        frame = words.to_frame("w")
        said = pl.when(pl.col("w").is_in(_TRUE)).then(True).when(pl.col("w").is_in(_FALSE)).then(False)
        return frame.select(said.alias("w"))["w"]
    return column.cast(dtype, strict=False)


def _moment(column: pl.Series, mapping: TableMapping) -> pl.Series:
    utc = pl.Datetime("us", "UTC")
    if isinstance(column.dtype, pl.Datetime):
        aware = column.dt.replace_time_zone("UTC") if column.dtype.time_zone is None else column
        return aware.cast(utc)
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if mapping.timestamp_unit != "iso":
        ticks = column.cast(pl.Float64, strict=False) * _PER_SECOND[mapping.timestamp_unit]
        return ticks.cast(pl.Int64, strict=False).cast(utc)
    text = column.cast(pl.String).str.strip_chars().str.replace(" ", "T", literal=True)
    text = text.str.replace(r"(Z|\+00:00)$", "")
    for pattern in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d"):
        parsed = text.str.to_datetime(pattern, time_unit="us", strict=False)
        if parsed.null_count() < len(parsed) or not len(parsed):
            break
    return parsed.dt.replace_time_zone("UTC")


def _derived_event_id(frame: pl.DataFrame) -> pl.Expr:
    row = pl.concat_str([pl.col(name).cast(pl.String).fill_null("") for name in frame.columns if name != EVENT_ID],
                        separator="\x1f")
    return pl.col(EVENT_ID).fill_null(pl.format("h{}", row.hash(seed=0))).alias(EVENT_ID)


def empty(table: TableName) -> pl.DataFrame:
    """Return a table without rows."""
    return pl.DataFrame(schema=TABLE_SCHEMAS[table])


