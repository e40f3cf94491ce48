"""States in PostgreSQL, for replicas on several machines; needs the extra `recsys[postgresql]`."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from recsys.errors import ConfigError, StorageError
from recsys.users.backend import Swap

if TYPE_CHECKING:
    from psycopg import Connection

_TIMEOUT_S: Final = 5
_READ: Final = 1000
_LOCK: Final = 0x72656373  # an advisory lock of our own: two who create a table at once would disturb each other
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS recsys_user_states (
    deployment text NOT NULL, user_id text NOT NULL, state bytea NOT NULL, PRIMARY KEY (deployment, user_id));
ALTER TABLE recsys_user_states ALTER COLUMN state SET STORAGE EXTERNAL;
CREATE TABLE IF NOT EXISTS recsys_user_store (
    deployment text NOT NULL, name text NOT NULL, value text NOT NULL, PRIMARY KEY (deployment, name));
"""
_INSERT: Final = "INSERT INTO recsys_user_states VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_UPDATE: Final = "UPDATE recsys_user_states SET state = %s WHERE deployment = %s AND user_id = %s AND state = %s"
_Result = TypeVar("_Result")
_Row = tuple[Any, ...]  # Any: whatever the query names


class PostgresqlBackend:
    """Two tables, `recsys_user_states` and `recsys_user_store`, shared by deployments.

    What is removed or replaced stays in the table's files until VACUUM has passed.
    """

    def __init__(self, url: str, deployment: str) -> None:
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise ConfigError("users' states in PostgreSQL need psycopg: pip install 'recsys[postgresql]'") from None
        self._url, self._deployment = url, deployment
        self._own = threading.local()

    def read(self, users: Sequence[str]) -> dict[str, bytes]:
        """Return what is stored of those users of whom anything is."""
        query = "SELECT user_id, state FROM recsys_user_states WHERE deployment = %s AND user_id = ANY(%s)"
        return {user: bytes(state) for user, state in self._rows(query, (self._deployment, list(users)))}

    def swap(self, swaps: Sequence[Swap]) -> list[str]:
        """Exchange, in one transaction, and return the users of whom something else was stored.

        Rows are locked in the order of the users, so that two who exchange at once never wait for each other.
        """

        def swap(connection: "Connection[_Row]") -> list[str]:
            failed = []
            with connection.transaction(), connection.cursor() as cursor:
                for user, old, new in sorted(swaps):
                    if old is None:
                        cursor.execute(_INSERT, (self._deployment, user, new))
                    else:
                        cursor.execute(_UPDATE, (new, self._deployment, user, old))
                    if cursor.rowcount != 1:
                        failed.append(user)
            return failed

        return self._try(swap)

    def remove(self, user: str) -> bool:
        """Erase a user's row."""
        query = "DELETE FROM recsys_user_states WHERE deployment = %s AND user_id = %s"
        return self._try(lambda connection: connection.execute(query, (self._deployment, user)).rowcount > 0)

    def scrub(self) -> None:
        """Do nothing: what was deleted leaves the server's files when VACUUM passes."""

    def count(self) -> int:
        """Return of how many users anything is stored."""
        query = "SELECT count(*) FROM recsys_user_states WHERE deployment = %s"
        return int(self._rows(query, (self._deployment,))[0][0])

    def users(self) -> Iterator[str]:
        """Yield every user, sorted; between blocks nothing is held open."""
        last = ""
        query = """SELECT user_id FROM recsys_user_states WHERE deployment = %s AND user_id > %s
                   ORDER BY user_id LIMIT %s"""
        while block := self._rows(query, (self._deployment, last, _READ)):
            yield from (str(name) for (name,) in block)
            last = str(block[-1][0])

    def about(self) -> dict[str, str]:
        """Return the facts about the store."""
        query = "SELECT name, value FROM recsys_user_store WHERE deployment = %s"
        return {str(name): str(value) for name, value in self._rows(query, (self._deployment,))}

    def describe(self, name: str, value: str, *, if_absent: bool = False) -> None:
        """Store a fact about the store."""
        conflict = "NOTHING" if if_absent else "UPDATE SET value = EXCLUDED.value"
        query = f"INSERT INTO recsys_user_store VALUES (%s, %s, %s) ON CONFLICT (deployment, name) DO {conflict}"  # noqa: S608
        self._try(lambda connection: connection.execute(query, (self._deployment, name, value)))

    def clear(self) -> None:
        """Erase everything of this deployment."""

        def erase(connection: "Connection[_Row]") -> None:
            with connection.transaction():
                connection.execute("DELETE FROM recsys_user_states WHERE deployment = %s", (self._deployment,))
                connection.execute("DELETE FROM recsys_user_store WHERE deployment = %s", (self._deployment,))

        self._try(erase)

    def close(self) -> None:
        """Close this thread's connection; those of other threads are closed when they end."""
        connection = getattr(self._own, "connection", None)
        if connection is not None and self._own.process == os.getpid():
            connection.close()
        self._own.connection = None

    def _rows(self, query: str, values: Sequence[object]) -> list[_Row]:
        return self._try(lambda connection: connection.execute(query, values).fetchall())

    def _try(self, work: Callable[["Connection[_Row]"], _Result]) -> _Result:
        """Do work on this thread's connection; on one that a restart has closed, once more on a new one."""
        import psycopg

        try:
            was_open = self._is_open()
            try:
                return work(self._connection())
            except (psycopg.OperationalError, psycopg.InterfaceError):
                self.close()
                if not was_open:
                    raise
            return work(self._connection())
        except psycopg.Error as error:  # its text may quote a row
            self.close()
            state = f" {error.sqlstate}" if error.sqlstate else ""
            raise StorageError(
                f"cannot use the users' states in PostgreSQL ({type(error).__name__}{state}); check that the server at "
                "users.url, or in the variable named by users.url_env, runs and lets this user in, then try again"
            ) from None

    def _is_open(self) -> bool:
        connection = getattr(self._own, "connection", None)
        return connection is not None and self._own.process == os.getpid()

    def _connection(self) -> "Connection[_Row]":
        import psycopg

        if not self._is_open():
            connection: Connection[_Row] = psycopg.connect(self._url, autocommit=True, connect_timeout=_TIMEOUT_S)
            _create_tables(connection)
            self._own.connection, self._own.process = connection, os.getpid()
        held: Connection[_Row] = self._own.connection
        return held


def _create_tables(connection: "Connection[_Row]") -> None:
    if connection.execute("SELECT to_regclass('recsys_user_store')").fetchone() != (None,):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(_SCHEMA)
