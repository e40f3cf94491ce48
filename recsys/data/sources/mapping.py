"""From a source's own columns to the data contract, as a `TableMapping` says."""

import hashlib

import polars as pl

from recsys.config import TableMapping
from recsys.data.sources.casting import cast, unreadable
from recsys.data.sources.columns import check_columns
from recsys.data.sources.deeds import as_events, kinds_of, without_missing
from recsys.data.sources.readability import Readability
from recsys.data.tables import UNREADABLE
from recsys.schema import EVENT, EVENT_ID, TABLE_SCHEMAS, TIMESTAMP, TableName


def conform(
    raw: pl.DataFrame, mapping: TableMapping, table: TableName, where: str, readability: Readability
) -> pl.DataFrame:
    """Return a batch in the contract's columns and types, then the extra ones as strings, then `UNREADABLE`.

    A value that cannot be read becomes null and its column's name stands in `UNREADABLE`, for validation to set the
    row aside; `readability` counts it.
    """
    check_columns(raw.columns, mapping, table, where)
    columns, lost = [], {}
    for name, dtype in [*TABLE_SCHEMAS[table].items(), *((name, pl.String()) for name in mapping.extra)]:
        given = raw[name] if name in mapping.extra else given_column(raw, name, mapping)
        columns.append(cast(given, dtype, mapping, name).alias(name))
        lost[name] = unreadable(given, columns[-1])
        if name not in mapping.extra:
            readability.add(name, given, columns[-1], lost[name])
    rows = pl.DataFrame([*columns, _names(lost, len(raw))])
    return as_events(rows, raw, mapping) if table == "interactions" else rows


def identified(events: pl.DataFrame) -> pl.DataFrame:
    """Fill missing event ids with a hash of the row's content, the same on every machine and in every version."""
    if not events[EVENT_ID].null_count():
        return events
    cells = [pl.col(TIMESTAMP).dt.timestamp("us"), pl.exclude(EVENT_ID, TIMESTAMP, UNREADABLE)]
    content = pl.concat_str([cell.cast(pl.String).fill_null("\x00") for cell in cells], separator="\x1f")
    rows = events.select(content.alias("row"))["row"]
    names = [f"h{hashlib.blake2b(row.encode(), digest_size=12).hexdigest()}" for row in rows]
    return events.with_columns(pl.col(EVENT_ID).fill_null(pl.Series(names, dtype=pl.String)))


def given_column(raw: pl.DataFrame, name: str, mapping: TableMapping) -> pl.Series:
    """Return what a source gives for a contract column, before its cast: nulls where it gives nothing."""
    if name == TIMESTAMP and mapping.timestamps == "none":
        return pl.Series(name, [None] * len(raw), dtype=pl.Null)
    source = mapping.columns.get(name, name)
    if name in mapping.constants:
        given = pl.Series(name, [mapping.constants[name]] * len(raw))
    elif source not in raw.columns or (name == EVENT and mapping.flags):
        return pl.Series(name, [None] * len(raw), dtype=pl.Null)
    else:
        given = without_missing(raw[source], name, mapping)
    return kinds_of(given, mapping) if name == EVENT else given


def _names(lost: dict[str, pl.Series], n_rows: int) -> pl.Series:
    """Return for each row the names of the columns it lost, joined by ";"; null where it lost none."""
    marks = [
        pl.select(pl.when(rows).then(pl.lit(name))).to_series().alias(name) for name, rows in lost.items() if rows.any()
    ]
    if not marks:
        return pl.Series(UNREADABLE, [None], dtype=pl.String).new_from_index(0, n_rows)
    joined = pl.DataFrame(marks).select(pl.concat_str(pl.all(), separator=";", ignore_nulls=True).alias(UNREADABLE))
    return joined.select(pl.when(pl.col(UNREADABLE) != "").then(UNREADABLE)).to_series()
