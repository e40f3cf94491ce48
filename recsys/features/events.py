"""Events as evidence of taste: weights, what is positive, and one row per (user, item, day).

Expressions are Narwhals', so they run on whatever frame they are given.
"""

import narwhals as nw
import polars as pl

from recsys.config import FeaturesConfig
from recsys.errors import DataError
from recsys.schema import DEVICE, EVENT, EVENT_ID, EVENT_KINDS, ITEM_ID, TIMESTAMP, USER_ID, VALUE, WEIGHT

KIND = "kind"
POSITIVE = "positive"
_DAY = "day"


@nw.narwhalify
def weigh(interactions: nw.DataFrame[pl.DataFrame], config: FeaturesConfig) -> nw.DataFrame[pl.DataFrame]:
    """Add weight, kind (from 1) and whether the event is positive; drop events that say nothing about taste.

    Positive is a weight above 0 and, for ratings, a value of at least `min_rating`. Dislikes stay, never positive.
    """
    weights = [config.event_weights.get(kind, 0.0) for kind in EVENT_KINDS]
    kinds = list(range(1, len(EVENT_KINDS) + 1))
    names = list(EVENT_KINDS)
    rows = interactions.with_columns(
        nw.col(EVENT).replace_strict(names, kinds, return_dtype=nw.Int8).alias(KIND),
        nw.col(EVENT).replace_strict(names, weights, return_dtype=nw.Float32).alias(WEIGHT),
    )
    poor = (nw.col(EVENT) == "rating") & (nw.col(VALUE).fill_null(0.0) < config.min_rating)
    rows = rows.with_columns(((nw.col(WEIGHT) > 0) & ~poor).alias(POSITIVE))
    return rows.filter(nw.col(POSITIVE) | (nw.col(EVENT) == "dislike") | poor)


@nw.narwhalify
def strongest_per_day(events: nw.DataFrame[pl.DataFrame]) -> nw.DataFrame[pl.DataFrame]:
    """Keep one row per (user, item, day): the positive one of greatest weight, then the latest, then by event id.

    A view, the click before it and the like after it are one meeting, not three.
    """
    order = [USER_ID, ITEM_ID, _DAY, POSITIVE, WEIGHT, TIMESTAMP, EVENT_ID]
    rows = events.with_columns(nw.col(TIMESTAMP).dt.truncate("1d").alias(_DAY)).sort(order)
    return rows.unique([USER_ID, ITEM_ID, _DAY], keep="last", order_by=order).drop(_DAY)


def evidence(interactions: pl.DataFrame, config: FeaturesConfig) -> pl.DataFrame:
    """Return weighted, deduplicated events sorted by user, time and event id.

    Raises DataError when none is positive.
    """
    used = [EVENT_ID, USER_ID, ITEM_ID, EVENT, VALUE, TIMESTAMP, DEVICE]
    weighed: pl.DataFrame = weigh(interactions.select(used), config)
    if not weighed[POSITIVE].any():
        raise DataError(
            f"none of {len(interactions)} events is positive; check features.event_weights and features.min_rating"
        )
    strongest: pl.DataFrame = strongest_per_day(weighed)
    return strongest.sort(USER_ID, TIMESTAMP, EVENT_ID)
