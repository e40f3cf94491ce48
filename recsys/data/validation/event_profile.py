"""What a day's events look like from afar: when they happen, which item leads, and whether the day before had them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.schema import EVENT, ITEM_ID, TIMESTAMP, USER_ID

MIN_EVENTS: Final = 100  # below, a few users decide a share
_MIN_TIMES: Final = 1000  # times of day: fewer among many events are rounded, and equal by chance
_MIN_USER_HOURS: Final = 100  # users counted once in each hour: below, any profile is noise
_MIN_HOURS: Final = 12  # hours with events: any two short stretches are alike when moved
_CLEAR: Final = 0.05  # Jensen-Shannon divergence, in nats, that weekdays do not reach
_NOISE: Final = 3.0  # a sample of n in 24 hours diverges from its source by about 23 / 8n nats
_BETTER: Final = 0.5  # share of the divergence that may be left once hours are shifted
_NOT_POSITIVE: Final = ("impression", "dislike")
_KEY: Final = "key"
_TIME_OF_DAY: Final = "time_of_day"
_DAY_US: Final = 86_400_000_000


Keys = NDArray[np.uint64] | None
"""Sorted 64-bit hashes of a day's (user, item, kind, time of day); None where they say too little to compare."""


@dataclass(frozen=True)
class EventProfile:
    """A partition's good events: users seen in each hour, float[24], and the leading item's share of positive events.

    The share is None for fewer than 100 positive events.
    """

    user_hours: NDArray[np.float64]
    top_item: float | None
    n_items: int


def profile(events: pl.LazyFrame) -> EventProfile:
    """Count users by hour and events by item, in bounded memory."""
    hours = np.zeros(24)
    users = events.group_by(pl.col(TIMESTAMP).dt.hour().alias("hour")).agg(pl.col(USER_ID).hash().n_unique())
    for hour, n_users in users.collect(engine="streaming").drop_nulls().iter_rows():
        hours[hour] = n_users
    return EventProfile(hours, *_leading_item(events))


def day_keys(events: pl.LazyFrame) -> Keys:
    """Return the keys of a day's events."""
    return _comparable(_keyed(events).collect(engine="streaming"))


def copied_share(now: Keys, before: Keys) -> float | None:
    """Return the share of a day's events that the other day has at the same time of day, or None if not comparable."""
    return None if now is None or before is None else float(np.isin(now, before).mean())


def copied_within(events: pl.LazyFrame) -> float | None:
    """Return the largest share of a day's events copied from the last day before with events, in one partition."""
    keyed = _keyed(events).collect(engine="streaming").sort(TIMESTAMP)
    largest: float | None = None
    before: Keys = None
    for _, day in keyed.group_by(TIMESTAMP, maintain_order=True):
        now = _comparable(day)
        share = copied_share(now, before)
        largest = share if largest is None or (share is not None and share > largest) else largest
        before = now
    return largest


def hour_shift(now: NDArray[np.float64], earlier: Sequence[NDArray[np.float64]]) -> int | None:
    """Return by how many hours (-11 to 12) a day fits its predecessors clearly better, 0 if none; None for too few.

    Hours without events do not count: a shift may have pushed events out of the day, and an outage is no shift.
    The day fits unshifted if it is like any one of the predecessors, as a Sunday is like the last.
    """
    unshifted = hour_divergence(now, earlier)
    if unshifted is None:
        return None
    together = np.sum(earlier, axis=0)
    shifted = {shift: _divergence(now, np.roll(together, shift)) for shift in range(-11, 13) if shift}
    best = min(shifted, key=lambda shift: shifted[shift])
    clear = _CLEAR + _NOISE / now.sum() + _NOISE / together.sum()
    return best if unshifted > clear and shifted[best] < _BETTER * unshifted else 0


def hour_divergence(now: NDArray[np.float64], earlier: Sequence[NDArray[np.float64]]) -> float | None:
    """Return how far a day's hours are from the nearest of: its predecessors together, each of them. In nats."""
    together = np.sum(earlier, axis=0) if earlier else np.zeros(24)
    if min(now.sum(), together.sum()) < _MIN_USER_HOURS or np.count_nonzero(now) < _MIN_HOURS:
        return None
    alone = [hours for hours in earlier if hours.sum() >= _MIN_USER_HOURS]
    return min(_divergence(now, hours) for hours in (together, *alone))


def top_item_rise(now: EventProfile, earlier: Sequence[EventProfile], notable: float) -> float | None:
    """Return the leading item's share over the largest of the days before; None below the share `notable`."""
    before = [day.top_item for day in earlier if day.top_item is not None]
    if not before or now.top_item is None or now.top_item < notable:
        return None
    return now.top_item / max(before)


def _comparable(keyed: pl.DataFrame) -> Keys:
    """Leave out few events, and times that are rounded to hours or days: equal ones are no copies."""
    n_times = keyed[_TIME_OF_DAY].n_unique()
    if len(keyed) < MIN_EVENTS or n_times < min(_MIN_TIMES, len(keyed) / 10):
        return None
    return np.sort(keyed[_KEY].to_numpy())


def _divergence(now: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the Jensen-Shannon divergence in nats over the hours in which `now` has events."""
    there = now > 0
    if not other[there].sum():
        return float(np.log(2))
    p, q = now[there] / now[there].sum(), other[there] / other[there].sum()
    mean = (p + q) / 2
    relative = np.log(q / mean, where=q > 0, out=np.zeros_like(q))
    return float((p * np.log(p / mean)).sum() + (q * relative).sum()) / 2


def _leading_item(events: pl.LazyFrame) -> tuple[float | None, int]:
    positive = ~pl.col(EVENT).is_in(_NOT_POSITIVE)
    counts = events.group_by(pl.col(ITEM_ID).hash()).agg(positive.sum().alias("n")).collect(engine="streaming")
    total = int(counts["n"].sum())
    return (None if total < MIN_EVENTS else float(counts["n"].max()) / total), len(counts)  # type: ignore[arg-type]


def _keyed(events: pl.LazyFrame) -> pl.LazyFrame:
    time_of_day = pl.col(TIMESTAMP).dt.epoch("us").mod(_DAY_US)
    key = pl.struct(USER_ID, ITEM_ID, EVENT, time_of_day).hash()
    seconds = (time_of_day // 1_000_000).cast(pl.UInt32)
    return events.select(pl.col(TIMESTAMP).dt.date(), key.alias(_KEY), seconds.alias(_TIME_OF_DAY))
