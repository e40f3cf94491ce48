import numpy as np
import pytest

from recsys.features import heldout
from recsys.scoring.content import ContentKnn
from recsys.scoring.covisitation import Covisitation


def test_covisitation_scores_are_those_by_hand(make_world):
    # user 0 saw 0 1 2, user 1 saw 0 2, user 2 saw 0 and turns to 3
    rows = [(0, 0, 1, 0), (0, 1, 2, 0), (0, 2, 3, 0), (1, 0, 1, 0), (1, 2, 2, 0), (2, 0, 1, 0), (2, 3, 9, 2)]
    world = make_world(rows, n_users=3, n_items=4).build()
    users = heldout(world, 2)
    scores = Covisitation(world, np.ones(4, bool), 2)._scorer(users)(slice(0, 1))[0]
    # item 0 occurs three times; 1 follows it one step behind once; 2 follows two steps behind, then one
    assert scores[[1, 2, 3]] == pytest.approx([1 / 3, (1 / 2 + 1) / 3, 0], abs=1e-6)


def test_a_users_later_items_count_more(make_world):
    rows = [(0, 0, 1, 0), (0, 2, 2, 0), (1, 1, 1, 0), (1, 3, 2, 0), (2, 0, 1, 0), (2, 1, 2, 0), (2, 4, 9, 2)]
    world = make_world(rows, n_users=3, n_items=5).build()
    scores = Covisitation(world, np.ones(5, bool), 2)._scorer(heldout(world, 2))(slice(0, 1))[0]
    assert scores[3] == pytest.approx(1 / 2, abs=1e-6), "1, the last item, leads to 3 in one of its two events"
    assert scores[2] == pytest.approx(1 / 2 * 1 / 2, abs=1e-6), "0 is one place further back"


def test_content_ranks_items_like_the_users_own_first(make_world):
    rows = [(0, 0, 1, 0), (0, 5, 9, 2), (1, 1, 1, 0), (1, 2, 1, 0)]
    world = make_world(rows, n_users=2, n_items=6).build()
    world.items.text[:] = 0  # categories are item % 3: item 3 is like item 0
    items, _ = ContentKnn(world, np.ones(6, bool)).ranked(heldout(world, 2), 5)
    assert items[0, 0] == 3
