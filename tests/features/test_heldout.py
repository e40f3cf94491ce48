"""Whom a split measures, and what of the past their histories show."""

from datetime import UTC, datetime
from time import perf_counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.features import Dataset, EventArrays, context_of, heldout, histories
from recsys.schema import EVENT_KINDS
from tests.features.conftest import CUTS, START, Build, Row, at

ROWS = [
    ("a", "i1", "view", 0), ("a", "i2", "dislike", 24), ("a", "i3", "like", 48),
    ("a", "i4", "view", 132),                                                      # validation
    ("a", "i1", "view", 212), ("a", "i5", "view", 216), ("a", "i6", "dislike", 228),  # test: i1 seen, i6 disliked
    ("b", "i1", "view", 72), ("b", "i1", "like", 205),                             # test holds nothing new
    ("c", "i2", "view", 146), ("c", "i3", "view", 200),                            # cold: nothing in train
    ("d", "i5", "dislike", 24), ("d", "i1", "view", 202),                          # a dislike only: cold, yet relevant
]  # fmt: skip


def _ids(dataset: Dataset, row: np.ndarray) -> list[str]:
    return [str(item) for item in dataset.items.ids[np.asarray(row).ravel().nonzero()[0]]]


def test_heldout_by_hand(build: Build) -> None:
    dataset = build(ROWS, cutoffs=CUTS)
    test = heldout(dataset, 2)
    assert dataset.users.ids[test.user_rows].tolist() == ["a", "c", "d"]
    assert [_ids(dataset, row) for row in test.relevant.toarray()] == [["i5"], ["i3"], ["i1"]]
    assert [_ids(dataset, row) for row in test.seen.toarray()] == [["i1", "i3", "i4"], ["i2"], []]
    assert test.cold_user.tolist() == [False, True, True]
    assert ((test.query_time - START.timestamp()) / 3600).tolist() == [212, 200, 202]
    assert test.history_end.tolist() == [4, 10, 12]


def test_validation_knows_only_train(build: Build) -> None:
    dataset = build(ROWS, cutoffs=CUTS)
    validation = heldout(dataset, 1)
    assert dataset.users.ids[validation.user_rows].tolist() == ["a", "c"]
    assert [_ids(dataset, row) for row in validation.relevant.toarray()] == [["i4"], ["i2"]]
    assert [_ids(dataset, row) for row in validation.seen.toarray()] == [["i1", "i3"], []]
    assert validation.history_end.tolist() == [3, 9]


def test_histories_are_the_last_positive_events_right_aligned(build: Build) -> None:
    dataset = build(ROWS, cutoffs=CUTS)
    test = heldout(dataset, 2)
    batch = histories(dataset, test.user_rows, test.history_end, test.query_time, 4)
    assert batch.items.tolist() == [[-1, 0, 2, 3], [-1, -1, -1, 1], [-1] * 4]  # a's i2 and d's i5 were disliked
    assert batch.kinds.tolist() == [[0, 2, 4, 2], [0, 0, 0, 2], [0] * 4]
    assert batch.ages.tolist() == [[0, 21, 21, 20], [0, 0, 0, 19], [0] * 4]  # 212 h, 164 h, 80 h; 54 h
    assert batch.gaps.tolist() == [[0, 9, 9, 8], [0, 0, 0, 7], [0] * 4]
    assert {each.dtype for each in vars(batch).values()} == {np.dtype(np.int32)}
    shorter = histories(dataset, test.user_rows, test.history_end, test.query_time, 2)
    assert shorter.items.tolist() == [[2, 3], [-1, 1], [-1, -1]]


def test_before_a_users_first_event_the_history_is_empty(build: Build) -> None:
    dataset = build(ROWS, cutoffs=CUTS)
    batch = histories(dataset, np.arange(4), dataset.events.offsets[:-1], np.zeros(4, np.int64), 4)
    assert (batch.items == -1).all()
    assert not batch.kinds.any()
    assert not batch.ages.any()
    assert not batch.gaps.any()


_EVENT = st.tuples(st.sampled_from("abcd"), st.sampled_from(["i1", "i2", "i3", "i4", "i5", "i6"]),
                   st.sampled_from(EVENT_KINDS), st.integers(0, 300))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(_EVENT, max_size=40), length=st.integers(1, 6))
def test_what_a_split_measures_and_the_histories_before_it_know_nothing_later(
    build: Build, rows: list[Row], length: int
) -> None:
    fixed = [("z", "i1", "click", 2), ("z", "i2", "click", 102), ("z", "i3", "click", 202)]
    dataset = build([*rows, *fixed], cutoffs=CUTS)
    events = dataset.events
    _assert_sorted(events)
    for split in (1, 2):
        cut = at(CUTS[split - 1]).timestamp()
        held = heldout(dataset, split)
        assert (held.relevant.getnnz(axis=1) > 0).all()
        assert not held.relevant.multiply(held.seen).nnz
        assert (held.query_time >= cut).all()
        batch = histories(dataset, held.user_rows, held.history_end, held.query_time, length)
        for place, user in enumerate(held.user_rows):
            own = np.arange(*events.offsets[user : user + 2])
            past = own[events.positive[own] & (events.split[own] < split)]
            assert (events.timestamp[past] < cut).all()
            assert set(held.seen[place].indices) == set(events.item[past])
            wanted = events.item[past][-length:].tolist()
            assert batch.items[place].tolist() == [-1] * (length - len(wanted)) + wanted
        assert (batch.kinds[batch.items >= 0] != 5).all()  # 5 is a dislike
        assert ((batch.ages > 0) == (batch.items >= 0)).all()
        assert ((batch.gaps > 0) == (batch.items >= 0)).all()
        assert ((batch.kinds > 0) == (batch.items >= 0)).all()


def _assert_sorted(events: EventArrays) -> None:
    assert events.offsets[0] == 0
    assert events.offsets[-1] == len(events.item)
    assert (np.diff(events.offsets) >= 0).all()
    for begin, end in zip(events.offsets[:-1], events.offsets[1:], strict=True):
        assert (np.diff(events.timestamp[begin:end]) >= 0).all()
        assert (np.diff(events.split[begin:end]) >= 0).all()


def test_gaps_double_from_an_hour_to_a_year(build: Build) -> None:
    hours = [0.0, 0.9, 1, 2, 4, 23, 10_000, 20_000]
    dataset = build(ROWS, cutoffs=CUTS)
    times = np.array([dataset.events.timestamp[0] + int(hour * 3600) for hour in hours])
    batch = histories(dataset, np.zeros(8, np.int64), np.ones(8, np.int64), times, 1)
    assert batch.gaps.ravel().tolist() == [1, 1, 2, 3, 4, 6, 15, 15]


def test_ages_double_from_a_second_to_two_years(build: Build) -> None:
    seconds = np.array([-5, 0, 1, 2, 3, 4, 3600, 2**26 - 1, 2**26, 2**40])
    dataset = build(ROWS, cutoffs=CUTS)
    rows = np.zeros(len(seconds), np.int64)
    batch = histories(dataset, rows, rows + 1, dataset.events.timestamp[0] + seconds, 1)
    assert batch.ages.ravel().tolist() == [1, 1, 2, 3, 3, 4, 13, 27, 28, 28]


def test_context_counts_utc_hours_and_weekdays_from_one() -> None:
    days = (
        datetime(2026, 1, 5),
        datetime(2026, 1, 5, 23, 30),
        datetime(2026, 1, 6, 0, 30),
        datetime(2026, 1, 11, 23, 59),
    )
    times = np.array([int(day.replace(tzinfo=UTC).timestamp()) for day in days])  # Monday, Monday, Tuesday, Sunday
    assert context_of(times, np.array([0, 0, 3, 2])).tolist() == [[1, 1, 0], [24, 1, 0], [1, 2, 3], [24, 7, 2]]


def test_a_batch_of_histories_costs_no_pass_over_all_events(build: Build) -> None:
    n_events, n_users = 1_000_000, 1000
    random = np.random.default_rng(3)
    zeros = np.zeros(n_events, np.int32)
    events = EventArrays(zeros, zeros.astype(np.int8), zeros.astype(np.float32), np.arange(n_events), zeros,
                         random.random(n_events) < 0.9, zeros.astype(np.int8),
                         np.arange(n_users + 1) * (n_events // n_users))  # fmt: skip
    small = build(ROWS, cutoffs=CUTS)
    dataset = Dataset(small.spec, small.text_model, small.items, small.users, events, small.items_table,
                      small.users_frame)  # fmt: skip
    users = random.integers(0, n_users, 1024)
    ends = events.offsets[1:][users]
    histories(dataset, users, ends, ends, 50)
    assert events.positive_positions is events.positive_positions
    times = []
    for _ in range(7):
        begin = perf_counter()
        histories(dataset, users, ends, ends, 50)
        times.append(perf_counter() - begin)
    assert min(times) < 0.02  # about 3 ms here; the room is for a busy machine
