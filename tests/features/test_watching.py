import polars as pl
import pytest

from recsys.config import Config, FeaturesConfig
from recsys.features import case_dataset, frames_to_dataset
from recsys.features.events import evidence
from recsys.schema import ITEMS, PRIVATE_USERS

NO_USERS, NO_ITEMS = pl.DataFrame(schema=PRIVATE_USERS), pl.DataFrame(schema=ITEMS)


@pytest.fixture
def watched(events):
    rows = events(*[("u", item, "view", place) for place, item in enumerate("abcdefg")], ("u", "h", "like", 9))
    seconds = [0.0, 25.0, 100.0, 180.0, None, float("nan"), 30.0, 5.0]
    return rows.with_columns(pl.Series("value", seconds))


@pytest.fixture
def films(items):
    lasting = [{"item_id": item, "duration_s": 100.0} for item in "abcdefh"]
    return items(*lasting, {"item_id": "g", "duration_s": 0.0})


def weights(rows: pl.DataFrame) -> dict[str, float]:
    return dict(zip(rows["item_id"].to_list(), rows["weight"].to_list(), strict=True))


def weighing(weight: float) -> FeaturesConfig:
    return FeaturesConfig(watch_ratio_weight=weight)


def test_by_default_seconds_watched_do_not_count(watched, films):
    assert weights(evidence(watched, weighing(0.0), items=films)) == dict.fromkeys("abcdefg", 1.0) | {"h": 2.0}


def test_a_view_counts_by_the_share_that_was_watched(watched, films):
    half = weights(evidence(watched, weighing(0.5), items=films))
    assert half == {"a": 0.5, "b": 0.625, "c": 1.0, "d": 1.0, "e": 1.0, "f": 1.0, "g": 1.0, "h": 2.0}


def test_at_one_a_view_of_no_second_says_nothing(watched, films):
    full = weights(evidence(watched, weighing(1.0), items=films))
    assert full == {"b": 0.25, "c": 1.0, "d": 1.0, "e": 1.0, "f": 1.0, "g": 1.0, "h": 2.0}


def test_without_durations_weights_stay(watched):
    assert set(weights(evidence(watched, weighing(1.0), items=NO_ITEMS)).values()) == {1.0, 2.0}
    assert set(weights(evidence(watched, weighing(1.0))).values()) == {1.0, 2.0}


def test_training_sets_of_both_kinds_carry_the_weights(events, films, config, cuts):
    rows = events(("u", "b", "view", 1), ("u", "c", "view", 2), ("u", "a", "view", 101), ("u", "a", "view", 201))
    rows = rows.with_columns(pl.Series("value", [25.0, 50.0, 100.0, 100.0]))
    asked = config.model_copy(update={"watch_ratio_weight": 1.0})
    temporal = frames_to_dataset(asked, rows, NO_USERS, films, cutoffs=cuts)
    assert temporal.events.weight.tolist() == [0.25, 0.5, 1.0, 1.0]
    case = case_dataset(
        Config(features=asked, backtest={"protocol": "leave_one_out", "models": ["popularity"]}),
        rows.with_columns(pl.Series("item_id", ["b", "c", "a", "d"])), NO_USERS, films,
    )  # fmt: skip
    assert sorted(case.events.weight.tolist()) == [0.25, 0.5, 1.0, 1.0]
