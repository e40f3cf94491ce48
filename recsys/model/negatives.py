"""Hard negatives: items of people who have met what the batch's users have met."""

import numpy as np
from numpy.typing import NDArray


class Neighbourhood:
    """Walks from an event to another event of its item, and on to an event of that one's user.

    Each step goes to one of its events with equal chance, so that a walk from an event drawn at random ends at every
    event with equal chance (the stationary distribution of a random walk is a node's share of edges): an item is met
    with the probability of its share of events, as within the batch, and yet lies near what the batch asks for. Near a
    query of the batch it is met more often than that probability says, and so weighs more: that makes it hard.
    """

    def __init__(self, items: NDArray[np.integer], offsets: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Take the item rows [n] of all events, user u's in `offsets[u]:offsets[u + 1]`, and each item's `counts`."""
        self._items, self._offsets, self._counts = items, offsets, counts
        self._by_item = np.argsort(items, kind="stable").astype(np.int32)
        self._starts = np.cumsum(counts) - counts

    def items(self, events: NDArray[np.integer], generator: np.random.Generator) -> NDArray[np.integer]:
        """Return the item row where a walk from each of the events [k] ends."""
        item = self._items[events]
        met = self._by_item[self._starts[item] + _drawn(self._counts[item], generator)]
        user = np.searchsorted(self._offsets, met, side="right") - 1
        start = self._offsets[user]
        found: NDArray[np.integer] = self._items[start + _drawn(self._offsets[user + 1] - start, generator)]
        return found


def _drawn(sizes: NDArray[np.integer], generator: np.random.Generator) -> NDArray[np.int64]:
    """Return a number below each size, each with equal chance."""
    return (generator.random(len(sizes)) * sizes).astype(np.int64)
