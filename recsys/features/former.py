"""What people did before their tastes shifted: it says which items go together, and no longer what they like.

Those events are kept as those of somebody else, who has the same demographics and asks for nothing: no history and no
query reaches across the shift, and what was learned of items is not lost with it.
"""

from datetime import datetime
from typing import Final

import polars as pl

from recsys.features.events import POSITIVE
from recsys.schema import EVENT_ID, TIMESTAMP, USER_ID

FORMER: Final = "former-"
"""Stands before the pseudonym of somebody as they were before a shift."""


def former_events(events: pl.DataFrame, since: datetime) -> pl.DataFrame:
    """Return the positive events before `since` as those of the users as they were."""
    before = events.filter(pl.col(POSITIVE) & (pl.col(TIMESTAMP) < since))
    return before.with_columns(_former(USER_ID), _former(EVENT_ID))


def with_former(users: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Return users sorted by id, with a row of the same demographics for each whom `events` name as they were."""
    renamed = users.with_columns(_former(USER_ID))
    named = renamed.join(events.select(USER_ID).unique(), on=USER_ID, how="semi")
    return pl.concat([users, named]).sort(USER_ID)


def is_former(ids: pl.Series) -> pl.Series:
    """Return of each id whether it is of somebody as they were."""
    return ids.str.starts_with(FORMER)


def persons(ids: pl.Series) -> pl.Series:
    """Return the pseudonyms that ids stand for."""
    return ids.str.strip_prefix(FORMER)


def _former(column: str) -> pl.Expr:
    return pl.concat_str(pl.lit(FORMER), pl.col(column)).alias(column)
