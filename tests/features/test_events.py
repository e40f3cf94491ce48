import random
from datetime import datetime

import polars as pl
import pytest

from recsys.config import FeaturesConfig
from recsys.errors import DataError
from recsys.features import frames_to_dataset
from recsys.features.events import evidence
from recsys.features.split import check_split, cutoffs_of, with_split
from recsys.schema import EVENT_KINDS, ITEMS, PRIVATE_USERS

NO_USERS, NO_ITEMS = pl.DataFrame(schema=PRIVATE_USERS), pl.DataFrame(schema=ITEMS)


def test_weights_come_from_the_config_and_impressions_are_dropped(events, config):
    rows = evidence(events(*[("u", "i", kind, 1) for kind in EVENT_KINDS]), config).sort("kind")
    assert rows["kind"].to_list() == [2, 3, 4, 5, 6, 7, 8]
    assert rows["weight"].to_list() == [1, 1, 2, 0, 2, 2, 1]
    assert rows["positive"].to_list() == [True, True, True, False, True, True, True]


@pytest.mark.parametrize(
    ("value", "positive"), [(4.0, True), (3.0, True), (2.9, False), (None, False), (float("nan"), False)]
)
def test_a_rating_below_the_minimum_or_without_value_is_kept_but_not_positive(events, config, value, positive):
    config = config.model_copy(update={"min_rating": 3.0})
    rows = events(("u", "i", "rating", 1), ("u", "j", "click", 1)).with_columns(
        pl.lit(value, pl.Float64).alias("value")
    )
    assert evidence(rows, config)["positive"].to_list() == [positive, True]


def test_one_meeting_a_day_is_kept_at_its_strongest(events, config, cuts):
    dataset = frames_to_dataset(
        config,
        events(
            ("u", "i", "view", 1), ("u", "i", "like", 2), ("u", "i", "click", 3), ("u", "i", "click", 3),  # one day
            ("u", "i", "click", 30), ("u", "i", "view", 31),  # equal weights: the latest
            ("u", "i", "click", 60), ("u", "i", "dislike", 61),  # a positive event outweighs
            ("u", "j", "click", 101), ("u", "k", "click", 201),
        ),
        NO_USERS, NO_ITEMS, cutoffs=cuts,
    )  # fmt: skip
    assert [EVENT_KINDS[kind - 1] for kind in dataset.events.kind] == ["like", "view", "click", "click", "click"]
    hours = (dataset.events.timestamp - dataset.events.timestamp[0]) / 3600 + 2
    assert hours.tolist() == [2, 31, 60, 101, 201]
    assert dataset.spec.info == {"n_read": 10, "n_ignored": 0, "n_merged": 5, "n_events": 5}


def test_a_meeting_before_a_cut_survives_a_stronger_one_after_it_on_the_same_day(events, config, cuts):
    rows = events(("u", "i", "view", 199), ("u", "i", "like", 201), ("u", "j", "click", 1), ("u", "k", "click", 101))
    arrays = frames_to_dataset(config, rows, NO_USERS, NO_ITEMS, cutoffs=cuts).events
    assert arrays.item.tolist() == [1, 2, 0, 0]
    assert arrays.split.tolist() == [0, 1, 1, 2]


def test_row_order_does_not_matter_even_without_event_ids(events, config, cuts):
    rows = events(
        *[("u", item, kind, hour) for item in "abc" for kind in ("view", "click") for hour in (1, 1, 110, 210)]
    ).with_columns(pl.lit(None, pl.String).alias("event_id"))
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    one, two = (frames_to_dataset(config, r, NO_USERS, NO_ITEMS, cutoffs=cuts).events for r in (rows, rows[order]))
    assert one.item.tolist() == two.item.tolist()
    assert one.kind.tolist() == two.kind.tolist()


def test_split_takes_the_last_shares_of_positive_events(events):
    rows = events(*[("u", f"i{hour}", "click", hour) for hour in range(10)])
    config = FeaturesConfig(validation_fraction=0.2, test_fraction=0.1)
    cutoffs = cutoffs_of(rows, config)
    assert with_split(rows, cutoffs)["split"].to_list() == [0] * 7 + [1] * 2 + [2]


def test_equal_times_never_straddle_a_cut(events):
    rows = events(*[("u", f"i{place}", "click", hour) for place, hour in enumerate([0, 1, 2, 3, 4, 5, 6, 6, 8, 8])])
    splits = with_split(rows, cutoffs_of(rows, FeaturesConfig(validation_fraction=0.3, test_fraction=0.1)))["split"]
    assert splits.to_list() == [0] * 6 + [1] * 2 + [2] * 2


def test_no_positive_event_is_a_data_error_that_says_what_to_check(events, config):
    for rows in (events(("u", "i", "impression", 1), ("u", "i", "dislike", 1)), events()):
        with pytest.raises(DataError, match=rf"none of {len(rows)} events is positive.*event_weights"):
            frames_to_dataset(config, rows, NO_USERS, NO_ITEMS)


@pytest.mark.parametrize("kind", ["purchase", None])
def test_an_unknown_event_kind_is_named(events, config, kind):
    rows = events(("u", "i", "click", 1), ("u", "i", kind, 1))
    with pytest.raises(DataError, match=str(kind)):
        frames_to_dataset(config, rows, NO_USERS, NO_ITEMS)


def test_an_empty_split_is_a_data_error_naming_sizes(events, config, cuts):
    rows = events(("u", "i", "click", 1), ("u", "j", "click", 2), ("u", "k", "click", 201))
    with pytest.raises(DataError, match="train 2, validation 0, test 1"):
        frames_to_dataset(config, rows, NO_USERS, NO_ITEMS, cutoffs=cuts)
    with pytest.raises(DataError, match="train 0, validation 0, test 1"):
        frames_to_dataset(config, rows[:1], NO_USERS, NO_ITEMS)


def test_equal_cutoffs_ask_for_no_validation_but_still_for_test(events, config, cuts):
    rows = events(("u", "i", "click", 1), ("u", "k", "click", 201))
    dataset = frames_to_dataset(config, rows, NO_USERS, NO_ITEMS, cutoffs=(cuts[1], cuts[1]))
    assert dataset.events.split.tolist() == [0, 2]
    with pytest.raises(DataError, match="test 0"):
        frames_to_dataset(config, rows[:1], NO_USERS, NO_ITEMS, cutoffs=(cuts[1], cuts[1]))


def test_cutoffs_in_the_wrong_order_are_refused(events, cuts: tuple[datetime, datetime]):
    with pytest.raises(ValueError, match="validation must start before test"):
        with_split(events(("u", "i", "click", 1)), (cuts[1], cuts[0]))


def test_check_split_ignores_events_that_are_not_positive(events, cuts):
    rows = with_split(events(("u", "i", "x", 1), ("u", "i", "x", 101), ("u", "i", "x", 201)), cuts)
    check_split(rows.with_columns(positive=True), "positive", validated=True)
    with pytest.raises(DataError, match="validation 0"):
        check_split(rows.with_columns(positive=pl.col("split") != 1), "positive", validated=True)
