"""What a state says of a user is what a training set of the same events says, to the bit."""

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.config import Config, DemoSource, FeaturesConfig
from recsys.data import read_consented
from recsys.features import Dataset, EventArrays, frames_to_dataset
from recsys.model.inputs import query_inputs
from recsys.schema import DURATION_S, ITEM_ID
from recsys.serving import DatasetPeople
from recsys.serving.requests import asker_of
from recsys.users import Encoding, Limits, UserState, Weighing, merged, states_of_users
from recsys.users.encoding import Vocabulary
from tests.users.conftest import LIMITS, at, event

SMALL: dict[str, Any] = {"text_dim": 4, "min_user_events": 3, "min_item_events": 3}
LENGTH = 12
Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


@pytest.fixture(scope="module")
def world() -> Tables:
    demo = DemoSource(scale=0.1, n_items=150, days=14)
    return read_consented(Config(source=demo))


def states_of(tables: Tables, config: FeaturesConfig, limits: Limits = LIMITS) -> dict[str, UserState]:
    interactions, users, items = tables
    known = items.select(ITEM_ID, DURATION_S).drop_nulls()
    durations = dict(zip(known[ITEM_ID].to_list(), known[DURATION_S].to_list(), strict=True))
    weighing = Weighing(config, durations)
    found: dict[str, UserState] = {}
    shuffled = interactions.sample(fraction=1.0, shuffle=True, seed=5)
    parts = [weighing.states_of(part) for part in shuffled.iter_slices(len(shuffled) // 3 + 1)]
    for state in (*states_of_users(users, config.user_columns, at(0)), *(state for part in parts for state in part)):
        found[state.user] = merged(found.get(state.user, UserState(state.user)), state, limits)
    return found


def encoding_of(dataset: Dataset, config: FeaturesConfig) -> Encoding:
    return Encoding(dataset.spec, {item: row for row, item in enumerate(dataset.items.ids.tolist())}, config)


def own(events: EventArrays, row: int) -> dict[str, np.ndarray]:
    rows = slice(int(events.offsets[row]), int(events.offsets[row + 1]))
    return {each.name: getattr(events, each.name)[rows] for each in fields(events) if each.name != "offsets"}


def pairs(dataset: Dataset, states: dict[str, UserState], config: FeaturesConfig) -> Iterator[tuple[int, Dataset]]:
    """Yield each user's row and a dataset of that user alone, made of the state."""
    encoding = encoding_of(dataset, config)
    for row, user in enumerate(dataset.users.ids.tolist()):
        state = states.get(user, UserState(user))
        yield row, replace(dataset, users=state.user_arrays(encoding), events=state.arrays(encoding))


def check(dataset: Dataset, states: dict[str, UserState], config: FeaturesConfig) -> int:
    """Hold every user's arrays and query inputs to those of the dataset; return how many have a history."""
    n_with_history, now = 0, int(np.max(dataset.events.timestamp)) + 1
    for row, alone in pairs(dataset, states, config):
        expected = own(dataset.events, row)
        for name, array in own(alone.events, 0).items():
            assert array.dtype == expected[name].dtype
            np.testing.assert_array_equal(array, expected[name], err_msg=name)
        assert alone.users.ids.tolist() == [dataset.users.ids[row]]
        moment, device = np.array([now]), np.array([1], np.int32)
        there = query_inputs(dataset, np.array([row]), dataset.events.offsets[[row + 1]], moment, device, LENGTH)
        here = query_inputs(alone, np.array([0]), alone.events.offsets[[1]], moment, device, LENGTH)
        for name, array in there.items():
            assert here[name].dtype == array.dtype
            np.testing.assert_array_equal(here[name], array, err_msg=name)
        n_with_history += bool(there["history"].any())
    return n_with_history


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_user_events": 4},
        {"min_rating": 4.0, "event_weights": {"view": 1.0, "like": 5.0, "rating": 2.0}},
        {"watch_ratio_weight": 0.7},
        {"value_weight": "log", "value_events": ["view", "rating"]},
        {"value_weight": "threshold", "value_relative_to": "user", "max_user_events": 6},
        {"value_weight": "threshold", "value_relative_to": "nothing", "value_threshold": 200.0},
        {"value_weight": "threshold", "value_relative_to": "item", "watch_ratio_weight": 1.0},
    ],
    ids=str,
)
def test_every_user_is_as_in_the_dataset_that_serves(world: Tables, settings: dict[str, Any]) -> None:
    config = FeaturesConfig(**SMALL | settings)
    dataset = frames_to_dataset(config, *world, whole=True)
    assert check(dataset, states_of(world, config), config) > 100


def test_every_user_is_as_in_a_dataset_with_days_held_out(world: Tables) -> None:
    config = FeaturesConfig(**SMALL, held_out_days=2, max_user_events=3)
    dataset = frames_to_dataset(config, *world)
    assert {0, 1, 2} == set(np.unique(dataset.events.split).tolist())
    assert check(dataset, states_of(world, config), config) > 100


def test_only_days_that_are_learned_from_enter_a_history(world: Tables) -> None:
    config = FeaturesConfig(**SMALL, fit_days=5)
    dataset = frames_to_dataset(config, *world, whole=True)
    assert dataset.spec.history_since
    now = int(np.max(dataset.events.timestamp)) + 1
    for row, alone in pairs(dataset, states_of(world, config), config):
        there, here = own(dataset.events, row), own(alone.events, 0)
        for name in ("item", "kind", "weight", "timestamp", "device", "split"):
            # Of a day that is not learned from, the dataset holds the last event and the state the strongest.
            np.testing.assert_array_equal(here[name][here["positive"]], there[name][there["positive"]])
        np.testing.assert_array_equal(np.sort(here["item"]), np.sort(there["item"]))
        assert not here["weight"][here["timestamp"] < there["timestamp"][there["positive"]].min(initial=now)].any()


@pytest.mark.parametrize("back", [0, 3])
def test_who_asks_is_the_same_at_any_time(world: Tables, back: int) -> None:
    config = FeaturesConfig(**SMALL)
    dataset = frames_to_dataset(config, *world, whole=True)
    states, encoding = states_of(world, config), encoding_of(dataset, config)
    until = int(np.max(dataset.events.timestamp)) - back * 86_400
    people = DatasetPeople(dataset)
    for user in dataset.users.ids.tolist():
        asker = asker_of(dataset, people.find(user), {}, None, None, until)
        events = states.get(user, UserState(user)).arrays(encoding, until)
        np.testing.assert_array_equal(events.item[events.positive], asker.positives)
        np.testing.assert_array_equal(events.kind[events.positive], asker.kinds)
        np.testing.assert_array_equal(np.unique(events.item), asker.seen)
        np.testing.assert_array_equal(events.offsets, asker.dataset.events.offsets)


def test_items_that_the_catalogue_lacks_are_left_out(world: Tables) -> None:
    config = FeaturesConfig(**SMALL)
    encoding = encoding_of(frames_to_dataset(config, *world, whole=True), config)
    first = next(iter(encoding._places))
    state = next(Weighing(config).states([event(item=first, hours=1), event(item="unheard of", hours=2)]))
    assert state.arrays(encoding).item.tolist() == [encoding._places[first]]
    assert UserState("ann").arrays(encoding).offsets.tolist() == [0, 0]


def test_what_is_only_remembered_as_met_is_seen_and_not_learned_from(world: Tables) -> None:
    config = FeaturesConfig(**SMALL)
    dataset = frames_to_dataset(config, *world, whole=True)
    whole, short = states_of(world, config), states_of(world, config, Limits(5, 10_000))
    encoding, long_ones = encoding_of(dataset, config), 0
    for user, state in whole.items():
        every, last = state.arrays(encoding), short[user].arrays(encoding)
        assert set(every.item) == set(last.item)
        assert (np.diff(last.timestamp) >= 0).all()
        assert last.positive.sum() == last.positive[-5:].sum()
        assert len(short[user].meetings) == min(len(state.meetings), 5)
        long_ones += len(state.meetings) > 5
    assert long_ones > 50


def test_a_stranger_to_the_towers_has_the_code_0(world: Tables) -> None:
    config = FeaturesConfig(**SMALL)
    dataset = frames_to_dataset(config, *world, whole=True)
    users = UserState("nobody").user_arrays(encoding_of(dataset, config))
    assert users.vocab.tolist() == [0]
    assert users.demographics.tolist() == [[0] * len(dataset.spec.demographic_vocabs)]


def test_a_vocabulary_need_not_be_sorted() -> None:
    for values in (["a", "b", "d"], ["d", "removed-2", "a", "b"], []):
        vocabulary = Vocabulary(values)
        assert [vocabulary.code(value) for value in values] == list(range(1, len(values) + 1))
        assert [vocabulary.code(value) for value in ("c", "", "z", None)] == [0, 0, 0, 0]


def test_a_label_of_any_type_is_told_as_the_dataset_tells_it(world: Tables) -> None:
    interactions, users, items = world
    users = users.with_columns(level=pl.int_range(pl.len()) % 3, member=pl.int_range(pl.len()) % 2 == 0)
    config = FeaturesConfig(**SMALL, user_columns=("level", "member", "age"))
    dataset = frames_to_dataset(config, interactions, users, items, whole=True)
    assert dataset.spec.demographic_vocabs["member"] == ["false", "true"]
    assert check(dataset, states_of((interactions, users, items), config), config) > 100


def test_a_later_request_sees_what_came_meanwhile(world: Tables) -> None:
    config = FeaturesConfig(**SMALL)
    dataset = frames_to_dataset(config, *world, whole=True)
    user, encoding = dataset.users.ids[0], encoding_of(dataset, config)
    state = states_of(world, config)[user]
    after = dataset.events.timestamp.max() / 3600 - at(0).timestamp() / 3600 + 1
    online = next(Weighing(config).states([event(user=user, item=dataset.items.ids[3], hours=float(after))]))
    now = merged(state, online, LIMITS)
    assert now.arrays(encoding).item.tolist() == [*state.arrays(encoding).item.tolist(), 3]
    assert now.arrays(encoding, int((at(0) + timedelta(hours=float(after))).timestamp())).item.tolist() == (
        state.arrays(encoding).item.tolist()
    )
