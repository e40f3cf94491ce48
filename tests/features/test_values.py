"""Counts and hours as weights, beside the train median of the item or the user."""

import polars as pl
import pytest

from recsys.config import FeaturesConfig
from recsys.features.events import ITEM_ROW, KIND, POSITIVE, USER_ROW
from recsys.features.split import SPLIT
from recsys.features.values import by_value
from recsys.schema import EVENT_KINDS
from tests.features.conftest import CUTS, Build, Frames

VIEW, LIKE, DISLIKE = (EVENT_KINDS.index(kind) + 1 for kind in ("view", "like", "dislike"))
# user, item, kind, value, split, positive
ROWS = [
    (0, 0, VIEW, 10.0, 0, True), (1, 0, VIEW, 20.0, 0, True), (2, 0, VIEW, 30.0, 0, True),  # the item's median is 20
    (0, 1, VIEW, 1.0, 0, True), (1, 1, VIEW, 400.0, 0, True),  # too few: the median of all, 20
    (0, 0, VIEW, 1000.0, 1, True), (1, 0, VIEW, 4.0, 2, True),  # held out: no part of any median
    (2, 1, VIEW, None, 0, True), (2, 2, LIKE, 0.5, 0, True), (2, 2, DISLIKE, 0.5, 0, False), (0, 2, VIEW, 0.0, 0, True),
]  # fmt: skip


@pytest.fixture
def rows() -> pl.DataFrame:
    names = [USER_ROW, ITEM_ROW, KIND, "value", SPLIT, POSITIVE]
    return pl.DataFrame(ROWS, schema=names, orient="row").with_columns(pl.lit(2.0, pl.Float32).alias("weight"))


def kept(rows: pl.DataFrame, **settings: object) -> list[tuple[int, int, float]]:
    found = by_value(rows, FeaturesConfig.model_validate(settings))
    assert "value" not in found.columns
    return [(user, item, round(weight, 3)) for user, item, weight in found.select(USER_ROW, ITEM_ROW, "weight").rows()]


def test_a_value_changes_nothing_by_default(rows: pl.DataFrame) -> None:
    assert kept(rows) == [(user, item, 2.0) for user, item, *_ in ROWS]


def test_a_log_weighs_values_beside_the_items_train_median(rows: pl.DataFrame) -> None:
    assert kept(rows, value_weight="log") == [
        (0, 0, 1.17), (1, 0, 2.0), (2, 0, 2.644), (0, 1, 0.141), (1, 1, 8.785), (0, 0, 11.345), (1, 0, 0.526),
        (2, 1, 2.0), (2, 2, 2.0), (2, 2, 2.0),
    ]  # fmt: skip


def test_a_threshold_leaves_out_what_is_little_beside_the_median(rows: pl.DataFrame) -> None:
    pairs = [(user, item) for user, item, _ in kept(rows, value_weight="threshold", value_threshold=0.5)]
    assert pairs == [(0, 0), (1, 0), (2, 0), (1, 1), (0, 0), (2, 1), (2, 2), (2, 2)]


def test_values_count_beside_the_users_median_or_as_they_are(rows: pl.DataFrame) -> None:
    busy = pl.concat([rows, rows.head(1).with_columns(value=pl.Series([100.0]))])  # user 0: 10, 1 and 100
    assert kept(busy, value_weight="log", value_relative_to="user")[0] == (0, 0, 2.0)
    assert kept(rows, value_weight="log", value_relative_to="nothing")[3] == (0, 1, 2.0)


def test_only_the_kinds_that_are_named_are_weighed(rows: pl.DataFrame) -> None:
    found = kept(rows, value_weight="log", value_events=["like"], value_relative_to="nothing")
    assert found[0] == (0, 0, 2.0)
    assert found[8] == (2, 2, 1.17)


def test_training_sets_are_weighed_by_value(build: Build) -> None:
    events = [("a", "i1", "view", 0, 3.0), ("b", "i1", "view", 0, 1.0), ("c", "i1", "view", 0, 0.2),
              ("z", "i9", "like", 101), ("z", "i9", "like", 201)]  # fmt: skip
    plain, weighed = (build(events, cutoffs=CUTS, value_weight=how).events for how in ("none", "threshold"))
    assert (len(plain.item), len(weighed.item)) == (5, 4)
    logs = build(events, cutoffs=CUTS, value_weight="log").events.weight.tolist()
    assert logs[:3] == pytest.approx([2.0, 1.0, 0.263], abs=1e-3)


def test_equal_events_with_other_values_give_equal_sets_in_any_order(build: Build, events: Frames) -> None:
    rows = events(
        ("a", "i1", "view", 0, 3.0), ("a", "i1", "view", 0, 1.0), ("z", "i9", "like", 101), ("z", "i9", "like", 201)
    )
    rows = rows.with_columns(pl.lit(None, pl.String).alias("event_id"))
    one, other = (
        build(each, cutoffs=CUTS, value_weight="log", value_relative_to="nothing").events.weight
        for each in (rows, rows.reverse())
    )
    assert one.tolist() == other.tolist() == [2.0, 2.0, 2.0]
