"""Casts one source column to a type of the data contract, and tells which values could not be read."""

from typing import Final

import polars as pl

from recsys.config import TableMapping
from recsys.data.sources.times import read_moments

_TRUE: Final = ("true", "1", "yes", "y", "t", "on")
_FALSE: Final = ("false", "0", "no", "n", "f", "off")
_ABSENT: Final = ("", "null", "nan", "\\n")  # how exports spell a value that is not there
_ABSENT_NUMBERS: Final = (*_ABSENT, "none", "na", "n/a", "nat")  # words that as consent could mean a refusal
_WHOLE: Final = r"^(-?(?:0|[1-9]\d*))\.0+$"
_GROUPED: Final = r"^[+-]?\d{1,3}(\.\d{3})+(,\d+)?$"  # 1.234.567,8
# From here on neighbouring whole numbers share a float.
_EXACT: Final[dict[type[pl.DataType], int]] = {pl.Float32: 2**24, pl.Float64: 2**53}
_IDS: Final = "_id"  # columns that end so hold identifiers


def cast(column: pl.Series, dtype: pl.DataType, mapping: TableMapping, name: str = "") -> pl.Series:
    """Return `column` as `dtype`, of the same length; never raises for a value, what cannot be read becomes null.

    `name` is the contract's: in an identifier's column the text 500.0 is the id 500.
    """
    column = _plain(column)
    if not _fits(column.dtype, dtype):
        return pl.Series("value", [None], dtype=dtype).new_from_index(0, len(column))
    if isinstance(dtype, pl.Datetime):
        return read_moments(column, mapping)
    expression = _as(column.dtype, dtype, mapping, is_id=name.endswith(_IDS))
    return pl.DataFrame({"value": column}).select(expression.alias("value").cast(dtype, strict=False))["value"]


def unreadable(given: pl.Series, read: pl.Series) -> pl.Series:
    """Return bool[n]: a value was there and has become null. NaN and words such as NULL are no values."""
    lost = given.is_not_null() & read.is_null()
    if not lost.any():
        return lost
    if given.dtype.is_float():
        return lost & given.is_not_nan()
    if given.dtype == pl.String:
        absent = _ABSENT if read.dtype == pl.Boolean else _ABSENT_NUMBERS
        return lost & ~given.str.strip_chars().str.to_lowercase().is_in(absent)
    return lost


def _plain(column: pl.Series) -> pl.Series:
    """Return categories and bytes as the text they are, durations as seconds, arrays as lists."""
    if column.dtype == pl.Binary:
        return pl.Series(column.name, [_decoded(value) for value in column], dtype=pl.String)
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if isinstance(column.dtype, pl.Array):
        return column.arr.to_list()
    return column.dt.total_seconds(fractional=True) if isinstance(column.dtype, pl.Duration) else column


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _fits(found: pl.DataType, dtype: pl.DataType) -> bool:
    """Tell whether values of one type can mean values of the other at all: a date is no number, a record no text."""
    if found == pl.Object or found.is_nested():
        return isinstance(found, pl.List) and isinstance(dtype, pl.List)
    return not found.is_temporal() or isinstance(dtype, pl.String | pl.List | pl.Datetime)


def _as(found: pl.DataType, dtype: pl.DataType, mapping: TableMapping, is_id: bool) -> pl.Expr:
    value = pl.col("value")
    if isinstance(dtype, pl.List):
        return _listed(value, found, mapping.list_separator)
    if isinstance(dtype, pl.Boolean):
        words = value.cast(pl.String).str.strip_chars().str.to_lowercase().str.replace(_WHOLE, "$1")
        return pl.when(words.is_in(_TRUE)).then(True).when(words.is_in(_FALSE)).then(False)
    if dtype.is_numeric():
        return _number(value, found, mapping.decimal, whole=dtype.is_integer())
    return _text(value, found, is_id)


def _listed(value: pl.Expr, found: pl.DataType, separator: str) -> pl.Expr:
    if not isinstance(found, pl.List):
        return _labels(_text(value, found, is_id=False), separator)
    inner = found.inner
    if isinstance(inner, pl.DataType) and inner.is_float():
        return value.list.eval(_text(pl.element(), inner, is_id=False))
    return value


def _labels(value: pl.Expr, separator: str) -> pl.Expr:
    """Split text into labels; blank ones are dropped."""
    parts = value.str.split(separator)
    return parts.list.eval(pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != ""))


def _number(value: pl.Expr, found: pl.DataType, decimal: str, whole: bool) -> pl.Expr:
    """Read numbers; NaN is null, and "34.0" is a whole number where 34.5 is none.

    With a decimal comma, points stand between groups of three digits only: 1.234,5 is read and 4.5 is not.
    """
    text = value.str.strip_chars() if found == pl.String else value
    if found == pl.String and decimal == ",":
        plain = pl.when(text.str.contains(_GROUPED)).then(text.str.replace_all(".", "", literal=True)).otherwise(text)
        text = pl.when(~plain.str.contains(".", literal=True)).then(plain.str.replace(",", ".", literal=True))
    number = text.cast(pl.Float64, strict=False).fill_nan(None)
    return pl.when(number == number.round()).then(number) if whole else number


def _text(value: pl.Expr, found: pl.DataType, is_id: bool) -> pl.Expr:
    """Write values as text; whole floats and decimals as the integer they are, where a float still tells which."""
    if found.is_float():
        whole = value.is_finite() & (value == value.round())
        exact = value.abs() < _EXACT.get(type(found), 2**53)
        integer = pl.when(whole & exact).then(value).cast(pl.Int64, strict=False).cast(pl.String)
        return pl.when(whole).then(integer).when(value.is_finite()).then(value.cast(pl.String))
    text = value.cast(pl.String, strict=False)
    if not (is_id and found == pl.String) and not isinstance(found, pl.Decimal):
        return text
    return text.str.replace(_WHOLE, "$1").replace("-0", "0")
