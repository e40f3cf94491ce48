"""Whole tables through the consent door, ids as the source writes them: for a backtest, whose lists others score.

Nothing read here is stored. Users who did not agree are withheld and demographics are coarsened as in a training run.
"""

import fsspec
import polars as pl

from recsys.config import Config
from recsys.data.consent import KEPT, PSEUDONYM, STATUS, register_as_of, screen_interactions
from recsys.data.ingest import PrivacyDoor
from recsys.data.privacy import coarsen_users
from recsys.data.sources import open_source
from recsys.data.tables import to_contract
from recsys.errors import SourceError
from recsys.schema import INTERACTIONS


def read_consented(config: Config) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return interactions, users and items of the whole source, with its extra columns.

    Raises SourceError when the source cannot be read as the data contract demands.
    """
    source = open_source(config)
    begin, end = source.interval()
    door = PrivacyDoor(config, source, end)
    register = register_as_of(door.register, end)
    kept = [
        screen_interactions(
            to_contract(batch, INTERACTIONS, "interactions"), register, door.privacy, door.key, door.horizon
        )[0].drop(PSEUDONYM)
        for batch in source.interactions(begin, end)
    ]
    users = register.filter(pl.col(STATUS) == KEPT).drop(PSEUDONYM, STATUS)
    return pl.concat(kept), coarsen_users(users, door.privacy), door.items


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
