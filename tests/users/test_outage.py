"""A server that goes away and comes back, seen through a proxy that can be closed."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from recsys.errors import ConfigError, StorageError
from recsys.users.postgresql import PostgresqlBackend
from recsys.users.redis_server import RedisBackend
from tests.users.conftest import Place, event, postgresql_place, redis_place, store_at

SECRET = "pass-word"


class Proxy:
    """Forwards a port of this machine to a server, until it is closed; it can be opened again at the same port."""

    def __init__(self, host: str, port: int) -> None:
        self._target, self._ends = (host, port), []  # type: tuple[str, int], list[socket.socket]
        self.port = 0
        self.open()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        for each in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._ends = []

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(one, other), daemon=True).start()

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)


@pytest.fixture(params=["redis", "postgresql"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Place, Proxy]]:
    for kind, address, name in (redis_place if request.param == "redis" else postgresql_place)():
        parts = urlsplit(address)
        proxy = Proxy(str(parts.hostname), int(parts.port or 0))
        user = f"{parts.username}:{SECRET}@" if parts.username else ""  # PostgreSQL trusts whatever the password
        yield (kind, f"{parts.scheme}://{user}127.0.0.1:{proxy.port}{parts.path}", name), proxy
        proxy.close()


def test_while_the_server_is_gone_it_is_told_and_afterwards_all_is_as_before(server: tuple[Place, Proxy]) -> None:
    place, proxy = server
    store = store_at(place)
    store.apply([event(user="a-secret-user")])
    proxy.close()
    for call in (
        lambda: store.get("a-secret-user"),
        lambda: store.apply([event(user="a-secret-user", item="b")]),
        store.count,
        lambda: store.delete("a-secret-user"),
        lambda: list(store.users()),
    ):
        with pytest.raises(StorageError, match="cannot use the users' states in .* runs and lets this user in") as told:
            call()
        assert SECRET not in str(told.value)
        assert "a-secret-user" not in str(told.value)
        assert told.value.__cause__ is None
        assert told.value.__suppress_context__
    proxy.open()
    assert store.apply([event(user="a-secret-user", item="c")])["changed"] == 1
    state = store.get("a-secret-user")
    assert state is not None
    assert [meeting.item for meeting in state.meetings] == ["a", "c"]
    store.close()


def test_a_connection_that_a_restart_closed_is_made_anew(server: tuple[Place, Proxy]) -> None:
    place, proxy = server
    store = store_at(place)
    store.apply([event()])
    proxy.close()
    proxy.open()
    assert store.get("ann") is not None
    store.close()


def test_a_store_can_be_made_before_its_server_runs(server: tuple[Place, Proxy]) -> None:
    place, proxy = server
    proxy.close()
    store = store_at(place)
    with pytest.raises(StorageError, match="try again"):
        store.get("ann")
    proxy.open()
    assert store.get("ann") is None
    store.close()


@pytest.mark.parametrize(("package", "extra"), [("redis", "redis"), ("psycopg", "postgresql")])
def test_a_package_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ConfigError, match=rf"pip install 'recsys\[{extra}\]'"):
        if package == "redis":
            RedisBackend("redis://localhost", "name")
        else:
            PostgresqlBackend("postgresql://localhost", "name")


def test_an_address_that_is_none_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match="is no Redis address") as told:
        RedisBackend(f"redis://me:{SECRET}@host:port/0", "name")
    assert SECRET not in str(told.value)
    assert told.value.__suppress_context__
