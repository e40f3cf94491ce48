"""What every event log promises, whatever database holds it."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from recsys.config import Config
from recsys.errors import StorageError
from recsys.eventlog import Appended, Event, EventLog, Item, User, open_log
from tests.eventlog.conftest import NOW, event, process

Open = Callable[..., EventLog]

FULL = Event(
    event_id="e-1", user_id="üser", item_id="電影", event="impression", timestamp=NOW - timedelta(microseconds=1),
    value=0.1, device="phone", country="DE", session_id="s", request_id="r", position=0, propensity=0.25,
    bundle_version="abc",
)  # fmt: skip
USER = User(
    user_id="anna", age=31, gender="f", location="DE/Berlin", occupation="baker", consent_personalization=True,
    consent_analytics=False, do_not_sell=None, signed_up_at=NOW,
)  # fmt: skip
ITEM = Item(
    item_id="i", title="T", description="D", categories=("a", "b|c"), creator="C", language="de", published_at=NOW,
    expires_at=NOW + timedelta(days=1), duration_s=1.5,
)  # fmt: skip


def test_what_is_read_is_what_was_written_with_its_number_and_time(log: EventLog) -> None:
    assert log.append_events([FULL, event(2)], at=NOW + timedelta(hours=1)) == Appended(new=2, repeated=0)
    first, second = log.read_events(0, 10)
    assert (first.row, second.row) == (FULL, event(2))
    assert (first.arrival, second.arrival, log.last()) == (1, 2, 2)
    assert first.arrived_at == second.arrived_at == NOW + timedelta(hours=1)


def test_a_log_that_is_opened_again_holds_everything(log: EventLog, opened: Open) -> None:
    log.append_events([event(1)])
    log.put_users([USER])
    log.put_items([ITEM])
    log.close()
    for reader in (opened(), log):  # another one, and the closed one itself
        assert reader.last() == 3
        assert [row.row for row in reader.users()] == [USER]
        assert [row.row for row in reader.items()] == [ITEM]


def test_a_new_log_is_empty(log: EventLog) -> None:
    assert log.last() == 0
    assert log.interval() is None
    assert log.read_events(0, 5) == []
    assert log.days_since(0) == {}
    assert [*log.users(), *log.items(), *log.read_day(NOW.date())] == []
    assert log.append_events([]) == log.put_users([]) == log.delete_items([]) == Appended(0, 0)


def test_an_event_id_counts_once_and_the_first_stays(log: EventLog, opened: Open) -> None:
    other = event(1, "berta", item_id="another")
    assert log.append_events([event(1), event(1), other]) == Appended(new=1, repeated=2)
    assert opened().append_events([other, event(2)]) == Appended(new=1, repeated=1)
    assert [(one.arrival, one.row) for one in log.read_events(0, 9)] == [(1, event(1)), (2, event(2))]


def test_more_ids_than_a_statement_takes_are_told_apart(log: EventLog) -> None:
    batch = [event(n) for n in range(1_300)]
    log.append_events(batch[::2])
    assert log.append_events(batch) == Appended(new=650, repeated=650)
    assert {one.row.event_id for one in log.read_events(0, 2_000)} == {one.event_id for one in batch}


def test_numbers_have_no_gap_and_reading_goes_on_from_any(log: EventLog) -> None:
    for start in (0, 3, 6):
        log.append_events([event(n) for n in range(start, start + 5)])  # two of each batch come again
    assert [one.arrival for one in log.read_events(0, 99)] == list(range(1, 12))
    assert [one.arrival for one in log.read_events(4, 3)] == [5, 6, 7]


def test_events_stay_as_they_come_late_out_of_order_and_in_the_future(log: EventLog) -> None:
    late, future, old = (
        event(1, timestamp=NOW - timedelta(days=3)),
        event(2, timestamp=NOW + timedelta(days=2)),
        event(3, timestamp=datetime(1969, 12, 31, 23, tzinfo=UTC)),
    )
    log.append_events([future, late])
    log.append_events([old])
    assert [one.row for one in log.read_events(0, 9)] == [future, late, old]
    assert log.interval() == (datetime(1969, 12, 31, tzinfo=UTC), datetime(2026, 3, 8, tzinfo=UTC))
    assert log.days_since(0) == {date(1969, 12, 31): 1, date(2026, 3, 2): 1, date(2026, 3, 7): 1}


def test_days_since_counts_what_arrived_between_two_numbers(log: EventLog) -> None:
    yesterday = NOW - timedelta(days=1)
    log.append_events([event(1), event(2, timestamp=yesterday)])
    log.append_events([event(3, timestamp=yesterday), event(4, timestamp=yesterday)])
    log.append_events([event(1), event(2)])  # nothing new
    assert log.days_since(2) == {yesterday.date(): 2}
    assert log.days_since(1, until=3) == {yesterday.date(): 2}
    assert log.days_since(log.last()) == {}


def test_a_day_is_read_whole_and_once_as_of_a_number(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.eventlog.sql_log._PAGE", 3)
    midnight = datetime(2026, 3, 5, tzinfo=UTC)
    inside = [event(n, timestamp=midnight + timedelta(hours=n)) for n in range(8)]
    outside = [
        event(10, timestamp=midnight - timedelta(microseconds=1)),
        event(11, timestamp=midnight + timedelta(days=1)),
    ]
    log.append_events([*inside[:4], *outside])
    log.append_events(inside[4:])
    batches = list(log.read_day(date(2026, 3, 5)))
    assert [len(batch["event_id"]) for batch in batches] == [3, 3, 2]
    assert [name for batch in batches for name in batch["event_id"]] == [one.event_id for one in inside]
    assert batches[0]["timestamp"][0] == midnight.timestamp() * 1e6
    assert sum(len(batch["event_id"]) for batch in log.read_day(date(2026, 3, 5), until=6)) == 4


def test_the_latest_row_of_each_user_counts_as_of_a_number(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.eventlog.sql_log._PAGE", 2)
    names = [f"u{n}" for n in range(5)]
    log.put_users([replace(USER, user_id=name) for name in names])
    withdrawn = replace(USER, user_id="u3", consent_personalization=False)
    assert log.put_users([withdrawn, User(user_id="u1", deleted=True)]) == Appended(2, 0)
    now, before = ({one.row.user_id: one.row for one in log.users(until)} for until in (None, 5))
    assert now["u3"] == withdrawn
    assert now["u1"].deleted
    assert now["u0"] == before["u0"] == replace(USER, user_id="u0")
    assert before["u3"].consent_personalization
    assert sorted(now) == sorted(before) == names


def test_a_row_equal_to_the_latest_is_repeated_and_an_older_state_may_come_back(log: EventLog) -> None:
    other = replace(USER, age=32)
    assert log.put_users([USER, USER, other]) == Appended(new=2, repeated=1)
    assert log.put_users([other]) == Appended(new=0, repeated=1)
    assert log.put_users([USER]) == Appended(new=1, repeated=0)
    assert [one.row for one in log.users()] == [USER]
    assert log.changes_since(0) == 3
    assert log.changes_since(1, until=2) == 1


def test_a_deleted_item_keeps_what_was_known_and_can_come_back(log: EventLog) -> None:
    log.put_items([ITEM])
    assert log.delete_items(["i", "never seen", "i"], at=NOW) == Appended(new=2, repeated=1)
    assert {one.row.item_id: one.row for one in log.items()} == {
        "i": replace(ITEM, deleted=True),
        "never seen": Item(item_id="never seen", deleted=True),
    }
    assert [one.row for one in log.items(until=1)] == [ITEM]
    log.put_items([ITEM])
    assert not {one.row.item_id: one.row for one in log.items()}["i"].deleted


def test_erasing_removes_one_user_from_all_streams(log: EventLog) -> None:
    yesterday = NOW - timedelta(days=1)
    log.append_events([event(1, "anna"), event(2, "berta"), event(3, "anna", timestamp=yesterday)])
    log.put_users([USER, replace(USER, user_id="berta"), replace(USER, age=40)])
    assert log.holds("anna") == {"events": 2, "users": 2}
    before = log.last()
    assert log.erase("anna") == {"events": 2, "users": 2}
    assert log.holds("anna") == log.erase("anna") == {"events": 0, "users": 0}
    assert log.holds("berta") == {"events": 1, "users": 1}
    assert [one.row.event_id for one in log.read_events(0, 9)] == ["event-2"]
    assert [one.row.user_id for one in log.users()] == ["berta"]
    assert log.days_since(before) == {NOW.date(): 0, yesterday.date(): 0}  # whoever copied these days reads them again
    assert log.changes_since(before) == 1


def test_numbers_after_an_erasure_are_never_used_twice(log: EventLog) -> None:
    log.append_events([event(1, "berta"), event(2, "anna")])
    log.erase("anna")
    read = log.last()
    log.append_events([event(3)])
    assert [one.row for one in log.read_events(read, 9)] == [event(3)]


def test_another_key_is_refused_by_name(log: EventLog, opened: Open) -> None:
    log.append_events([event(1)])
    for call in (lambda other: other.append_events([event(2)]), lambda other: other.last()):
        with pytest.raises(StorageError, match=r"pseudonym key key-1, the present key is key-2.*one user"):
            call(opened("key-2"))
    assert log.last() == 1


def test_writing_without_a_clock_needs_the_time_of_arrival(deployed: Config) -> None:
    log = open_log(deployed, "key-1")
    with pytest.raises(ValueError, match="at, the time of arrival, must be passed"):
        log.append_events([event(1)])
    with pytest.raises(ValueError, match="at must be a time in UTC"):
        log.append_events([event(1)], at=datetime(2026, 1, 1))
    log.append_events([event(1)], at=NOW)
    assert log.read_events(0, 1)[0].arrived_at == NOW
    log.close()


def test_threads_share_a_log(log: EventLog) -> None:
    counts = []
    each = [threading.Thread(target=lambda: counts.append(log.append_events([event(n) for n in range(40)])))
            for _ in range(4)]  # fmt: skip
    for one in each:
        one.start()
    for one in each:
        one.join()
    assert sum(count.new for count in counts) == 40
    assert sum(count.repeated for count in counts) == 120


WRITER = """
first, n = int(sys.argv[2]), int(sys.argv[3])
print('ready', flush=True)
sys.stdin.readline()
new = sum(log.append_events([event(k) for k in range(start, start + 10)]).new for start in range(first, first + n, 10))
print(new, flush=True)
"""


def test_the_same_ids_from_several_processes_count_once_and_no_reader_misses_one(
    deployed: Config, log: EventLog
) -> None:
    from subprocess import PIPE

    spans = (("0", "400"), ("0", "400"), ("200", "400"))
    with (
        process(WRITER, deployed, *spans[0], stdin=PIPE) as one,
        process(WRITER, deployed, *spans[1], stdin=PIPE) as two,
        process(WRITER, deployed, *spans[2], stdin=PIPE) as three,
    ):
        writers = (one, two, three)
        for writer in writers:
            assert writer.stdout and writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin
            writer.stdin.write("go\n")
            writer.stdin.flush()
        seen: list[int] = []
        while any(writer.poll() is None for writer in writers):  # a reader who goes on from where it was
            seen += [each.arrival for each in log.read_events(seen[-1] if seen else 0, 1_000)]
        seen += [each.arrival for each in log.read_events(seen[-1] if seen else 0, 1_000)]
        new = [int(writer.stdout.read()) for writer in writers if writer.stdout]
    assert sum(new) == 600
    assert seen == list(range(1, 601))
