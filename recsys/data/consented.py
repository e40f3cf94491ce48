"""Whole tables through the consent door, ids as the source writes them: for a backtest, whose lists others score.

Nothing read here is stored. Users who did not agree are withheld and demographics are coarsened as in a training run.
"""

from datetime import datetime
from typing import Final

import fsspec
import polars as pl

from recsys.config import Config, TableMapping
from recsys.data.consent import (
    KEPT,
    PSEUDONYM,
    STATUS,
    UNKNOWN_USER,
    count_users,
    id_forms,
    register_as_of,
    screen_interactions,
    why_withheld,
)
from recsys.data.ingest import PrivacyDoor
from recsys.data.privacy import coarsen_users
from recsys.data.sources import open_source
from recsys.data.sources.casting import cast, unreadable
from recsys.data.tables import CHANGED_AT, EVENT_RULES, UNREADABLE, to_contract
from recsys.data.unreadable import count_lost
from recsys.errors import DataError, SourceError
from recsys.schema import INTERACTIONS, ITEM_ID, TIMESTAMP, USER_ID

# What an event has that breaks one of `EVENT_RULES`.
_LACKING: Final = {
    "item_id_present": "no item_id",
    "timestamp_present": "no timestamp",
    "rating_has_value": "a rating without a value",
}


def read_consented(config: Config) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return interactions, users and items of the whole source, with its extra columns.

    Raises SourceError when the source cannot be read as the data contract demands, DataError when an event lacks what
    every event must have, or when no event may be used.
    """
    source = open_source(config)
    begin, end = source.interval()
    door = PrivacyDoor(config, source, end)
    register = register_as_of(door.register, end)
    kept, judged, some = [], [], pl.Series(dtype=pl.String)
    for batch in source.interactions(begin, end):
        rows = to_contract(batch, INTERACTIONS, "interactions")
        some = some if len(some) else rows[USER_ID]
        passed, counts = screen_interactions(rows, register, door.privacy, door.key, door.horizon, door.is_erased)
        kept.append(passed.drop(PSEUDONYM))
        judged.append(counts)
    interactions = pl.concat(kept)
    if interactions.is_empty() and len(found := pl.concat(judged)):
        raise DataError(_nothing_left(found, register, some))
    users = register.filter(pl.col(STATUS) == KEPT).drop(PSEUDONYM, STATUS)
    _refuse_unreadable({"interactions": interactions, "users": register, "items": door.items})
    _refuse_incomplete(interactions)
    _refuse_far(interactions[TIMESTAMP], begin, end, config.validation.max_gap_days)
    tables = (interactions, coarsen_users(users, door.privacy), door.items)
    without = [table.drop(UNREADABLE, CHANGED_AT, strict=False) for table in tables]
    return without[0], without[1], without[2]


def _nothing_left(found: pl.DataFrame, register: pl.DataFrame, some: pl.Series) -> str:
    totals = dict(found.group_by(STATUS).agg(pl.sum("count")).sort(STATUS).iter_rows())
    reasons = ", ".join(f"{status} {n}" for status, n in totals.items())
    forms = id_forms(some, register[USER_ID]) if [*totals] == [UNKNOWN_USER] and len(register) else {}
    return f"no event may be used: {reasons}; {why_withheld({**count_users(register), **totals}, forms)}"


def _refuse_incomplete(interactions: pl.DataFrame) -> None:
    """Raise DataError: there is no quarantine here, and leaving rows out in silence would change what is measured."""
    counts = interactions.select((~rule).fill_null(False).sum().alias(name) for name, rule in EVENT_RULES.items())
    if found := ", ".join(f"{n} have {_LACKING[name]}" for name, n in counts.row(0, named=True).items() if n):
        raise DataError(f"of {len(interactions)} events {found}; correct the source, or leave these rows out of it")


def _refuse_far(moments: pl.Series, begin: datetime, end: datetime, max_gap_days: int) -> None:
    far = moments.filter((moments < begin) | (moments >= end)).dt.date()
    if len(far):
        raise DataError(
            f"{len(far)} of {len(moments)} events have a timestamp more than {max_gap_days} days from all others, from "
            f"{far.min()!s} to {far.max()!s}; correct the source, or set validation.max_gap_days = 0 to accept them"
        )


def _refuse_unreadable(tables: dict[str, pl.DataFrame]) -> None:
    found = [
        f"{n} of {len(frame)} values of {table}.{column}"
        for table, frame in tables.items()
        for column, n in count_lost(frame).items()
    ]
    if found:
        raise DataError(
            f"{', '.join(found)} cannot be read; correct the source, or timestamp_unit, timestamp_format or decimal in "
            "its mapping"
        )


def read_ids(uri: str, column: str = "") -> list[str]:
    """Return the distinct ids in a column, by default the first, of a CSV or Parquet file; in their order there.

    Raises SourceError when the file or the column does not exist, or when it holds no id.
    """
    try:
        with fsspec.open(uri, "rb", compression="infer") as stream:
            table = pl.read_parquet(stream) if uri.endswith(".parquet") else pl.read_csv(stream, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"cannot read ids from {uri}: {str(error).splitlines()[0]}; check the address") from None
    name = column or table.columns[0]
    if name not in table.columns:
        raise SourceError(f"{uri} has no column {name!r}; found {', '.join(table.columns)}")
    read = cast(table[name], pl.String(), TableMapping(), ITEM_ID)
    if n_lost := int(unreadable(table[name], read).sum()):
        raise SourceError(f"{uri}: {n_lost} ids in {name!r} are unreadable; write text or whole numbers")
    ids: list[str] = read.drop_nulls().unique(maintain_order=True).to_list()
    if not ids:
        raise SourceError(f"{uri} holds no id in {name!r}; list at least one")
    return ids
