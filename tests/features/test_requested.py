"""Held-out users as requests: what serving would list at their time is ranked, and nothing else is relevant."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from recsys.config import FeaturesConfig
from recsys.features import Dataset, available_at, frames_to_dataset, heldout, requested
from recsys.schema import INTERACTIONS, ITEMS, PRIVATE_USERS

START = datetime(2026, 1, 1, tzinfo=UTC)
TEST = 2
CONFIG = FeaturesConfig(min_item_events=1, min_user_events=1)


def _frame(rows: list[dict[str, object]], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def dataset(events: list[tuple[str, str, str, float]], items: dict[str, tuple[float, float]]) -> Dataset:
    """Return users' events (user, item, kind, day) with items (published, expires: days); validation is day 5, test 10."""
    interactions = [
        {"event_id": f"e{row}", "user_id": u, "item_id": i, "event": kind, "timestamp": START + timedelta(days=day)}
        for row, (u, i, kind, day) in enumerate(events)
    ]
    rows = [
        {"item_id": item, "published_at": START + timedelta(days=begin), "expires_at": START + timedelta(days=end)}
        for item, (begin, end) in items.items()
    ]
    cuts = (START + timedelta(days=5), START + timedelta(days=10))
    return frames_to_dataset(
        CONFIG, _frame(interactions, INTERACTIONS), _frame([], PRIVATE_USERS), _frame(rows, ITEMS), cuts
    )


ITEMS_ = {"a": (-9, 99), "b": (-9, 99), "c": (11, 99), "d": (-9, 11), "e": (-9, 99)}
EVENTS = [
    ("u", "a", "like", 1.0),
    ("u", "e", "dislike", 2.0),
    ("v", "b", "like", 6.0),
    ("u", "b", "like", 10.0),  # the request of u
    ("u", "c", "like", 12.0),  # published after it
    ("u", "e", "like", 12.0),  # disliked before it
    ("w", "d", "like", 12.0),  # has expired by then
    ("w", "a", "like", 12.0),
]


def test_what_could_not_be_listed_is_neither_relevant_nor_ranked() -> None:
    data = dataset(EVENTS, ITEMS_)
    users = requested(data, TEST)
    names = {user: row for row, user in enumerate(data.users.ids[users.user_rows].tolist())}
    items = data.items.ids.tolist()
    relevant = {
        user: {items[column] for column in users.relevant[row].indices} for user, row in names.items()
    }  # fmt: skip
    assert relevant == {"u": {"b"}, "w": {"a"}}
    listed = users.available(slice(0, 2))
    assert listed is not None
    there = {user: {items[column] for column in np.flatnonzero(listed[row])} for user, row in names.items()}
    assert there == {"u": {"a", "b", "d", "e"}, "w": {"a", "b", "c", "e"}}
    hidden = {items[column] for column in users.hidden[names["u"]].indices}
    assert hidden == {"a", "e"}  # liked and disliked
    assert {items[column] for column in users.seen[names["u"]].indices} == {"a"}  # what the user has


def test_who_has_nothing_left_to_find_is_left_out() -> None:
    events = [*EVENTS[:3], ("u", "b", "like", 10.0), ("x", "c", "like", 10.5)]
    data = dataset(events, ITEMS_)
    assert len(heldout(data, TEST).user_rows) == 2
    assert data.users.ids[requested(data, TEST).user_rows].tolist() == ["u"]


def test_an_item_is_gone_at_the_second_of_its_expiry_and_there_at_that_of_its_publication() -> None:
    published, expires = np.array([100, 101, 0]), np.array([0, 0, 100])
    assert available_at(published, expires, 100).tolist() == [True, False, False]
    assert available_at(published, expires, 99).tolist() == [False, False, True]
