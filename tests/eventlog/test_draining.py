"""From a broker into the log, with a broker that redelivers, reorders and dies."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from recsys.config import Config
from recsys.errors import StorageError
from recsys.eventlog import Appended, Drained, Event, EventLog, Message, drain, erase_quarantined, open_log
from tests.eventlog.conftest import NOW


class DiedError(Exception):
    """The fake broker or the process is gone."""


@dataclass
class Broker:
    """Keeps messages and a committed offset; a new client is handed everything after it, in batches."""

    values: list[bytes]
    batch: int = 10
    committed: int = 0
    calls: list[str] = field(default_factory=list)


@dataclass
class Client:
    broker: Broker
    dies_at: str = ""
    shuffled: random.Random | None = None

    def __post_init__(self) -> None:
        self.place = self.broker.committed

    def poll(self) -> Sequence[Message]:
        self._call("poll")
        chosen = range(self.place, min(self.place + self.broker.batch, len(self.broker.values)))
        messages = [Message(f"events/0/{n}", self.broker.values[n]) for n in chosen]
        self.place += len(messages)
        if self.shuffled and messages:
            again = self.shuffled.sample(range(len(self.broker.values)), 4)  # delivered again, or too early
            early = [Message(f"events/0/{n}", self.broker.values[n]) for n in again]
            mixed = [*early, *messages[:-1]]
            self.shuffled.shuffle(mixed)
            return [*mixed, messages[-1]]
        return messages

    def commit(self, offset: str) -> None:
        self._call("commit")
        self.broker.committed = int(offset.rsplit("/", 1)[1]) + 1

    def _call(self, name: str) -> None:
        self.broker.calls.append(name)
        if self.dies_at and f"{name} {self.broker.calls.count(name)}" == self.dies_at:
            raise DiedError


def message(n: int, **more: Any) -> bytes:
    row = {
        "event_id": f"e{n}",
        "user_id": "anna",
        "item_id": "i",
        "event": "view",
        "timestamp": "2026-03-05T11:00:00+01:00",
    }
    return json.dumps(row | more).encode()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(storage=str(tmp_path / "state"))


@pytest.fixture
def log(config: Config) -> Iterator[EventLog]:
    opened = open_log(config, "key-1")
    yield opened
    opened.close()


def at() -> datetime:
    return NOW


def ids(log: EventLog) -> list[str]:
    return [one.row.event_id for one in log.read_events(0, 10_000)]


def quarantined(config: Config) -> list[dict[str, str]]:
    folder = Path(config.storage) / "quarantine-eventlog"
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]


def test_messages_become_rows_and_offsets_are_committed(log: EventLog, config: Config) -> None:
    broker = Broker([
        *(message(n, propensity=0.5) for n in range(25)),
        json.dumps({"stream": "users", "user_id": "anna", "age": 3}).encode(),
        json.dumps({"stream": "items", "item_id": "i", "categories": ["a"], "expires_at": "2027-01-01T00:00Z"}).encode(),
    ])  # fmt: skip
    assert drain(Client(broker), log, config.storage, at) == Drained(new=27, repeated=0, quarantined=0)
    assert broker.committed == 27
    assert ids(log) == [f"e{n}" for n in range(25)]
    row = log.read_events(0, 1)[0]
    assert (row.row.timestamp, row.arrived_at) == (NOW, NOW)
    assert [one.row.age for one in log.users()] == [3]
    assert [one.row.categories for one in log.items()] == [("a",)]


@pytest.mark.parametrize("dies_at", ["poll 1", "poll 3", "commit 1", "commit 2", "commit 3"])
def test_a_client_that_dies_half_way_loses_and_doubles_nothing(log: EventLog, config: Config, dies_at: str) -> None:
    broker = Broker([message(n) for n in range(30)])
    with pytest.raises(DiedError):
        drain(Client(broker, dies_at), log, config.storage, at)
    assert set(ids(log)) >= {f"e{n}" for n in range(broker.committed)}
    drain(Client(broker), log, config.storage, at)
    assert ids(log) == [f"e{n}" for n in range(30)]


def test_nothing_is_committed_that_the_log_did_not_take(log: EventLog, config: Config) -> None:
    class Failing:
        def append_events(self, batch: Sequence[Event], when: datetime) -> Appended:
            raise StorageError("its disk is full")

    broker = Broker([message(n) for n in range(5)])
    with pytest.raises(StorageError, match="full"):
        drain(Client(broker), Failing(), config.storage, at)  # type: ignore[arg-type]
    assert broker.committed == 0
    drain(Client(broker), log, config.storage, at)
    assert len(ids(log)) == 5


def test_a_broker_that_redelivers_and_reorders_counts_each_event_once(log: EventLog, config: Config) -> None:
    broker = Broker([message(n) for n in range(100)])
    drained = drain(Client(broker, shuffled=random.Random(3)), log, config.storage, at)
    assert sorted(ids(log)) == sorted(f"e{n}" for n in range(100))
    assert drained == Drained(new=100, repeated=40, quarantined=0)


POISON = [
    b"\xff\xfe",
    b"no json",
    b"[" * 100_000,
    b"[1]",
    b"null",
    b'{"stream": "others"}',
    b'{"stream": []}',
    message(900, surprise=1),
    b'{"event_id": "e901"}',
    message(902, timestamp="yesterday"),
    message(903, timestamp=12),
    message(904, timestamp="2026-03-05T11:00:00"),
    message(905, value="3"),
    message(906, event="looked"),
    b'{"event_id": "e907", "user_id": "anna", "item_id": "i", "event": "view", "timestamp": "2026-03-05T11:00Z", "value": NaN}',
    message(908, user_id=""),
]  # fmt: skip


def test_poison_goes_to_quarantine_and_blocks_nothing(log: EventLog, config: Config) -> None:
    good = [message(n) for n in range(40)]
    values = [each for n, one in enumerate(good) for each in ([one, POISON[n]] if n < len(POISON) else [one])]
    broker = Broker(values, batch=7)
    drained = drain(Client(broker), log, config.storage, at)
    assert drained == Drained(new=40, repeated=0, quarantined=len(POISON))
    assert sorted(ids(log)) == sorted(f"e{n}" for n in range(40))
    assert broker.committed == len(values)
    found = quarantined(config)
    assert len(found) == len(POISON)
    texts = {each["message"] for each in found}
    assert texts == {poison.decode("utf-8", "backslashreplace") for poison in POISON}
    assert all(each["reason"] and each["offset"].startswith("events/0/") for each in found)


def test_poison_that_cannot_be_set_aside_is_not_committed(log: EventLog, config: Config) -> None:
    Path(config.storage).mkdir(parents=True)
    (Path(config.storage) / "quarantine-eventlog").write_text("in the way")
    broker = Broker([message(1), b"no json"])
    with pytest.raises(StorageError, match="cannot write"):
        drain(Client(broker), log, config.storage, at)
    assert broker.committed == 0


def test_quarantined_messages_of_an_erased_user_can_be_removed(log: EventLog, config: Config) -> None:
    drain(Client(Broker([message(1, value="x"), message(2, value="x", user_id="berta")])), log, config.storage, at)
    assert erase_quarantined(config.storage, "anna") == 1
    assert [json.loads(each["message"])["user_id"] for each in quarantined(config)] == ["berta"]
    assert erase_quarantined(config.storage, "anna") == 0
