"""The log in PostgreSQL where its server goes away, ends a connection or refuses one."""

import select
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from recsys.config import Config
from recsys.errors import ConfigError, StorageError
from recsys.eventlog import Appended, EventLog, open_log
from recsys.eventlog.opening import schema_of
from tests.eventlog.conftest import NOW, POSTGRESQL, connect, deployment, event


def test_without_psycopg_what_to_install_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"recsys\[postgresql\]"):
        open_log(Config.model_validate({"eventlog": {"url": POSTGRESQL}}), "key-1")


def test_deployments_have_schemas_of_their_own() -> None:
    names = ["demo", "Demo", "a/b", "a:b", "x" * 100, "x" * 99]
    assert schema_of("demo") == "recsys_demo"
    assert len({schema_of(name) for name in names}) == len(names)
    assert all(len(schema_of(name)) <= 63 for name in names)


class Proxy:
    """Passes bytes on to PostgreSQL, until it is stopped as a server is."""

    def __init__(self) -> None:
        self.port, self._listener, self._open = 0, None, []  # type: int, socket.socket | None, list[socket.socket]

    def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        assert self._listener
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open = []

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, far = listener.accept()[0], socket.create_connection(("127.0.0.1", 5432))
                self._open += [near, far]
                threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while True:
                for ready in select.select([near, far], [], [])[0]:
                    data = ready.recv(65_536)
                    (far if ready is near else near).sendall(data)
                    if not data:
                        return


@contextmanager
def _through_a_proxy(tmp_path: Path) -> Iterator[tuple[EventLog, Proxy]]:
    with deployment("postgresql", tmp_path) as config:
        proxy = Proxy()
        proxy.start()
        url = f"postgresql://postgres:password@127.0.0.1:{proxy.port}/postgres"
        log = open_log(config.model_copy(update={"eventlog": config.eventlog.model_copy(update={"url": url})}), "key-1",
                       lambda: NOW)  # fmt: skip
        yield log, proxy
        log.close()


def test_after_postgresql_comes_back_the_next_call_works(tmp_path: Path) -> None:
    with _through_a_proxy(tmp_path) as (log, proxy):
        log.append_events([event(1)])
        proxy.stop()
        for _ in range(2):
            with pytest.raises(StorageError, match="cannot be reached or went away") as told:
                log.append_events([event(2, "pseudonym")])
            assert not any(word in str(told.value) for word in ("password", "pseudonym", "event-2", "INSERT"))
        proxy.start()
        assert log.append_events([event(1), event(2)]) == Appended(new=1, repeated=1)
        proxy.stop()
        proxy.start()  # a restart between two calls is not noticed
        assert log.last() == 2
        proxy.stop()


def test_a_connection_that_the_server_ended_is_replaced(tmp_path: Path) -> None:
    with deployment("postgresql", tmp_path) as config, connect() as admin:
        log = open_log(config, "key-1", lambda: NOW)
        log.append_events([event(1)])
        with log._database.reading() as cursor:  # type: ignore[attr-defined]
            cursor.execute("SELECT pg_backend_pid()")
            mine = cursor.fetchall()[0][0]
        admin.execute("SELECT pg_terminate_backend(%s)", (mine,))
        assert log.append_events([event(2)]) == Appended(1, 0)
        log.close()


def test_a_writer_that_waits_for_another_never_shows_a_number_before_an_earlier_one(tmp_path: Path) -> None:
    """A transaction that began first and commits last must not commit a number that readers have passed."""
    with deployment("postgresql", tmp_path) as config, connect() as slow:
        log = open_log(config, "key-1", lambda: NOW)
        log.append_events([event(1)])
        slow.execute(f"SET search_path TO {schema_of(config.name)}")
        slow.execute("BEGIN")
        slow.execute("SELECT last FROM log FOR UPDATE")  # as a writer does before it takes numbers
        waiting = threading.Thread(target=log.append_events, args=([event(2)],))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        reader = open_log(config, "key-1")
        assert reader.last() == 1
        slow.execute("COMMIT")
        waiting.join(10)
        assert [one.arrival for one in reader.read_events(0, 9)] == [1, 2]
        log.close()
        reader.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://postgres:hidden@127.0.0.1:1/postgres", "cannot be reached"),
        ("postgresql://postgres:hidden@127.0.0.1:5432/no_such_database", "database does not exist"),
        ("postgresql://nobody:hidden@127.0.0.1:5432/postgres", "does not know the user"),
    ],
)
def test_a_server_that_refuses_is_told_without_the_password(tmp_path: Path, url: str, message: str) -> None:
    connect().close()
    log = open_log(Config.model_validate({"storage": str(tmp_path), "eventlog": {"url": url}}), "key-1")
    with pytest.raises(StorageError, match=message) as told:
        log.last()
    assert "hidden" not in str(told.value)
    assert told.value.__suppress_context__
