"""The hybrid's parts: what users have, what components say, how weights are chosen, and what is stored."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.sparse import csr_array

from recsys.config import BlendConfig, Config
from recsys.errors import StorageError
from recsys.evaluation import choose_blend
from recsys.evaluation.weighing import Contest, choose_weights
from recsys.features import heldout
from recsys.scoring import Blend, FittedBlend, HybridRecommender, Profiles, TowerRecommender
from recsys.scoring.baselines import consumption
from recsys.scoring.components import (
    COMPONENTS,
    CONTENT,
    COVISITATION,
    ITEM_ITEM,
    POPULARITY,
    RECENT,
    fit_components,
)
from recsys.scoring.graph_filter import filter_weights

EVERY = dict.fromkeys(("two_tower", *COMPONENTS), 1.0)


def blend_of(weights, settings=None):
    return Blend(
        weights=weights,
        scales=dict.fromkeys(weights, 1.0),
        validation={},
        n_users=1,
        ease_l2=1.0,
        recent_days=3,
        settings=settings or BlendConfig(),
    )


def chosen(world, min_gain=1.0, item_item_weight=0.0):
    return choose_weights(world, min_gain, item_item_weight)


def contest(n_users=200, n_candidates=30, seed=0, **strengths):
    """Each part is noise plus its strength times relevance; one candidate of each user is relevant."""
    generator = np.random.default_rng(seed)
    hits = np.zeros((n_users, n_candidates), bool)
    hits[np.arange(n_users), generator.integers(0, n_candidates, n_users)] = True
    parts = {
        name: (strength * hits + generator.normal(size=hits.shape)).astype(np.float32)
        for name, strength in strengths.items()
    }
    return Contest(parts, np.ones_like(hits), hits, np.ones(n_users, np.int64))


@pytest.fixture
def tastes(make_world):
    """60 users in three groups that keep to the eight items of theirs, in an order of their own."""
    return three_groups(make_world, {})


@pytest.fixture
def described(make_world):
    """The same, each item with a word of its group and one of its own."""
    return three_groups(make_world, {item: f"{('war', 'love', 'space')[item // 8]} own{item}" for item in range(24)})


def three_groups(make_world, words):
    generator = np.random.default_rng(4)
    rows = []
    for user in range(60):
        own = generator.permutation(8)[:6] + 8 * (user % 3)
        rows += [(user, int(item), day, max(day - 3, 0)) for day, item in enumerate(own)]
    return make_world(rows, n_users=60, n_items=24, words=words).build()


class Blind:
    """Towers that know nothing: equal noise about every user, in any size."""

    def __init__(self, dataset, size=1.0):
        generator = np.random.default_rng(0)
        self.item_vectors = self.history_vectors = size * generator.normal(size=(24, 4)).astype(np.float32)
        self.queries = generator.normal(size=(60, 4)).astype(np.float32)

    def query_vectors(self, dataset, history_vectors, user_rows, history_end, query_time, device):
        return self.queries[user_rows]


def test_a_useful_part_enters_with_more_weight_than_a_weaker_one():
    weights = chosen(contest(two_tower=0.5, item_item=2.0, popularity=0.0))
    assert set(weights) == {"two_tower", "item_item"}
    assert weights["item_item"] > weights["two_tower"] == 1.0


def test_useless_and_constant_parts_stay_out():
    world = contest(two_tower=3.0, item_item=0.0, covisitation=0.0)
    world.parts["popularity"] = np.ones_like(world.parts["item_item"])
    assert chosen(world) == {"two_tower": 1.0}


def test_two_half_truths_beat_either_alone():
    world = contest(two_tower=1.5, item_item=1.5)
    weights = chosen(world)
    together, alone = (world.ndcg(each).mean() for each in (weights, {"two_tower": 1.0}))
    assert set(weights) == {"two_tower", "item_item"} and together > alone + 0.05


def test_a_part_must_pay_for_itself():
    world = contest(n_users=40, two_tower=2.0, item_item=1.0)
    assert chosen(world, 50.0) == {"two_tower": 1.0}


def test_a_weight_ends_in_the_middle_of_those_that_are_as_good():
    # The relevant item, 0, comes first from a weight of 1 on (a tie there goes to the first item), where the ascent ends.
    parts = {"two_tower": np.array([0.0, 1.0, 0.5]), "item_item": np.array([1.0, 0.0, 0.0])}
    hits = np.tile([True, False, False], (50, 1))
    same = {name: np.tile(np.float32(part), (50, 1)) for name, part in parts.items()}
    world = Contest(same, np.ones_like(hits), hits, np.ones(50, np.int64))
    # Of the weights 1/8, 1/4, .. 8 that are compared, 1, 2, 4 and 8 are as good: their geometric mean is 2^1.5.
    assert chosen(world) == {"two_tower": 1.0, "item_item": pytest.approx(2**1.5)}


def test_item_item_evidence_stays_a_little_unless_validation_is_against_it():
    neutral, harmful = contest(two_tower=2.0, item_item=1.0), contest(two_tower=2.0, item_item=-8.0)
    assert chosen(neutral, 50.0, 0.25) == {"two_tower": 1.0, "item_item": 0.25}
    assert chosen(harmful, 1.0, 0.25) == {"two_tower": 1.0}


def test_components_agree_with_hand_arithmetic(make_world):
    # user 0 saw 0 1 2, user 1 saw 0 2, user 2 saw 0; item 3 is new in test
    rows = [(0, 0, 1, 0), (0, 1, 2, 0), (0, 2, 3, 0), (1, 0, 9, 0), (1, 2, 10, 0), (2, 0, 10, 0), (2, 3, 11, 2)]
    world = make_world(rows, n_users=3, n_items=4).build()
    fitted = fit_components(world, 2, COMPONENTS, BlendConfig(), ease_l2=0.5, recent_days=3)
    profiles = Profiles.of(world, heldout(world, 2), slice(0, 1))
    scores = {name: profiles.scores(name, component)[0] for name, component in fitted.items()}
    assert scores[COVISITATION] == pytest.approx([0, 1 / 3, (1 / 2 + 1) / 3, 0], abs=1e-6)
    assert scores[POPULARITY] == pytest.approx(np.log1p([3, 1, 2, 0]), abs=1e-6)
    assert scores[RECENT] == pytest.approx(np.log1p([2, 0, 1, 0]), abs=1e-6), "day 7 to 10"
    seen = np.array([[1, 1, 1], [1, 0, 1], [1, 0, 0]])
    inverse = np.linalg.inv(seen.T @ seen + 0.5 * np.eye(3))
    assert scores[ITEM_ITEM][1:3] == pytest.approx((-inverse / np.diag(inverse))[0, 1:], abs=1e-5)
    assert scores[ITEM_ITEM][3] == 0.0


def test_the_graph_filter_agrees_with_hand_arithmetic(make_world):
    # items 0 and 1 meet in user 0 (3 items) and user 1 (2 items), items 0 and 2 in user 0 alone
    rows = [(0, 0, 1, 0), (0, 1, 2, 0), (0, 2, 3, 0), (1, 0, 9, 0), (1, 1, 10, 0), (2, 3, 11, 2)]
    world = make_world(rows, n_users=3, n_items=4).build()
    settings = BlendConfig(ease_max_items=0)
    weights = fit_components(world, 2, [ITEM_ITEM], settings, ease_l2=1.0, recent_days=3)[ITEM_ITEM]
    both, one = 3**-0.75 + 2**-0.75, 3**-0.75
    assert weights.toarray()[0] == pytest.approx([0, both * 2**-0.5 * 2**-0.25, one * 2**-0.5, 0], abs=1e-6)
    assert weights.toarray()[2] == pytest.approx([one * 2**-0.25, one * 2**-0.25, 0, 0], abs=1e-6)
    few = filter_weights(consumption(world, 2), 1)
    assert few.nnz == 3 and few[0, 1] == weights[0, 1]


@pytest.mark.parametrize("settings", [{"max_entries": 24 * 23}, {"ease_max_items": 0}])
def test_cut_and_neighbour_matrices_are_sparse_and_rank_as_the_whole_does(tastes, settings):
    whole, cut = (
        fit_components(tastes, 2, [ITEM_ITEM], each, ease_l2=1.0, recent_days=3)[ITEM_ITEM]
        for each in (BlendConfig(), BlendConfig(**settings))
    )
    assert isinstance(whole, np.ndarray) and isinstance(cut, csr_array)
    assert cut.nnz <= 24 * 23
    users = heldout(tastes, 2)
    profiles = Profiles.of(tastes, users, slice(0, 60))
    groups = np.arange(24) // 8
    best = profiles.scores(ITEM_ITEM, cut).argmax(axis=1)
    assert (groups[best] == users.user_rows % 3).mean() > 0.9


def test_what_one_user_has_is_alike_in_evaluation_and_in_a_request(tastes):
    users = heldout(tastes, 2)
    many = Profiles.of(tastes, users, slice(0, 60))
    for place, row in enumerate(users.user_rows):
        own = tastes.events.item[tastes.events.offsets[row] : users.history_end[place]]
        one = Profiles.of_one(own, 24)
        np.testing.assert_array_equal(one.items.toarray()[0], many.items.toarray()[place])
        np.testing.assert_array_equal(one.recent[0], many.recent[place])


def test_who_has_nothing_is_ranked_by_towers_and_popularity(tastes):
    fitted = FittedBlend.fit(blend_of(EVERY), tastes, 2)
    evidence = fitted.evidence(Profiles.of_one(np.zeros(0, np.int32), 24))[0]
    expected = fitted.components[POPULARITY] + fitted.components[RECENT]
    np.testing.assert_allclose(evidence, expected, atol=1e-6)


def test_validation_finds_what_the_towers_miss(tastes):
    blend = choose_blend(Config(), tastes, Blind(tastes))
    assert ITEM_ITEM in blend.weights or COVISITATION in blend.weights
    assert blend.validation["hybrid"] > 2 * blend.validation["two_tower"]
    users, everything = heldout(tastes, 2), np.ones(24, bool)
    hybrid = HybridRecommender(tastes, Blind(tastes), everything, FittedBlend.fit(blend, tastes, 2))
    for recommender, share in ((hybrid, 0.9), (TowerRecommender(tastes, Blind(tastes), everything), 0.0)):
        groups = recommender.recommend(users, 1)[:, 0] // 8
        assert (groups == users.user_rows % 3).mean() >= share


def test_the_unit_of_the_towers_scores_does_not_matter(tastes):
    small, great = (choose_blend(Config(), tastes, Blind(tastes, size)) for size in (1.0, 64.0))
    assert small.weights == pytest.approx(great.weights)
    assert great.scales["two_tower"] == pytest.approx(64 * small.scales["two_tower"], rel=1e-4)


def content_config(on=True):
    return Config(blend=BlendConfig(content=on))


def with_new_items(world):
    """Hold the last item of each group out of train, ask for it in validation, and the one before it in test."""
    place = np.arange(24) % 8
    world.newcomers = np.where(place == 7, 1, np.where(place == 6, 2, 0)).astype(np.int8)
    events = world.events
    events.split = world.newcomers[events.item]
    order = np.lexsort((events.timestamp, events.split, np.repeat(np.arange(60), np.diff(events.offsets))))
    for name in ("item", "timestamp", "split"):
        setattr(events, name, getattr(events, name)[order])
    return world


def test_new_items_of_which_nothing_is_known_are_left_to_the_towers(tastes):
    world = with_new_items(tastes)
    blend = choose_blend(content_config(), world, Blind(world))
    assert blend.weights == {"two_tower": 1.0} and blend.n_users > 0


def test_new_items_described_like_those_a_user_met_are_ranked_first(described):
    world = with_new_items(described)
    blend = choose_blend(content_config(), world, Blind(world))
    assert set(blend.weights) == {"two_tower", CONTENT}
    users = heldout(world, 2)
    hybrid = HybridRecommender(world, Blind(world), users.candidates, FittedBlend.fit(blend, world, 2))
    assert (hybrid.recommend(users, 1)[:, 0] // 8 == users.user_rows % 3).mean() > 0.9


def test_content_says_nothing_unless_it_is_turned_on(described):
    world = with_new_items(described)
    assert choose_blend(content_config(on=False), world, Blind(world)).weights == {"two_tower": 1.0}


def test_new_items_described_like_popular_ones_rank_before_others(make_world):
    # items 0 and 1 have many users, 2 and 3 few, item 6 all; 4 and 5 are new
    rows = [(user, item, item, 0) for user in range(40) for item in (0, 1) if user % 8]
    rows += [(user, item, item, 0) for user in range(40) for item in (2, 3) if user % 8 < 2]
    rows += [(user, 6, 5, 0) for user in range(40)]
    words = {0: "loved", 1: "loved", 2: "dull", 3: "dull", 4: "loved", 5: "dull"}
    world = make_world(rows, n_users=40, n_items=7, words=words).build()
    said = fit_components(world, 2, [CONTENT], BlendConfig(), ease_l2=1.0, recent_days=3)
    scores = Profiles.of_one(np.array([6]), 7).scores(CONTENT, said[CONTENT])[0]
    assert scores[4] > scores[5]


def test_what_content_says_does_not_grow_with_the_number_of_items_met(described):
    said = fit_components(described, 2, [CONTENT], BlendConfig(), ease_l2=1.0, recent_days=3)[CONTENT]
    one, two, both = (Profiles.of_one(np.array(own), 24).scores(CONTENT, said) for own in ([0], [9], [0, 9]))
    np.testing.assert_allclose(both, (one + two) / 2, rtol=1e-5)


def test_content_is_not_weighed_where_validation_asks_for_known_items(described):
    assert CONTENT not in choose_blend(content_config(), described, Blind(described)).validation


def test_without_validation_the_towers_stand_alone(make_world):
    world = make_world([(0, 0, 1, 0), (0, 1, 2, 2), (1, 1, 1, 0)], n_users=2, n_items=2).build()
    assert choose_blend(Config(), world, Blind(world)).weights == {"two_tower": 1.0}


@pytest.mark.parametrize("settings", [{}, {"max_entries": 100}])
def test_what_was_saved_says_the_same(tastes, tmp_path, settings):
    fitted = FittedBlend.fit(blend_of(EVERY, BlendConfig(**settings)), tastes, 2)
    fitted.save(tmp_path)
    again = FittedBlend.load(tmp_path, 24)
    assert again.blend == fitted.blend
    profiles = Profiles.of(tastes, heldout(tastes, 2), slice(0, 60))
    np.testing.assert_array_equal(again.evidence(profiles), fitted.evidence(profiles))


def test_a_stored_component_of_another_catalogue_or_none_is_refused(tastes, tmp_path):
    FittedBlend.fit(blend_of(EVERY), tastes, 2).save(tmp_path)
    with pytest.raises(StorageError, match=r"item_item must be of 25 items; got shape \(24, 24\)"):
        FittedBlend.load(tmp_path, 25)
    for damage in (b"", b"PK no archive"):
        (tmp_path / "covisitation.npz").write_bytes(damage)
        with pytest.raises(StorageError, match="covisitation"):
            FittedBlend.load(tmp_path, 24)
    (tmp_path / "covisitation.npz").unlink()
    with pytest.raises(StorageError, match="covisitation"):
        FittedBlend.load(tmp_path, 24)
    (tmp_path / "blend.json").write_text("{}")
    with pytest.raises(StorageError, match="is no blend"):
        FittedBlend.load(tmp_path, 24)


@pytest.mark.parametrize(
    "settings", [{"ease_l2": []}, {"ease_l2": [0.0]}, {"min_gain": -1.0}, {"n_candidates": 5}, {"weights": {}}]
)
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValidationError):
        BlendConfig.model_validate(settings)


def test_a_component_that_does_not_exist_is_named(tastes):
    with pytest.raises(ValueError, match="must be among item_item, .*; got magic"):
        fit_components(tastes, 2, ["magic"], BlendConfig(), ease_l2=1.0, recent_days=3)
