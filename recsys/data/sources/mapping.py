"""From a source's own columns to the data contract, as a `TableMapping` says."""

import hashlib
from collections import Counter

import polars as pl

from recsys.config import TableMapping
from recsys.data.sources.casting import cast
from recsys.data.sources.columns import check_columns
from recsys.data.sources.deeds import as_events, kinds_of, without_missing
from recsys.errors import SourceError
from recsys.schema import EVENT, EVENT_ID, TABLE_SCHEMAS, TIMESTAMP, TableName


class Readability:
    """Counts, over all batches of a table, how many values of each column could be read."""

    def __init__(self, table: TableName, where: str) -> None:
        self._table, self._where = table, where
        self._given: Counter[str] = Counter()
        self._read: Counter[str] = Counter()

    def add(self, name: str, given: pl.Series, read: pl.Series) -> None:
        """Count one batch of a column, before and after its cast."""
        self._given[name] += given.count()
        self._read[name] += read.count()

    def check(self) -> None:
        """Raise SourceError when a column has values and none of them has the contract's type."""
        for name, n_given in self._given.items():
            if n_given and not self._read[name]:
                dtype = TABLE_SCHEMAS[self._table][name]
                raise SourceError(
                    f"{self._where}: no value can be read as {dtype} for {self._table}.{name}; "
                    "check the mapping, the separator and timestamp_unit"
                )


def conform(
    raw: pl.DataFrame, mapping: TableMapping, table: TableName, where: str, readability: Readability
) -> pl.DataFrame:
    """Return a batch in the contract's columns and types, then the extra ones as strings.

    A value that cannot be read becomes null, for validation to judge; `readability` counts it.
    """
    check_columns(raw.columns, mapping, table, where)
    columns = []
    for name, dtype in TABLE_SCHEMAS[table].items():
        given = _given(raw, name, mapping)
        columns.append(cast(given, dtype, mapping).alias(name))
        readability.add(name, given, columns[-1])
    extra = [cast(raw[name], pl.String(), mapping).alias(name) for name in mapping.extra]
    rows = pl.DataFrame([*columns, *extra])
    return as_events(rows, raw, mapping) if table == "interactions" else rows


def identified(events: pl.DataFrame) -> pl.DataFrame:
    """Fill missing event ids with a hash of the row's content, the same on every machine and in every version."""
    if not events[EVENT_ID].null_count():
        return events
    cells = [pl.col(TIMESTAMP).dt.timestamp("us"), pl.exclude(EVENT_ID, TIMESTAMP)]
    content = pl.concat_str([cell.cast(pl.String).fill_null("\x00") for cell in cells], separator="\x1f")
    rows = events.select(content.alias("row"))["row"]
    names = [f"h{hashlib.blake2b(row.encode(), digest_size=12).hexdigest()}" for row in rows]
    return events.with_columns(pl.col(EVENT_ID).fill_null(pl.Series(names, dtype=pl.String)))


def _given(raw: pl.DataFrame, name: str, mapping: TableMapping) -> pl.Series:
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
