"""The global temporal split: train is what came first, for every user alike."""

from datetime import datetime, timedelta

import polars as pl

from recsys.config import FeaturesConfig
from recsys.errors import DataError
from recsys.schema import TIMESTAMP

KNOWN, TRAIN, VALIDATION, TEST = -1, 0, 1, 2
SPLIT = "split"


def cutoffs_of(positives: pl.DataFrame, config: FeaturesConfig) -> tuple[datetime, datetime]:
    """Return when validation and test begin, so that the last shares of positive events fall there.

    With `held_out_days` they are the last days instead, as many for each. An event at a cut belongs to the later side,
    so equal times never straddle it.
    """
    times = positives[TIMESTAMP].sort()
    if config.held_out_days:
        days = timedelta(days=config.held_out_days)
        end = times[-1].replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        return end - 2 * days, end - days
    test_at = int(len(times) * (1 - config.test_fraction))
    validation_at = int(len(times) * (1 - config.test_fraction - config.validation_fraction))
    return times[validation_at], times[test_at]


def after_last(events: pl.DataFrame) -> tuple[datetime, datetime]:
    """Return cuts that lie after every event, so that all are train."""
    last: datetime = events.select(pl.col(TIMESTAMP).max()).item()
    end = last + timedelta(seconds=1)
    return end, end


def with_split(events: pl.DataFrame, cutoffs: tuple[datetime, datetime]) -> pl.DataFrame:
    """Add the split column: 0 before the first cutoff, 1 before the second, 2 from there on."""
    validation_start, test_start = cutoffs
    if validation_start > test_start:
        raise ValueError(f"validation must start before test; got {validation_start} and {test_start}")
    time = pl.col(TIMESTAMP)
    which = pl.when(time < validation_start).then(TRAIN).when(time < test_start).then(VALIDATION).otherwise(TEST)
    return events.with_columns(which.cast(pl.Int8).alias(SPLIT))


def check_split(events: pl.DataFrame, positive: str, *, validated: bool) -> None:
    """Raise DataError when a split has no positive event; without `validated`, validation may be empty."""
    splits = events.filter(pl.col(positive))[SPLIT]
    train, validation, test = (int((splits == split).sum()) for split in (TRAIN, VALIDATION, TEST))
    if not train or not test or (validated and not validation):
        raise DataError(
            f"the split needs positive events on every side; got train {train}, validation {validation}, test {test}; "
            "load more days or change what the protocol holds out (features.validation_fraction and "
            "features.test_fraction by time)"
        )
