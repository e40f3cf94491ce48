"""Rows of an event log, and what was published of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from recsys import pipeline
from recsys.config import Config
from recsys.data import load_key, pseudonymise
from recsys.data.arrivals import note_published
from recsys.data.validation.outcome import publish_snapshot
from recsys.data.validation.staged import Staged
from recsys.eventlog import Event, Item, User
from recsys.storage import current
from tests.data.conftest import moment

Build = Callable[..., Config]
LOG: dict[str, Any] = {"source": {"kind": "log"}, "validation": {"max_copied_share": 1.0}}


def hidden(name: str) -> str:
    return str(pseudonymise(pl.Series([name]), load_key(Config()))[0])


def event(n: int, user: str = "u0", item: str = "i0", day: int = 0, **more: Any) -> Event:
    values = {"event": "view", "value": 3.0, "timestamp": moment(day, 1 + n % 22 + n / 600), **more}
    return Event(event_id=f"event-{day}-{n}", user_id=hidden(user), item_id=item, **values)


def user(name: str, day: int = 0, **more: Any) -> User:
    values = {"age": 30, "location": "DE/Berlin", "consent_personalization": True, "signed_up_at": moment(day, 0.5)}
    return User(user_id=hidden(name), **values | more)


def item(name: str, day: int = 0, **more: Any) -> Item:
    return Item(
        item_id=name, **{"title": f"Title {name}", "published_at": moment(day, 0.25), "duration_s": 60.0} | more
    )


def publish(config: Config, *interval: str | None) -> list[str]:
    """Ingest and publish what is staged, unchecked: Great Expectations takes its time. Returns the partitions."""
    staged = pipeline.ingest(config, *interval)["partitions"]
    for one in staged:
        publish_snapshot(config, Staged.of(config.storage, one))
    note_published(config, staged)
    return [one["partition"] for one in staged]


def snapshots(config: Config) -> dict[str, str | None]:
    base = Path(config.storage) / "snapshots"
    return {day.name: current(str(day)) for day in sorted(base.iterdir())} if base.exists() else {}


def read(config: Config, table: str, day: str) -> pl.DataFrame:
    return pl.read_parquet(f"{snapshots(config)[day]}/{table}.parquet")
