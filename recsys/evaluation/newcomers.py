"""Users whom training never saw, as a dataset under the trained spec: strong generalisation (Liang et al. 2018)."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from recsys.config import FeaturesConfig
from recsys.errors import DataError
from recsys.features import Dataset, frames_to_dataset, reindex
from recsys.schema import ITEM_ID, USER_ID


def newcomers_of(
    config: FeaturesConfig, trained: Dataset, interactions: pl.DataFrame, users: pl.DataFrame, chosen: Sequence[str]
) -> Dataset:
    """Return the chosen users' events with the item rows of `trained`, encoded under its spec.

    Events with items the trained catalogue lacks are left out. Splits mean nothing here: newcomers have no train rows.
    Raises DataError when a chosen user was trained on, or when none of their events is positive.
    """
    known = set(trained.users.ids.tolist()) & set(chosen)
    if known:
        raise DataError(f"newcomers must not be in the training set; {len(known)} of {len(chosen)} are: hold them out")
    wanted = pl.col(USER_ID).is_in(pl.Series(chosen, dtype=pl.String).implode())
    items = trained.items_frame
    there = pl.col(ITEM_ID).is_in(items[ITEM_ID].implode())
    rows = frames_to_dataset(config, interactions.filter(wanted & there), users.filter(wanted), items)
    mapped = reindex(rows, trained.spec, trained.text_model)
    return replace(mapped, items=trained.items)
