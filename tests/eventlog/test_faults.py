"""The log where something fails: killed writers, full disks, held locks, servers that go away."""

import os
import signal
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from recsys.config import Config
from recsys.errors import ConfigError, StorageError
from recsys.eventlog import Appended, EventLog, User, open_log
from recsys.eventlog.sql_log import SqlLog
from recsys.eventlog.sqlite import SqliteDatabase
from tests.eventlog.conftest import NOW, deployment, event, process

ENDLESS = """
n = int(sys.argv[2])
while True:
    log.append_events([event(k) for k in range(n, n + 10)])
    n += 10
    print(n, flush=True)
"""


def _file(config: Config) -> Path:
    return Path(config.storage) / "eventlog" / "events.sqlite"


def _database(config: Config, busy_s: float = 0.2) -> tuple[SqlLog, SqliteDatabase]:
    database = SqliteDatabase(_file(config), busy_s)
    return SqlLog(database, "key-1", lambda: NOW), database


@pytest.fixture
def embedded(tmp_path: Path) -> Config:
    return Config(storage=str(tmp_path / "state"))


@pytest.fixture
def log(embedded: Config) -> Iterator[EventLog]:
    opened = open_log(embedded, "key-1", lambda: NOW)
    yield opened
    opened.close()


def _killed_writer(config: Config, first: int, n_lines: int) -> int:
    """Kill a writer at some moment after `n_lines` acknowledgements; returns the number up to which it had them."""
    with process(ENDLESS, config, str(first)) as writer:
        assert writer.stdout
        for _ in range(n_lines):
            last = int(writer.stdout.readline())
        os.killpg(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split("\n")[:-1]  # a line that was cut is no acknowledgement
        return int(rest[-1]) if rest else last


def _kill_writers(config: Config, times: int) -> None:
    first = 0
    log = open_log(config, "key-1", lambda: NOW)
    for n in range(times):
        acknowledged = _killed_writer(config, first, 1 + n % 7)
        names = [one.row.event_id for one in log.read_events(0, 1_000_000)]
        assert len(names) == len(set(names)) == log.last()
        assert names == [f"event-{k}" for k in range(len(names))]
        assert len(names) >= acknowledged
        assert len(names) % 10 == 0  # a batch is there whole or not at all
        # The writer of the next round begins with a batch that may have been stored without being acknowledged.
        first = acknowledged
    log.close()


def test_a_killed_writer_loses_and_doubles_nothing(embedded: Config) -> None:
    _kill_writers(embedded, 1)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_twenty_kills_lose_no_acknowledged_event_and_double_none(backend: str, tmp_path: Path) -> None:
    with deployment(backend, tmp_path / "state") as config:
        _kill_writers(config, 20)


def test_commits_wait_for_the_disk_and_deleted_rows_are_overwritten(embedded: Config) -> None:
    log, database = _database(embedded)
    log.last()
    with database.reading() as cursor:
        settings = {}
        for name in ("synchronous", "journal_mode", "secure_delete"):
            cursor.execute(f"PRAGMA {name}")
            settings[name] = cursor.fetchall()[0][0]
    assert settings == {"synchronous": 2, "journal_mode": "wal", "secure_delete": 1}
    log.close()


def test_a_writer_keeps_others_out_from_its_start_on(embedded: Config) -> None:
    log, database = _database(embedded)
    log.last()
    other = sqlite3.connect(_file(embedded), timeout=0, isolation_level=None)
    with database.writing(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()
    log.close()


def test_the_files_are_their_owners_alone(log: EventLog, embedded: Config) -> None:
    log.append_events([event(1)])
    files = list(_file(embedded).parent.iterdir())
    assert {file.name for file in files} == {"events.sqlite", "events.sqlite-wal", "events.sqlite-shm"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(_file(embedded).parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("n_events", [40, 6_000])
def test_an_erased_users_bytes_are_gone_from_the_files(log: EventLog, embedded: Config, n_events: int) -> None:
    rows = [
        event(
            n,
            f"pseudonym-{n * 7919 % 13:02}-of-user",
            event_id=f"{n * 7919 % n_events:06}-name",
            request_id=f"answer-{n}",
        )
        for n in range(n_events)
    ]  # in an order that splits the pages of the indexes
    for start in range(0, n_events, 500):
        log.append_events(rows[start : start + 500])
    log.put_users([User(user_id="pseudonym-05-of-user", occupation="lighthouse keeper"), User(user_id="other")])
    theirs = [row for row in rows if row.user_id == "pseudonym-05-of-user"]
    needles = [b"pseudonym-05-of-user", b"lighthouse keeper", *(row.event_id.encode() for row in theirs)]
    before = b"".join(file.read_bytes() for file in _file(embedded).parent.iterdir())
    assert all(needle in before for needle in needles)
    assert log.erase("pseudonym-05-of-user") == {"events": len(theirs), "users": 1}
    after = b"".join(file.read_bytes() for file in _file(embedded).parent.iterdir())
    assert [needle for needle in needles if needle in after] == []
    assert len(log.read_events(0, n_events)) == n_events - len(theirs)


def test_a_reader_that_keeps_erased_bytes_alive_is_told_and_the_next_call_clears_them(embedded: Config) -> None:
    log, _ = _database(embedded)
    log.append_events([event(1, "pseudonym-of-anna")])
    reader = sqlite3.connect(_file(embedded), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM events").fetchall()
    with pytest.raises(StorageError, match="erased, but their bytes are still"):
        log.erase("pseudonym-of-anna")
    assert log.holds("pseudonym-of-anna") == {"events": 0, "users": 0}
    reader.close()
    log.erase("pseudonym-of-anna")
    assert not any(b"pseudonym-of-anna" in file.read_bytes() for file in _file(embedded).parent.iterdir())
    log.close()


def test_a_full_disk_is_told_and_nothing_of_the_batch_stays(embedded: Config) -> None:
    log, database = _database(embedded)
    log.append_events([event(1)])
    with database.reading() as cursor:
        cursor.execute("PRAGMA page_count")
        pages = cursor.fetchall()[0][0]
        cursor.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StorageError, match="disk is full; free space") as told:
        log.append_events([event(n, "pseudonym") for n in range(2, 4_000)])
    assert not any(word in str(told.value) for word in ("pseudonym-", "event-", "INSERT"))
    assert log.last() == 1
    with database.reading() as cursor:
        cursor.execute("PRAGMA max_page_count = 100000")
    assert log.append_events([event(2)]) == Appended(1, 0)
    log.close()


def test_a_log_that_another_process_holds_is_told_and_works_again_afterwards(embedded: Config) -> None:
    log, _ = _database(embedded)
    log.append_events([event(1)])
    other = sqlite3.connect(_file(embedded), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert log.last() == 1  # readers do not wait for writers
    with pytest.raises(StorageError, match="another process has held it for too long"):
        log.append_events([event(2)])
    other.execute("ROLLBACK")
    other.close()
    assert log.append_events([event(2)]).new == 1
    log.close()


@pytest.mark.parametrize(
    ("content", "message"), [(b"no database" * 1000, "no event log"), (None, "cannot be opened: Is a directory")]
)
def test_a_file_that_is_no_log_is_told(embedded: Config, content: bytes | None, message: str) -> None:
    path = _file(embedded)
    path.parent.mkdir(parents=True)
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(StorageError, match=message):
        open_log(embedded, "key-1").last()


def test_a_forked_process_opens_its_own_connection(log: EventLog) -> None:
    log.append_events([event(1)])
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os._exit(log.append_events([event(2)]).new)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert log.append_events([event(1), event(2), event(3)]) == Appended(new=1, repeated=2)


def test_a_remote_storage_root_needs_a_database() -> None:
    with pytest.raises(ConfigError, match=r"set eventlog\.url, or RECSYS_EVENTLOG_URL"):
        open_log(Config(storage="memory://state"), "key-1")
