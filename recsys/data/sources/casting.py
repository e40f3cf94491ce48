"""Casts one source column to a type of the data contract; what cannot be read becomes null."""

from typing import Final

import polars as pl

from recsys.config import TableMapping

_TICKS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}  # microseconds in one unit
_TRUE: Final = ("true", "1", "1.0", "yes", "y", "t")
_FALSE: Final = ("false", "0", "0.0", "no", "n", "f")
_UTC: Final = pl.Datetime("us", "UTC")
_PATTERNS: Final = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
_OFFSET: Final = r"T.*([+-])(\d{2}):?(\d{2})?$"
_LAST_YEAR: Final = 9999  # Python's dates end here: a later moment is a wrong timestamp_unit


def cast(column: pl.Series, dtype: pl.DataType, mapping: TableMapping) -> pl.Series:
    """Return `column` as `dtype`, of the same length; never raises for a value."""
    if column.dtype == pl.Object or (column.dtype.is_nested() and not isinstance(dtype, pl.List)):
        return pl.Series("value", [None] * len(column), dtype=dtype)
    frame = pl.DataFrame({"value": column})
    return frame.select(_as(column.dtype, dtype, mapping).cast(dtype, strict=False))["value"]


def _as(found: pl.DataType, dtype: pl.DataType, mapping: TableMapping) -> pl.Expr:
    value = pl.col("value")
    if isinstance(dtype, pl.List):
        return value if isinstance(found, pl.List) else _labels(value, mapping.list_separator)
    if isinstance(dtype, pl.Datetime):
        moment = _moment(value, found, mapping)
        return pl.when(moment.dt.year().is_between(1, _LAST_YEAR)).then(moment).alias("value")
    if isinstance(dtype, pl.Boolean) and found != pl.Boolean:
        words = value.cast(pl.String).str.strip_chars().str.to_lowercase()
        return pl.when(words.is_in(_TRUE)).then(True).when(words.is_in(_FALSE)).then(False).alias("value")
    if dtype.is_numeric():
        return _number(value, found, whole=dtype.is_integer())
    return value


def _labels(value: pl.Expr, separator: str) -> pl.Expr:
    """Split text into labels; blank ones are dropped."""
    parts = value.cast(pl.String, strict=False).str.split(separator)
    return parts.list.eval(pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != ""))


def _number(value: pl.Expr, found: pl.DataType, whole: bool) -> pl.Expr:
    """Read numbers; NaN is null, and "34.0" is a whole number where 34.5 is none."""
    text = value.str.strip_chars() if found == pl.String else value
    number = text.cast(pl.Float64, strict=False).fill_nan(None)
    return pl.when(number == number.round()).then(number).alias("value") if whole else number


def _moment(value: pl.Expr, found: pl.DataType, mapping: TableMapping) -> pl.Expr:
    """Read points in time; those without an offset are UTC."""
    if isinstance(found, pl.Datetime):
        return (value.dt.replace_time_zone("UTC") if found.time_zone is None else value).cast(_UTC)
    if found == pl.Date:
        return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if mapping.timestamp_unit != "iso":
        ticks = value.cast(pl.Float64, strict=False) * _TICKS[mapping.timestamp_unit]
        return ticks.round().cast(pl.Int64, strict=False).cast(_UTC)
    text = value.cast(pl.String, strict=False).str.strip_chars().str.replace(" ", "T", literal=True)
    local = text.str.replace(r"(T.*)(Z|[+-]\d{2}(:?\d{2})?)$", "$1")
    parsed = pl.coalesce(local.str.to_datetime(pattern, time_unit="us", strict=False) for pattern in _PATTERNS)
    hours, minutes = (text.str.extract(_OFFSET, group).cast(pl.Int64).fill_null(0) for group in (2, 3))
    ahead = pl.duration(hours=hours, minutes=minutes)
    east = text.str.extract(_OFFSET, 1).fill_null("+") == "+"
    return pl.when(east).then(parsed - ahead).otherwise(parsed + ahead).dt.replace_time_zone("UTC")
