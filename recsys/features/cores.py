"""The k-core of the positives: what benchmark authors keep of a data set."""

import polars as pl

from recsys.errors import DataError
from recsys.features.events import POSITIVE
from recsys.schema import ITEM_ID, USER_ID


def k_core(events: pl.DataFrame, k: int) -> pl.DataFrame:
    """Drop users and items with fewer than `k` distinct counterparts among the positives, until none is left to drop.

    Other events of the users and items that stay, stay. Raises DataError when nothing stays.
    """
    pairs = events.filter(POSITIVE).select(USER_ID, ITEM_ID).unique()
    n_before = -1
    while n_before != len(pairs):
        n_before = len(pairs)
        for key in (USER_ID, ITEM_ID):
            frequent = pairs.group_by(key).len().filter(pl.col("len") >= k).select(key)
            pairs = pairs.join(frequent, on=key, how="semi")
    if pairs.is_empty():
        raise DataError(f"no user and item has {k} positives or more; read more data or lower backtest.min_core")
    for key in (USER_ID, ITEM_ID):
        events = events.join(pairs.select(key).unique(), on=key, how="semi", maintain_order="left")
    return events
