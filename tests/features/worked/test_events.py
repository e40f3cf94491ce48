"""What counts as taste, and how events of one meeting become one row."""

from collections.abc import Callable

import numpy as np
import pytest

from recsys.errors import DataError
from recsys.features import Dataset
from recsys.schema import EVENT_KINDS

Build = Callable[..., Dataset]
TAIL = [("z", "i9", "like", 8.0), ("z", "i9", "like", 9.0)]  # fills validation and test
CUTS = (7.5, 8.5)


def _train(dataset: Dataset) -> list[tuple[str, str, str, float, bool]]:
    """Return user, item, kind, weight, positive of the training rows."""
    events = dataset.events
    users = np.repeat(dataset.users.ids, np.diff(events.offsets))
    return [
        (str(users[row]), str(dataset.items.ids[events.item[row]]), EVENT_KINDS[events.kind[row] - 1],
         float(events.weight[row]), bool(events.positive[row]))
        for row in np.flatnonzero(events.split == 0)
    ]  # fmt: skip


def test_a_view_a_click_and_a_like_of_one_day_are_one_like(build: Build) -> None:
    rows = [("a", "i1", "like", 0.2), ("a", "i1", "view", 0.1), ("a", "i1", "click", 0.3), ("a", "i1", "view", 1.1)]
    assert _train(build([*rows, *TAIL], cutoffs=CUTS)) == [("a", "i1", "like", 2.0, True), ("a", "i1", "view", 1, True)]


def test_of_equally_strong_events_the_latest_stays(build: Build) -> None:
    dataset = build([("a", "i1", "view", 0.1), ("a", "i1", "click", 0.3), *TAIL], cutoffs=CUTS)
    assert _train(dataset) == [("a", "i1", "click", 1.0, True)]
    assert dataset.events.timestamp[0] - dataset.events.timestamp[0] // 86_400 * 86_400 == 25_920


def test_days_end_at_midnight_utc(build: Build) -> None:
    rows = [("a", "i1", "view", 0.999), ("a", "i1", "view", 1.0), *TAIL]
    assert len(_train(build(rows, cutoffs=CUTS))) == 2


def test_impressions_say_nothing_and_dislikes_stay_without_being_positive(build: Build) -> None:
    rows = [("a", "i1", "impression", 0.0), ("a", "i2", "dislike", 1.0), ("a", "i3", "save", 2.0), *TAIL]
    assert _train(build(rows, cutoffs=CUTS)) == [("a", "i2", "dislike", 0.0, False), ("a", "i3", "save", 2.0, True)]


def test_a_dislike_is_never_positive_whatever_its_weight(build: Build) -> None:
    rows = [("a", "i1", "dislike", 0.0), ("a", "i2", "view", 1.0), *TAIL]
    weights = {"dislike": 3.0, "view": 1.0, "like": 1.0}
    assert [row[4] for row in _train(build(rows, cutoffs=CUTS, event_weights=weights))] == [False, True]


def test_a_positive_event_wins_over_a_dislike_of_the_same_day(build: Build) -> None:
    rows = [("a", "i1", "view", 0.1), ("a", "i1", "dislike", 0.5), *TAIL]
    assert _train(build(rows, cutoffs=CUTS)) == [("a", "i1", "view", 1.0, True)]


@pytest.mark.parametrize(("value", "positive"), [(4.0, True), (3.9, False), (None, False), (float("nan"), False)])
def test_a_rating_is_positive_from_min_rating_on(build: Build, value: float | None, positive: bool) -> None:
    rows = [("a", "i1", "rating", 0.0, value), ("b", "i1", "view", 0.0), *TAIL]
    assert _train(build(rows, cutoffs=CUTS, min_rating=4.0))[0] == ("a", "i1", "rating", 1.0, positive)


def test_weights_come_from_the_configuration(build: Build) -> None:
    weights = {"view": 0.0, "click": 0.25, "like": 1.0}
    rows = [("a", "i1", "view", 0.0), ("a", "i2", "click", 0.0), *TAIL]
    assert _train(build(rows, cutoffs=CUTS, event_weights=weights)) == [("a", "i2", "click", 0.25, True)]


def test_repeated_rows_and_another_order_change_nothing(build: Build) -> None:
    rows = [("b", "i1", "view", 0.0), ("a", "i2", "like", 1.0), ("a", "i1", "view", 2.0), *TAIL]
    once, twice = build(rows, cutoffs=CUTS), build([*rows[::-1], *rows], cutoffs=CUTS)
    for name in ("item", "kind", "weight", "timestamp", "positive", "split", "offsets"):
        np.testing.assert_array_equal(getattr(once.events, name), getattr(twice.events, name))


def test_what_follows_a_cut_does_not_take_the_place_of_what_came_before(build: Build) -> None:
    rows = [("a", "i1", "view", 7.1), ("a", "i1", "like", 7.9), *TAIL]
    dataset = build(rows, cutoffs=CUTS)
    assert _train(dataset) == [("a", "i1", "view", 1.0, True)]


def test_no_positive_event_is_an_error_that_names_the_settings(build: Build) -> None:
    with pytest.raises(DataError, match=r"none of 2 events is positive.*event_weights"):
        build([("a", "i1", "impression", 0.0), ("a", "i1", "dislike", 1.0)])


def test_an_unknown_kind_of_event_is_an_error_that_names_it(build: Build) -> None:
    with pytest.raises(DataError, match="purchase"):
        build([("a", "i1", "purchase", 0.0), *TAIL])
