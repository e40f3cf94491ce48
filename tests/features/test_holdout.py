"""Without times, what is held out is a random share of what each user has."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.config import Config
from recsys.errors import ConfigError
from recsys.features import Dataset, case_dataset, context_of, frames_to_dataset, heldout
from recsys.model.examples import task_of
from recsys.model.inputs import query_inputs
from recsys.schema import ITEMS, PRIVATE_USERS
from tests.features.conftest import SETTINGS, Build, FeaturesConfig, Frames, frame

ROWS = [(f"u{user:02d}", f"i{(user * 7 + place) % 40:02d}", "like", 0.0) for user in range(50) for place in range(20)]


def untimed(events: Frames, rows: Any = ROWS, **settings: Any) -> Dataset:
    table = rows if isinstance(rows, pl.DataFrame) else events(*rows)
    config = FeaturesConfig.model_validate(SETTINGS | settings)
    return frames_to_dataset(config, table, frame((), PRIVATE_USERS), frame((), ITEMS), timed=False)


def pairs(dataset: Dataset, split: int) -> set[tuple[str, str]]:
    owner = np.repeat(dataset.users.ids, np.diff(dataset.events.offsets))
    chosen = np.asarray(dataset.events.split) == split
    return set(zip(owner[chosen].tolist(), dataset.items.ids[dataset.events.item[chosen]].tolist(), strict=True))


def test_each_user_gives_its_share_to_validation_and_to_test(events: Frames) -> None:
    dataset = untimed(events, validation_fraction=0.1, test_fraction=0.2)
    by_user = np.asarray(dataset.events.split).reshape(50, 20)
    assert ((by_user == 2).sum(axis=1) == 4).all()
    assert ((by_user == 1).sum(axis=1) == 2).all()
    assert dataset.spec.info["time"] == "unknown" and not dataset.spec.timed


def test_shares_of_small_users_are_right_in_the_mean(events: Frames) -> None:
    rows = [(f"u{user}", f"i{place}", "like", 0.0) for user in range(600) for place in range(4)]
    splits = np.asarray(untimed(events, rows, validation_fraction=0.1, test_fraction=0.2).events.split)
    assert abs((splits == 2).mean() - 0.2) < 0.02
    assert abs((splits == 1).mean() - 0.1) < 0.02


def test_users_with_fewer_than_three_positives_are_trained_on_whole(events: Frames) -> None:
    rows = [("few", "i00", "like", 0.0), ("few", "i01", "like", 0.0), ("few", "i02", "dislike", 0.0)]
    dataset = untimed(events, ROWS + rows, validation_fraction=0.45, test_fraction=0.45)
    own = slice(*dataset.events.offsets[:2])
    assert dataset.users.ids[0] == "few" and dataset.events.split[own].tolist() == [0, 0, 0]


def test_something_of_everybody_is_trained_on(events: Frames) -> None:
    rows = [(f"u{user}", f"i{place}", "like", 0.0) for user in range(200) for place in range(3)]
    dataset = untimed(events, rows, validation_fraction=0.45, test_fraction=0.49)
    assert (np.asarray(dataset.events.split).reshape(200, 3) == 0).any(axis=1).all()


def test_dislikes_are_never_held_out(events: Frames) -> None:
    rows = [(f"u{user}", f"j{place}", "dislike", 0.0) for user in range(30) for place in range(20)]
    dataset = untimed(events, ROWS + rows)
    assert set(dataset.events.split[~dataset.events.positive].tolist()) == {0}


def test_the_order_of_rows_draws_nothing_else(events: Frames) -> None:
    table = events(*ROWS)
    one, other = untimed(events, table), untimed(events, table.sample(fraction=1.0, shuffle=True, seed=3))
    for name in ("item", "split", "offsets"):
        np.testing.assert_array_equal(getattr(one.events, name), getattr(other.events, name))


def test_further_users_and_items_do_not_change_what_is_held_out(events: Frames) -> None:
    more = [(f"a{user}", f"a{place}", "like", 0.0) for user in range(20) for place in range(10)]
    before, after = untimed(events), untimed(events, more + ROWS)
    for split in (1, 2):
        assert pairs(before, split) == {pair for pair in pairs(after, split) if pair[0].startswith("u")}


def test_another_seed_holds_out_others(events: Frames) -> None:
    one, other = untimed(events, holdout_seed=1), untimed(events, holdout_seed=2)
    assert len(pairs(one, 2) & pairs(other, 2)) < 0.5 * len(pairs(one, 2))
    assert pairs(one, 2) == pairs(untimed(events, holdout_seed=1), 2)


def test_what_is_held_out_is_in_nobodys_history(events: Frames) -> None:
    dataset = untimed(events)
    users = heldout(dataset, 2)
    for row, end, relevant in zip(users.user_rows, users.history_end, users.relevant, strict=True):
        known = dataset.events.item[dataset.events.offsets[row] : end].tolist()
        assert not set(known) & set(relevant.indices.tolist())
        assert len(known) + relevant.nnz == 20


def test_towers_learn_any_of_a_users_items_from_the_others(events: Frames) -> None:
    assert task_of(untimed(events), 1) == "any"


def test_hour_and_weekday_are_unknown(events: Frames) -> None:
    dataset = untimed(events)
    users = heldout(dataset, 2)
    inputs = query_inputs(dataset, users.user_rows, users.history_end, users.query_time, users.device, 5)
    assert set(inputs["context"][:, :2].ravel().tolist()) == {0}
    assert context_of(np.array([0]), np.array([2]), timed=False).tolist() == [[0, 0, 2]]


def test_events_with_times_are_split_by_time(build: Build) -> None:
    dataset = build([("u", f"i{day}", "view", 24.0 * day) for day in range(10)])
    assert dataset.spec.timed and "time" not in dataset.spec.info


@pytest.mark.parametrize("protocol", ["temporal", "rolling"])
def test_a_backtest_by_time_is_refused(events: Frames, protocol: str) -> None:
    config = Config.model_validate(
        {
            "partition": "all",
            "source": {"kind": "files", "interactions": {"uri": "x.csv", "timestamps": "none"}},
            "backtest": {"protocol": protocol},
        }
    )
    with pytest.raises(ConfigError, match=f"'{protocol}' needs times"):
        case_dataset(config, events(*ROWS), frame((), PRIVATE_USERS), frame((), ITEMS))
