"""Reads points in time: ISO 8601, patterns, and epoch numbers whose unit is set or told by their size.

Every value is read on its own, so the same value means the same in every batch, file and run.
"""

from typing import Final

import polars as pl

from recsys.config import TableMapping

UTC_US: Final = pl.Datetime("us", "UTC")
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_YEAR_1973: Final = 10**8  # seconds: from here to the year 2200 no number is plausible in two units
_YEAR_2200: Final = 7_258_118_400
_LAST_YEAR: Final = 9999  # Python's dates end here: a later moment is a wrong timestamp_unit
_LOCAL: Final = "%Y-%m-%dT%H:%M:%S%.f"
# Extended and basic ISO 8601, a blank for the T, a blank before the zone, `UTC` and `GMT` for Z, Java's `[zone]`.
_ISO: Final = (
    r"^(?P<year>[0-9]{4})[-/]?(?P<month>[0-9]{2})[-/]?(?P<day>[0-9]{2})"
    r"(?:[T ]*(?P<hour>[0-9]{2}):?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"\s*(?:Z|UTC|GMT|(?P<sign>[+-])(?P<ahead>[01][0-9]|2[0-3]):?(?P<minutes>[0-5][0-9])?)?(?:\[[A-Z0-9_/+-]+\])?)?$"
)


def read_moments(column: pl.Series, mapping: TableMapping) -> pl.Series:
    """Return points in time in UTC, those without an offset taken as UTC; null where one cannot be read."""
    moments = _by_type(column, mapping)
    return moments.set(~moments.dt.year().is_between(1, _LAST_YEAR).fill_null(True), None)


def unit_by_size(number: pl.Expr) -> pl.Expr:
    """Return "s", "ms", "us" or "ns": the one unit in which an epoch number lies before the year 2200.

    Fractions of a second count only from March 1973 on, where they are no plausible seconds; else, and for 0, null.
    """
    size = number.abs()
    fits = {name: size.is_between(_YEAR_1973 * ticks, _YEAR_2200 * ticks) for name, ticks in _PER_SECOND.items()}
    fits["s"] = (size > 0) & (size < _YEAR_2200)
    return pl.coalesce(pl.when(inside).then(pl.lit(name)) for name, inside in fits.items())


def _by_type(column: pl.Series, mapping: TableMapping) -> pl.Series:
    if isinstance(column.dtype, pl.Datetime):
        return (column.dt.replace_time_zone("UTC") if column.dtype.time_zone is None else column).cast(UTC_US)
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if mapping.timestamp_format:
        frame = pl.DataFrame({"text": column.cast(pl.String, strict=False).str.strip_chars()})
        return frame.select(pl.coalesce(_by_pattern(pattern) for pattern in mapping.timestamp_format)).to_series()
    return _iso(column) if mapping.timestamp_unit == "iso" else _numbers(column, mapping.timestamp_unit)


def _numbers(column: pl.Series, unit: str) -> pl.Series:
    """Read epoch numbers of a unit; with "auto" of any, and ISO 8601 where a value can be read so."""
    numbers = pl.DataFrame({"number": column.cast(pl.Float64, strict=False)})
    if unit != "auto":
        return numbers.select(_epoch(pl.lit(_PER_SECOND[unit]))).to_series()
    likely = pl.when(pl.col("number") == 0).then(pl.lit("s")).otherwise(unit_by_size(pl.col("number")))
    numeric = numbers.select(_epoch(likely.replace_strict(_PER_SECOND, return_dtype=pl.Int64))).to_series()
    if column.dtype.is_float():
        return numeric
    written = _iso(column)
    return written.zip_with(written.is_not_null(), numeric)


def _epoch(ticks: pl.Expr) -> pl.Expr:
    """Return the moment `number` ticks after 1970; `ticks` is how many a second has."""
    microseconds = pl.col("number") * (1_000_000 / ticks)
    return microseconds.round().cast(pl.Int64, strict=False).cast(UTC_US)


def _by_pattern(pattern: str) -> pl.Expr:
    """Parse by Python's directives, which differ from Polars' in fractions alone."""
    polars = pattern.replace(".%f", "%.f").replace("%f", "%6f")
    moment = pl.col("text").str.to_datetime(polars, time_unit="us", strict=False)
    return moment if "%z" in pattern else moment.dt.replace_time_zone("UTC")


def _iso(column: pl.Series) -> pl.Series:
    """Read the usual spelling at once, and what is left, if any, part by part."""
    text = column.cast(pl.String, strict=False).str.strip_chars()
    plain = text.str.replace(" ", "T", literal=True).str.strip_suffix("Z")
    moments = plain.str.to_datetime(_LOCAL, time_unit="us", strict=False).dt.replace_time_zone("UTC")
    left = (moments.is_null() & text.is_not_null()).arg_true()
    return moments.scatter(left, _iso_parts(text.gather(left))) if len(left) else moments


def _iso_parts(text: pl.Series) -> pl.Series:
    parts = text.str.to_uppercase().str.extract_groups(_ISO).struct.unnest()
    part = {name: pl.col(name) for name in parts.columns}
    date = pl.concat_str(part["year"], part["month"], part["day"], separator="-")
    clock = pl.concat_str((part[name].fill_null("00") for name in ("hour", "minute", "second")), separator=":")
    local = pl.concat_str(date, pl.lit("T"), clock, pl.lit("."), part["fraction"].fill_null("0"))
    parsed = local.str.to_datetime(_LOCAL, time_unit="us", strict=False)
    hours, minutes = (part[name].cast(pl.Int64).fill_null(0) for name in ("ahead", "minutes"))
    ahead = pl.when(part["sign"] == "-").then(-1).otherwise(1) * (hours * 60 + minutes)
    return parts.select((parsed - pl.duration(minutes=ahead)).dt.replace_time_zone("UTC")).to_series()
