"""Train is what came first, for every user alike."""

from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import FeaturesConfig
from recsys.errors import DataError
from recsys.features.split import check_split, cutoffs_of, with_split
from tests.features.conftest import CUTS, Build, Frames, at

DAYS = [("u", f"i{day}", "view", 24 * day) for day in range(10)]


def test_the_last_shares_of_positive_events_are_validation_and_test(build: Build) -> None:
    dataset = build(DAYS, validation_fraction=0.2, test_fraction=0.1)
    assert dataset.events.split.tolist() == [0] * 7 + [1] * 2 + [2]
    assert dataset.spec.validation_start == "2026-01-12T00:00:00+00:00"
    assert dataset.spec.test_start == "2026-01-14T00:00:00+00:00"


def test_an_event_at_a_cut_belongs_to_the_later_side(events: Frames) -> None:
    rows = events(*[("u", f"i{place}", "click", hour) for place, hour in enumerate([0, 1, 2, 3, 4, 5, 6, 6, 8, 8])])
    splits = with_split(rows, cutoffs_of(rows, FeaturesConfig(validation_fraction=0.3, test_fraction=0.1)))["split"]
    assert splits.to_list() == [0] * 6 + [1] * 2 + [2] * 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=3, max_size=40), st.sampled_from([0.1, 0.2, 0.4]))
def test_equal_times_never_straddle_a_cut(hours: list[int], share: float) -> None:
    times = pl.Series("timestamp", [at(hour) for hour in hours], pl.Datetime("us", "UTC")).to_frame()
    config = FeaturesConfig(test_fraction=share, validation_fraction=share)
    rows = with_split(times, cutoffs_of(times, config)).sort("timestamp")
    assert rows.group_by("timestamp").agg(pl.col("split").n_unique())["split"].max() == 1
    assert rows["split"].is_sorted()
    assert (rows["split"] == 2).sum() >= int(share * len(hours))


@pytest.mark.parametrize(
    ("cutoffs", "sizes"),
    [
        ((0, 120), "train 0, validation 5, test 5"),
        ((84, 480), "train 4, validation 6, test 0"),
        ((77, 82), "train 4, validation 0, test 6"),
    ],
)
def test_an_empty_split_is_an_error_that_counts_each_side(
    build: Build, cutoffs: tuple[float, float], sizes: str
) -> None:
    with pytest.raises(DataError, match=f"got {sizes}; load more days"):
        build(DAYS, cutoffs=cutoffs)


@pytest.mark.parametrize("n_events", [1, 9])
def test_one_moment_for_all_events_cannot_be_split(build: Build, n_events: int) -> None:
    with pytest.raises(DataError, match=f"train 0, validation 0, test {n_events}"):
        build([("a", f"i{number}", "view", 0) for number in range(n_events)])


def test_equal_cutoffs_ask_for_no_validation_but_still_for_test(build: Build) -> None:
    assert build(DAYS, cutoffs=(120, 120)).events.split.tolist() == [0] * 5 + [2] * 5
    with pytest.raises(DataError, match="test 0"):
        build(DAYS[:5], cutoffs=(120, 120))


def test_cutoffs_in_the_wrong_order_are_refused(events: Frames) -> None:
    with pytest.raises(ValueError, match="validation must start before test"):
        with_split(events(("u", "i", "click", 1)), (at(200), at(100)))


def test_check_split_ignores_events_that_are_not_positive(events: Frames) -> None:
    cuts: tuple[datetime, datetime] = (at(CUTS[0]), at(CUTS[1]))
    rows = with_split(events(("u", "i", "x", 1), ("u", "i", "x", 101), ("u", "i", "x", 201)), cuts)
    check_split(rows.with_columns(positive=True), "positive", validated=True)
    with pytest.raises(DataError, match="validation 0"):
        check_split(rows.with_columns(positive=pl.col("split") != 1), "positive", validated=True)
