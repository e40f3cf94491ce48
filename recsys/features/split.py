"""The global temporal split: train is what came first, for every user alike."""

from datetime import datetime

import polars as pl

from recsys.config import FeaturesConfig
from recsys.errors import DataError
from recsys.schema import TIMESTAMP

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLIT = "split"


def cutoffs_of(positives: pl.DataFrame, config: FeaturesConfig) -> tuple[datetime, datetime]:
    """Return when validation and test begin, so that the last shares of positive events fall there.

    An event at a cut belongs to the later side, so equal times never straddle it.
    """
    times = positives[TIMESTAMP].sort()
    test_at = int(len(times) * (1 - config.test_fraction))
    validation_at = int(len(times) * (1 - config.test_fraction - config.validation_fraction))
    return times[validation_at], times[test_at]


def with_split(events: pl.DataFrame, positive: str, cutoffs: tuple[datetime, datetime]) -> pl.DataFrame:
    """Add the split column; raise DataError when a split has no positive event."""
    validation_start, test_start = cutoffs
    time = pl.col(TIMESTAMP)
    which = pl.when(time < validation_start).then(TRAIN).when(time < test_start).then(VALIDATION).otherwise(TEST)
    rows = events.with_columns(which.cast(pl.Int8).alias(SPLIT))
    sizes = [rows.filter(pl.col(positive) & (pl.col(SPLIT) == split)).height for split in (TRAIN, VALIDATION, TEST)]
    if TRAIN in [place for place, size in enumerate(sizes) if not size] or (0 in sizes and validation_start != test_start):
        raise DataError(
            f"the temporal split needs positive events on every side; got train {sizes[0]}, validation {sizes[1]}, "
            f"test {sizes[2]}; load more days or change features.validation_fraction and features.test_fraction"
        )
    return rows
