"""Events as evidence of taste: weights, what is positive, and one row per (user, item, day).

Expressions are Narwhals', so they run on whatever frame they are given.
"""

from datetime import datetime, timedelta

import narwhals as nw
import polars as pl

from recsys.config import FeaturesConfig
from recsys.data import unknown_words
from recsys.errors import DataError
from recsys.schema import DEVICE, DURATION_S, EVENT, EVENT_ID, EVENT_KINDS, ITEM_ID, TIMESTAMP, USER_ID, VALUE, WEIGHT

KIND = "kind"
POSITIVE = "positive"
WATCHED = "watched"
USER_ROW = "user_row"
ITEM_ROW = "item_row"
USED = (EVENT_ID, USER_ID, ITEM_ID, EVENT, VALUE, TIMESTAMP, DEVICE)
STRENGTH = (POSITIVE, WEIGHT, TIMESTAMP, EVENT_ID, KIND, DEVICE, VALUE)  # by which the events of a meeting are compared
_DAY = "day"
_ROWS = 2**20  # events weighed at a time: what is needed on the way is not needed of all at once
_MEETING = (USER_ROW, ITEM_ROW, _DAY)


def evidence(
    interactions: pl.DataFrame, config: FeaturesConfig, also: tuple[str, ...] = (), items: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return the events that say something about taste, weighed; raise DataError when none is positive.

    Of the columns that are not used here, those named in `also` stay. `items` tell durations, which
    `watch_ratio_weight` needs.
    """
    used = prepared(interactions, config, also, items)
    parts: list[pl.DataFrame] = [
        weigh(used.slice(start, _ROWS), config) for start in range(0, max(len(used), 1), _ROWS)
    ]
    events = pl.concat(parts)
    if not events[POSITIVE].any():
        raise DataError(
            f"none of {len(interactions)} events is positive; load more days or check features.event_weights and "
            "features.min_rating"
        )
    return events


def prepared(
    interactions: pl.DataFrame, config: FeaturesConfig, also: tuple[str, ...] = (), items: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return the columns that weighing events needs, and those named in `also`, with the share watched if it counts.

    Raises DataError for an event without a kind or of one that does not exist.
    """
    if n_none := interactions[EVENT].null_count():
        raise DataError(f"{n_none} of {len(interactions)} events have no kind (None): validate first")
    if unknown := unknown_words(interactions[EVENT]):
        raise DataError(f"of {len(interactions)} {unknown}")
    used = interactions.select(*USED, *also)
    if config.watch_ratio_weight and items is not None and DURATION_S in items.columns:
        used = with_watched_share(used, items)
    return used


def first_learned(events: pl.DataFrame, config: FeaturesConfig) -> datetime | None:
    """Return the midnight from which events are learned from, None for all of them.

    Raises ValueError while the number of days is not chosen.
    """
    if config.fit_days == "auto":
        raise ValueError("features.fit_days must be a number of days here; got 'auto'")
    if not config.fit_days:
        return None
    last: datetime = events.select(pl.col(TIMESTAMP).max()).item()
    return last.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=config.fit_days - 1)


def counted_since(events: pl.DataFrame, since: datetime | None) -> pl.DataFrame:
    """Let only events from `since` on count: what came before is met, of weight 0, and nothing is learned from it.

    Raises DataError when no positive event is left.
    """
    if since is None:
        return events
    inside = pl.col(TIMESTAMP) >= since
    weight = pl.when(inside).then(WEIGHT).otherwise(0.0).cast(pl.Float32)
    recent = events.with_columns((pl.col(POSITIVE) & inside).alias(POSITIVE), weight.alias(WEIGHT))
    if not recent[POSITIVE].any():
        raise DataError(f"no event since {since.isoformat()} is positive; raise features.fit_days")
    return recent


def with_watched_share(interactions: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Add the share of the item's duration that a view lasted, 0 to 1; null for other events or where either lacks."""
    durations = items.select(ITEM_ID, pl.col(DURATION_S).cast(pl.Float64)).unique(ITEM_ID, keep="last")
    return _watched(interactions.join(durations, on=ITEM_ID, how="left", maintain_order="left")).drop(DURATION_S)


def positive(joined: pl.DataFrame, config: FeaturesConfig) -> pl.Series:
    """Return of each event whether it is positive, as training counts it; `joined` may tell the items' durations."""
    rows = joined.select(EVENT, VALUE, *((DURATION_S,) if DURATION_S in joined.columns else ()))
    if config.watch_ratio_weight and DURATION_S in rows.columns:
        rows = _watched(rows)
    return _weighed(nw.from_native(rows, eager_only=True), config).to_native()[POSITIVE]


def _watched(joined: pl.DataFrame) -> pl.DataFrame:
    seconds = pl.col(VALUE).cast(pl.Float64).fill_nan(None)
    known = (pl.col(EVENT) == "view") & (pl.col(DURATION_S) > 0) & (seconds >= 0)
    share = pl.when(known).then((seconds / pl.col(DURATION_S)).clip(0.0, 1.0))
    return joined.with_columns(share.alias(WATCHED))


@nw.narwhalify
def weigh(interactions: nw.DataFrame[pl.DataFrame], config: FeaturesConfig) -> nw.DataFrame[pl.DataFrame]:
    """Add weight, kind (from 1) and whether the event is positive; drop events that say nothing about taste.

    Positive is a weight above 0 and, for ratings, a value of at least `min_rating`, where no value counts as 0.
    Dislikes and poor ratings stay, never positive. Where the watched share r is known, the weight is multiplied by
    `1 - w + w r` with w = `watch_ratio_weight`: at 1 a view counts by what was watched of it, and nothing says nothing.
    Values stay where `value_weight` will need them, once train is known.
    """
    kept = _telling(interactions, config)
    return kept.drop(EVENT, VALUE) if config.value_weight == "none" else kept.drop(EVENT)


@nw.narwhalify
def weigh_with_value(interactions: nw.DataFrame[pl.DataFrame], config: FeaturesConfig) -> nw.DataFrame[pl.DataFrame]:
    """Weigh events as `weigh` does; their values stay, whatever the settings."""
    return _telling(interactions, config).drop(EVENT)


def _telling(interactions: nw.DataFrame[pl.DataFrame], config: FeaturesConfig) -> nw.DataFrame[pl.DataFrame]:
    rows = _weighed(interactions, config)
    return rows.filter(nw.col(POSITIVE) | (nw.col(EVENT) == "dislike") | _poor(config))


def _weighed(interactions: nw.DataFrame[pl.DataFrame], config: FeaturesConfig) -> nw.DataFrame[pl.DataFrame]:
    weights = [config.event_weights.get(kind, 0.0) for kind in EVENT_KINDS]
    kinds = list(range(1, len(EVENT_KINDS) + 1))
    names = list(EVENT_KINDS)
    rows = interactions.with_columns(
        nw.col(EVENT).replace_strict(names, kinds, return_dtype=nw.Int8).alias(KIND),
        nw.col(EVENT).replace_strict(names, weights, return_dtype=nw.Float32).alias(WEIGHT),
    )
    if WATCHED in rows.columns:
        w = config.watch_ratio_weight
        factor = (1.0 - w + w * nw.col(WATCHED)).fill_null(1.0)
        rows = rows.with_columns((nw.col(WEIGHT) * factor).cast(nw.Float32).alias(WEIGHT)).drop(WATCHED)
    liked = (nw.col(WEIGHT) > 0) & (nw.col(EVENT) != "dislike") & ~_poor(config)
    return rows.with_columns(liked.alias(POSITIVE))


def _poor(config: FeaturesConfig) -> nw.Expr:
    value = nw.col(VALUE).cast(nw.Float64).fill_nan(None).fill_null(0.0)
    return (nw.col(EVENT) == "rating") & (value < config.min_rating)


@nw.narwhalify
def by_meeting(events: nw.DataFrame[pl.DataFrame]) -> nw.DataFrame[pl.DataFrame]:
    """Sort events so that those of one user, item and UTC day stand together, the strongest last.

    Strongest is a positive one, then the greatest weight, then the latest; the other columns of `STRENGTH` make the
    order total, so that equal events in any order give equal bytes. What is missing is weaker than what is there.
    """
    day = nw.col(TIMESTAMP).dt.date()
    strength = [name for name in STRENGTH if name in events.columns]
    return events.with_columns(day.alias(_DAY)).sort(*_MEETING, *strength)


@nw.narwhalify
def strongest(events: nw.DataFrame[pl.DataFrame]) -> nw.DataFrame[pl.DataFrame]:
    """Keep one row per (user, item, day) of events in the order of `by_meeting`: its strongest, with its own time.

    A view, the click before it and the like after it are one meeting, not three; a repeated row is none.
    """
    last = nw.any_horizontal(
        *((nw.col(name) != nw.col(name).shift(-1)).fill_null(True) for name in _MEETING), ignore_nulls=True
    )
    return events.filter(last).drop(_DAY)


@nw.narwhalify
def in_time(events: nw.DataFrame[pl.DataFrame]) -> nw.DataFrame[pl.DataFrame]:
    """Sort meetings by user, time, event id and item, which is a total order."""
    return events.sort(USER_ROW, TIMESTAMP, EVENT_ID, ITEM_ROW)
