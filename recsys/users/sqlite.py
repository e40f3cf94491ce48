"""States in one SQLite file, for a service on one machine; several processes may read and write it."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from recsys.errors import StorageError
from recsys.storage import locked
from recsys.users.backend import Swap

_PAGE: Final = 8192  # a state of 50 meetings takes 2 KB: three on a page, and little is written for one of them
_WAIT_S: Final = 30.0
_READ: Final = 500  # users asked for at once; SQLite takes 32,766 parameters
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS users (user TEXT PRIMARY KEY NOT NULL, state BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
"""
_DELETE: Final = "DELETE FROM users WHERE user = ?"
_TABLES: Final = ("users", "about")
_INHERITED: Final[list[sqlite3.Connection]] = []
_Result = TypeVar("_Result")


class SqliteBackend:
    """A file in write-ahead mode, readable by its owner alone.

    Whatever is deleted or replaced is overwritten with zeros; see `scrub` for when.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = threading.local()

    def read(self, users: Sequence[str]) -> dict[str, bytes]:
        """Return what is stored of those users of whom anything is."""
        return self._try(lambda connection: _read(connection, users))

    def swap(self, swaps: Sequence[Swap]) -> list[str]:
        """Exchange, in one transaction, and return the users of whom something else was stored."""
        return self._try(lambda connection: _in_transaction(connection, lambda: _swap(connection, swaps)))

    def remove(self, user: str) -> bool:
        """Delete a user's row; in the write-ahead log its bytes stay until `scrub`."""
        return self._try(lambda connection: connection.execute(_DELETE, (user,)).rowcount > 0)

    def scrub(self) -> None:
        """Empty the write-ahead log into the file, where what was deleted or replaced is overwritten with zeros.

        Raises StorageError while another process reads, for longer than 30 seconds, what was there before.
        """

        def scrub(connection: sqlite3.Connection) -> None:
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise StorageError(
                    f"what was erased may still stand in the log of {self._path}, as another process reads it; erase "
                    "again"
                )

        self._try(scrub)

    def count(self) -> int:
        """Return of how many users anything is stored."""
        return self._try(lambda connection: int(connection.execute("SELECT count(*) FROM users").fetchone()[0]))

    def users(self) -> Iterator[str]:
        """Yield every user, sorted; between blocks nothing is held open."""
        last = ""
        while block := self._try(partial(_names, after=last)):
            yield from block
            last = block[-1]

    def about(self) -> dict[str, str]:
        """Return the facts about the store."""
        return self._try(lambda connection: dict(connection.execute("SELECT name, value FROM about").fetchall()))

    def describe(self, name: str, value: str, *, if_absent: bool = False) -> None:
        """Store a fact about the store."""
        verb = "IGNORE" if if_absent else "REPLACE"
        self._try(lambda connection: connection.execute(f"INSERT OR {verb} INTO about VALUES (?, ?)", (name, value)))  # noqa: S608

    def clear(self) -> None:
        """Erase everything."""

        def erase(connection: sqlite3.Connection) -> None:
            _in_transaction(connection, lambda: [connection.execute(f"DELETE FROM {each}") for each in _TABLES])  # noqa: S608

        self._try(erase)
        self.scrub()

    def close(self) -> None:
        """Close this thread's connection; those of other threads are closed when they end."""
        connection = getattr(self._own, "connection", None)
        if connection is not None and self._own.process == os.getpid():
            connection.close()
        self._own.connection = None

    def _try(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        try:
            return work(self._connection())
        except (sqlite3.Error, OSError) as error:
            self.close()
            told = error.strerror if isinstance(error, OSError) else str(error)
            raise StorageError(f"cannot use the users' states in {self._path}: {told}; {_advice(error)}") from None

    def _connection(self) -> sqlite3.Connection:
        """Return this thread's connection; one opened before a fork is the parent's, and closing it would harm that."""
        if getattr(self._own, "connection", None) is not None and self._own.process != os.getpid():
            _INHERITED.append(self._own.connection)
            self._own.connection = None
        if getattr(self._own, "connection", None) is None:
            with locked(str(self._path.parent), "users"):  # the switch to a write-ahead log waits for nobody
                self._own.connection, self._own.process = _opened(self._path), os.getpid()
        connection: sqlite3.Connection = self._own.connection
        return connection


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # the log takes over its mode
    connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            f"page_size = {_PAGE}",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "secure_delete = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _read(connection: sqlite3.Connection, users: Sequence[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for start in range(0, len(users), _READ):
        asked = users[start : start + _READ]
        marks = ",".join("?" * len(asked))
        found.update(connection.execute(f"SELECT user, state FROM users WHERE user IN ({marks})", asked))  # noqa: S608
    return found


def _swap(connection: sqlite3.Connection, swaps: Sequence[Swap]) -> list[str]:
    failed = []
    for user, old, new in swaps:
        if old is None:
            done = connection.execute("INSERT OR IGNORE INTO users VALUES (?, ?)", (user, new))
        else:
            done = connection.execute("UPDATE users SET state = ? WHERE user = ? AND state = ?", (new, user, old))
        if done.rowcount != 1:
            failed.append(user)
    return failed


def _names(connection: sqlite3.Connection, after: str) -> list[str]:
    rows = connection.execute("SELECT user FROM users WHERE user > ? ORDER BY user LIMIT ?", (after, _READ))
    return [name for (name,) in rows]


def _in_transaction(connection: sqlite3.Connection, work: Callable[[], _Result]) -> _Result:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work()
        connection.execute("COMMIT")
    except BaseException:
        with closing(connection.cursor()) as cursor:
            if connection.in_transaction:
                cursor.execute("ROLLBACK")
        raise
    return result


def _advice(error: Exception) -> str:
    if isinstance(error, sqlite3.OperationalError | OSError):
        return "free space, fix its permissions or end who holds it, then try again"
    return "move the file away and fill the store anew"
