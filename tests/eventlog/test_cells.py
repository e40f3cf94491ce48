"""What may not enter the log."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from recsys.errors import DataError
from recsys.eventlog import EventLog, Item, User
from recsys.eventlog.cells import columns_of, decode, encode
from recsys.eventlog.rows import Event
from tests.eventlog.conftest import NOW, event

SECRET = "secret-" + "x" * 300


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", ""),
        ("event_id", None),
        ("user_id", SECRET),
        ("user_id", 7),
        ("item_id", "a\0b"),
        ("item_id", "\ud800"),
        ("event", "looked"),
        ("event", None),
        ("value", float("nan")),
        ("value", float("-inf")),
        ("value", True),
        ("value", 10**400),
        ("value", "3"),
        ("timestamp", datetime(2026, 1, 1)),
        ("timestamp", NOW.astimezone(timezone(timedelta(hours=1)))),
        ("timestamp", "2026-01-01"),
        ("position", 1.0),
        ("position", 2**31),
        ("propensity", float("inf")),
        ("request_id", ""),
        ("session_id", SECRET),
        ("device", "x" * 1_025),
    ],
)
def test_a_wrong_value_refuses_the_whole_batch_and_is_not_shown(log: EventLog, field: str, value: Any) -> None:
    with pytest.raises(DataError, match=rf"event 2 of 3 in the batch: {field} must be ") as told:
        log.append_events([event(1), replace(event(2), **{field: value}), event(3)])
    assert "secret" not in str(told.value)
    assert log.last() == 0


@pytest.mark.parametrize(
    "row",
    [
        User(user_id="u", age="31"),  # type: ignore[arg-type]
        User(user_id="u", consent_personalization=1),  # type: ignore[arg-type]
        User(user_id=""),
        Item(item_id="i", categories="news"),  # type: ignore[arg-type]
        Item(item_id="i", categories=("a", 3)),  # type: ignore[arg-type]
        Item(item_id="i", title="t" * 65_537),
    ],
)
def test_users_and_items_are_held_to_their_types(log: EventLog, row: User | Item) -> None:
    with pytest.raises(DataError, match="(user|item) 1 of 1 in the batch"):
        log.put_users([row]) if isinstance(row, User) else log.put_items([row])
    assert log.last() == 0


def test_a_row_of_another_stream_is_refused(log: EventLog) -> None:
    with pytest.raises(DataError, match="event 1 of the batch must be of type Event"):
        log.append_events([User(user_id="u")])  # type: ignore[list-item]


def test_an_item_to_delete_and_a_user_to_erase_need_an_id(log: EventLog) -> None:
    with pytest.raises(DataError, match="item id 2 of 2 must be a text of 1 to 256"):
        log.delete_items(["i", ""])
    with pytest.raises(DataError, match="user_id must be"):
        log.erase("")


@pytest.mark.parametrize("kind", [Event, User, Item])
def test_columns_are_the_fields_in_their_order(kind: Any) -> None:
    assert columns_of(kind) == tuple(kind.__dataclass_fields__)


def test_the_longest_and_smallest_values_come_back(log: EventLog) -> None:
    whole = event(
        1, "ü" * 256, value=5e-324, position=-(2**31) + 1, propensity=1, device="", timestamp=NOW.replace(year=1)
    )
    log.append_events([whole])
    assert log.read_events(0, 1)[0].row == whole
    assert decode(Event, encode(Event, [whole])[0]) == whole
