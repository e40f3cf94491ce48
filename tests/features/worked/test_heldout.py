"""Whom a split measures, and what of the past their histories show."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import perf_counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.features import Dataset, EventArrays, context_of, heldout, histories

Build = Callable[..., Dataset]
CUTS = (5.0, 7.0)
ROWS = [
    ("a", "i1", "view", 0), ("a", "i2", "dislike", 1), ("a", "i3", "like", 2),
    ("a", "i4", "view", 5.5),                                                  # validation
    ("a", "i1", "view", 7.5), ("a", "i5", "view", 8), ("a", "i6", "dislike", 8.5),  # test: i1 seen, i6 disliked
    ("b", "i1", "view", 3), ("b", "i1", "like", 7.2),                          # test holds nothing new
    ("c", "i2", "view", 6), ("c", "i3", "view", 7),                            # cold: nothing in train
    ("d", "i5", "dislike", 1), ("d", "i1", "view", 7.1),                       # a dislike only: cold, yet relevant
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
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    assert ((test.query_time - start) / 86_400).round(3).tolist() == [7.5, 7.0, 7.1]
    assert test.history_end.tolist() == [4, 10, 12]


def test_validation_knows_only_train(build: Build) -> None:
    dataset = build(ROWS, cutoffs=CUTS)
    validation = heldout(dataset, 1)
    assert dataset.users.ids[validation.user_rows].tolist() == ["a", "c"]
    assert [_ids(dataset, row) for row in validation.relevant.toarray()] == [["i4"], ["i2"]]
    assert [_ids(dataset, row) for row in validation.seen.toarray()] == [["i1", "i3"], []]


def test_histories_by_hand(build: Build) -> None:
    dataset = build(ROWS, cutoffs=CUTS)
    test = heldout(dataset, 2)
    batch = histories(dataset, test.user_rows, test.history_end, test.query_time, 4)
    assert batch.items.tolist() == [[-1, 0, 2, 3], [-1, -1, -1, 1], [-1] * 4]  # a's i2 was disliked
    assert batch.kinds.tolist() == [[0, 2, 4, 2], [0, 0, 0, 2], [0] * 4]
    assert batch.gaps.tolist() == [[0, 9, 9, 7], [0, 0, 0, 6], [0] * 4]  # 180 h, 132 h, 48 h; 24 h
    assert (batch.items.dtype, batch.kinds.dtype, batch.gaps.dtype) == (np.int32, np.int32, np.int32)


def test_a_longer_past_is_cut_to_its_most_recent_end(build: Build) -> None:
    dataset = build([("a", f"i{day}", "view", day) for day in range(9)], cutoffs=CUTS)
    test = heldout(dataset, 2)
    assert histories(dataset, test.user_rows, test.history_end, test.query_time, 3).items.tolist() == [[4, 5, 6]]


_EVENT = st.tuples(st.sampled_from("abc"), st.sampled_from(["i1", "i2", "i3", "i4"]),
                   st.sampled_from(["view", "like", "dislike"]), st.integers(0, 89).map(lambda tenth: tenth / 10))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(_EVENT, min_size=1, max_size=40), length=st.integers(1, 6))
def test_histories_are_the_last_positive_events_of_that_user_and_never_later_ones(
    build: Build, rows: list[tuple[str, str, str, float]], length: int
) -> None:
    fixed = [("z", "i1", "view", 0), ("z", "i1", "view", 6), ("z", "i1", "view", 8)]
    dataset = build([*rows, *fixed], cutoffs=CUTS)
    for split in (1, 2):
        held = heldout(dataset, split)
        batch = histories(dataset, held.user_rows, held.history_end, held.query_time, length)
        for place, user in enumerate(held.user_rows):
            past = [row for row in range(*dataset.events.offsets[user : user + 2])
                    if dataset.events.positive[row] and dataset.events.split[row] < split][-length:]  # fmt: skip
            wanted = [-1] * (length - len(past)) + [int(dataset.events.item[row]) for row in past]
            assert batch.items[place].tolist() == wanted
            assert all(dataset.events.timestamp[row] < held.query_time[place] for row in past)
            assert not held.relevant[place].multiply(held.seen[place]).nnz
        assert (batch.kinds[batch.items >= 0] != 5).all()  # 5 is a dislike
        assert ((batch.gaps > 0) == (batch.items >= 0)).all()
        assert ((batch.kinds > 0) == (batch.items >= 0)).all()


def test_gaps_double_from_an_hour_to_a_year(build: Build) -> None:
    hours = [0.0, 0.9, 1, 2, 4, 23, 10_000]
    rows = [("a", "i1", "view", 0), ("b", "i1", "view", 6), ("b", "i2", "view", 8)]
    dataset = build(rows, cutoffs=CUTS)
    start = dataset.events.timestamp[0]
    times = np.array([start + int(hour * 3600) for hour in hours])
    batch = histories(dataset, np.zeros(7, np.int64), np.ones(7, np.int64), times, 1)
    assert batch.gaps.ravel().tolist() == [1, 1, 2, 3, 4, 6, 15]


def test_context_counts_hours_and_weekdays_from_one() -> None:
    monday = datetime(2026, 1, 5, 23, 30, tzinfo=UTC)
    times = np.array([int((monday + timedelta(hours=hour)).timestamp()) for hour in (0, 1)])
    assert context_of(times, np.array([0, 3])).tolist() == [[24, 1, 0], [1, 2, 3]]


def test_a_batch_of_histories_costs_no_pass_over_all_events(build: Build) -> None:
    n_events, n_users = 1_000_000, 1000
    random = np.random.default_rng(3)
    zeros = np.zeros(n_events, np.int32)
    events = EventArrays(zeros, zeros.astype(np.int8), zeros.astype(np.float32), np.arange(n_events), zeros,
                         random.random(n_events) < 0.9, zeros.astype(np.int8),
                         np.arange(n_users + 1) * (n_events // n_users))  # fmt: skip
    small = build(ROWS, cutoffs=CUTS)
    dataset = Dataset(small.spec, small.text_model, small.items, small.users, events, small.items_frame,
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
