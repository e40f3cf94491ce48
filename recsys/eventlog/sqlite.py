"""The embedded database: one SQLite file in WAL mode, shared by the processes of one machine."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from recsys.errors import StorageError
from recsys.eventlog.database import Cursor
from recsys.storage import locked

BUSY_S: Final = 30.0  # a writer's batch takes milliseconds; who waits longer than this is told
_WORDS: Final = {
    "full": "its disk is full; free space, then try again",
    "locked": "another process has held it for too long; try again, and look for a process that hangs",
    "readonly": "it cannot be written; fix the permissions of its file and folder",
    "unable to open": "it cannot be opened; fix the permissions of its folder",
    "disk i/o": "its disk does not answer as it should; check the disk",
    "malformed": "its file is damaged; restore it from a backup",
    "not a database": "its file is no event log; restore it from a backup, or move it away",
}


class SqliteDatabase:
    """One file; every commit is on disk (`synchronous = FULL`), deleted rows are overwritten (`secure_delete`)."""

    integer = "INTEGER"
    counter = "SELECT last FROM log"  # a writing transaction has the whole file to itself
    prepare: Callable[[Cursor], None]

    def __init__(self, path: Path, busy_s: float = BUSY_S) -> None:
        """Name the file; it is made, for its owner alone, on the first call. Wait `busy_s` for another process."""
        self._path, self._busy_s = path, busy_s
        self._connection: sqlite3.Connection | None = None
        self._inherited: list[sqlite3.Connection | None] = []
        self._process = os.getpid()
        self._turn = threading.RLock()

    @contextmanager
    def reading(self) -> Iterator[Cursor]:
        """Open a transaction that sees one state of the file."""
        with self._turn, _in_clear_words(), _transaction(self._connected(), "BEGIN") as cursor:
            yield cursor

    @contextmanager
    def writing(self) -> Iterator[Cursor]:
        """Open a transaction that keeps other writers out from its start on."""
        with self._turn, _in_clear_words(), _transaction(self._connected(), "BEGIN IMMEDIATE") as cursor:
            yield cursor

    def clear_erased(self) -> None:
        """Write the whole file anew and cut the write-ahead log, which still holds the old pages.

        `secure_delete` alone is not enough: where SQLite has moved a row to another page, its old copy may stay in the
        page's unused part. Writers wait meanwhile: it takes 10 to 20 s per GB of log, and as much free disk.
        """
        with self._turn, _in_clear_words():
            self._connected().execute("VACUUM")
            (busy, _, _) = self._connected().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageError(
                "the rows are erased, but their bytes are still in the event log's files, as another process reads "
                "it; erase once more when it has ended"
            )

    def close(self) -> None:
        """Close the connection, if any."""
        with self._turn:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def _connected(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            self._inherited.append(self._connection)  # closing the parent's connection would touch its files
            self._connection, self._process = None, os.getpid()
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))  # the files beside it get the same mode
        except OSError as error:
            raise StorageError(
                f"the event log {self._path} cannot be opened: {error.strerror}; fix its permissions"
            ) from None
        connection = sqlite3.connect(self._path, self._busy_s, isolation_level=None, check_same_thread=False)
        try:
            with locked(str(self._path.parent.parent), "eventlog"):  # the switch to a write-ahead log waits for nobody
                for setting in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
                    connection.execute(f"PRAGMA {setting}")
            with _transaction(connection, "BEGIN IMMEDIATE") as cursor:
                self.prepare(cursor)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[Cursor]:
    cursor = connection.cursor()
    cursor.execute(begin)
    try:
        yield cursor
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk has rolled back already
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _in_clear_words() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        told = str(error).lower()
        why = next((words for part, words in _WORDS.items() if part in told), f"it failed ({type(error).__name__})")
        raise StorageError(f"the event log in SQLite: {why}") from None
