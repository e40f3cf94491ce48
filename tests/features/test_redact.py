"""A training set without some users' rows: the others keep every row, and every place in the vocabularies."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.features import Dataset, without_events_before, without_users
from recsys.features.histories import histories

HOUR = 3600


@pytest.fixture
def small(build: Any) -> Dataset:
    """Users a, b, c: two, three and two events."""
    rows = [("a", "x", "view", 1.0), ("a", "y", "view", 150.0), ("b", "x", "view", 2.0), ("b", "y", "view", 3.0),
            ("b", "z", "view", 220.0), ("c", "z", "view", 4.0), ("c", "x", "view", 210.0)]  # fmt: skip
    return build(rows, [{"user_id": name, "gender": "f"} for name in "abc"], cutoffs=(100.0, 200.0))  # type: ignore[no-any-return]


def test_removed_users_leave_no_row_no_event_and_no_id(small: Dataset, tmp_path: Path) -> None:
    fewer = without_users(small, {"b"})
    assert fewer.users.ids.tolist() == ["a", "c"] == fewer.users_frame["user_id"].to_list()
    assert fewer.events.offsets.tolist() == [0, 2, 4]
    assert fewer.items is small.items and fewer.text_model is small.text_model
    fewer.save(tmp_path)
    for path in tmp_path.iterdir():
        assert b'"b"' not in path.read_bytes(), path
    assert Dataset.load(tmp_path).users.ids.tolist() == ["a", "c"]


def test_the_others_keep_their_places_and_events(small: Dataset) -> None:
    fewer = without_users(small, {"b"})
    place = {user: index for index, user in enumerate(small.spec.user_vocab)}
    assert [fewer.spec.user_vocab[place[user]] for user in "ac"] == ["a", "c"]
    assert fewer.spec.user_vocab[place["b"]] == f"removed-{place['b'] + 1}"
    assert fewer.users.vocab.tolist() == small.users.vocab[[0, 2]].tolist()
    for row, old in ((0, 0), (1, 2)):
        own, before = (slice(*each.events.offsets[[at, at + 1]]) for each, at in ((fewer, row), (small, old)))
        assert fewer.events.item[own].tolist() == small.events.item[before].tolist()
        assert fewer.events.timestamp[own].tolist() == small.events.timestamp[before].tolist()
        one, other = (histories(each, np.array([at]), np.array([each.events.offsets[at + 1]]), np.array([2**31]), 5)
                      for each, at in ((fewer, row), (small, old)))  # fmt: skip
        assert one.items.tolist() == other.items.tolist()


def test_nobody_may_be_left(small: Dataset) -> None:
    assert without_users(small, set("abc")).events.offsets.tolist() == [0]


def test_events_before_a_moment_leave_and_their_users_stay(small: Dataset) -> None:
    start = int(small.events.timestamp.min()) - HOUR
    later = without_events_before(small, start + 150 * HOUR)
    assert later.users.ids.tolist() == ["a", "b", "c"]
    assert later.events.offsets.tolist() == [0, 1, 2, 3]
    assert without_events_before(small, start).events.offsets.tolist() == small.events.offsets.tolist()
