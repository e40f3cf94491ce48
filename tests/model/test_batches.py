from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.features import Dataset
from recsys.model.batches import Batch, Batches
from recsys.model.examples import Task, training_examples


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


@pytest.mark.parametrize("n_hard", [0, 2])
def test_log_inclusion_is_the_chance_to_be_in_the_sample(world: Dataset, n_hard: int) -> None:
    examples = training_examples(world)
    batches = Batches(world, examples, 8, n_negatives=5, n_hard=n_hard, task="next")
    counts = np.bincount(world.events.item[examples.positions], minlength=len(world.items.ids))
    batch = next(iter(batches.epoch(np.random.default_rng(0), 64, 1)))
    share = counts[np.asarray(batch["items"]["id"]) - 1] / counts.sum()  # type: ignore[call-overload]
    n_slots, n_items = np.asarray(batch["history"]).size, len(world.items.ids)
    by_hand = 1 - (1 - share) ** (n_slots + n_hard) * (1 - 1 / n_items) ** (5 - n_hard)
    assert np.allclose(np.exp(batch["log_inclusion"]), by_hand, atol=1e-5)


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
