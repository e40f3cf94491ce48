"""Users and items that are known from before: whose values are gone, and whose are another's."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import polars as pl

from recsys.data.validation.earlier import GoodRows
from recsys.schema import ITEM_ID, USER_ID, TableName

MIN_ROWS: Final = 20  # below, a few corrections by hand decide a share
_MIN_EXPECTED: Final = 10.0  # rows that would change by chance: below, a change cannot be told from none
_MOSTLY: Final = 0.5  # share of rows from which on a column counts as filled
_BEFORE: Final = "_before"
_ENOUGH: Final = 1000  # rows known: further back only adds rows

Presence = Mapping[str, int]


def known_rows(now: GoodRows, earlier: Iterable[GoodRows], table: TableName, columns: Sequence[str]) -> pl.DataFrame:
    """Return one row per user or item with a row before: each column's 64-bit hash now, and before with `_before`.

    Null stands for no value: null, empty text and empty list. The nearest earlier row counts.
    """
    key = USER_ID if table == "users" else ITEM_ID
    rows = _hashed(now.scan(table), key, columns).collect()
    waiting = rows[[key]]
    found: list[pl.DataFrame] = []
    for other in earlier:
        if waiting.is_empty() or sum(len(one) for one in found) >= max(_ENOUGH, len(rows) / 2):
            break
        before = _hashed(other.scan(table), key, columns).join(waiting.lazy(), on=key, how="semi").collect()
        found.append(before)
        waiting = waiting.join(before, on=key, how="anti")
    return rows.join(pl.concat(found), on=key, suffix=_BEFORE) if found else pl.DataFrame()


def emptied_share(known: pl.DataFrame, column: str) -> float | None:
    """Return the share of rows with a value before that have none now; None for fewer than 20."""
    if known.is_empty():
        return None
    had = known.filter(pl.col(column + _BEFORE).is_not_null())
    return had[column].null_count() / len(had) if len(had) >= MIN_ROWS else None


def fallen_share(now: Presence, earlier: Sequence[Presence], column: str) -> float | None:
    """Return by which share a column that was mostly filled is filled less often than before, over all rows.

    For tables whose rows are new every day, as those of a newspaper are. None where there are fewer than 20 rows.
    """
    n_before = sum(one["rows"] for one in earlier)
    if min(n_before, now["rows"]) < MIN_ROWS:
        return None
    before = sum(one.get(column, 0) for one in earlier) / n_before
    return 1 - now.get(column, 0) / now["rows"] / before if before >= _MOSTLY else None


def changed_share(known: pl.DataFrame, column: str) -> float | None:
    """Return the share of known values that changed, over the share that would if values were dealt anew.

    One less Cohen's kappa: 0 where nothing changed, about 1 for values that are permuted or replaced, however few
    distinct ones there are. None for fewer than 20 rows and for columns that are nearly constant.
    """
    if known.is_empty():
        return None
    both = known.select(pl.col(column).alias("now"), pl.col(column + _BEFORE).alias("before")).drop_nulls()
    n = len(both)
    counts = both.group_by("now").len().join(both.group_by("before").len(), left_on="now", right_on="before")
    expected = 1 - float((counts["len"].cast(pl.Float64) * counts["len_right"]).sum()) / n**2 if n else 0.0
    if n < MIN_ROWS or expected * n < _MIN_EXPECTED:
        return None
    return float((both["now"] != both["before"]).mean()) / expected  # type: ignore[arg-type]


def presence(rows: GoodRows, table: TableName, columns: Sequence[str]) -> Presence:
    """Return the number of rows, as `rows`, and of values in each column."""
    scan = rows.scan(table)
    there = set(scan.collect_schema().names())
    counted = scan.select(pl.len().alias("rows"), *[_value(scan, c).count().alias(c) for c in columns if c in there])
    return counted.collect().row(0, named=True)


def _hashed(rows: pl.LazyFrame, key: str, columns: Sequence[str]) -> pl.LazyFrame:
    there = set(rows.collect_schema().names())
    absent = pl.lit(None, pl.UInt64)
    return rows.select(key, *[(_value(rows, c) if c in there else absent).alias(c) for c in columns])


def _value(rows: pl.LazyFrame, column: str) -> pl.Expr:
    dtype, value = rows.collect_schema()[column], pl.col(column)
    if isinstance(dtype, pl.List):
        value = value.cast(pl.List(pl.String)).list.join("\x1f")
    text = value.cast(pl.String)
    return pl.when(text.str.strip_chars() != "").then(text.hash())
