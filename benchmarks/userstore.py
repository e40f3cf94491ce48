"""Latencies of get and apply, and bytes per user, of every backend of users' states that can be reached.

    python benchmarks/userstore.py                          # small
    python benchmarks/userstore.py --users 100000 --reads 5000

Redis and PostgreSQL are those of RECSYS_TEST_REDIS and RECSYS_TEST_POSTGRESQL, by default on this machine; everything
is written under a name of its own and removed. Prints a table; latencies in milliseconds.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from recsys.config import FeaturesConfig
from recsys.users import BackedUserStore, Backend, Event, Limits, Weighing
from recsys.users.postgresql import PostgresqlBackend
from recsys.users.redis_server import RedisBackend
from recsys.users.sqlite import SqliteBackend

REDIS = os.environ.get("RECSYS_TEST_REDIS", "redis://127.0.0.1:6379/0")
POSTGRESQL = os.environ.get("RECSYS_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432")
START = datetime(2026, 1, 1, tzinfo=UTC)
BLOCK = 500  # users made and stored at a time

Size = Callable[[], int]


def an_event(generator: random.Random, user: str) -> Event:
    return Event(
        event_id=f"{generator.getrandbits(128):032x}",
        user_id=user,
        item_id=f"item-{generator.randrange(20_000):06d}",
        event=generator.choice(["view", "view", "click", "like", "rating"]),
        value=round(generator.uniform(1, 900), 1),
        timestamp=START + timedelta(seconds=generator.uniform(0, 60 * 86_400)),
        device=generator.choice(["phone", "tv", "web"]),
    )


@contextmanager
def sqlite() -> Iterator[tuple[Backend, Size]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "users.sqlite")
        backend = SqliteBackend(path)
        yield backend, lambda: (backend.scrub(), path.stat().st_size)[1]
        backend.close()


@contextmanager
def redis() -> Iterator[tuple[Backend, Size]]:
    backend = RedisBackend(REDIS, f"recsys-benchmark-{uuid.uuid4().hex}")
    before = backend._client.info("memory")["used_memory"]
    try:
        yield backend, lambda: backend._client.info("memory")["used_memory"] - before
    finally:
        backend.clear()


@contextmanager
def postgresql() -> Iterator[tuple[Backend, Size]]:
    import psycopg

    name = f"recsys_benchmark_{uuid.uuid4().hex}"
    with psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True, connect_timeout=2) as server:
        server.execute(f"CREATE DATABASE {name}")
        backend = PostgresqlBackend(f"{POSTGRESQL}/{name}", "benchmark")
        size = "SELECT pg_total_relation_size('recsys_user_states')"
        try:
            yield backend, lambda: int(backend._rows(size, ())[0][0])
        finally:
            backend.close()
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def times(call: Callable[[str], object], names: list[str]) -> str:
    """Return median and 99th percentile in milliseconds."""
    taken = []
    for name in names:
        start = time.perf_counter()
        call(name)
        taken.append(1000 * (time.perf_counter() - start))
    taken.sort()
    return f"{statistics.median(taken):.3f} / {taken[int(0.99 * len(taken))]:.3f}"


def measure(name: str, backend: Backend, size: Size, n_users: int, n_events: int, n_reads: int) -> str:
    generator, weighing = random.Random(1), Weighing(FeaturesConfig())
    store = BackedUserStore(backend, weighing, "benchmark", Limits(2000, 10_000))
    users = [f"{generator.getrandbits(128):032x}" for _ in range(n_users)]
    empty, start = size() if store.count() == 0 else 0, time.perf_counter()
    for first in range(0, n_users, BLOCK):
        block = users[first : first + BLOCK]
        store.fill(weighing.states([an_event(generator, user) for user in block for _ in range(n_events)]))
    filled = time.perf_counter() - start
    per_user = (size() - empty) / n_users
    chosen = generator.choices(users, k=n_reads)
    before = psutil.Process().memory_info().rss
    get = times(store.get, chosen)
    growth = (psutil.Process().memory_info().rss - before) / 2**20
    batch = [an_event(generator, user) for user in generator.choices(users, k=200)]
    one = times(lambda user: store.apply([an_event(generator, user)]), chosen[: n_reads // 5])
    start = time.perf_counter()
    store.apply(batch)
    batched = 1000 * (time.perf_counter() - start) / len(batch)
    return (
        f"{name:<11} {n_users:>8} {filled:>8.1f} {per_user:>8.0f} {get:>16} {one:>18} {batched:>14.3f} {growth:>8.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--events", type=int, default=50, help="of each user")
    parser.add_argument("--reads", type=int, default=500)
    asked = parser.parse_args()
    print("backend        users   fill s  B/user  get p50 / p99   apply 1 p50 / p99  of 200, each   grown MB")
    for name, place in (("sqlite", sqlite), ("redis", redis), ("postgresql", postgresql)):
        try:
            with place() as (backend, size):
                print(measure(name, backend, size, asked.users, asked.events, asked.reads), flush=True)
        except Exception as error:  # a server that is not there, in the words of its own package
            print(f"{name:<11} not measured: {type(error).__name__}")


if __name__ == "__main__":
    main()
