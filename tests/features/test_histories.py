from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import FeaturesConfig
from recsys.features import Dataset, context_of, frames_to_dataset, heldout, histories
from recsys.schema import EVENT_KINDS, INTERACTIONS, ITEMS, PRIVATE_USERS

START = datetime(2026, 1, 5, tzinfo=UTC)
NO_USERS, NO_ITEMS = pl.DataFrame(schema=PRIVATE_USERS), pl.DataFrame(schema=ITEMS)
CUTS = (START + timedelta(hours=100), START + timedelta(hours=200))
ROW = st.tuples(st.sampled_from("uvwx"), st.sampled_from("abcdef"), st.sampled_from(EVENT_KINDS), st.integers(0, 300))


@pytest.fixture
def world(events, config) -> Dataset:
    rows = events(
        ("u", "a", "click", 1), ("u", "b", "dislike", 3), ("u", "c", "like", 5), ("u", "d", "click", 110),
        ("u", "a", "click", 205), ("u", "e", "view", 206),
        ("v", "b", "click", 150), ("v", "c", "click", 220),
        ("w", "a", "click", 7), ("w", "a", "click", 207),
    )  # fmt: skip
    return frames_to_dataset(config, rows, NO_USERS, NO_ITEMS, cutoffs=CUTS)


def test_histories_are_the_last_positive_events_right_aligned(world):
    u = slice(*world.events.offsets[:2])
    end, now = np.array([u.stop]), world.events.timestamp[[u.stop - 1]]
    batch = histories(world, np.array([0]), end, now, 7)
    assert batch.items.tolist() == [[-1, -1, 0, 2, 3, 0, 4]]  # b was disliked
    assert batch.kinds.tolist() == [[0, 0, 3, 4, 3, 3, 2]]
    # hours before the query: 205, 201, 96, 1, 0 -> 2^7.., 2^7.., 2^6.., 2^0.., below an hour
    assert batch.gaps.tolist() == [[0, 0, 9, 9, 8, 2, 1]]
    assert histories(world, np.array([0]), end, now, 2).items.tolist() == [[0, 4]]


def test_a_user_without_a_past_has_an_empty_history(world):
    begin = world.events.offsets[:-1]
    batch = histories(world, np.arange(3), begin, np.zeros(3, np.int64), 4)
    assert (batch.items == -1).all()
    assert not batch.kinds.any()
    assert not batch.gaps.any()


def test_heldout_asks_for_new_items_only(world):
    held = heldout(world, 2)
    assert held.user_rows.tolist() == [0, 1]  # w only met again what w knew
    assert held.relevant.toarray().astype(int).tolist() == [[0, 0, 0, 0, 1], [0, 0, 1, 0, 0]]
    assert held.seen.toarray().astype(int).tolist() == [[1, 0, 1, 1, 0], [0, 1, 0, 0, 0]]
    assert held.history_end.tolist() == [4, 7]
    assert held.cold_user.tolist() == [False, True]
    assert held.query_time.tolist() == [int((START + timedelta(hours=hour)).timestamp()) for hour in (205, 220)]


def test_heldout_of_validation_looks_back_to_train_alone(world):
    held = heldout(world, 1)
    assert held.user_rows.tolist() == [0, 1]
    assert held.seen.toarray().astype(int).tolist() == [[1, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    assert held.history_end.tolist() == [3, 6]


def test_context_is_utc_hour_weekday_and_device():
    sunday_night = int(datetime(2026, 1, 11, 23, 59, tzinfo=UTC).timestamp())
    assert context_of(np.array([int(START.timestamp()), sunday_night]), np.array([0, 3])).tolist() == [
        [1, 1, 0],
        [24, 7, 3],
    ]


def test_one_user_and_one_item_make_a_dataset(events, config):
    rows = events(("u", "i", "click", 1), ("u", "i", "click", 101), ("u", "i", "click", 201))
    dataset = frames_to_dataset(config, rows, NO_USERS, NO_ITEMS, cutoffs=CUTS)
    assert len(dataset.items.ids) == len(dataset.users.ids) == 1
    assert heldout(dataset, 2).user_rows.size == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(ROW, max_size=40))
def test_laws_hold_for_any_events(rows):
    anchor = [("y", "a", "click", 2), ("y", "b", "click", 102), ("y", "c", "click", 202)]
    columns = ("user_id", "item_id", "event")
    named = [
        dict.fromkeys(INTERACTIONS)
        | dict(zip(columns, row, strict=False))
        | {"timestamp": START + timedelta(hours=row[3])}
        for row in [*rows, *anchor]
    ]
    table = pl.DataFrame(named, schema=INTERACTIONS)
    dataset = frames_to_dataset(FeaturesConfig(text_dim=2), table, NO_USERS, NO_ITEMS, cutoffs=CUTS)
    arrays = dataset.events
    assert arrays.offsets[0] == 0
    assert arrays.offsets[-1] == len(arrays.item)
    assert (np.diff(arrays.offsets) >= 0).all()
    for begin, end in zip(arrays.offsets[:-1], arrays.offsets[1:], strict=True):
        assert (np.diff(arrays.timestamp[begin:end]) >= 0).all()
        assert (np.diff(arrays.split[begin:end]) >= 0).all()
    for split in (1, 2):
        held = heldout(dataset, split)
        _no_future(dataset, held, int(CUTS[split - 1].timestamp()))


def _no_future(dataset, held, cut):
    arrays = dataset.events
    assert not held.relevant.multiply(held.seen).nnz
    assert (held.relevant.getnnz(axis=1) > 0).all()
    assert (held.query_time >= cut).all()
    batch = histories(dataset, held.user_rows, held.history_end, held.query_time, 5)
    for place, (user, end) in enumerate(zip(held.user_rows, held.history_end, strict=True)):
        own = np.arange(arrays.offsets[user], end)
        past = own[arrays.positive[own]]
        assert (arrays.timestamp[past] < cut).all()
        expected = arrays.item[past][-5:].tolist()
        assert batch.items[place].tolist() == [-1] * (5 - len(expected)) + expected
        assert set(held.seen[place].indices) == set(arrays.item[past])
