"""The input pipeline: every first meeting of a user and an item in train is one example.

Histories are gathered from the dataset's sorted events batch by batch, in a background thread, so that memory stays
bounded; every epoch shuffles anew before it batches, so in-batch negatives are never frozen.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.errors import TrainingError
from recsys.features import Dataset
from recsys.model.inputs import item_inputs, query_inputs

Batch: TypeAlias = dict[str, NDArray[np.generic] | dict[str, NDArray[np.generic]]]


@dataclass(frozen=True)
class Examples:
    """One row per (user, item) of train: the position of its first event, its user row and its weight."""

    positions: NDArray[np.int64]
    user_rows: NDArray[np.int32]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.positions)


def training_examples(dataset: Dataset) -> Examples:
    """Return the targets of training; raise TrainingError when train has no positive event.

    A pair counts once, at its first event with its greatest weight: what a user has met is never recommended again,
    and a like after a click on the same item would teach to repeat the history's last item. Weights are divided by
    the root of the user's number of examples, between counting events alike and counting users alike (evaluation
    counts users), and scaled to a mean of 1.
    """
    events = dataset.events
    positions = np.flatnonzero(np.asarray(events.positive) & (np.asarray(events.split) == 0)).astype(np.int64)
    if not len(positions):
        raise TrainingError("train has no positive event; check features.event_weights, min_rating and the time split")
    user_rows = np.searchsorted(dataset.events.offsets, positions, side="right").astype(np.int32) - 1
    pairs = user_rows.astype(np.int64) * len(dataset.items.ids) + events.item[positions]
    _, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
    weights = np.zeros(len(first), np.float32)
    np.maximum.at(weights, inverse, np.asarray(events.weight)[positions])
    weights /= np.sqrt(np.bincount(user_rows[first])[user_rows[first]])
    return Examples(positions[first], user_rows[first], (weights / weights.mean()).astype(np.float32))


def catalogue_rows(dataset: Dataset) -> NDArray[np.int64]:
    """Return the item rows that existed in train: published by its end (or at an unknown time), or seen in it."""
    items = dataset.items
    train_end = dataset.events.timestamp[np.asarray(dataset.events.split) == 0].max()
    return np.flatnonzero((items.published_at <= train_end) | (items.train_count > 0))


class Batches:
    """Training batches of a dataset; `full` scores against the whole catalogue, else against the batch."""

    def __init__(self, dataset: Dataset, examples: Examples, length: int, full: bool) -> None:
        self._dataset = dataset
        self._examples = examples
        self._length = length
        n_items = len(dataset.items.ids)
        targets = np.asarray(dataset.events.item)[examples.positions]
        self._probability = (np.bincount(targets, minlength=n_items) / len(targets)).astype(np.float32)
        self._place: NDArray[np.int32] | None = None
        if full:
            rows = catalogue_rows(dataset)
            self._place = np.zeros(n_items + 1, np.int32)  # 1 + item row -> 1 + place in the catalogue
            self._place[rows + 1] = np.arange(1, len(rows) + 1)

    def epoch(self, generator: np.random.Generator, batch_size: int, limit: int) -> Iterator[Batch]:
        """Yield one epoch in a new order; at most `limit` examples unless it is 0; a ragged last batch is dropped."""
        order = generator.permutation(len(self._examples))[: limit or None]
        size = min(batch_size, len(order))
        ends = self._draw_ends(generator)
        chosen = [np.sort(order[at : at + size]) for at in range(0, len(order) - size + 1, size)]
        return _ahead([partial(self.batch, part, ends[part]) for part in chosen])

    def batch(self, chosen: NDArray[np.integer], ends: NDArray[np.integer]) -> Batch:
        """Build the batch of some examples, whose histories end before the positions `ends`."""
        events = self._dataset.events
        inputs: Batch = dict(
            query_inputs(
                self._dataset,
                self._examples.user_rows[chosen],
                ends,
                np.asarray(events.timestamp[ends]),
                np.asarray(events.device[ends]),
                self._length,
            )
        )
        target, history = np.asarray(events.item[self._examples.positions[chosen]]), np.asarray(inputs["history"])
        inputs["weight"] = self._examples.weights[chosen]
        if self._place is not None:
            return {**inputs, "history": self._place[history], "target": self._place[target + 1] - 1}
        rows, place = np.unique(np.concatenate([target + 1, history.ravel()]), return_inverse=True)
        shift = int(rows[0] != 0)  # padding, row 0, is not an item
        place = (place.ravel() + shift).astype(np.int32)
        return {
            **inputs,
            "history": place[len(target) :].reshape(history.shape),
            "target": place[: len(target)] - 1,
            "target_id": target.astype(np.int32),
            "sampling_probability": self._probability[target],
            "items": item_inputs(self._dataset.items, rows[1 - shift :] - 1),
        }

    def _draw_ends(self, generator: np.random.Generator) -> NDArray[np.int64]:
        # A recommendation is judged by all that a user turns to afterwards, not by the next event alone: a history
        # ends anywhere before its target, at the user's beginning too, which also trains the answer to new users.
        positions = self._examples.positions
        first = np.asarray(self._dataset.events.offsets)[self._examples.user_rows]
        return first + (generator.random(len(positions)) * (positions - first + 1)).astype(np.int64)


def _ahead(makers: list[Callable[[], Batch]]) -> Iterator[Batch]:
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting = [pool.submit(make) for make in makers[:2]]  # two ahead keep the trainer busy, and memory small
        for make in [*makers[2:], None, None]:
            if waiting:
                yield waiting.pop(0).result()
            if make is not None:
                waiting.append(pool.submit(make))
