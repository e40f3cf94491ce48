"""How much of an item was watched, as the weight of a view."""

import polars as pl
import pytest

from recsys.config import Config, FeaturesConfig
from recsys.features import case_dataset
from recsys.features.events import evidence
from tests.features.conftest import CUTS, Build, Frames


@pytest.fixture
def watched(events: Frames) -> pl.DataFrame:
    seconds = [0.0, 25.0, 100.0, 180.0, None, float("nan"), 30.0]
    views = [("u", item, "view", place, seconds[place]) for place, item in enumerate("abcdefg")]
    return events(*views, ("u", "h", "like", 9, 5.0))


@pytest.fixture
def films(items: Frames) -> pl.DataFrame:
    lasting = [{"item_id": item, "duration_s": 100.0} for item in "abcdefh"]
    return items(*lasting, {"item_id": "g", "duration_s": 0.0})


def weights(rows: pl.DataFrame) -> dict[str, float]:
    return dict(zip(rows["item_id"].to_list(), rows["weight"].to_list(), strict=True))


def weighing(weight: float) -> FeaturesConfig:
    return FeaturesConfig(watch_ratio_weight=weight)


def test_by_default_seconds_watched_do_not_count(watched: pl.DataFrame, films: pl.DataFrame) -> None:
    assert weights(evidence(watched, weighing(0.0), items=films)) == dict.fromkeys("abcdefg", 1.0) | {"h": 2.0}


def test_a_view_counts_by_the_share_that_was_watched(watched: pl.DataFrame, films: pl.DataFrame) -> None:
    half = weights(evidence(watched, weighing(0.5), items=films))
    assert half == {"a": 0.5, "b": 0.625, "c": 1.0, "d": 1.0, "e": 1.0, "f": 1.0, "g": 1.0, "h": 2.0}


def test_at_one_a_view_of_no_second_says_nothing(watched: pl.DataFrame, films: pl.DataFrame) -> None:
    full = weights(evidence(watched, weighing(1.0), items=films))
    assert full == {"b": 0.25, "c": 1.0, "d": 1.0, "e": 1.0, "f": 1.0, "g": 1.0, "h": 2.0}


def test_without_durations_weights_stay(watched: pl.DataFrame, items: Frames) -> None:
    assert set(weights(evidence(watched, weighing(1.0), items=items())).values()) == {1.0, 2.0}
    assert set(weights(evidence(watched, weighing(1.0))).values()) == {1.0, 2.0}


def test_training_sets_of_both_kinds_carry_the_weights(
    events: Frames, users: Frames, films: pl.DataFrame, config: FeaturesConfig, build: Build
) -> None:
    rows = [("u", "b", "view", 1, 25.0), ("u", "c", "view", 2, 50.0), ("u", "a", "view", 101, 100.0)]
    temporal = build([*rows, ("u", "a", "view", 201, 100.0)], items=films, cutoffs=CUTS, watch_ratio_weight=1.0)
    assert temporal.events.weight.tolist() == [0.25, 0.5, 1.0, 1.0]
    asked = config.model_copy(update={"watch_ratio_weight": 1.0})
    whole = Config(features=asked, backtest={"protocol": "leave_one_out", "models": ["popularity"]})
    case = case_dataset(whole, events(*rows, ("u", "d", "view", 201, 100.0)), users(), films)
    assert sorted(case.events.weight.tolist()) == [0.25, 0.5, 1.0, 1.0]
