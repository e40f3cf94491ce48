from dataclasses import replace

import numpy as np
import pytest

from recsys.features import Dataset
from recsys.model.examples import first_hours, task_of, training_examples, trust


def test_every_training_pair_is_one_target(world: Dataset) -> None:
    examples = training_examples(world)
    events = world.events
    positive = np.flatnonzero(np.asarray(events.positive) & (np.asarray(events.split) == 0))
    users = np.searchsorted(events.offsets, positive, side="right")
    pairs = set(zip(users.tolist(), events.item[positive].tolist(), strict=True))
    assert len(examples) == len(pairs)
    assert (examples.positions == positive).all()


def test_an_item_met_again_is_history_but_no_target(world: Dataset) -> None:
    items = np.array(world.events.item)
    start = int(world.events.offsets[0])
    items[start + 1] = items[start]
    examples = training_examples(replace(world, events=replace(world.events, item=items)))
    assert examples.weights[0] > 0
    assert examples.weights[1] == 0


def test_new_items_are_trusted_by_their_events_and_old_ones_wholly(world: Dataset) -> None:
    examples = training_examples(world)
    items = np.asarray(world.events.item)[examples.positions]
    seconds = np.asarray(world.events.timestamp)[examples.positions]
    new = max(range(len(world.items.ids)), key=lambda item: seconds[items == item].min())
    published = np.zeros(len(world.items.ids), np.int64)
    published[new] = world.events.timestamp.max()
    counts = np.bincount(items)
    grown = replace(world, items=replace(world.items, published_at=published))
    shares = trust(counts, first_hours(grown, examples))
    assert shares[new] == pytest.approx(counts[new] / (counts[new] + 20))
    assert (np.delete(shares, new) == 1).all()


def _held(world: Dataset, per_user: int, *, among: bool) -> Dataset:
    """Hold out events of every user: their last ones, or some from among the others."""
    split = np.zeros(len(world.events.item), np.int8)
    for stop in world.events.offsets[1:]:
        last = slice(stop - per_user - 4, stop - 4) if among else slice(stop - per_user, stop)
        split[last] = 1
    return replace(world, events=replace(world.events, split=split))


def test_the_task_is_what_the_held_out_events_ask_for(world: Dataset) -> None:
    assert task_of(_held(world, 1, among=False), 1) == "next"
    assert task_of(_held(world, 3, among=False), 1) == "later"
    assert task_of(_held(world, 2, among=True), 1) == "any"
