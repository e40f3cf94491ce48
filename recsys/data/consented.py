"""Whole tables through the consent door, ids as the source writes them: for a backtest, whose lists others score.

Nothing read here is stored. Users who did not agree are withheld and demographics are coarsened as in a training run.
"""

from typing import Final

import fsspec
import polars as pl

from recsys.config import Config
from recsys.data.consent import KEPT, PSEUDONYM, STATUS, register_as_of, screen_interactions
from recsys.data.ingest import PrivacyDoor
from recsys.data.privacy import coarsen_users
from recsys.data.sources import open_source
from recsys.data.tables import EVENT_RULES, to_contract
from recsys.errors import DataError, SourceError
from recsys.schema import INTERACTIONS

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
    kept, judged = [], []
    for batch in source.interactions(begin, end):
        rows = to_contract(batch, INTERACTIONS, "interactions")
        passed, counts = screen_interactions(rows, register, door.privacy, door.key, door.horizon)
        kept.append(passed.drop(PSEUDONYM))
        judged.append(counts)
    interactions = pl.concat(kept)
    if interactions.is_empty() and len(found := pl.concat(judged)):
        totals = found.group_by(STATUS).agg(pl.sum("count")).sort(STATUS)
        reasons = ", ".join(f"{status} {n}" for status, n in totals.rows())
        raise DataError(f"no event may be used: {reasons}; check the users' consent columns and [privacy] "
                        '(consent_missing = "allow" where consent is known otherwise)')  # fmt: skip
    _refuse_incomplete(interactions)
    users = register.filter(pl.col(STATUS) == KEPT).drop(PSEUDONYM, STATUS)
    return interactions, coarsen_users(users, door.privacy), door.items


def _refuse_incomplete(interactions: pl.DataFrame) -> None:
    """Raise DataError: there is no quarantine here, and leaving rows out in silence would change what is measured."""
    counts = interactions.select((~rule).fill_null(False).sum().alias(name) for name, rule in EVENT_RULES.items())
    if found := ", ".join(f"{n} have {_LACKING[name]}" for name, n in counts.row(0, named=True).items() if n):
        raise DataError(f"of {len(interactions)} events {found}; correct the source, or leave these rows out of it")


def read_ids(uri: str, column: str = "") -> list[str]:
    """Return the distinct ids in a column, by default the first, of a CSV or Parquet file; in their order there.

    Raises SourceError when the file or the column does not exist, or when it holds no id.
    """
    read = pl.read_parquet if uri.endswith(".parquet") else pl.read_csv
    try:
        with fsspec.open(uri, "rb", compression="infer") as stream:
            table = read(stream)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"cannot read ids from {uri}: {str(error).splitlines()[0]}; check the address") from error
    name = column or table.columns[0]
    if name not in table.columns:
        raise SourceError(f"{uri} has no column {name!r}; found {', '.join(table.columns)}")
    ids: list[str] = table[name].drop_nulls().cast(pl.String).unique(maintain_order=True).to_list()
    if not ids:
        raise SourceError(f"{uri} holds no id in {name!r}; list at least one")
    return ids
