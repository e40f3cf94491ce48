"""How many durable events a second the event log takes, in batches of 100 by one writer.

    python -m benchmarks.eventlog [seconds] [folder]

Prints one line for SQLite in the folder (by default the working directory, whose disk counts) and, where it answers,
one for PostgreSQL at `RECSYS_EVENTLOG_URL` or on this machine, in a schema that is dropped again; then how long an
erasure takes.
"""

import os
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from recsys.config import Config
from recsys.errors import RecsysError
from recsys.eventlog import Event, EventLog, open_log
from recsys.eventlog.opening import schema_of

URL = "postgresql://postgres@127.0.0.1:5432/postgres"
BATCH = 100
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def batch(number: int) -> list[Event]:
    """Return exposures and clicks with ids as long as real ones."""
    return [
        Event(
            event_id=uuid.uuid4().hex,
            user_id=f"{(number * BATCH + n) % 5_000:032x}",
            item_id=f"item-{n}",
            event="impression" if n % 10 else "click",
            timestamp=NOW,
            request_id=f"{number:032x}",
            position=n,
            propensity=0.1,
            bundle_version="0123456789abcdef",
            device="phone",
            country="DE",
        )
        for n in range(BATCH)
    ]


def measure(name: str, log: EventLog, seconds: float) -> None:
    """Write for some seconds, then erase one user; print both."""
    log.append_events(batch(0))
    n, times, begin = 0, [], time.perf_counter()
    while time.perf_counter() - begin < seconds:
        rows = batch(n + 1)
        start = time.perf_counter()
        log.append_events(rows)
        times.append(time.perf_counter() - start)
        n += 1
    times.sort()
    rate, slow = n * BATCH / sum(times), times[int(0.99 * len(times))]
    start = time.perf_counter()
    log.erase(f"{1:032x}")
    erased = time.perf_counter() - start
    print(f"{name}: {rate:,.0f} events/s, 99 % of batches within {1000 * slow:.1f} ms; {n * BATCH:,} events, "
          f"erasing one user took {erased:.2f} s")  # fmt: skip


def main() -> None:
    """Measure each database."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else Path.cwd()) as folder:
        log = open_log(Config(storage=folder), "benchmark", lambda: NOW)
        measure("SQLite", log, seconds)
        log.close()
    url, name = os.environ.get("RECSYS_EVENTLOG_URL", URL), f"benchmark_{uuid.uuid4().hex[:8]}"
    try:
        log = open_log(Config.model_validate({"name": name, "eventlog": {"url": url}}), "benchmark", lambda: NOW)
        log.last()
    except RecsysError as error:
        print(f"PostgreSQL: not measured, {error}")
        return
    try:
        measure("PostgreSQL", log, seconds)
    finally:
        log.close()
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {schema_of(name)} CASCADE")


if __name__ == "__main__":
    main()
