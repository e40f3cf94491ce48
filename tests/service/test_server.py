import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.slow  # each test starts a process
REPOSITORY = Path(__file__).resolve().parents[2]
CODE = """
import json, sys
from recsys.config import Config, ServiceConfig
from recsys.service import serve
from tests.service.conftest import FakeEngine
storage, delay_s, settings = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])
serve(Config(storage=storage, service=ServiceConfig(**settings)), say=lambda text: print(text, flush=True),
      make_engine=lambda config: FakeEngine(delay_s))
"""


class Server:
    """A real server in a process group of its own."""

    def __init__(self, root: Path, delay_s: float = 0.0, port: int = 0, **settings: Any) -> None:
        arguments = [str(root), str(delay_s), json.dumps({"deadline_ms": 30_000, "port": port} | settings)]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        self.log = (root / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE, *arguments],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            cwd=REPOSITORY,
            env=environment,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        assert self.said, (root / "log").read_text()
        self.port = int(self.said.split()[0].rsplit(":", 1)[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def logged(self) -> str:
        return Path(self.log.name).read_text()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:

        def start(*arguments: Any, **settings: Any) -> Server:
            server = Server(tmp_path, *arguments, **settings)
            stack.callback(server.stop)
            return server

        yield start


def _head(length: int, path: str = "/v1/recommendations") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


def _read(connection: socket.socket) -> bytes:
    found = b""
    with suppress(ConnectionError):
        while part := connection.recv(65_536):
            found += part
    return found


@contextmanager
def _answers(server: Server) -> Iterator[None]:
    yield
    assert httpx.get(f"{server.url}/healthz", timeout=20).status_code == 200


def test_it_says_where_it_is_and_that_it_is_open(serving: Callable[..., Server]) -> None:
    server = serving()
    assert f"{server.url} serves demo" in server.said
    assert "/docs" in server.said
    assert server.process.stdout is not None
    assert "open" in server.process.stdout.readline()
    assert httpx.get(f"{server.url}/docs", timeout=20).status_code == 200


def test_requests_in_flight_are_answered_before_it_stops(serving: Callable[..., Server]) -> None:
    server = serving(1.0)
    answers: list[int] = []

    def ask() -> None:
        answers.append(httpx.post(f"{server.url}/v1/recommendations", json={}, timeout=30).status_code)

    asking = [threading.Thread(target=ask) for _ in range(5)]
    for each in asking:
        each.start()
    time.sleep(0.6)
    os.kill(server.process.pid, signal.SIGTERM)
    for each in asking:
        each.join()
    assert answers == [200] * 5
    assert server.process.wait(20) == 0
    assert "Traceback" not in server.logged()


def test_a_client_outlasts_a_restart(serving: Callable[..., Server]) -> None:
    from recsys.client import Client, event_of

    first = serving()
    events = [event_of("u", "i", "view") for _ in range(60)]
    recorded: list[int] = []

    def send() -> None:
        with Client(first.url, retries=12) as client:
            recorded.extend(client.record([event]).accepted for event in events)

    sending = threading.Thread(target=send)
    sending.start()
    while len(recorded) < 5:
        time.sleep(0.01)
    os.kill(first.process.pid, signal.SIGTERM)
    assert first.process.wait(20) == 0
    serving(0.0, first.port)
    sending.join(60)
    assert len(recorded) == 60


def test_a_body_that_does_not_arrive_is_dropped_while_others_are_answered(serving: Callable[..., Server]) -> None:
    server = serving(body_timeout_s=1.0)
    with server.connect() as slow, server.connect() as dripping:
        slow.sendall(_head(100) + b"{")
        dripping.sendall(_head(100))
        started = time.monotonic()
        for _ in range(4):
            dripping.sendall(b" ")
            time.sleep(0.2)
        with _answers(server):
            told = _read(slow)
        assert b" 408 " in told
        assert b"application/problem+json" in told
        assert b" 408 " in _read(dripping)
        assert 0.9 < time.monotonic() - started < 10


def test_a_connection_without_a_request_is_closed(serving: Callable[..., Server]) -> None:
    server = serving(header_timeout_s=1.0)
    with server.connect() as silent, server.connect() as slow, server.connect() as second:
        slow.sendall(b"POST /v1/events HTTP/1.1\r\nhost: lo")
        second.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answered = b""
        while not answered.endswith(b"}"):
            answered += second.recv(65_536)
        second.sendall(b"GET /healthz HTTP/1.1\r\nho")
        assert _read(silent) == b""
        assert _read(slow) == b""
        assert _read(second) == b""


def test_long_headers_are_refused_even_without_an_end(serving: Callable[..., Server]) -> None:
    server = serving()
    for start in (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ", b"GET /", b"GET /?"):
        with server.connect() as connection:
            connection.sendall(start + b"a" * 20_000)
            assert b" 431 " in _read(connection)
    many = "".join(f"x{n}: 1\r\n" for n in range(1_000))
    with server.connect() as connection:
        connection.sendall(f"GET /healthz HTTP/1.1\r\n{many}\r\n".encode())
        assert b" 431 " in _read(connection)
    with _answers(server), server.connect() as connection:
        connection.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        assert b"application/problem+json" in _read(connection)
    for path in ("/\xff", "/%", "*", "http://", "/%00", "//"):
        with server.connect() as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode("latin-1"))
            assert _read(connection)[9:12] in (b"400", b"404")
    assert "Traceback" not in server.logged()


def test_a_body_that_is_too_large_is_told_to_its_sender(serving: Callable[..., Server]) -> None:
    server = serving()
    for size in (1_048_577, 3_000_000):
        response = httpx.post(
            f"{server.url}/v1/recommendations",
            content=b" " * size,
            headers={"content-type": "application/json"},
            timeout=20,
        )
        assert response.status_code == 413
    with server.connect() as connection:
        connection.sendall(_head(10**12))
        assert b" 413 " in _read(connection)
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with server.connect() as connection, suppress(ConnectionError):
        connection.sendall(_head(0).replace(b"content-length: 0", b"transfer-encoding: chunked"))
        for _ in range(200):
            connection.sendall(chunk)
    with _answers(server):
        assert httpx.post(f"{server.url}/v1/recommendations", json={}, timeout=20).status_code == 200


def test_a_client_that_leaves_is_no_error(serving: Callable[..., Server]) -> None:
    server = serving()
    with server.connect() as connection:
        connection.sendall(_head(100) + b"{")
    with _answers(server):
        time.sleep(0.2)
    assert "499" in server.logged()
    assert "Traceback" not in server.logged()


def test_ids_of_paths_and_bodies_do_not_reach_the_log(serving: Callable[..., Server]) -> None:
    server = serving()
    httpx.put(f"{server.url}/v1/items/secret%2Fitem", json={"title": "x"}, timeout=20)
    httpx.post(f"{server.url}/v1/recommendations?secret=1", json={"user_id": "secret"}, timeout=20)
    httpx.get(f"{server.url}/secret", timeout=20)
    assert server.logged().count(" ms ") == 3
    assert "/v1/items/{id} 200" in server.logged()
    assert "secret" not in server.logged()


def test_many_open_connections_and_half_bodies_keep_nobody_out(serving: Callable[..., Server]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8_192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    server = serving(body_timeout_s=60.0, header_timeout_s=60.0)
    with ExitStack() as stack:
        for n in range(2_000):
            connection = stack.enter_context(server.connect())
            if n % 2:
                connection.sendall(_head(1_000) + b"{")
        for _ in range(5):
            response = httpx.post(f"{server.url}/v1/recommendations", json={"user_id": "u"}, timeout=20)
            assert response.status_code == 200
    with _answers(server):
        time.sleep(0.5)


def test_connections_and_pending_bodies_have_limits(serving: Callable[..., Server]) -> None:
    server = serving(max_connections=20, max_pending_bytes=100_000, max_body_bytes=100_000)
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(25)]
        assert b" 503 " in _read(connections[-1])
    time.sleep(0.5)
    with server.connect() as first, server.connect() as second:
        first.sendall(_head(100_000) + b" " * 60_000)
        time.sleep(0.3)
        second.sendall(_head(100_000) + b" " * 60_000)
        assert b" 503 " in second.recv(65_536)
    with _answers(server):
        pass


def test_a_taken_port_is_told(serving: Callable[..., Server], tmp_path: Path) -> None:
    from recsys.config import Config
    from recsys.errors import ConfigError
    from recsys.service import serve
    from tests.service.conftest import FakeEngine

    server = serving()
    with pytest.raises(ConfigError, match="--port"):
        serve(Config(storage=str(tmp_path)), port=server.port, make_engine=lambda _: FakeEngine())
