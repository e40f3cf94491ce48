"""The distances that are watched: each compares two masks over the same observations; NaN where a side is empty."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from recsys.monitoring.observations import Bools, Observations
from recsys.monitoring.statistics import NOTHING, Floats, cosine_distance, jensen_shannon, kolmogorov_smirnov, psi

Measure = Callable[[Observations, Bools, Bools], float]
_POPULARITY_BINS = 10
_MIN_SEGMENT_EVENTS = 30  # a segment with fewer positive events on either side says nothing


def event_kinds(events: Observations, reference: Bools, fresh: Bools) -> float:
    """Return the Jensen-Shannon distance of the mix of event kinds."""
    return jensen_shannon(*_histograms(events.kind, reference, fresh))


def hour_of_day(events: Observations, reference: Bools, fresh: Bools) -> float:
    """Return the PSI of events by hour of the day, UTC."""
    return psi(*_histograms(events.hour, reference, fresh, 24))


def seconds_watched(events: Observations, reference: Bools, fresh: Bools) -> float:
    """Return the Kolmogorov-Smirnov statistic of the seconds of views."""
    return kolmogorov_smirnov(events.seconds[reference], events.seconds[fresh])


def demographics(events: Observations, reference: Bools, fresh: Bools) -> float:
    """Return the largest Jensen-Shannon distance over demographic columns, counting active users, not events."""
    sides = [_active(events.user, mask) for mask in (reference, fresh)]
    distances = [
        jensen_shannon(*(np.bincount(codes[rows], minlength=int(codes.max(initial=0)) + 1) for rows in sides))
        for codes in events.segments.T
    ]
    return max((each for each in distances if not np.isnan(each)), default=NOTHING)


def item_popularity(events: Observations, reference: Bools, fresh: Bools) -> float:
    """Return the PSI of positive events over ten groups of items, each with a tenth of the reference's events.

    Items are grouped by their popularity in the reference; items the reference does not know are left out.
    """
    n_items = events.vectors.shape[0]
    before = np.bincount(events.item[reference & events.positive], minlength=n_items)
    after = np.bincount(events.item[fresh & events.positive], minlength=n_items)
    order = np.argsort(-before, kind="stable")
    order = order[before[order] > 0]
    if not order.size:
        return NOTHING
    mass = np.cumsum(before[order])
    group = np.minimum((mass - before[order]) * _POPULARITY_BINS // mass[-1], _POPULARITY_BINS - 1)
    return psi(*(np.bincount(group, counts[order], minlength=_POPULARITY_BINS) for counts in (before, after)))


def category_mix(events: Observations, reference: Bools, fresh: Bools) -> float:
    """Return the Jensen-Shannon distance of the categories that positive events consume."""
    return jensen_shannon(*(_categories(events, mask & events.positive) for mask in (reference, fresh)))


def category_mix_by_segment(events: Observations, reference: Bools, fresh: Bools) -> float:
    """Return the mean of `category_mix` over demographic groups, weighted by fresh positive events.

    It sees tastes that move between groups while the sum stays as it was.
    """
    return _by_segment(events, reference, fresh, category_mix)


def embedding_shift(events: Observations, reference: Bools, fresh: Bools) -> float:
    """Return the cosine distance between the mean unit vectors of the items consumed on either side."""
    return cosine_distance(*(_mean_vector(events, mask & events.positive) for mask in (reference, fresh)))


def embedding_shift_by_segment(events: Observations, reference: Bools, fresh: Bools) -> float:
    """Return the mean of `embedding_shift` over demographic groups, weighted by fresh positive events."""
    return _by_segment(events, reference, fresh, embedding_shift)


def _by_segment(events: Observations, reference: Bools, fresh: Bools, measure: Measure) -> float:
    total = weight = 0.0
    for before, after in _segments(events, reference & events.positive, fresh & events.positive):
        n, distance = float(after.sum()), measure(events, before, after)
        if not np.isnan(distance):
            total += n * distance
            weight += n
    return total / weight if weight else NOTHING


def _segments(events: Observations, reference: Bools, fresh: Bools) -> Iterator[tuple[Bools, Bools]]:
    for codes in events.segments.T:
        sizes = [np.bincount(codes[mask], minlength=int(codes.max(initial=0)) + 1) for mask in (reference, fresh)]
        for code in np.flatnonzero(np.minimum(*sizes) >= _MIN_SEGMENT_EVENTS):
            inside = codes == code
            yield reference & inside, fresh & inside


def _histograms(
    codes: NDArray[np.int32], reference: Bools, fresh: Bools, n_bins: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    size = max(n_bins, int(codes.max(initial=0)) + 1)
    return np.bincount(codes[reference], minlength=size), np.bincount(codes[fresh], minlength=size)


def _active(users: NDArray[np.int32], mask: Bools) -> NDArray[np.int64]:
    """Return the last row of each user inside the mask."""
    rows = np.flatnonzero(mask)[::-1]
    return rows[np.unique(users[rows], return_index=True)[1]]


def _categories(events: Observations, mask: Bools) -> Floats:
    counts = np.bincount(events.item[mask], minlength=events.vectors.shape[0])
    return np.asarray(events.categories.T @ counts, np.float64)


def _mean_vector(events: Observations, mask: Bools) -> Floats:
    counts = np.bincount(events.item[mask], minlength=events.vectors.shape[0])
    return np.asarray(counts @ events.vectors / max(counts.sum(), 1), np.float64)
