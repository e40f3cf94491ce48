"""User histories gathered from one sorted array, without a copy per example."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.dataset import Dataset

_HOUR_S = 3600
_N_AGES = 28  # buckets 1..28: under a second, 1 s, 2 s, 4 s .. 2^26 s (two years)
_N_GAPS = 15  # buckets 1..15: under an hour, 1 h, 2 h, 4 h .. 2^13 h (a year)
_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday; Monday is 0


@dataclass(frozen=True)
class HistoryBatch:
    """Positive events before each query, right-aligned, most recent last; all int32[B, L].

    `items` holds item rows (-1 padding), `kinds` event kinds (0 padding), `ages` log2 buckets of the seconds from the
    event to the query (0 padding), `gaps` those of the hours, which towers of earlier releases ask for.
    """

    items: NDArray[np.int32]
    kinds: NDArray[np.int32]
    ages: NDArray[np.int32]
    gaps: NDArray[np.int32]


def histories(
    dataset: Dataset,
    user_rows: NDArray[np.integer],
    history_end: NDArray[np.integer],
    query_time: NDArray[np.integer],
    length: int,
) -> HistoryBatch:
    """Return the last `length` positive events of each user before position `history_end` of the events."""
    events, positions = dataset.events, dataset.events.positive_positions
    if not len(positions):
        padding = np.zeros((len(user_rows), length), np.int32)
        return HistoryBatch(items=padding - 1, kinds=padding, ages=padding, gaps=padding)
    start = np.searchsorted(positions, np.asarray(events.offsets)[user_rows])
    places = np.searchsorted(positions, history_end)[:, None] + np.arange(-length, 0)
    inside = places >= start[:, None]
    chosen = positions[np.where(inside, places, 0)]
    seconds = np.asarray(query_time, np.int64)[:, None] - events.timestamp[chosen]
    return HistoryBatch(
        items=np.where(inside, events.item[chosen], -1).astype(np.int32),
        kinds=np.where(inside, events.kind[chosen], 0).astype(np.int32),
        ages=np.where(inside, _bucket(seconds, _N_AGES), 0).astype(np.int32),
        gaps=np.where(inside, _bucket(seconds // _HOUR_S, _N_GAPS), 0).astype(np.int32),
    )


def context_of(
    timestamps: NDArray[np.integer], device: NDArray[np.integer], *, timed: bool = True
) -> NDArray[np.int32]:
    """Return int32[n, 3]: hour + 1, weekday + 1 (Monday is 1), device; in UTC, 0 is unknown, as it is without `timed`.

    >>> context_of(np.array([0]), np.array([2])).tolist()
    [[1, 4, 2]]
    """
    seconds = np.asarray(timestamps, np.int64)
    hour = seconds // _HOUR_S % 24 + 1
    weekday = (seconds // (24 * _HOUR_S) + _EPOCH_WEEKDAY) % 7 + 1
    return np.column_stack([hour * timed, weekday * timed, device]).astype(np.int32)


def _bucket(durations: NDArray[np.int64], n_buckets: int) -> NDArray[np.int64]:
    """Return 1 for less than one, 2 for 1, 3 for 2 and 3, 4 for 4 to 7 and so on, the last for all beyond."""
    return np.searchsorted(2 ** np.arange(n_buckets - 1), durations, side="right") + 1
