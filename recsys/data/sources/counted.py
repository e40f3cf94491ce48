"""Events by day from rows that a database has counted, so that what is equal in time and kind is read once."""

from collections import Counter
from collections.abc import Sequence
from datetime import date

import polars as pl

from recsys.config import TableMapping
from recsys.data.sources.casting import cast, unreadable
from recsys.data.sources.deeds import as_events
from recsys.data.sources.mapping import given_column
from recsys.data.sources.readability import Readability
from recsys.schema import EVENT, EVENT_ID, INTERACTIONS, TIMESTAMP, VALUE

COUNT = "recsys_n_rows"


def deciding_columns(names: Sequence[str], mapping: TableMapping) -> list[str]:
    """Return the columns of a source that decide how many events a row is and when they happened."""
    own = {mapping.columns.get(name, name) for name in (TIMESTAMP, EVENT) if name not in mapping.constants}
    wanted = own | set(mapping.flags.values())
    return [name for name in names if name in wanted]


def counted_days(raw: pl.DataFrame, mapping: TableMapping, readability: Readability) -> Counter[date]:
    """Return how many events fall on each day in UTC; those without a time are left out.

    `raw` holds the deciding columns as the source has them, and in `COUNT` how many rows are so. `readability` counts
    every distinct time once.
    """
    given = given_column(raw, TIMESTAMP, mapping)
    times = cast(given, INTERACTIONS[TIMESTAMP], mapping, TIMESTAMP).alias(TIMESTAMP)
    readability.add(TIMESTAMP, given, times, unreadable(given, times))
    kinds = cast(given_column(raw, EVENT, mapping), INTERACTIONS[EVENT], mapping, EVENT).alias(EVENT)
    rows = pl.DataFrame([times, kinds, raw[COUNT].cast(pl.Int64)]).with_columns(
        *(pl.lit(None, dtype=INTERACTIONS[name]).alias(name) for name in (EVENT_ID, VALUE))
    )
    events = as_events(rows, raw, mapping).drop_nulls(TIMESTAMP)
    days = events.group_by(pl.col(TIMESTAMP).dt.date()).agg(pl.col(COUNT).sum())
    return Counter(dict(days.iter_rows()))
