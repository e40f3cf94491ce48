"""Events weighed by their value: seconds, hours and counts, beside what is usual for the item or the user."""

from typing import NamedTuple

import polars as pl

from recsys.config import FeaturesConfig
from recsys.features.events import ITEM_ROW, KIND, POSITIVE, USER_ROW
from recsys.features.split import SPLIT, TRAIN
from recsys.schema import EVENT_KINDS, VALUE, WEIGHT

_FEWEST = 3  # values of an item or user from which it has a median of its own
_USUAL = "usual"


class Usual(NamedTuple):
    """Medians of positive values in train: of all, and by item row where values are compared with the item's."""

    overall: float = 1.0
    by_item: pl.DataFrame = pl.DataFrame(schema={ITEM_ROW: pl.UInt32, _USUAL: pl.Float64})

    def named(self, item_ids: pl.Series) -> dict[str, float]:
        """Return the medians by item id, that of all under the empty string."""
        ids = item_ids.gather(self.by_item[ITEM_ROW]).to_list()
        return {"": self.overall, **dict(zip(ids, self.by_item[_USUAL].to_list(), strict=True))}

    @classmethod
    def of(cls, overall: float, by_item: dict[int, float]) -> "Usual":
        """Return medians that were stored; `by_item` goes by item row."""
        own = pl.DataFrame({ITEM_ROW: list(by_item), _USUAL: list(by_item.values())}, schema=cls().by_item.schema)
        return cls(overall, own)


def by_value(events: pl.DataFrame, config: FeaturesConfig, usual: Usual | None = None) -> pl.DataFrame:
    """Return split events with weights by value as `value_weight` says, without the column of values.

    With r the value over the median of train values of the same item or user, of all where it has fewer than three:
    "log" multiplies a weight by log2(1 + r), which is 1 at the median; "threshold" leaves out events with r below
    `value_threshold`. An event without a value, or of another kind than `value_events`, stays as it is. Medians are
    those of `events` unless `usual` names them; a user's own are always those of `events`.
    """
    if VALUE not in events.columns:
        return events
    if config.value_weight == "none":
        return events.drop(VALUE)
    rows = _with_usual(_valued(events, config), usual or usual_values(events, config), config)
    # Of one median for all rows, as one user's are, Polars multiplies by the inverse, which is not the same to the bit.
    ratio = pl.lit(pl.Series(rows[VALUE].to_numpy() / rows[_USUAL].to_numpy())).fill_nan(None)
    if config.value_weight == "log":
        factor = (1.0 + ratio).log(2)
    else:
        factor = (ratio >= config.value_threshold).cast(pl.Float64)
    weight = (pl.col(WEIGHT) * factor.fill_null(1.0)).cast(pl.Float32)
    weighed = rows.with_columns(weight.alias(WEIGHT))
    return weighed.filter(~pl.col(POSITIVE) | (pl.col(WEIGHT) > 0)).drop(VALUE, _USUAL)


def usual_values(events: pl.DataFrame, config: FeaturesConfig) -> Usual:
    """Return what values are compared with, never 0; `events` are split."""
    train = _train(_valued(events, config))
    own = _medians(train, ITEM_ROW) if config.value_relative_to == "item" else Usual().by_item
    overall: float | None = train.select(pl.col(VALUE).median()).item()
    return Usual(overall or 1.0, own)


def _valued(events: pl.DataFrame, config: FeaturesConfig) -> pl.DataFrame:
    kinds = [EVENT_KINDS.index(kind) + 1 for kind in config.value_events]
    value = pl.col(VALUE).cast(pl.Float64).fill_nan(None)
    return events.with_columns(pl.when(pl.col(KIND).is_in(kinds) & (value >= 0)).then(value).alias(VALUE))


def _train(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter((pl.col(SPLIT) == TRAIN) & (pl.col(VALUE) > 0))


def _medians(train: pl.DataFrame, key: str) -> pl.DataFrame:
    own = train.group_by(key, maintain_order=True).agg(pl.col(VALUE).median().alias(_USUAL), pl.len().alias("n"))
    return own.filter(pl.col("n") >= _FEWEST).drop("n")


def _with_usual(rows: pl.DataFrame, usual: Usual, config: FeaturesConfig) -> pl.DataFrame:
    if config.value_relative_to == "nothing":
        return rows.with_columns(pl.lit(1.0).alias(_USUAL))
    by_user = config.value_relative_to == "user"
    key = USER_ROW if by_user else ITEM_ROW
    known = _medians(_train(rows), USER_ROW) if by_user else usual.by_item.cast({ITEM_ROW: rows.schema[ITEM_ROW]})
    joined = rows.join(known, on=key, how="left", maintain_order="left")
    return joined.with_columns(pl.col(_USUAL).fill_null(usual.overall))
