"""Who is held out, and when: one function per backtest protocol, each from weighed events to events with a split.

Frames hold `user_row`, `item_row`, `timestamp`, `order`, `event_id` and `positive`, in `canonical` order, so that the
random protocols depend on the data and the generator alone. Non-positive events follow the positives around them.
"""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.config import BacktestConfig, FeaturesConfig
from recsys.errors import ConfigError, DataError
from recsys.features.events import ITEM_ROW, POSITIVE, USER_ROW
from recsys.features.split import KNOWN, SPLIT, TEST, TRAIN, VALIDATION, cutoffs_of, with_split
from recsys.schema import EVENT_ID, TIMESTAMP

ORDER = "order"
GIVEN = "given_split"
_PLACE, _COUNT = "place", "n_own"
_FEWEST_TO_SPLIT = 3  # positives of a user that is divided: one each for train, validation and test


def canonical(events: pl.DataFrame) -> pl.DataFrame:
    """Sort by user, then by the order column, time, event id and item: a total order."""
    return events.sort(USER_ROW, ORDER, TIMESTAMP, EVENT_ID, ITEM_ROW)


def temporal(events: pl.DataFrame, config: FeaturesConfig) -> pl.DataFrame:
    """Hold out the last shares of time, for all users alike."""
    return with_split(events, cutoffs_of(events.filter(POSITIVE), config))


def rolling(events: pl.DataFrame, config: FeaturesConfig, fold: int, n_folds: int) -> pl.DataFrame:
    """Hold out the `fold`-th (from 0) of the last `n_folds` windows of time; later events do not exist yet.

    Windows hold `test_fraction` of the positives each, the share of time before one is its validation. Raises
    ConfigError when nothing is left to train the first fold on.
    """
    if n_folds * config.test_fraction + config.validation_fraction >= 1:
        raise ConfigError(
            f"backtest.n_folds x features.test_fraction + features.validation_fraction must be below 1; got "
            f"{n_folds} x {config.test_fraction} + {config.validation_fraction}; use fewer or shorter windows"
        )
    times = events.filter(POSITIVE)[TIMESTAMP].sort()
    end = 1 - (n_folds - 1 - fold) * config.test_fraction
    start = end - config.test_fraction
    cuts: list[datetime] = [times[int(len(times) * share)] for share in (start - config.validation_fraction, start)]
    if fold < n_folds - 1:
        events = events.filter(pl.col(TIMESTAMP) < times[int(len(times) * end)])
    return with_split(events, (cuts[0], cuts[1]))


def leave_one_out(events: pl.DataFrame) -> pl.DataFrame:
    """Hold out each user's last positive for test and the one before for validation, in canonical order.

    Users with fewer than three positives are trained on whole.
    """
    from_end = pl.col(POSITIVE).cast(pl.Int32).cum_sum(reverse=True).over(USER_ROW)
    enough = pl.col(POSITIVE).sum().over(USER_ROW) >= _FEWEST_TO_SPLIT
    which = pl.when(~enough | (from_end >= _FEWEST_TO_SPLIT)).then(TRAIN).when(from_end > 1).then(VALIDATION)
    return _labelled(events, which.otherwise(TEST))


def user_holdout(events: pl.DataFrame, config: BacktestConfig, generator: np.random.Generator) -> pl.DataFrame:
    """Hold out users (strong generalisation, Liang et al. 2018): a share of their positives is known, the rest asked.

    What is known is never trained on. Users with one positive are never held out. Raises DataError when a set of users
    would be empty.
    """
    own = events.filter(POSITIVE).group_by(USER_ROW).len().filter(pl.col("len") > 1)[USER_ROW].sort().to_numpy()
    drawn = generator.permutation(own)
    n_test, n_validation = (round(share * len(own)) for share in (config.holdout_users, config.validation_share))
    if not n_test or (config.validation_share and not n_validation) or n_test + n_validation >= len(own):
        raise DataError(
            f"user_holdout leaves a set of users empty: of {len(own)} users with two positives or more, {n_test} are "
            f"for test and {n_validation} for validation; read more users, or change backtest.holdout_users"
        )
    who = pl.DataFrame(
        {USER_ROW: drawn[: n_test + n_validation], "to": [TEST] * n_test + [VALIDATION] * n_validation},
        schema={USER_ROW: events.schema[USER_ROW], "to": pl.Int8},
    )
    placed = _places(events, config.held, generator)
    known = (pl.col(_COUNT) * config.known_share).round().clip(1, pl.max_horizontal(pl.col(_COUNT) - 1, 1))
    asked = pl.col(POSITIVE) & (pl.col(_PLACE) >= known)
    which = pl.when(pl.col("to").is_null()).then(TRAIN).when(asked).then(pl.col("to")).otherwise(KNOWN)
    return _labelled(placed.join(who, on=USER_ROW, how="left", maintain_order="left"), which).drop("to", _PLACE, _COUNT)


def item_cold(events: pl.DataFrame, newcomers: NDArray[np.int8]) -> pl.DataFrame:
    """Hold out every event of the items whose `newcomers` int8[n_items] names a split."""
    return events.with_columns(pl.Series(SPLIT, newcomers[events[ITEM_ROW].to_numpy()], dtype=pl.Int8))


def draw_newcomers(
    events: pl.DataFrame, ids: Sequence[str], asked: Sequence[str], share: float, generator: np.random.Generator
) -> NDArray[np.int8]:
    """Return int8[n_items]: 2 for the `asked` ids, 1 for a random share of the other items with a positive, else 0.

    Raises DataError when an asked id is not among the `ids` of the catalogue.
    """
    known = {each: row for row, each in enumerate(ids)}
    if missing := [each for each in asked if each not in known]:
        raise DataError(
            f"held-out items must be in the catalogue; {len(missing)} of {len(asked)} are not, the first is "
            f"{missing[0]!r}; correct backtest.cold_items or read the items it names"
        )
    newcomers = np.zeros(len(ids), np.int8)
    newcomers[[known[each] for each in asked]] = TEST
    rest = events.filter(POSITIVE)[ITEM_ROW].unique().sort().to_numpy()
    rest = rest[newcomers[rest] == 0]
    newcomers[generator.choice(rest, round(share * len(rest)), replace=False)] = VALIDATION
    return newcomers


def given(events: pl.DataFrame, config: BacktestConfig, generator: np.random.Generator) -> pl.DataFrame:
    """Take the split that files gave; where none gave a validation set, a share of each user's train validates.

    That is one event at least, but none of users with fewer than three.
    """
    if (events[GIVEN] == VALIDATION).any() or not config.validation_share:
        return _labelled(events, pl.col(GIVEN)).drop(GIVEN)
    placed = _places(events.with_columns(pl.col(POSITIVE) & (pl.col(GIVEN) == TRAIN)), config.held, generator)
    n_own = (pl.col(_COUNT) * config.validation_share).round().clip(1)
    drawn = pl.col(POSITIVE) & (pl.col(_COUNT) >= _FEWEST_TO_SPLIT) & (pl.col(_COUNT) - pl.col(_PLACE) <= n_own)
    split = placed.select(pl.when(drawn).then(VALIDATION).otherwise(pl.col(GIVEN)).cast(pl.Int8)).to_series()
    return events.with_columns(split.alias(SPLIT)).drop(GIVEN)


def _places(events: pl.DataFrame, held: str, generator: np.random.Generator) -> pl.DataFrame:
    """Add each positive's place among its user's positives, from 0, by time or drawn; and how many there are."""
    drawn = np.arange(len(events)) if held == "last" else generator.permutation(len(events))
    rows = events.with_columns(pl.Series("drawn", drawn))
    rank = pl.when(POSITIVE).then("drawn").rank("ordinal").over(USER_ROW) - 1
    count = pl.col(POSITIVE).sum().over(USER_ROW)
    return rows.with_columns(rank.cast(pl.Int64).alias(_PLACE), count.cast(pl.Int64).alias(_COUNT)).drop("drawn")


def _labelled(events: pl.DataFrame, which: pl.Expr) -> pl.DataFrame:
    return events.with_columns(which.cast(pl.Int8).alias(SPLIT))
