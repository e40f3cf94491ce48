"""Which days of a history belong together, and which times lie so far from all others that they must be errors."""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import date, timedelta
from itertools import accumulate
from typing import Final

import polars as pl

MAX_GAP_DAYS: Final = 366  # the default of validation.max_gap_days
_MIN_EVENTS: Final = 10  # with fewer, nothing tells a history from its errors


def history_days(events_per_day: Mapping[date, int], max_gap_days: int = MAX_GAP_DAYS) -> tuple[date, date]:
    """Return the first and last day of the history; days outside it hold times far from all others.

    The history is the middle half of the events, and what follows on either side until no event happened for longer
    than `max_gap_days` and than that half took. With `max_gap_days` 0, or fewer than 10 events, it is everything.
    Raises ValueError when there is no event.
    """
    days = sorted(events_per_day)
    total = sum(events_per_day.values())
    if not max_gap_days or total < _MIN_EVENTS:
        return days[0], days[-1]
    ranks = list(accumulate(events_per_day[day] for day in days))
    low, high = bisect_left(ranks, (total + 1) // 4), bisect_left(ranks, total - total // 4)
    gap = timedelta(days=max(max_gap_days, (days[high] - days[low]).days))
    while low > 0 and days[low] - days[low - 1] <= gap:
        low -= 1
    while high < len(days) - 1 and days[high + 1] - days[high] <= gap:
        high += 1
    return days[low], days[high]


def events_per_day(moments: pl.Series) -> dict[date, int]:
    """Count events by their day in UTC; those without a time are left out."""
    days = moments.drop_nulls().dt.date().rename("day").value_counts()
    return dict(days.iter_rows())
