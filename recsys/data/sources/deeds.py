"""What happened in a row: kinds of events by the source's own words, or from flag columns, and what no value means."""

from typing import Final

import polars as pl

from recsys.config import TableMapping
from recsys.schema import EVENT, EVENT_ID, EVENT_KINDS, VALUE

_SET: Final = ("true", "yes", "y", "t")
_IGNORE: Final = "ignore"
_EVERY: Final = "*"


def without_missing(given: pl.Series, name: str, mapping: TableMapping) -> pl.Series:
    """Return a source column with null in place of the values that mean "not known" for contract column `name`.

    Numbers are compared as numbers, so that "-1" finds -1.0.
    """
    words = (*mapping.missing.get(name, ()), *mapping.missing.get(_EVERY, ()))
    if not words or given.dtype.is_nested() or given.dtype == pl.Object:
        return given
    text = pl.col("value").cast(pl.String).str.strip_chars()
    numbers = pl.Series(words).cast(pl.Float64, strict=False).drop_nulls()
    hit = text.is_in(words) | text.cast(pl.Float64, strict=False).is_in(numbers.implode())
    return pl.DataFrame({"value": given}).select(pl.when(~hit.fill_null(False)).then("value"))["value"]


def kinds_of(given: pl.Series, mapping: TableMapping) -> pl.Series:
    """Return kinds of events for the source's words; case and outer spaces do not matter, unknown words stay."""
    if given.dtype.is_nested() or given.dtype == pl.Object:
        return given
    words = pl.col("value").cast(pl.String)
    kinds: dict[str, str] = {kind: kind for kind in EVENT_KINDS}
    kinds.update(mapping.events)
    folded = words.str.strip_chars().str.to_lowercase()
    return pl.DataFrame({"value": given}).select(folded.replace_strict(kinds, default=words))["value"]


def as_events(rows: pl.DataFrame, raw: pl.DataFrame, mapping: TableMapping) -> pl.DataFrame:
    """Return events in the contract's form of `rows`, read from `raw`: one each, or one per flag that is set.

    A row in which no flag is set gives the event `otherwise`. Each event keeps the row's other columns and the row's id
    with its kind. Rows whose event is "ignore" are left out.
    """
    if mapping.value_scale != 1.0:
        rows = rows.with_columns(pl.col(VALUE) * mapping.value_scale)
    if mapping.flags:
        marks = [pl.when(_is_set(raw[column])).then(pl.lit(kind)) for kind, column in mapping.flags.items()]
        found = raw.select(pl.concat_list(marks).list.drop_nulls().alias(EVENT))[EVENT]
        some = pl.when(pl.col(EVENT).list.len() > 0).then(EVENT).otherwise(pl.lit([mapping.otherwise]))
        rows = rows.with_columns(found).with_columns(some.alias(EVENT)).explode(EVENT)
        rows = rows.with_columns(pl.concat_str(EVENT_ID, EVENT, separator=":").alias(EVENT_ID))
    return rows.filter((pl.col(EVENT) != _IGNORE).fill_null(True)) if _ignores(mapping) else rows


def _ignores(mapping: TableMapping) -> bool:
    return _IGNORE in (mapping.otherwise, *mapping.events.values())


def _is_set(column: pl.Series) -> pl.Series:
    """Return where a flag is true, one of the words for it, or a number above 0; nowhere else."""
    text = pl.col("flag").cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
    above = text.cast(pl.Float64, strict=False) > 0
    return pl.DataFrame({"flag": column}).select((text.is_in(_SET) | above.fill_null(False)).fill_null(False))["flag"]
