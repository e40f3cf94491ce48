import math

import numpy as np
import pytest

from recsys.config import ModelConfig
from recsys.model._tensorflow import tf
from recsys.model.query_tower import QueryTower
from recsys.model.retrieval import CandidateSoftmax, TwoTower
from recsys.model.sizes import Sizes

NOTHING = tf.zeros([0, 2], tf.int64)
SIZES = Sizes(
    dim=8, history_length=6, n_item_ids=9, n_user_ids=5, n_categories=3, n_creators=2, n_languages=2,
    n_demographics=(3,), n_devices=2, max_categories=2, text_dim=2, numeric_dim=2,
    has_content=True,
)  # fmt: skip


def test_the_whole_catalogue_gives_the_full_softmax_weighed() -> None:
    queries, items = tf.constant([[2.0], [2.0]]), tf.constant([[1.0], [0.0]])
    loss = CandidateSoftmax()(
        queries, items, tf.constant([0, 1]), tf.constant([0, 1]), tf.zeros(2), tf.constant([1.0, 3.0]), NOTHING
    )
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)) + 3 * math.log(1 + math.exp(2)), rel=1e-5)


def test_a_sampled_negative_stands_for_one_over_its_probability_and_the_target_for_itself() -> None:
    # Query 0 scores (1, 0) and owns the first, query 1 scores (0, 1) and owns the second; inclusion (0.5, 0.25).
    own = tf.constant([0, 1])
    loss = CandidateSoftmax()(
        tf.eye(2), tf.eye(2), own, own, tf.math.log(tf.constant([0.5, 0.25])), tf.ones(2), NOTHING
    )
    by_hand = math.log(1 + math.exp(0 - 1) / 0.25) + math.log(1 + math.exp(0 - 1) / 0.5)
    assert float(loss) == pytest.approx(by_hand, rel=1e-5)


def test_targets_of_one_query_cost_what_they_cost_apart() -> None:
    generator = np.random.default_rng(1)
    queries, items = (tf.constant(generator.normal(size=(n, 3)), tf.float32) for n in (2, 5))
    asked, targets, weights = np.array([1, 0, 1]), np.array([4, 2, 0]), np.array([1.0, 2.0, 0.5])
    inclusion = tf.constant(np.log(generator.uniform(0.2, 0.9, 5)), tf.float32)
    together = CandidateSoftmax()(
        queries, items, *(tf.constant(each, tf.int32) for each in (asked, targets)), inclusion,
        tf.constant(weights, tf.float32), NOTHING
    )  # fmt: skip
    apart = sum(
        weight * float(CandidateSoftmax()(queries[query : query + 1], items, tf.constant([0]), tf.constant([target]),
                                          inclusion, tf.ones(1), NOTHING))
        for query, target, weight in zip(asked, targets, weights, strict=True)
    )  # fmt: skip
    assert float(together) == pytest.approx(apart, rel=1e-5)


def test_what_a_query_has_met_is_no_candidate_of_its_own() -> None:
    generator = np.random.default_rng(2)
    queries, items = (tf.constant(generator.normal(size=(n, 3)), tf.float32) for n in (2, 4))
    own, kept = tf.constant([1]), [1, 2, 3]
    one = CandidateSoftmax()(
        queries[:1], items, tf.constant([0]), own, tf.zeros(4), tf.ones(1), tf.constant([[0, 0]], tf.int64)
    )
    without = CandidateSoftmax()(queries[:1], tf.gather(items, kept), tf.constant([0]), tf.constant([0]), tf.zeros(3),
                                 tf.ones(1), NOTHING)  # fmt: skip
    assert float(one) == pytest.approx(float(without), rel=1e-5)


def test_what_was_not_there_yet_is_no_candidate() -> None:
    generator = np.random.default_rng(3)
    queries, items = (tf.constant(generator.normal(size=(n, 3)), tf.float32) for n in (2, 4))
    own, there = tf.constant([0, 1]), [0, 1, 3]
    log_there = tf.constant([[0.0, 0.0, -69.0, 0.0]] * 2)
    one = CandidateSoftmax()(queries, items, own, own, tf.zeros(4), tf.ones(2), NOTHING, log_there)
    without = CandidateSoftmax()(queries, tf.gather(items, there), own, own, tf.zeros(3), tf.ones(2), NOTHING)
    assert float(one) == pytest.approx(float(without), rel=1e-5)


def test_what_was_there_for_some_targets_counts_as_much_for_others_and_whole_for_its_own() -> None:
    # One query scores 0 everywhere; it is asked for candidates 0 and 2, and only half of it saw candidates 2 and 3.
    half = math.log(0.5)
    loss = CandidateSoftmax()(
        tf.zeros([1, 1]), tf.zeros([4, 1]), tf.constant([0, 0]), tf.constant([0, 2]), tf.zeros(4), tf.ones(2), NOTHING,
        tf.constant([[0.0, 0.0, half, half]]),
    )  # fmt: skip
    assert float(loss) == pytest.approx(math.log(1 + 1 + 0.5 + 0.5) + math.log(1 + 1 + 1 + 0.5), rel=1e-5)


def test_the_sampled_sum_estimates_the_sum_over_the_catalogue() -> None:
    generator = np.random.default_rng(0)
    scores, inclusion = generator.normal(size=40), generator.uniform(0.2, 0.9, 40)
    queries, target = tf.ones([1, 1]), 0
    estimates = []
    for _ in range(400):
        chosen = np.flatnonzero((generator.random(40) < inclusion) | (np.arange(40) == target))
        loss = CandidateSoftmax()(
            queries,
            tf.constant(scores[chosen, None], tf.float32),
            tf.constant([0]),
            tf.constant([0]),
            tf.constant(np.log(inclusion[chosen]), tf.float32),
            tf.ones(1),
            NOTHING,
        )
        estimates.append(math.exp(float(loss) + scores[target]))
    assert np.mean(estimates) == pytest.approx(np.exp(scores).sum(), rel=0.03)


def _all_slots(tower: QueryTower, window: dict[str, "tf.Tensor"]) -> "tf.Tensor":
    queries = tower.windows(window)
    return tf.reshape(queries, [*window["parts"].shape, queries.shape[-1]])


def _window(n_slots: int) -> dict[str, "tf.Tensor"]:
    generator = np.random.default_rng(3)
    seconds = np.cumsum(np.exp(generator.uniform(0, 16, (2, n_slots))), axis=1)  # a second to a hundred days apart
    seconds[:, 1] = seconds[:, 0]
    return {
        "history_vectors": tf.constant(generator.normal(size=(2, n_slots, 8)), tf.float32),
        "history_kinds": tf.constant(generator.integers(1, 4, (2, n_slots)), tf.int32),
        "parts": tf.constant([[slot % 3 for slot in range(n_slots)]] * 2),
        "slots": tf.range(2 * n_slots),
        "seconds": tf.constant(seconds, tf.int32),
        "context": tf.constant(generator.integers(0, 2, (2, n_slots, 3)), tf.int32),
        "user": tf.constant([1, 0]),
        "demographics": tf.constant([[1], [2]]),
    }


def _tower(*, ordered: bool) -> QueryTower:
    tf.keras.utils.set_random_seed(1)
    tower = QueryTower(ModelConfig(), SIZES, ordered)
    tower.windows(_window(6))
    for variable in tower.trainable_variables:  # many start at zero, where a mistake would not show
        variable.assign_add(tf.random.normal(variable.shape, stddev=0.3, seed=5))
    return tower


def test_in_training_user_ids_are_masked_and_only_there() -> None:
    tf.random.set_seed(1)
    tower = QueryTower(ModelConfig(dropout=0.0, user_id_dropout=1.0), SIZES, ordered=True)
    window = _window(3)
    nobody = {**window, "user": tf.zeros_like(window["user"])}
    tower.windows(window)
    tower.users.embeddings.assign_add(tf.ones_like(tower.users.embeddings))
    assert np.allclose(tower._person(window, training=True), tower._person(nobody, training=False), atol=1e-6)
    assert not np.allclose(tower._person(window, training=False), tower._person(nobody, training=False), atol=1e-6)


@pytest.mark.parametrize("slot", [0, 1, 4])
def test_a_slot_of_a_window_is_the_query_at_that_moment(slot: int) -> None:
    tower, window = _tower(ordered=True), _window(6)
    seconds = window["seconds"].numpy()
    ages = np.floor(np.log2(np.maximum(seconds[:, slot : slot + 1] - seconds[:, :slot], 0.5))) + 2
    pad = ((0, 0), (6 - slot, 0))
    alone = tower(
        {
            "history_vectors": np.pad(window["history_vectors"][:, :slot], (*pad, (0, 0))),
            "history_kinds": np.pad(window["history_kinds"][:, :slot], pad),
            "history_ages": np.pad(ages, pad).astype(np.int32),
            "context": window["context"][:, slot],
            "user": window["user"],
            "demographics": window["demographics"],
        }
    )
    assert np.allclose(_all_slots(tower, window)[:, slot], alone, atol=1e-5)


def test_without_order_a_slot_sees_all_other_parts_and_never_its_own() -> None:
    tower, window = _tower(ordered=False), _window(5)  # parts 0 1 2 0 1
    before = _all_slots(tower, window).numpy()
    changed = window["history_vectors"].numpy().copy()
    changed[:, 1] += 1.0
    after = _all_slots(tower, {**window, "history_vectors": tf.constant(changed)}).numpy()
    assert np.allclose(before[:, [1, 4]], after[:, [1, 4]], atol=1e-6)
    assert (np.abs(before[:, [0, 2, 3]] - after[:, [0, 2, 3]]).max(axis=2) > 1e-3).all()


@pytest.mark.parametrize("ordered", [True, False])
def test_layers_are_named_alike_whatever_was_built_before(ordered: bool) -> None:
    """TensorFlow orders a graph's sums by name: numbered names would make training hang on earlier towers."""
    first, second = (
        [layer.name for layer in TwoTower(ModelConfig(dim=8), SIZES, ordered).submodules if hasattr(layer, "name")]
        for _ in range(2)
    )
    assert first == second
