"""A cap on what one user adds to training and counts: a crawler must not speak for everybody."""

import polars as pl
from pydantic import JsonValue

from recsys.config import FeaturesConfig
from recsys.features.events import POSITIVE, USER_ROW
from recsys.features.split import SPLIT, TRAIN
from recsys.schema import WEIGHT

_TIMES = 5  # a user with five times the events of all but one in a hundred is hardly a person
_LEAST = 500  # nobody is cut to fewer by the data alone: where most have few, a keen reader has hundreds


def capped(events: pl.DataFrame, config: FeaturesConfig) -> tuple[pl.DataFrame, dict[str, JsonValue]]:
    """Return the events, of each user and split the most recent positive ones positive as before; and what was capped.

    `events` are sorted by user and time, with their split. What is beyond the cap stays as an event that is not
    positive and of weight 0: its user has met the item, and neither towers nor counts learn from it.
    """
    positives = events.filter(POSITIVE).group_by(USER_ROW, SPLIT).len("n")
    cap = config.max_user_events or _cap_of(positives.filter(pl.col(SPLIT) == TRAIN)["n"])
    over = positives.filter(pl.col("n") > cap)[USER_ROW].unique()
    theirs = pl.col(USER_ROW).is_in(over.implode())
    n_theirs, n_all = (int(each["n"].sum()) for each in (positives.filter(theirs), positives))
    info: dict[str, JsonValue] = {
        "max_user_events": cap,
        "n_capped_users": len(over),
        "capped_share": n_theirs / max(n_all, 1),
        "n_capped_events": int((positives["n"].cast(pl.Int64) - cap).clip(0).sum()),
    }
    if over.is_empty():
        return events, info
    rank = pl.col(POSITIVE).cast(pl.Int32).cum_sum(reverse=True).over(USER_ROW, SPLIT)
    beyond = theirs & pl.col(POSITIVE) & (rank > cap)
    weight = pl.when(beyond).then(0.0).otherwise(WEIGHT).cast(pl.Float32)
    return events.with_columns((pl.col(POSITIVE) & ~beyond).alias(POSITIVE), weight.alias(WEIGHT)), info


def _cap_of(counts: pl.Series) -> int:
    typical = counts.quantile(0.99, "lower")  # of few users that is the second: the first does not set their own cap
    return max(_LEAST, _TIMES * int(typical or 0))
