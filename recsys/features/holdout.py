"""The split of events without times: a random share of what each user has."""

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.config import FeaturesConfig
from recsys.features.events import ITEM_ROW, POSITIVE, USER_ROW
from recsys.features.split import SPLIT, TEST, TRAIN, VALIDATION
from recsys.schema import EVENT_ID, TIMESTAMP

_FEWEST_TO_SPLIT = 3  # positives of a user of whom something is held out
_PLACE, _COUNT, _CHANCE = "place", "n_own", "chance"


def random_holdout(
    events: pl.DataFrame, config: FeaturesConfig, user_ids: pl.Series, item_ids: pl.Series
) -> pl.DataFrame:
    """Hold out `test_fraction` and `validation_fraction` of each user's positives; sort each user's events by split.

    `events` are one row per user and item, by their rows in `user_ids` and `item_ids`. Fractions of an event are
    rounded up for as many users as makes the shares right in the mean; one positive at least is trained on, and users
    with fewer than three are trained on whole. The draw hashes `holdout_seed` with the ids, so that a pair is drawn
    alike whatever else there is and in whatever order.
    """
    named = ((USER_ROW, user_ids), (ITEM_ROW, item_ids))
    users, items = (_hashes(ids, config.holdout_seed)[events[row].to_numpy()] for row, ids in named)
    drawn = events.with_columns(
        pl.Series(_PLACE, _mixed(users, items)),
        pl.Series(_CHANCE, users / 2.0**64),
        pl.col(POSITIVE).sum().over(USER_ROW).cast(pl.Int64).alias(_COUNT),
    ).with_columns(pl.when(POSITIVE).then(_PLACE).rank("ordinal").over(USER_ROW).alias(_PLACE))
    count, divided = pl.col(_COUNT), pl.col(_COUNT) >= _FEWEST_TO_SPLIT
    n_held = _rounded(count * (config.test_fraction + config.validation_fraction)).clip(upper_bound=count - 1)
    n_test = pl.min_horizontal(_rounded(count * config.test_fraction), n_held)
    which = (
        pl.when(divided & (pl.col(_PLACE) <= n_test))
        .then(TEST)
        .when(divided & (pl.col(_PLACE) <= n_held))
        .then(VALIDATION)
        .otherwise(TRAIN)
    )
    split = drawn.with_columns(which.cast(pl.Int8).alias(SPLIT)).drop(_PLACE, _CHANCE, _COUNT)
    return split.sort(USER_ROW, SPLIT, TIMESTAMP, EVENT_ID, ITEM_ROW)


def _rounded(expected: pl.Expr) -> pl.Expr:
    return (expected + pl.col(_CHANCE)).floor().cast(pl.Int64)


def _hashes(ids: pl.Series, seed: int) -> NDArray[np.uint64]:
    """Return uint64[n]: a number for each id, the same on every machine and in every version."""
    key = str(seed).encode()
    digests = (hashlib.blake2b(each.encode(), digest_size=8, key=key).digest() for each in ids)
    return np.fromiter((int.from_bytes(digest, "little") for digest in digests), np.uint64, len(ids))


def _mixed(users: NDArray[np.uint64], items: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return one number for each pair, as good as drawn: the finaliser of SplitMix64 (Steele et al. 2014)."""
    mixed = users ^ (items * np.uint64(0x9E3779B97F4A7C15))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    result: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return result
