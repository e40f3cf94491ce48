import numpy as np

from recsys.features import Dataset
from recsys.model.examples import Batches, training_examples


def test_every_training_pair_is_one_example_of_its_user(world: Dataset) -> None:
    examples = training_examples(world)
    events = world.events
    pairs = set(zip(examples.user_rows.tolist(), events.item[examples.positions].tolist(), strict=True))
    assert len(pairs) == len(examples) == int((events.positive & (events.split == 0)).sum())
    offsets = world.events.offsets
    assert (offsets[examples.user_rows] <= examples.positions).all()
    assert (examples.positions < offsets[examples.user_rows + 1]).all()


def test_epochs_are_shuffled_anew_and_reproducible(world: Dataset) -> None:
    batches = Batches(world, training_examples(world), length=4, full=True)
    generator, again = np.random.default_rng(1), np.random.default_rng(1)
    first = np.concatenate([np.asarray(batch["target"]) for batch in batches.epoch(generator, 64, 0)])
    second = np.concatenate([np.asarray(batch["target"]) for batch in batches.epoch(generator, 64, 0)])
    repeated = np.concatenate([np.asarray(batch["target"]) for batch in batches.epoch(again, 64, 0)])
    assert (first == repeated).all()
    assert (first != second).any()


def test_histories_never_reach_the_target(world: Dataset) -> None:
    batches = Batches(world, training_examples(world), length=50, full=True)
    for batch in batches.epoch(np.random.default_rng(1), 64, 0):
        assert not (np.asarray(batch["history"]) == np.asarray(batch["target"])[:, None] + 1).any()


def test_sampled_batches_address_the_same_items_as_full_ones(world: Dataset) -> None:
    examples = training_examples(world)
    chosen = np.arange(40)
    full = Batches(world, examples, length=6, full=True).batch(chosen, examples.positions[chosen])
    sampled = Batches(world, examples, length=6, full=False).batch(chosen, examples.positions[chosen])
    ids = np.asarray(sampled["items"]["id"])  # type: ignore[call-overload]
    with_padding = np.concatenate([[0], ids])
    vocab = np.concatenate([[0], world.items.vocab])
    assert (with_padding[sampled["history"]] == vocab[full["history"]]).all()
    assert (ids[sampled["target"]] == world.items.vocab[full["target"]]).all()


def test_sampling_probability_is_the_share_of_training_targets(world: Dataset) -> None:
    examples = training_examples(world)
    batch = Batches(world, examples, length=6, full=False).batch(np.arange(5), examples.positions[:5])
    counts = world.items.train_count[np.asarray(batch["target_id"])]
    assert np.allclose(batch["sampling_probability"], counts / len(examples))
