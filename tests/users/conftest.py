"""Stores of every kind that can be reached here, each empty and its own, dropped afterwards."""

import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recsys.config import FeaturesConfig
from recsys.users import BackedUserStore, Backend, Event, Limits, Weighing
from recsys.users.postgresql import PostgresqlBackend
from recsys.users.redis_server import RedisBackend
from recsys.users.sqlite import SqliteBackend

START = datetime(2026, 1, 5, tzinfo=UTC)
REDIS = os.environ.get("RECSYS_TEST_REDIS", "redis://127.0.0.1:6379/0")
POSTGRESQL = os.environ.get("RECSYS_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432")
LIMITS = Limits(2000, 10_000)
KINDS = ("sqlite", "redis", "postgresql")

Open = Callable[..., BackedUserStore]
Place = tuple[str, str, str]  # kind, address, name


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def event(user: str = "ann", item: str = "a", hours: float = 0, kind: str = "view", **more: Any) -> Event:
    known = {"event_id": f"{user}-{item}-{hours}-{kind}", "value": None, "device": None}
    return Event(user_id=user, item_id=item, event=kind, timestamp=at(hours), **known | more)


def backend_at(place: Place) -> Backend:
    kind, address, name = place
    if kind == "sqlite":
        return SqliteBackend(Path(address))
    return RedisBackend(address, name) if kind == "redis" else PostgresqlBackend(address, name)


def store_at(place: Place, key_id: str = "key", limits: Limits = LIMITS, **features: Any) -> BackedUserStore:
    return BackedUserStore(backend_at(place), Weighing(FeaturesConfig(**features)), key_id, limits)


def redis_place() -> Iterator[Place]:
    redis = pytest.importorskip("redis")
    client = redis.Redis.from_url(REDIS, socket_connect_timeout=2)
    try:
        client.ping()
    except redis.exceptions.RedisError as error:
        pytest.skip(f"no Redis at {REDIS}: {type(error).__name__}")
    name = f"recsys-test-{uuid.uuid4().hex}"
    yield "redis", REDIS, name
    for key in client.scan_iter(f"{name}:*"):
        client.delete(key)


def postgresql_place() -> Iterator[Place]:
    psycopg = pytest.importorskip("psycopg")
    name = f"recsys_test_{uuid.uuid4().hex}"
    try:
        with psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True, connect_timeout=2) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at {POSTGRESQL}: {type(error).__name__}")
    yield "postgresql", f"{POSTGRESQL}/{name}", "demo"
    with psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield "sqlite", str(tmp_path / "users" / "users.sqlite"), ""
    else:
        yield from (redis_place if request.param == "redis" else postgresql_place)()


@pytest.fixture
def store(place: Place) -> Iterator[BackedUserStore]:
    store = store_at(place)
    yield store
    store.close()
