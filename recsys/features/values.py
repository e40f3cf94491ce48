"""Events weighed by their value: seconds, hours and counts, beside what is usual for the item or the user."""

import polars as pl

from recsys.config import FeaturesConfig
from recsys.features.events import ITEM_ROW, KIND, POSITIVE, USER_ROW
from recsys.features.split import SPLIT, TRAIN
from recsys.schema import EVENT_KINDS, VALUE, WEIGHT

_FEWEST = 3  # values of an item or user from which it has a median of its own
_USUAL = "usual"


def by_value(events: pl.DataFrame, config: FeaturesConfig) -> pl.DataFrame:
    """Return split events with weights by value as `value_weight` says, without the column of values.

    With r the value over the median of train values of the same item or user, of all where it has fewer than three:
    "log" multiplies a weight by log2(1 + r), which is 1 at the median; "threshold" leaves out events with r below
    `value_threshold`. An event without a value, or of another kind than `value_events`, stays as it is.
    """
    if VALUE not in events.columns:
        return events
    if config.value_weight == "none":
        return events.drop(VALUE)
    kinds = [EVENT_KINDS.index(kind) + 1 for kind in config.value_events]
    value = pl.col(VALUE).cast(pl.Float64).fill_nan(None)
    rows = events.with_columns(pl.when(pl.col(KIND).is_in(kinds) & (value >= 0)).then(value).alias(VALUE))
    ratio = pl.col(VALUE) / pl.col(_USUAL)
    if config.value_weight == "log":
        factor = (1.0 + ratio).log(2)
    else:
        factor = (ratio >= config.value_threshold).cast(pl.Float64)
    weight = (pl.col(WEIGHT) * factor.fill_null(1.0)).cast(pl.Float32)
    weighed = _with_usual(rows, config).with_columns(weight.alias(WEIGHT))
    return weighed.filter(~pl.col(POSITIVE) | (pl.col(WEIGHT) > 0)).drop(VALUE, _USUAL)


def _with_usual(rows: pl.DataFrame, config: FeaturesConfig) -> pl.DataFrame:
    """Add what a value is compared with: a median of positive values in train, never 0."""
    train = rows.filter((pl.col(SPLIT) == TRAIN) & (pl.col(VALUE) > 0))
    overall = train[VALUE].median() or 1.0
    if config.value_relative_to == "nothing":
        return rows.with_columns(pl.lit(1.0).alias(_USUAL))
    key = ITEM_ROW if config.value_relative_to == "item" else USER_ROW
    own = train.group_by(key).agg(pl.col(VALUE).median().alias(_USUAL), pl.len().alias("n"))
    known = own.filter(pl.col("n") >= _FEWEST).drop("n")
    return rows.join(known, on=key, how="left", maintain_order="left").with_columns(pl.col(_USUAL).fill_null(overall))
