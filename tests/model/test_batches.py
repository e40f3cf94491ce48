from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from recsys.config import FeaturesConfig
from recsys.features import Dataset, frames_to_dataset
from recsys.model.batches import Batch, Batches
from recsys.model.examples import Task, training_examples
from recsys.schema import INTERACTIONS, ITEMS, PRIVATE_USERS


def _pass(world: Dataset, task: Task = "next", length: int = 8, n_negatives: int = 0, seed: int = 1) -> list[Batch]:
    """One pass over a world whose windows fill whole batches of one."""
    batches = Batches(world, training_examples(world), length, n_negatives=n_negatives, task=task)
    generator = np.random.default_rng(seed)
    found, n_events = [], 0
    for batch in batches.epoch(generator, 1, 10_000):
        found.append(batch)
        n_events += int((np.asarray(batch["history"]) > 0).sum())
        if n_events == len(training_examples(world).positions):
            return found
    raise AssertionError("a pass never ended")


def _first_met(world: Dataset) -> NDArray[np.int64]:
    """The second of every item's first event of training."""
    positions = training_examples(world).positions
    seconds, items = np.asarray(world.events.timestamp)[positions], np.asarray(world.events.item)[positions]
    return np.array([seconds[items == item].min() for item in range(len(world.items.ids))])


def _targets(found: list[Batch]) -> NDArray[np.int64]:
    return np.concatenate([np.asarray(batch["target"]) for batch in found])


@pytest.mark.parametrize("task", ["next", "later", "any"])
def test_a_pass_holds_every_target_once(world: Dataset, task: Task) -> None:
    expected = np.bincount(world.events.item[training_examples(world).positions], minlength=len(world.items.ids))
    assert (np.bincount(_targets(_pass(world, task)), minlength=len(world.items.ids)) == expected).all()


def test_passes_are_cut_anew_and_reproducible(world: Dataset) -> None:
    batches = Batches(world, training_examples(world), 4, n_negatives=0, task="next")
    generator, again = np.random.default_rng(1), np.random.default_rng(1)
    first, second, repeated = (_targets(list(batches.epoch(g, 64, 20))) for g in (generator, generator, again))
    assert len(first) == len(repeated) and (first == repeated).all()
    assert len(first) != len(second) or (first != second).any()


def test_a_target_is_asked_of_its_own_slot_an_earlier_one_or_one_of_its_part(world: Dataset) -> None:
    for task in ("next", "later", "any"):
        for batch in _pass(world, task):  # type: ignore[arg-type]
            history, parts = np.asarray(batch["history"]), np.asarray(batch["parts"]).ravel()
            own = np.flatnonzero(history.ravel())  # no pair stands twice here: every slot is a target
            asked = np.asarray(batch["slots"])[batch["asked"]]
            assert (history.ravel()[own] == np.asarray(batch["target"]) + 1).all()
            assert (history.ravel()[asked] > 0).all()
            assert (asked // history.shape[1] == own // history.shape[1]).all()
            assert {"next": asked == own, "later": asked <= own, "any": parts[asked] == parts[own]}[task].all()


def test_few_queries_answer_many_targets_where_order_allows_it(world: Dataset) -> None:
    for task in ("later", "any"):
        for batch in _pass(world, task):  # type: ignore[arg-type]
            windows = len(np.asarray(batch["history"]))
            assert len(np.asarray(batch["slots"])) <= 5 * windows


def test_sampled_batches_address_the_same_items_as_full_ones(world: Dataset) -> None:
    for full, sampled in zip(_pass(world), _pass(world, n_negatives=3), strict=True):
        with_padding = np.concatenate([[0], np.asarray(sampled["items"]["id"])])  # type: ignore[call-overload]
        vocab = np.concatenate([[0], world.items.vocab])
        assert (with_padding[sampled["history"]] == vocab[full["history"]]).all()
        assert (with_padding[1:][sampled["target"]] == vocab[1:][full["target"]]).all()


def _drawn_world(sizes: list[int]) -> Dataset:
    """Users of these numbers of events, each event's item drawn independently by popularity, one event a day."""
    generator, start = np.random.default_rng(5), datetime(2026, 1, 1, tzinfo=UTC)
    chance = 1.0 / np.arange(2, 32)
    events = [
        {
            "event_id": f"e{user:04}-{place}",
            "user_id": f"u{user:04}",
            "item_id": f"i{item:02}",
            "event": "click",
            "timestamp": start + timedelta(days=place),
        }
        for user, size in enumerate(sizes)
        for place, item in enumerate(generator.choice(len(chance), size, p=chance / chance.sum()).tolist())
    ]
    last = {"event_id": "last", "user_id": "u0000", "item_id": "i00", "event": "click"}
    late = [{**last, "event_id": f"z{day}", "timestamp": start + timedelta(days=day)} for day in (40, 50)]
    rows = [{name: row.get(name) for name in INTERACTIONS} for row in (*events, *late)]
    frame, empty = pl.DataFrame(rows, schema=INTERACTIONS), pl.DataFrame(schema=PRIVATE_USERS)
    cuts = start + timedelta(days=39), start + timedelta(days=45)
    features = FeaturesConfig(text_dim=4, min_item_events=1, min_user_events=1)
    return frames_to_dataset(features, frame, empty, pl.DataFrame(schema=ITEMS), cuts)


@pytest.mark.parametrize("n_hard", [0, 6])
@pytest.mark.parametrize("sizes", [[8], [5, 6, 7, 8], [2, 8]], ids=["no padding", "a fifth", "three eighths"])
def test_an_item_is_in_the_sample_as_often_as_it_is_told_to_be(sizes: list[int], n_hard: int) -> None:
    data = _drawn_world(sizes * (1200 // len(sizes)))
    batches = Batches(data, training_examples(data), 8, n_negatives=10 + n_hard, n_hard=n_hard, task="next")
    n_items = len(data.items.ids)
    present, told, n_batches = np.zeros(n_items), np.zeros(n_items), 0
    for batch in batches.epoch(np.random.default_rng(1), 40, 3000):
        rows = np.asarray(batch["items"]["id"]) - 1  # type: ignore[call-overload]
        present[rows] += 1
        told[rows] += np.exp(batch["log_inclusion"])
        n_batches += 1
    found, said = present / n_batches, told / np.maximum(present, 1)
    often = (found > 0.2) & (found < 0.95)
    assert often.sum() > 10
    # 3,000 batches leave a standard error of 0.009 each, and full batches, in which more is present, are told of more
    assert np.abs(found[often] - said[often]).mean() < 0.02


@pytest.mark.parametrize("n_negatives", [0, 3])
@pytest.mark.parametrize("task", ["next", "later", "any"])
def test_an_item_may_be_an_answer_from_its_publication_or_first_event_on(
    world: Dataset, task: Task, n_negatives: int
) -> None:
    events, examples = world.events, training_examples(world)
    seconds = np.asarray(events.timestamp)[examples.positions]
    met = _first_met(world)
    late, early = int(met.argmax()), int(met.argmin())
    published = np.zeros(len(world.items.ids), np.int64)
    published[[late, early]] = seconds.max()  # each after its first event, which tells better
    grown = replace(world, items=replace(world.items, published_at=published))
    first = met[late] / 3600, -np.inf
    for batch in _pass(grown, task, n_negatives=n_negatives):
        vocab = batch["items"]["id"] if "items" in batch else world.items.vocab  # type: ignore[call-overload]
        since = dict(zip(np.asarray(vocab).tolist(), np.asarray(batch["since"]).tolist(), strict=True))
        for item, hour in zip((late, early), first, strict=True):
            assert since.get(world.items.vocab[item], hour) == pytest.approx(hour)
        assert (np.asarray(batch["since"])[batch["target"]] <= batch["until"]["1.0"][batch["asked"]]).all()


def test_a_catalogue_that_was_there_from_the_start_costs_nothing(world: Dataset) -> None:
    old = replace(world, items=replace(world.items, published_at=np.zeros(len(world.items.ids), np.int64)))
    assert not {"since", "until"} & set(_pass(old)[0])
