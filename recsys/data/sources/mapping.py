"""From a source's own columns to the data contract, as a `TableMapping` says."""

import hashlib
from collections import Counter

import polars as pl

from recsys.config import TableMapping
from recsys.data.sources.casting import cast
from recsys.errors import SourceError
from recsys.schema import EVENT_ID, REQUIRED_COLUMNS, TABLE_SCHEMAS, TIMESTAMP, TableName


def check_columns(found: list[str], mapping: TableMapping, table: TableName, where: str) -> None:
    """Raise SourceError when a required column is missing or a column is neither mapped, declared nor ignored."""
    contract = TABLE_SCHEMAS[table]
    if stray := [name for name in [*mapping.columns, *mapping.constants] if name not in contract]:
        raise SourceError(
            f"source.{table} maps {', '.join(stray)}, which {table} does not have; use one of {', '.join(contract)}"
        )
    given = set(mapping.columns) | set(mapping.constants) | (set(found) - set(mapping.columns.values()))
    untimed = mapping.timestamps == "none"
    if untimed and TIMESTAMP in found and TIMESTAMP not in mapping.ignore:
        raise SourceError(
            f'{where} has a column {TIMESTAMP!r}, but source.{table}.timestamps is "none"; leave that setting out, or '
            f"list the column in source.{table}.ignore"
        )
    required = [name for name in REQUIRED_COLUMNS[table] if not (untimed and name == TIMESTAMP)]
    for name in [*required, *mapping.columns, *mapping.extra]:
        source = mapping.columns.get(name, name)
        if name not in given or (name not in mapping.constants and source not in found):
            raise SourceError(
                f"{where} lacks the column {source!r} for {table}.{name}; found {', '.join(found)}. "
                f'Map it: source.{table}.columns = {{ {name} = "..." }}'
                + (f', or say that there are no times: source.{table}.timestamps = "none"' if name == TIMESTAMP else "")
            )
    known = {*mapping.columns.values(), *mapping.extra, *mapping.ignore, *contract}
    unknown = [name for name in found if name not in known]
    if unknown:
        raise SourceError(
            f"{where} has columns nobody declared: {', '.join(unknown)}; map them in source.{table}.columns, or list "
            f"them in source.{table}.extra (categorical features) or source.{table}.ignore"
        )


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
    return pl.DataFrame([*columns, *extra])


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
    if name in mapping.constants:
        return pl.Series(name, [mapping.constants[name]] * len(raw))
    source = mapping.columns.get(name, name)
    return raw[source] if source in raw.columns else pl.Series(name, [None] * len(raw), dtype=pl.Null)
