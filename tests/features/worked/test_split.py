"""Train is what came first, and nothing is fitted on what came later."""

from collections.abc import Callable
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import FeaturesConfig
from recsys.errors import DataError
from recsys.features import Dataset
from recsys.features.split import cutoffs_of, with_split

Build = Callable[..., Dataset]
ROWS = [(user, item, "view", day) for day, (user, item) in enumerate(
    [("a", "i1"), ("b", "i1"), ("a", "i2"), ("b", "i2"), ("c", "i1"), ("c", "i2"), ("a", "i3"), ("b", "i3"),
     ("d", "i4"), ("a", "i5")])]  # fmt: skip
ITEMS = [
    {"item_id": "i1", "title": "alpha beta", "categories": ["news"], "creator": "x", "language": "en", "duration_s": 99},
    {"item_id": "i2", "title": "alpha gamma", "categories": ["sport"], "creator": "y", "language": "en"},
    {"item_id": "i4", "title": "omega", "categories": ["late"], "creator": "z", "language": "fr", "duration_s": 9e6,
     "published_at": datetime(2026, 1, 9)},
    {"item_id": "i5", "title": "omega psi", "categories": ["late"], "creator": "z", "duration_s": float("inf"),
     "published_at": datetime(2026, 1, 10)},
]  # fmt: skip
USERS = [{"user_id": user, "age": age, "gender": "F"} for user, age in zip("abcd", ("18-24", "25-34", None, "65+"),
                                                                          strict=True)]  # fmt: skip


def test_the_last_shares_of_positive_events_are_validation_and_test(build: Build) -> None:
    dataset = build(ROWS, test_fraction=0.2, validation_fraction=0.2)
    assert sorted(dataset.events.split.tolist()) == [0] * 6 + [1] * 2 + [2] * 2
    assert dataset.spec.validation_start == "2026-01-07T00:00:00+00:00"
    assert dataset.spec.test_start == "2026-01-09T00:00:00+00:00"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=3, max_size=40), st.sampled_from([0.1, 0.2, 0.4]))
def test_equal_times_never_straddle_a_cut(hours: list[int], share: float) -> None:
    times = pl.Series("timestamp", [datetime(2026, 1, 1, hour) for hour in hours]).dt.replace_time_zone("UTC")
    config = FeaturesConfig(test_fraction=share, validation_fraction=share)
    rows = with_split(times.to_frame(), cutoffs_of(times.to_frame(), config)).sort("timestamp")
    assert rows.group_by("timestamp").agg(pl.col("split").n_unique())["split"].max() == 1
    assert rows["split"].is_sorted()
    assert (rows["split"] == 2).sum() >= int(share * len(hours))


def test_vocabularies_hold_what_train_met_and_nothing_later(build: Build) -> None:
    spec = build(ROWS, USERS, ITEMS, test_fraction=0.2, validation_fraction=0.2).spec
    assert spec.item_vocab == ["i1", "i2"]
    assert spec.user_vocab == ["a", "b", "c"]
    assert (spec.category_vocab, spec.creator_vocab, spec.language_vocab) == (["news", "sport"], ["x", "y"], ["en"])
    assert spec.demographic_vocabs["age"] == ["18-24", "25-34"]
    assert spec.as_of == "2026-01-06T00:00:00+00:00"


def test_normalisation_is_fitted_on_train_only(build: Build) -> None:
    spec = build(ROWS, USERS, ITEMS, test_fraction=0.2, validation_fraction=0.2).spec
    assert spec.numeric_means[1] == pytest.approx(np.log(100))
    assert spec.numeric_stds[1] == 1.0  # one known duration has no spread


def test_the_future_changes_nothing_that_was_fitted(build: Build) -> None:
    cuts = {"cutoffs": (6.0, 8.0)}
    now = build(ROWS, USERS, ITEMS, **cuts)
    future = [*ROWS, ("e", "i6", "like", 9.5), ("a", "i6", "like", 9.6), ("c", "i4", "like", 7.5)]
    more = [*ITEMS, {"item_id": "i6", "title": "omega alpha", "categories": ["later"], "duration_s": 5.0,
                     "published_at": datetime(2026, 1, 9)}]  # fmt: skip
    later = build(future, USERS, more, **cuts)
    assert now.spec.model_dump(exclude={"info"}) == later.spec.model_dump(exclude={"info"})
    np.testing.assert_array_equal(now.text_model.idf, later.text_model.idf)
    for part in ("tastes", "topics"):
        np.testing.assert_array_equal(getattr(now.text_model, part), getattr(later.text_model, part))


def test_document_frequencies_count_training_texts(build: Build) -> None:
    dataset = build(ROWS, USERS, ITEMS, test_fraction=0.2, validation_fraction=0.2)
    frequencies = np.unique(dataset.text_model.idf)
    fitted_on = 3  # the texts of i1, i2 and, met by nobody and published never, none of i4 and i5
    least = np.log((1 + fitted_on - 1) / (1 + 2)) + 1
    assert frequencies.min() == pytest.approx(least)  # "alpha" stands in both known texts
    assert np.abs(dataset.items.text[dataset.items.ids == "i4"]).max() == 0


def test_rare_users_and_items_get_no_id_but_keep_their_rows(build: Build) -> None:
    rows = [("a", "i1", "view", 0), ("a", "i2", "view", 1), ("b", "i1", "view", 2), ("c", "i3", "view", 3),
            *[("a", "i1", "view", day) for day in (4, 8, 9)]]  # fmt: skip
    dataset = build(rows, cutoffs=(7.0, 8.5), min_user_events=2, min_item_events=2)
    assert (dataset.spec.user_vocab, dataset.spec.item_vocab) == (["a"], ["i1"])
    assert dataset.items.vocab.tolist() == [1, 0, 0]
    assert dataset.users.vocab.tolist() == [1, 0, 0]
    assert dataset.items.train_count.tolist() == [3, 1, 1]


@pytest.mark.parametrize("cutoffs", [(0.0, 5.0), (3.5, 20.0), (3.2, 3.4)])
def test_an_empty_split_is_an_error_that_counts_each_side(build: Build, cutoffs: tuple[float, float]) -> None:
    with pytest.raises(DataError, match=r"got train \d+, validation \d+, test \d+; load more days"):
        build(ROWS, cutoffs=cutoffs)


def test_equal_cutoffs_ask_for_no_validation(build: Build) -> None:
    assert sorted(set(build(ROWS, cutoffs=(5.0, 5.0)).events.split.tolist())) == [0, 2]


def test_one_moment_for_all_events_cannot_be_split(build: Build) -> None:
    with pytest.raises(DataError, match="train 0"):
        build([("a", f"i{number}", "view", 0) for number in range(9)])


def test_one_user_and_one_item_suffice(build: Build) -> None:
    dataset = build([("a", "i1", "view", day) for day in range(10)])
    assert dataset.items.ids.tolist() == ["i1"]
    assert dataset.users.ids.tolist() == ["a"]
    assert dataset.events.offsets.tolist() == [0, 10]
    assert np.isfinite(dataset.items.numeric).all()
    assert np.isfinite(dataset.items.text).all()
