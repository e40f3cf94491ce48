"""What there is to learn from: the positive events of train, the catalogue they choose from, the task they pose."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.errors import TrainingError
from recsys.features import Dataset

Task: TypeAlias = Literal["next", "later", "any"]

_EVENTS_TO_TRUST = 20  # events at which a new item's id says half of what it has learned


@dataclass(frozen=True)
class Examples:
    """The positive events of train, sorted by user and in the order they are to be learned from.

    One row per event: its position in the dataset's events and its weight as a target, 0 where the user had met the
    item before (what a user has met is never recommended again). User u's rows are `offsets[u]:offsets[u + 1]`.
    """

    positions: NDArray[np.int64]
    weights: NDArray[np.float32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return int(np.count_nonzero(self.weights))


def training_examples(dataset: Dataset) -> Examples:
    """Return the events of training; raise TrainingError when train has no positive event.

    A pair counts once, at its first event with its greatest weight. Weights are divided by the root of the user's
    number of pairs, between counting events alike and counting users alike (evaluation counts users), and scaled to a
    mean of 1.
    """
    events = dataset.events
    positions = np.flatnonzero(np.asarray(events.positive) & (np.asarray(events.split) == 0)).astype(np.int64)
    if not len(positions):
        raise TrainingError("train has no positive event; check features.event_weights, min_rating and the time split")
    user_rows = np.searchsorted(dataset.events.offsets, positions, side="right") - 1
    pairs = user_rows * len(dataset.items.ids) + np.asarray(events.item)[positions]
    _, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
    strongest = np.zeros(len(first), np.float32)
    np.maximum.at(strongest, inverse, np.asarray(events.weight)[positions])
    weights = np.zeros(len(positions), np.float32)
    strongest /= np.sqrt(np.bincount(user_rows[first])[user_rows[first]])
    weights[first] = strongest / strongest.mean()
    offsets = np.concatenate([[0], np.cumsum(np.bincount(user_rows, minlength=len(dataset.users.ids)))])
    return Examples(positions, weights, offsets.astype(np.int64))


def catalogue_rows(dataset: Dataset) -> NDArray[np.int64]:
    """Return the item rows that existed in train: published by its end (or at an unknown time), or seen in it."""
    items = dataset.items
    train_end = dataset.events.timestamp[np.asarray(dataset.events.split) == 0].max()
    return np.flatnonzero((items.published_at <= train_end) | (items.train_count > 0))


def first_hours(dataset: Dataset, examples: Examples) -> NDArray[np.float32]:
    """Return of every item the hour, since 1970, from which it may be an answer: published, or first met, before it.

    An item that was there from the start has minus infinity.
    """
    seconds = np.asarray(dataset.events.timestamp)[examples.positions]
    first = np.full(len(dataset.items.ids), np.inf)
    np.minimum.at(first, np.asarray(dataset.events.item)[examples.positions], seconds)
    first = np.minimum(first, dataset.items.published_at)
    return np.where(first <= seconds.min(), -np.inf, first / 3600).astype(np.float32)


def trust(counts: NDArray[np.int64], hours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much of what the ids of items have learned is to be said, of their events and `first_hours` [n_items].

    An item that came while users were active is trusted by n / (n + 20) of its n events, as in Bayesian shrinkage: the
    fewer they are, the more of what they tell is chance, and the more its content knows. Of one that was there from the
    start few events are all there is to tell.
    """
    n = np.maximum(counts, 1)
    return np.where(np.isfinite(hours), n / (n + _EVENTS_TO_TRUST), 1).astype(np.float32)


def task_of(dataset: Dataset, split: int) -> Task:
    """Return what a split asks for, so that the towers learn that.

    `any` where held-out events were drawn from among the others: events have no times, or train goes on after the first
    of them for most users. Else `next` where most users have one item held out, and `later` where they have several.
    """
    if not dataset.spec.timed:
        return "any"
    events = dataset.events
    positive, splits = np.asarray(events.positive), np.asarray(events.split)
    users = np.repeat(np.arange(len(dataset.users.ids)), np.diff(events.offsets))
    times = np.asarray(events.timestamp)
    last, first = np.full(len(dataset.users.ids), -np.inf), np.full(len(dataset.users.ids), np.inf)
    before, after = positive & (splits == 0), positive & (splits == split)
    np.maximum.at(last, users[before], times[before])
    np.minimum.at(first, users[after], times[after])
    both = np.isfinite(last) & np.isfinite(first)
    if both.any() and (last[both] > first[both]).mean() > 0.5:
        return "any"
    n_held = np.bincount(users[after])
    return "next" if len(n_held) and np.median(n_held[n_held > 0]) <= 1 else "later"
