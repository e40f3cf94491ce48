"""What is compared with what, and how far apart two samples of the same sizes lie when nothing has changed.

Every distance between two finite samples is above zero, smaller samples lie further apart, and weekdays and a catalogue
that turns over move numbers without anybody's taste having changed. So each measure is also taken inside the days the
champion learned from: stretches as long as the fresh window against the days before them.
"""

from dataclasses import dataclass, replace

import numpy as np

from recsys.config import MonitoringConfig
from recsys.monitoring.observations import Bools, Observations

_DAY_S = 86_400
_MIN_STRETCHES = 3  # side by side: fewer do not show the noise; random groups of users then do
_FEWEST_EVENTS = 0.5  # of the fresh window's events: a quieter stretch, an outage say, shows another noise


@dataclass(frozen=True)
class Comparison:
    """Two masks over observations: `before` and `after`."""

    before: Bools
    after: Bools


def comparisons(events: Observations, config: MonitoringConfig) -> tuple[Comparison, list[Comparison]]:
    """Return the fresh window against the champion's last days, and comparisons inside its days that show the noise.

    All are of equal sizes: each side is thinned at random to the smallest of its kind. The champion's last
    `reference_days`, at most half of what it learned from, are what the fresh window is compared with; stretches of
    those days, each as long as the fresh window and begun on different days of the week, against as many days before
    them show the noise. Where fewer than three such stretches fit side by side, random groups of users against the
    other users show it.
    """
    middle = _middle(events, config)
    actual = Comparison(~events.fresh & (events.timestamp >= middle), events.fresh)
    noise = _stretches(events, middle, config)
    if not noise:
        actual = replace(actual, before=~events.fresh)
        noise = _groups_of_users(events, config)
    if not noise:
        return actual, []
    n_before, n_after = (
        min(int(getattr(each, side).sum()) for each in (actual, *noise)) for side in ("before", "after")
    )
    generator = np.random.default_rng(config.seed)
    thinned = [
        Comparison(_thinned(each.before, n_before, generator), _thinned(each.after, n_after, generator))
        for each in (actual, *noise)
    ]
    return thinned[0], thinned[1:]


def _middle(events: Observations, config: MonitoringConfig) -> int:
    """Return the second from which events of the reference are what the fresh window is compared with."""
    times = events.timestamp[~events.fresh]
    if not times.size:
        return 0
    end, start = int(times.max()), int(times.min())
    half_days = (_midnight_after(end) - start // _DAY_S * _DAY_S) // _DAY_S // 2
    return _midnight_after(end) - min(half_days, config.reference_days) * _DAY_S


def _midnight_after(second: int) -> int:
    return (second // _DAY_S + 1) * _DAY_S


def _stretches(events: Observations, middle: int, config: MonitoringConfig) -> list[Comparison]:
    before, after = events.timestamp[~events.fresh], events.timestamp[events.fresh]
    if not before.size or not after.size:
        return []
    width = max(round((int(after.max()) - int(after.min())) / _DAY_S), 1) * _DAY_S
    end = _midnight_after(int(before.max()))
    if end - middle < _MIN_STRETCHES * width:
        return []
    earlier = ~events.fresh & (events.timestamp < middle) & (events.timestamp >= middle - (end - middle))
    midnights = np.arange(middle, end - width + 1, _DAY_S)
    starts = midnights[np.unique(np.linspace(0, midnights.size - 1, config.n_null_windows).astype(int))]
    stretches = [~events.fresh & (events.timestamp >= at) & (events.timestamp < at + width) for at in starts]
    enough = _FEWEST_EVENTS * int(events.fresh.sum())
    return [Comparison(earlier, later) for later in stretches if later.sum() >= max(enough, 1) and earlier.any()]


def _groups_of_users(events: Observations, config: MonitoringConfig) -> list[Comparison]:
    inside = ~events.fresh
    users = np.unique(events.user[inside])
    if users.size < 2:
        return []
    share = min(int(events.fresh.sum()) / max(int(inside.sum()), 1), 0.5)
    generator = np.random.default_rng(config.seed)
    groups = []
    for _ in range(config.n_null_windows):
        drawn = generator.choice(users, max(round(share * users.size), 1), replace=False)
        later = inside & np.isin(events.user, drawn)
        groups.append(Comparison(inside & ~later, later))
    return groups


def _thinned(mask: Bools, size: int, generator: np.random.Generator) -> Bools:
    rows = np.flatnonzero(mask)
    if rows.size <= size:
        return mask
    kept = np.zeros_like(mask)
    kept[generator.choice(rows, size, replace=False)] = True
    return kept
