"""Every protocol on tables small enough to work by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.config import BacktestConfig, Config, FeaturesConfig
from recsys.errors import ConfigError, DataError
from recsys.features import GIVEN, Dataset, case_dataset, heldout
from tests.features.conftest import Build, Frames, Records, at


@pytest.fixture
def case(config: FeaturesConfig, users: Frames, items: Frames) -> Build:
    def build(
        interactions: pl.DataFrame,
        *,
        fold: int = 0,
        cold: Sequence[str] = (),
        known: Records = (),
        refit: bool = False,
        **settings: Any,
    ) -> Dataset:
        own = config.model_copy(update=settings.pop("features", {}))
        whole = Config(features=own, backtest=BacktestConfig(**settings))
        return case_dataset(
            whole, interactions, users(), items(*known), fold=fold, cold_items=cold, train_validation=refit
        )

    return build


def splits(dataset: Dataset) -> dict[str, dict[str, int]]:
    """user -> item -> split, of the positives."""
    events = dataset.events
    users = np.repeat(dataset.users.ids, np.diff(events.offsets))
    found: dict[str, dict[str, int]] = {}
    for user, item, split, positive in zip(users, events.item, events.split, events.positive, strict=True):
        if positive:
            found.setdefault(str(user), {})[str(dataset.items.ids[item])] = int(split)
    return found


def grid(events: Frames, n_users: int = 10, n_items: int = 10) -> pl.DataFrame:
    """Every user meets every item, in the same order."""
    return events(*((f"u{u}", f"i{i}", "view", i * 30 + u) for u in range(n_users) for i in range(n_items)))


def test_leave_one_out_holds_out_the_last_two_positives(events: Frames, case: Build) -> None:
    rows = events(("u", "a", "view", 1), ("u", "b", "view", 2), ("u", "c", "view", 3), ("v", "a", "view", 1),
                  ("v", "b", "view", 2))  # fmt: skip
    assert splits(case(rows, protocol="leave_one_out")) == {"u": {"a": 0, "b": 1, "c": 2}, "v": {"a": 0, "b": 0}}


def test_the_order_column_outranks_time(events: Frames, case: Build) -> None:
    rows = events(("u", "a", "view", 3), ("u", "b", "view", 2), ("u", "c", "view", 1), ("v", "a", "view", 1))
    rows = rows.with_columns(pl.Series("place", ["1", "2", "10", "1"]))
    found = splits(case(rows, protocol="leave_one_out", order_column="place"))
    assert found["u"] == {"a": 0, "b": 1, "c": 2}


def test_an_order_column_with_gaps_is_refused(events: Frames, case: Build) -> None:
    rows = grid(events).with_columns(pl.lit(None, pl.String).alias("place"))
    with pytest.raises(DataError, match="100 of 100 events have no number in backtest.order_column 'place'"):
        case(rows, protocol="leave_one_out", order_column="place")
    with pytest.raises(DataError, match="'nowhere' is no column of the interactions"):
        case(rows, protocol="leave_one_out", order_column="nowhere")


def test_temporal_holds_out_the_last_shares_of_time(events: Frames, case: Build) -> None:
    dataset = case(grid(events, 10, 10), protocol="temporal")
    assert {item: split for item, split in splits(dataset)["u3"].items() if split} == {"i8": 1, "i9": 2}


def test_user_holdout_never_trains_on_held_out_users(events: Frames, case: Build) -> None:
    dataset = case(grid(events), protocol="user_holdout", holdout_users=0.2, validation_share=0.1, known_share=0.7)
    kinds = [sorted(set(own.values())) for own in splits(dataset).values()]
    assert kinds.count([-1, 2]) == 2
    assert kinds.count([-1, 1]) == 1
    assert kinds.count([0]) == 7
    test = heldout(dataset, 2)
    assert np.diff(test.relevant.indptr).tolist() == [3, 3]
    assert np.diff(test.seen.indptr).tolist() == [7, 7]
    assert test.cold_user.all()
    assert len(dataset.spec.user_vocab) == 7


def test_the_last_share_of_held_out_users_is_asked_when_so_configured(events: Frames, case: Build) -> None:
    dataset = case(grid(events), protocol="user_holdout", held="last", known_share=0.7, holdout_users=0.2)
    asked = [own for own in splits(dataset).values() if 2 in own.values()]
    assert all([item for item, split in own.items() if split == 2] == ["i7", "i8", "i9"] for own in asked)


def test_user_holdout_refuses_an_empty_set_of_users(events: Frames, case: Build) -> None:
    with pytest.raises(DataError, match="leaves a set of users empty: of 2 users"):
        case(grid(events, 2, 5), protocol="user_holdout")


def test_rolling_windows_follow_each_other_and_see_no_future(events: Frames, case: Build) -> None:
    rows = events(*(("u", f"i{i}", "view", i * 30) for i in range(20)))
    settings = {"protocol": "rolling", "n_folds": 2, "features": {"test_fraction": 0.2, "validation_fraction": 0.1}}
    first, second = (splits(case(rows, fold=fold, **settings))["u"] for fold in (0, 1))
    assert [item for item, split in first.items() if split == 2] == ["i12", "i13", "i14", "i15"]
    assert [item for item, split in second.items() if split == 2] == ["i16", "i17", "i18", "i19"]
    assert set(first) == {f"i{i}" for i in range(16)}


def test_rolling_refuses_windows_that_leave_nothing_to_train_on(events: Frames, case: Build) -> None:
    with pytest.raises(ConfigError, match=r"must be below 1; got 9 x 0\.1 \+ 0\.1"):
        case(grid(events), protocol="rolling", n_folds=9)


def test_item_cold_trains_on_no_event_of_a_held_out_item(events: Frames, case: Build) -> None:
    known = [{"item_id": f"i{i}", "title": f"word{i}", "published_at": at(0)} for i in range(11)]
    dataset = case(grid(events), protocol="item_cold", cold_items="-", cold=("i1", "i10"), known=known)
    own = splits(dataset)["u0"]
    assert own["i1"] == 2
    assert sum(split == 1 for split in own.values()) == 1
    test = heldout(dataset, 2)
    assert dataset.items.ids[test.candidates].tolist() == ["i1", "i10"]
    assert "i1" not in dataset.spec.item_vocab
    assert (dataset.items.train_count[dataset.newcomers > 0] == 0).all()
    assert not np.abs(dataset.items.text[dataset.newcomers > 0]).any(), "the text model was fitted on a newcomer"
    end = dataset.events.timestamp[dataset.events.split == 0].max()
    assert (dataset.items.published_at[dataset.newcomers > 0] > end).all()


def test_item_cold_measures_nobody_without_history(events: Frames, case: Build) -> None:
    rows = pl.concat([grid(events), events(("new", "i1", "view", 500))])
    dataset = case(rows, protocol="item_cold", cold_items="-", cold=("i1",))
    assert "new" not in dataset.users.ids[heldout(dataset, 2).user_rows]


def test_a_held_out_id_that_does_not_exist_is_an_error(events: Frames, case: Build) -> None:
    with pytest.raises(DataError, match=r"1 of 2 are not, the first is 'nope'; correct backtest\.cold_items"):
        case(grid(events), protocol="item_cold", cold_items="-", cold=("i1", "nope"))


def test_given_files_keep_their_split_and_validate_on_a_share_of_each_user(events: Frames, case: Build) -> None:
    rows = grid(events).with_columns(pl.when(pl.col("item_id") == "i0").then(2).otherwise(0).cast(pl.Int8).alias(GIVEN))
    found = splits(case(rows, protocol="files", test="-", validation_share=0.2))
    assert all(own["i0"] == 2 for own in found.values())
    assert all(sum(split == 1 for split in own.values()) == 2 for own in found.values())
    drawn = {tuple(item for item, split in own.items() if split == 1) for own in found.values()}
    assert len(drawn) > 1, "everybody validates on the same items"


def test_given_validation_is_taken_as_it_is(events: Frames, case: Build) -> None:
    rows = grid(events).with_columns((pl.col("item_id").str.tail(1).cast(pl.Int8) % 3).alias(GIVEN))
    assert splits(case(rows, protocol="files", test="-"))["u0"] == {f"i{i}": i % 3 for i in range(10)}


def test_histories_end_where_a_random_split_begins(events: Frames, case: Build) -> None:
    rows = grid(events).with_columns(pl.when(pl.col("item_id") == "i0").then(2).otherwise(0).cast(pl.Int8).alias(GIVEN))
    dataset = case(rows, protocol="files", test="-")
    test = heldout(dataset, 2)
    own = slice(dataset.events.offsets[3], test.history_end[3])
    assert set(dataset.events.split[own]) == {0, 1}
    assert test.query_time[3] == dataset.events.timestamp[own].max(), "a query may not be older than its history"


def test_a_split_without_test_events_is_refused(events: Frames, case: Build) -> None:
    rows = grid(events).with_columns(pl.lit(0, pl.Int8).alias(GIVEN))
    with pytest.raises(DataError, match="positive events on every side; got train 90, validation 10, test 0"):
        case(rows, protocol="files", test="-")


def test_k_core_drops_until_nothing_is_left_to_drop(events: Frames, case: Build) -> None:
    rows = pl.concat([grid(events, 3, 3), events(("u0", "rare", "view", 9), ("w", "i0", "view", 9))])
    assert set(splits(case(rows, protocol="leave_one_out", min_core=2))) == {"u0", "u1", "u2"}
    with pytest.raises(DataError, match=r"no user and item has 4 positives or more; .* lower backtest\.min_core"):
        case(rows, protocol="leave_one_out", min_core=4)


def test_the_split_does_not_depend_on_the_order_of_rows(events: Frames, case: Build) -> None:
    rows = grid(events)
    settings = {"protocol": "user_holdout", "holdout_users": 0.2}
    assert splits(case(rows, **settings)) == splits(case(rows.sample(fraction=1, shuffle=True, seed=3), **settings))


def test_newcomers_survive_saving(events: Frames, case: Build, tmp_path: Path) -> None:
    dataset = case(grid(events), protocol="item_cold", cold_items="-", cold=("i1",))
    dataset.save(tmp_path)
    assert Dataset.load(tmp_path).newcomers.tolist() == dataset.newcomers.tolist()


@pytest.mark.parametrize(
    "settings",
    [
        {"protocol": "leave_one_out"},
        {"protocol": "user_holdout", "holdout_users": 0.2, "validation_share": 0.2},
        {"protocol": "item_cold", "cold_items": "-", "cold": ("i1",), "validation_share": 0.2},
    ],
)
def test_validation_can_be_trained_on_without_touching_test(
    events: Frames, case: Build, settings: dict[str, Any]
) -> None:
    before, after = case(grid(events), **settings), case(grid(events), refit=True, **settings)
    assert not len(heldout(after, 1).user_rows)
    first, second = heldout(before, 2), heldout(after, 2)
    assert (first.relevant != second.relevant).nnz == 0
    assert (first.seen != second.seen).nnz == 0
    known = [(case_.events.split == -1).sum() for case_ in (before, after)]
    assert known[1] * 2 == known[0], "what is known of validation users is trained on, that of test users is not"
    in_train = [(case_.events.split == 0).sum() for case_ in (before, after)]
    assert in_train[1] == in_train[0] + (before.events.split == 1).sum() + known[0] - known[1]


def test_protocols_weigh_by_values_of_train_alone(events: Frames, case: Build) -> None:
    rows = events(*((f"u{place}", "a", "view", place, 2.0) for place in range(3)), ("u0", "b", "view", 5, 2.0),
                  ("u0", "c", "view", 6, 2.0), ("u0", "a", "view", 30, 900.0), ("u0", "d", "view", 60, 4.0))  # fmt: skip
    dataset = case(rows, protocol="leave_one_out", features={"value_weight": "log"})
    weights = dict(zip(dataset.events.timestamp.tolist(), dataset.events.weight.tolist(), strict=True))
    assert [round(weight, 3) for _, weight in sorted(weights.items())] == [1.0, 1.0, 1.0, 1.0, 1.0, 8.817, 1.585]
