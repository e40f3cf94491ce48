import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.errors import RecsysError
from recsys.features import heldout
from recsys.scoring import ease
from recsys.scoring.ease import Ease

EVERYTHING = np.ones(6, bool)


def test_scores_are_those_of_the_closed_form(world):
    users = heldout(world, 2)
    model = Ease(world, EVERYTHING, 2, l2=0.5, max_items=10)
    seen = np.zeros((5, 6))
    for user in range(5):
        own = slice(world.events.offsets[user], world.events.offsets[user + 1])
        seen[user, world.events.item[own][world.events.split[own] < 2]] = 1
    inverse = np.linalg.inv(seen.T @ seen + 0.5 * np.eye(6))
    weights = np.eye(6) - inverse / np.diag(inverse)
    expected = seen @ weights
    _, scores = model.ranked(users, 3)
    assert scores.shape == (len(users.user_rows), 3)
    for row, user in enumerate(users.user_rows):
        free = expected[user, (seen[user] == 0) & (seen.sum(axis=0) > 0)]
        best = np.sort(free)[::-1][:3]  # items 1 and 2 are tied by symmetry: their order is not defined
        assert scores[row, : len(best)] == pytest.approx(best, abs=1e-5)


def test_items_it_does_not_cover_follow_all_others(world):
    model = Ease(world, EVERYTHING, 2, l2=0.5, max_items=3)
    covered = {0, 1, 2}  # the three with most events before test
    items, _ = model.ranked(heldout(world, 2), 6)
    for row in items:
        kinds = [item in covered for item in row if item >= 0]
        assert kinds == sorted(kinds, reverse=True)


def test_a_matrix_that_does_not_fit_into_memory_is_refused(world, monkeypatch):
    monkeypatch.setattr(ease, "_COPIES", 10**12)
    with pytest.raises(RecsysError, match=r"EASE over 4 items needs .* GiB, .* lower backtest\.ease_max_items"):
        Ease(world, EVERYTHING, 2, l2=0.5, max_items=4)


def test_what_is_known_of_held_out_users_is_their_history_but_fits_nothing(make_world):
    rows = [(0, 0, 1, 0), (0, 1, 2, 0), (1, 2, 1, -1), (1, 3, 2, -1), (1, 1, 3, 2)]
    world = make_world(rows, n_users=2, n_items=4).build()
    users = heldout(world, 2)
    assert (users.seen != csr_matrix(np.array([[0, 0, 1, 1]], bool))).nnz == 0
    items, _ = Ease(world, np.ones(4, bool), 2, l2=0.5, max_items=4).ranked(users, 2)
    assert set(items[0].tolist()) == {0, 1}
