"""What counts as taste, and how events of one meeting become one row."""

import random

import numpy as np
import polars as pl
import pytest

from recsys.config import FeaturesConfig
from recsys.errors import DataError
from recsys.features import Dataset
from recsys.features.events import evidence
from recsys.schema import EVENT_KINDS
from tests.features.conftest import CUTS, Build, Frames

TAIL = [("z", "i9", "like", 101), ("z", "i9", "like", 201)]  # fills validation and test


def _train(dataset: Dataset) -> list[tuple[str, str, str, float, bool]]:
    """Return user, item, kind, weight, positive of the training rows."""
    events = dataset.events
    users = np.repeat(dataset.users.ids, np.diff(events.offsets))
    return [
        (str(users[row]), str(dataset.items.ids[events.item[row]]), EVENT_KINDS[events.kind[row] - 1],
         float(events.weight[row]), bool(events.positive[row]))
        for row in np.flatnonzero(events.split == 0)
    ]  # fmt: skip


def test_impressions_are_dropped_and_dislikes_stay_without_being_positive(
    events: Frames, config: FeaturesConfig
) -> None:
    rows = evidence(events(*[("u", "i", kind, 1) for kind in EVENT_KINDS]), config).sort("kind")
    assert rows["kind"].to_list() == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert rows["weight"].to_list() == [1, 1, 2, 0, 2, 2, 1, 2, 3]
    assert rows["positive"].to_list() == [True, True, True, False, True, True, True, True, True]


def test_weights_come_from_the_configuration(build: Build) -> None:
    weights = {"view": 0.0, "click": 0.25, "like": 1.0}
    rows = [("a", "i1", "view", 0), ("a", "i2", "click", 0), *TAIL]
    assert _train(build(rows, cutoffs=CUTS, event_weights=weights)) == [("a", "i2", "click", 0.25, True)]


@pytest.mark.parametrize(
    ("value", "positive"), [(4.0, True), (3.0, True), (2.9, False), (None, False), (float("nan"), False)]
)
def test_a_rating_is_kept_but_positive_only_from_min_rating_on(
    build: Build, value: float | None, positive: bool
) -> None:
    rows = [("a", "i1", "rating", 0, value), ("a", "i2", "click", 1), *TAIL]
    trained = _train(build(rows, cutoffs=CUTS, min_rating=3.0))
    assert trained == [("a", "i1", "rating", 1.0, positive), ("a", "i2", "click", 1.0, True)]


def test_a_dislike_is_never_positive_whatever_its_weight(build: Build) -> None:
    rows = [("a", "i1", "dislike", 0), ("a", "i2", "view", 24), ("a", "i2", "dislike", 25), *TAIL]
    weights = {"dislike": 3.0, "view": 1.0, "like": 1.0}
    trained = _train(build(rows, cutoffs=CUTS, event_weights=weights))
    assert trained == [("a", "i1", "dislike", 3.0, False), ("a", "i2", "view", 1.0, True)]


def test_one_meeting_a_day_is_kept_at_its_strongest(build: Build) -> None:
    dataset = build(
        [
            ("u", "i", "view", 1), ("u", "i", "like", 2), ("u", "i", "click", 3), ("u", "i", "click", 3),  # one day
            ("u", "i", "click", 30), ("u", "i", "view", 31),  # equal weights: the latest
            ("u", "i", "click", 60), ("u", "i", "dislike", 61),  # a positive event outweighs
            ("u", "j", "click", 101), ("u", "k", "click", 201),
        ],
        cutoffs=CUTS,
    )  # fmt: skip
    assert [EVENT_KINDS[kind - 1] for kind in dataset.events.kind] == ["like", "view", "click", "click", "click"]
    hours = (dataset.events.timestamp - dataset.events.timestamp[0]) / 3600 + 2
    assert hours.tolist() == [2, 31, 60, 101, 201]
    counts = {"n_read": 10, "n_ignored": 0, "n_merged": 5, "n_events": 5}
    assert dataset.spec.info.items() >= counts.items()


def test_days_end_at_midnight_utc(build: Build) -> None:
    rows = [("a", "i1", "view", 23.99), ("a", "i1", "view", 24), *TAIL]
    assert len(_train(build(rows, cutoffs=CUTS))) == 2


def test_a_stronger_event_after_a_cut_does_not_take_the_place_of_one_before_it(build: Build) -> None:
    rows = [("u", "i", kind, cut + hour) for cut in CUTS for kind, hour in (("view", -1), ("like", 1))]  # cut at 4, 8 h
    arrays = build(rows, cutoffs=CUTS).events
    assert [EVENT_KINDS[kind - 1] for kind in arrays.kind] == ["view", "like", "view", "like"]
    assert arrays.split.tolist() == [0, 1, 1, 2]


def test_repeated_rows_and_another_order_change_nothing_even_without_event_ids(events: Frames, build: Build) -> None:
    rows = events(
        *[("u", item, kind, hour) for item in "abc" for kind in ("view", "click") for hour in (1, 1, 110, 210)]
    ).with_columns(pl.lit(None, pl.String).alias("event_id"))
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    once, twice = (build(table, cutoffs=CUTS).events for table in (rows, pl.concat([rows[order], rows])))
    for name in ("item", "kind", "weight", "timestamp", "positive", "split", "offsets"):
        np.testing.assert_array_equal(getattr(once, name), getattr(twice, name))


def test_no_positive_event_is_an_error_that_names_the_settings(events: Frames, build: Build) -> None:
    for rows in (events(("u", "i", "impression", 1), ("u", "i", "dislike", 1)), events()):
        with pytest.raises(DataError, match=rf"none of {len(rows)} events is positive.*event_weights"):
            build(rows)


@pytest.mark.parametrize("kind", ["stare", None])
def test_an_unknown_kind_of_event_is_an_error_that_names_it(build: Build, kind: str | None) -> None:
    with pytest.raises(DataError, match=str(kind)):
        build([("u", "i", "click", 1), ("u", "i", kind, 1)])


def test_events_are_weighed_alike_in_parts(events: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ["view", "like", "dislike", "impression", "share"]
    table = events(*((f"u{n}", f"i{n % 4}", kinds[n % 5], float(n)) for n in range(23)))
    whole = evidence(table, FeaturesConfig())
    monkeypatch.setattr("recsys.features.events._ROWS", 4)
    assert evidence(table, FeaturesConfig()).equals(whole)
