"""A PostgreSQL database, for several machines; needs psycopg, which `recsys[postgresql]` installs."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from recsys.errors import ConfigError, StorageError
from recsys.eventlog.database import Cursor
from recsys.eventlog.rows import Cell

if TYPE_CHECKING:
    import psycopg

_LIMITS: Final = {
    "connect_timeout": "5",  # seconds until a server that does not answer is given up
    "tcp_user_timeout": "30000",  # milliseconds until a server that vanished in a call is given up
    "client_encoding": "UTF8",
}
_SETTINGS: Final = (
    "SET lock_timeout = '30s'",  # a writer's batch takes milliseconds
    # What a server sets beyond `on`, such as waiting for replicas, stays.
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
)
_REFUSED: Final = {  # what a server answers to a connection it refuses, which has no code
    'FATAL:  database "': "its database does not exist; create it, or check the URL",
    'FATAL:  role "': "its server does not know the user; check the URL",
    "authentication failed": "its server refuses the user or the password; check the URL",
    "no pg_hba.conf entry": "its server lets this machine or user not in; check pg_hba.conf and the URL",
}
_AWAY: Final = (
    "its server cannot be reached or went away; check the URL and the server, then try again: what was stored already "
    "counts once"
)
_NAME: Final = "recsys event log"


class PostgresqlDatabase:
    """The tables of one deployment, in a schema of their own."""

    integer = "BIGINT"
    counter = "SELECT last FROM log FOR UPDATE"  # held until the commit, so that commits come in the order of numbers
    prepare: Callable[[Cursor], None]

    def __init__(self, url: str, schema: str) -> None:
        """Name the database and the schema, which is made on the first call.

        Raises ConfigError where psycopg is not installed.
        """
        try:
            import psycopg
        except ImportError:
            raise ConfigError(
                "an event log in PostgreSQL needs psycopg; install recsys[postgresql], or leave eventlog.url empty"
            ) from None
        self._psycopg, self._schema = psycopg, schema
        try:
            given = psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.Error:
            told = "the event log's URL cannot be read; write postgresql://user@host:5432/database"
            raise ConfigError(told) from None
        self._address = psycopg.conninfo.make_conninfo(
            url, **{name: value for name, value in _LIMITS.items() if name not in given}
        )
        self._connection: psycopg.Connection[Any] | None = None  # Any: tuples of cells
        self._process = 0
        self._turn = threading.RLock()

    @contextmanager
    def reading(self) -> Iterator[Cursor]:
        """Open a transaction in which all statements see one state."""
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        with self._turn, self._in_clear_words(), self._transaction(begin) as cursor:
            yield cursor

    @contextmanager
    def writing(self) -> Iterator[Cursor]:
        """Open a transaction; it has the log to itself from the moment it reads the counter."""
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
        with self._turn, self._in_clear_words(), self._transaction(begin) as cursor:
            yield cursor

    def clear_erased(self) -> None:
        """Free the space of deleted rows; PostgreSQL then writes over it."""
        with self._turn, self._in_clear_words():
            self._connected().execute("VACUUM events, users")

    def close(self) -> None:
        """Close the connection, if any; one of the process before a fork is left to it."""
        with self._turn:
            if self._connection is not None and self._process == os.getpid():
                with suppress(self._psycopg.Error):
                    self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Cursor]:
        connection = self._begun(begin)
        try:
            yield _Marked(connection.cursor())
            connection.execute("COMMIT")
        except BaseException:
            with suppress(self._psycopg.Error):
                connection.execute("ROLLBACK")
            raise

    def _begun(self, begin: str) -> "psycopg.Connection[Any]":
        """Begin a transaction; a connection that was lost since the last one is replaced, once."""
        fresh = self._connection is None
        connection = self._connected()
        try:
            connection.execute(begin)
        except self._psycopg.OperationalError:
            if fresh:
                raise
            self.close()
            connection = self._connected()
            connection.execute(begin)
        return connection

    def _connected(self) -> "psycopg.Connection[Any]":
        if self._connection is None or self._process != os.getpid() or self._connection.closed:
            self._connection, self._process = self._open(), os.getpid()
        return self._connection

    def _open(self) -> "psycopg.Connection[Any]":
        connection = self._psycopg.connect(self._address, autocommit=True)
        try:
            name = self._psycopg.sql.Identifier(self._schema)
            for setting in _SETTINGS:
                connection.execute(setting)
            connection.execute("BEGIN")
            # Two processes that make the same table at once fail in PostgreSQL, even where it may exist.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_lock_number(self._schema),))
            connection.execute(self._psycopg.sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
            connection.execute(self._psycopg.sql.SQL("SET search_path TO {}").format(name))
            self.prepare(_Marked(connection.cursor()))
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _in_clear_words(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            if self._connection is not None and (self._connection.closed or self._connection.broken):
                self.close()
            raise StorageError(f"the event log in PostgreSQL: {self._why(error)}") from None

    def _why(self, error: Exception) -> str:
        errors = self._psycopg.errors
        if isinstance(error, errors.LockNotAvailable | errors.QueryCanceled):
            return "another process has held it for too long; try again, and look for a process that hangs"
        if isinstance(error, errors.ReadOnlySqlTransaction | errors.InsufficientPrivilege):
            return "it cannot be written; give its user the right to create a schema and tables, on a primary server"
        if isinstance(error, errors.DiskFull):
            return "its disk is full; free space, then try again"
        if isinstance(error, self._psycopg.OperationalError):
            return next((words for part, words in _REFUSED.items() if part in str(error)), _AWAY)
        return f"it failed ({type(error).__name__}); look into the server's own log"


class _Marked:
    """A cursor whose statements mark cells by `?`; none of the log's statements holds another `?` or a `%`."""

    def __init__(self, cursor: "psycopg.Cursor[Any]") -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def execute(self, statement: str, cells: Sequence[Cell] = (), /) -> object:
        return self._cursor.execute(statement.replace("?", "%s").encode(), cells)

    def executemany(self, statement: str, rows: Iterable[Sequence[Cell]], /) -> None:
        self._cursor.executemany(statement.replace("?", "%s").encode(), rows)

    def fetchall(self) -> list[Any]:  # Any: tuples of cells
        return self._cursor.fetchall()


def _lock_number(schema: str) -> int:
    """Return the 64-bit number of the lock under which a schema's tables are made."""
    return int.from_bytes(hashlib.blake2b(f"{_NAME} {schema}".encode(), digest_size=8).digest(), signed=True)
