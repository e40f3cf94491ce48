from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recsys.features import heldout
from recsys.scoring.baselines import ItemKnn, Popularity, Random, baselines, item_counts
from recsys.scoring.recommender import TowerRecommender, recommendable_items

DAY_S = 86_400
ALL = np.ones(6, bool)


def test_popularity_counts_train_and_validation_when_test_is_ranked(world: Any) -> None:
    assert item_counts(world, 2).tolist() == [4, 2, 2, 1, 0, 0]
    assert item_counts(world, 1).tolist() == [4, 2, 0, 0, 0, 0]


def test_popularity_ranks_unseen_items_ties_in_item_order(world: Any) -> None:
    ranked = Popularity(world, ALL, 2).recommend(heldout(world, 2), 3)
    assert ranked.tolist() == [[2, 3, 4], [3, 4, 5], [1, 2, 4], [1, 3, 4], [0, 1, 2]]


def test_recent_popularity_counts_only_the_last_days(world: Any) -> None:
    recent = Popularity(world, ALL, 2, since=15 * DAY_S)
    assert recent.name == "recent_popularity"
    assert recent.recommend(heldout(world, 2), 2)[4].tolist() == [2, 3]  # items 2 (twice) and 3 on days 15 and 16


def test_recent_popularity_begins_recent_days_before_the_split(world: Any) -> None:
    by_name = {each.name: each for each in baselines(world, 2, recent_days=4, n_neighbours=3, seed=0)}
    assert by_name["recent_popularity"].recommend(heldout(world, 2), 1)[4].tolist() == [3]


def test_item_knn_scores_are_the_summed_cosines_by_hand(world: Any) -> None:
    # users of item 0: 0 1 2 3; of 1: 0 1; of 2: 1 3; of 3: 2. Cosines 0-1 2/sqrt(8), 0-2 2/sqrt(8), 0-3 1/2,
    # 1-2 1/2. User 0 has 0 and 1: item 2 gets 0.707 + 0.5, item 3 gets 0.5.
    knn = ItemKnn(world, ALL, 2, n_neighbours=5)
    users = heldout(world, 2)
    scores = knn._scorer(users)(slice(0, 1))[0]
    assert scores[[2, 3, 4]] == pytest.approx([2 / np.sqrt(8) + 0.5, 0.5, 0.0], abs=1e-6)
    assert knn.recommend(users, 2)[0].tolist() == [2, 3]


def test_item_knn_keeps_only_the_nearest_neighbours(world: Any) -> None:
    scores = ItemKnn(world, ALL, 2, n_neighbours=1)._scorer(heldout(world, 2))(slice(0, 1))[0]
    # the user has items 0 and 1; item 2 keeps item 0 (cosine 2 / sqrt(8)) and not item 1 (cosine 1 / 2)
    assert scores[2] == pytest.approx(2 / 8**0.5, abs=1e-6)


def test_item_knn_gives_a_user_without_history_the_popular_items(world: Any) -> None:
    assert ItemKnn(world, ALL, 2, 5).recommend(heldout(world, 2), 4)[4].tolist() == [0, 1, 2, 3]


def test_random_depends_on_seed_and_user_alone(world: Any) -> None:
    users = heldout(world, 2)
    first, again, other = (Random(ALL, seed).recommend(users, 4).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_no_baseline_sees_the_test_split(world: Any) -> None:
    users = heldout(world, 2)
    before = [each.recommend(users, 6).tolist() for each in baselines(world, 2, recent_days=7, n_neighbours=5, seed=0)]
    world.events.item[world.events.split == 2] = 4
    after = [each.recommend(users, 6).tolist() for each in baselines(world, 2, recent_days=7, n_neighbours=5, seed=0)]
    assert before == after


@pytest.mark.parametrize("position", range(4))
def test_every_baseline_skips_seen_items_and_pads(world: Any, position: int) -> None:
    users = heldout(world, 2)
    ranked = baselines(world, 2, recent_days=7, n_neighbours=5, seed=0)[position].recommend(users, 9)
    assert ranked.dtype == np.int32
    for row, items in enumerate(ranked):
        unseen = set(range(6)) - set(users.seen[row].indices.tolist())
        assert set(items[items >= 0].tolist()) == unseen
        assert (items[len(unseen) :] == -1).all()


def test_expired_and_unpublished_items_are_not_recommendable(make_world: Any) -> None:
    world = make_world(
        [(0, 0, 1, 0), (0, 1, 20, 2), (0, 2, 21, 2)],
        n_users=1,
        n_items=5,
        published={1: 20, 3: 22},
        expires={2: 21, 4: 20},
    ).build()
    assert recommendable_items(world, 2).tolist() == [True, True, True, False, False]


def test_a_split_without_events_is_refused(world: Any) -> None:
    world.events.split[:] = 0
    with pytest.raises(ValueError, match="split 2 has none"):
        recommendable_items(world, 2)


def test_towers_of_another_catalogue_are_refused(world: Any) -> None:
    towers = SimpleNamespace(item_vectors=np.zeros((3, 2), np.float32), history_vectors=np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match=r"must have 6 rows .* got 3"):
        TowerRecommender(world, towers, ALL)
