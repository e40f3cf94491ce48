"""A small world written down row by row, behind the Source protocol."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.config import Config
from recsys.eventlog import EventLog, open_log
from recsys.schema import INTERACTIONS, ITEMS, PUBLISHED_AT, SIGNED_UP_AT, TIMESTAMP, USERS

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def moment(day: int, hour: float = 12.0) -> datetime:
    return DAY + timedelta(days=day, hours=hour)


def frame(rows: list[dict[str, Any]], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    columns = {name: [row.get(name) for row in rows] for name in schema}
    return pl.DataFrame(columns, schema=schema)


def event(n: int, user: str | None = "u0", item: str | None = "i0", day: int = 0, **more: Any) -> dict[str, Any]:
    row = {"event_id": f"event-{user}-{n}", "user_id": user, "item_id": item, "event": "view", "value": 3.0}
    return row | {"timestamp": moment(day, 1 + n % 23), "session_id": f"session-{user}", "position": 1} | more


def user(name: str, day: int = 0, consent: bool | None = True, **more: Any) -> dict[str, Any]:
    row = {"user_id": name, "age": 30, "gender": "f", "location": "DE/Berlin/Mitte", "do_not_sell": False}
    return row | {"consent_personalization": consent, "signed_up_at": moment(day, 0.5)} | more


def item(name: str, day: int = 0, **more: Any) -> dict[str, Any]:
    row = {"item_id": name, "title": f"Title {name}", "categories": ["news"], "duration_s": 60.0}
    return row | {"published_at": moment(day, 0.25)} | more


@dataclass
class LiteralSource:
    """Rows as given; `outside` events are returned whatever the interval, as a careless source would."""

    event_rows: list[dict[str, Any]]
    user_rows: list[dict[str, Any]]
    item_rows: list[dict[str, Any]]
    batch: int = 7
    outside: list[dict[str, Any]] = field(default_factory=list)

    def interval(self) -> tuple[datetime, datetime]:
        return DAY, DAY + timedelta(days=3)

    def users(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        yield from self._within(frame(self.user_rows, USERS), SIGNED_UP_AT, start, end)

    def items(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        yield from self._within(frame(self.item_rows, ITEMS), PUBLISHED_AT, start, end)

    def interactions(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        rows = frame(self.event_rows, INTERACTIONS)
        yield from rows.filter((pl.col(TIMESTAMP) >= start) & (pl.col(TIMESTAMP) < end)).iter_slices(self.batch)
        yield frame(self.outside, INTERACTIONS)

    def _within(self, rows: pl.DataFrame, column: str, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        inside = pl.col(column).is_null() | ((pl.col(column) >= start) & (pl.col(column) < end))
        yield from rows.filter(inside).iter_slices(self.batch)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECSYS_PSEUDONYM_KEY", raising=False)
    monkeypatch.delenv("RECSYS_PSEUDONYM_KEY_FILE", raising=False)


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Config]:
    def build(**settings: Any) -> Config:
        return Config.model_validate({"storage": str(tmp_path / "state"), **settings})

    return build


@pytest.fixture
def world() -> LiteralSource:
    """Three days, four users (one more each day), three items, 40 events a day."""
    users = [user("u0"), user("u1"), user("u2", day=1), user("u3", day=2, consent=False)]
    items = [item("i0"), item("i1"), item("i2", day=1)]
    events = [
        event(
            day * 100 + n,
            f"u{n % min(2 + day, 4)}",
            f"i{n // 4 % (2 + (day > 0))}",
            day,
            timestamp=moment(day, 1 + n / 2),
        )
        for day in range(3)
        for n in range(40)
    ]
    return LiteralSource(events, users, items)


@pytest.fixture
def config(configured: Callable[..., Config]) -> Config:
    """A deployment whose source is its event log."""
    from tests.data.logged import LOG

    return configured(**LOG)


@pytest.fixture
def log(config: Config) -> EventLog:
    """Three days of 20 events of two users who agree and one who does not."""
    from tests.data import logged

    opened = open_log(config, "development", lambda: moment(0, 23))
    opened.put_users([logged.user("u0"), logged.user("u1"), logged.user("u2", consent_personalization=False)])
    opened.put_items([logged.item("i0"), logged.item("i1")])
    for day in range(3):
        opened.append_events([logged.event(n, f"u{n % 3}", f"i{n % 2}", day) for n in range(20)], at=moment(day, 23))
    return opened
