"""The embedded file: who may read it, and what is left of a user who was erased."""

import sqlite3
import stat
from pathlib import Path

import pytest

from recsys.errors import StorageError
from recsys.users import BackedUserStore, Weighing
from recsys.users.sqlite import SqliteBackend
from tests.users.conftest import at, event, store_at

PSEUDONYM = "5f2b9c0d1e8a4b7c9d6e3f0a1b2c3d4e"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users" / "users.sqlite"


@pytest.fixture
def store(path: Path) -> BackedUserStore:
    return store_at(("sqlite", str(path), ""))


def traces(path: Path, *found: bytes) -> list[str]:
    files = [each for each in path.parent.rglob("*") if each.is_file()]
    return [each.name for each in files for what in found if what in each.read_bytes()]


def test_only_the_owner_may_read(path: Path, store: BackedUserStore) -> None:
    store.apply([event()])
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.glob("users.sqlite*")}
    assert set(modes) == {"users.sqlite", "users.sqlite-wal", "users.sqlite-shm"}
    assert set(modes.values()) == {0o600}


def test_nothing_of_an_erased_user_is_left_in_any_file(path: Path, store: BackedUserStore) -> None:
    contents = set()
    for hours in range(60):  # rewritten again and again, amid others
        store.apply([event(user=PSEUDONYM, item=f"i{hours}", hours=hours), event(user=f"other{hours}")])
        contents.add(store._backend.read([PSEUDONYM])[PSEUDONYM][8:])
    assert traces(path, PSEUDONYM.encode())
    assert traces(path, *contents)
    store.delete(PSEUDONYM)
    assert traces(path, PSEUDONYM.encode(), *contents) == []
    assert store.count() == 60


def test_nothing_of_dropped_meetings_is_left_in_any_file(path: Path, store: BackedUserStore) -> None:
    store.apply([event(user=PSEUDONYM, hours=hours, item=f"i{hours}") for hours in range(60)])
    content = store._backend.read([PSEUDONYM])[PSEUDONYM][8:]
    assert traces(path, content)
    store.set_consent(PSEUDONYM, {"consent_personalization": False}, at(90))
    assert traces(path, content) == []


def test_an_erasure_that_a_reader_holds_up_is_told_and_can_be_finished(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.users.sqlite._WAIT_S", 0.2)
    store = store_at(("sqlite", str(path), ""))
    store.apply([event(user=PSEUDONYM)])
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM users").fetchone()
    with pytest.raises(StorageError, match="may still stand in the log .* erase again"):
        store.delete(PSEUDONYM)
    assert not store.holds(PSEUDONYM)
    reader.close()
    assert not store.delete(PSEUDONYM)
    assert traces(path, PSEUDONYM.encode()) == []


def test_a_file_that_is_no_database_is_told_without_its_contents(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(f"not a database {PSEUDONYM}".encode() * 100)
    store = store_at(("sqlite", str(path), ""))
    with pytest.raises(StorageError, match=r"users.sqlite: file is not a database; move the file away") as told:
        store.get(PSEUDONYM)
    assert PSEUDONYM not in str(told.value)
    path.unlink()
    assert store.get(PSEUDONYM) is None


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("a file where the folder should be")
    store = store_at(("sqlite", str(tmp_path / "users" / "users.sqlite"), ""))
    with pytest.raises(StorageError, match="fix its permissions"):
        store.get("ann")


def test_a_writer_that_holds_the_file_for_too_long_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.users.sqlite._WAIT_S", 0.2)
    store = store_at(("sqlite", str(path), ""))
    store.apply([event()])
    rival = sqlite3.connect(path, isolation_level=None)
    rival.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="database is locked"):
        store.apply([event(item="b")])
    assert store.get("ann") is not None  # who reads waits for no writer
    rival.execute("ROLLBACK")
    rival.close()
    assert store.apply([event(item="b")])["changed"] == 1


def test_memory_does_not_grow_with_the_users_that_were_read(path: Path, store: BackedUserStore) -> None:
    psutil = pytest.importorskip("psutil")
    weighing = Weighing(store._weighing._config)
    store.fill(weighing.states([event(user=f"u{user}", item=f"i{item}") for user in range(3000) for item in range(3)]))
    names = list(store.users())
    for name in names[:1000]:
        store.get(name)
    before = psutil.Process().memory_info().rss
    for _ in range(3):
        for name in names:
            store.get(name)
    assert psutil.Process().memory_info().rss - before < 8 * 2**20
    assert isinstance(store._backend, SqliteBackend)
