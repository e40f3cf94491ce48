"""Hard negatives: near what they start from, and as frequent as their share of events."""

import numpy as np

from recsys.model.negatives import Neighbourhood

# Users 0 and 1 share item 1; user 2 has items of their own; user 3 has no event; user 4 repeats item 5.
ITEMS = np.array([0, 1, 1, 2, 3, 4, 5, 5, 4])
OFFSETS = np.array([0, 2, 4, 6, 6, 9], np.int64)


def _ends(events: np.ndarray) -> np.ndarray:
    return Neighbourhood(ITEMS, OFFSETS, np.bincount(ITEMS, minlength=7)).items(events, np.random.default_rng(3))


def test_walks_end_at_items_of_people_who_share_the_first_item() -> None:
    assert set(_ends(np.zeros(200, int)).tolist()) == {0, 1}
    assert set(_ends(np.full(200, 1)).tolist()) == {0, 1, 2}
    assert set(_ends(np.full(200, 8)).tolist()) == {3, 4, 5}


def test_walks_from_any_event_meet_items_by_their_share_of_events() -> None:
    ends = _ends(np.random.default_rng(5).integers(0, len(ITEMS), 90_000))
    found = np.bincount(ends, minlength=7) / len(ends)
    assert np.allclose(found, np.bincount(ITEMS, minlength=7) / len(ITEMS), atol=0.005)
