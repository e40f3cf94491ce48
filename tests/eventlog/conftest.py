"""The event log over each database, empty for each test."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from recsys.config import Config
from recsys.eventlog import Event, EventLog, open_log
from recsys.eventlog.opening import schema_of

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 3, 5, 10, tzinfo=UTC)
POSTGRESQL = "postgresql://postgres@127.0.0.1:5432/postgres"
Open = Callable[..., EventLog]


def event(n: int, user: str = "anna", **more: Any) -> Event:
    return Event(
        **{
            "event_id": f"event-{n}",
            "user_id": user,
            "item_id": f"i{n % 7}",
            "event": "view",
            "timestamp": NOW - timedelta(minutes=n % 60),
            **more,
        }
    )


def connect() -> Any:
    """Connect to the PostgreSQL of this machine, or skip."""
    psycopg = pytest.importorskip("psycopg")
    try:
        return psycopg.connect(POSTGRESQL, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError:
        pytest.skip("no PostgreSQL answers at 127.0.0.1:5432 for the user postgres")


@contextmanager
def deployment(backend: str, storage: Path) -> Iterator[Config]:
    """Yield a configuration whose log is empty; its schema is dropped in the end."""
    if backend == "sqlite":
        yield Config(storage=str(storage))
        return
    connection, name = connect(), f"test_{uuid.uuid4().hex[:12]}"
    try:
        yield Config.model_validate({"storage": str(storage), "name": name, "eventlog": {"url": POSTGRESQL}})
    finally:
        connection.execute("SET lock_timeout = '10s'")  # a test that failed may have left a transaction open
        connection.execute(f"DROP SCHEMA IF EXISTS {schema_of(name)} CASCADE")
        connection.close()


@pytest.fixture(autouse=True)
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECSYS_EVENTLOG_URL", raising=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def deployed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Config]:
    with deployment(cast(str, request.param), tmp_path / "state") as config:
        yield config


@pytest.fixture
def opened(deployed: Config) -> Iterator[Open]:
    """Open the deployment's log, as often as wanted."""
    logs = []

    def build(key_id: str = "key-1") -> EventLog:
        logs.append(open_log(deployed, key_id, lambda: NOW))
        return logs[-1]

    yield build
    for log in logs:
        log.close()


@pytest.fixture
def log(opened: Open) -> EventLog:
    return opened()


@contextmanager
def process(code: str, config: Config, *arguments: str, **more: Any) -> Iterator["subprocess.Popen[str]"]:
    """Run Python with `config`, `log` and `event` defined, in a process group of its own that never outlives the test."""
    head = (
        "import sys\nfrom recsys.config import Config\nfrom recsys.eventlog import *\n"
        "from tests.eventlog.conftest import NOW, event\n"
        "config = Config.model_validate_json(sys.argv[1])\nlog = open_log(config, 'key-1', lambda: NOW)\n"
    )
    command = [sys.executable, "-c", head + code, config.model_dump_json(), *arguments]
    running = subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, start_new_session=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, **more,
    )  # fmt: skip
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
