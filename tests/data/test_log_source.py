"""The event log as a source: one state per run, one key, a second source beside it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.data import open_source, read_consented
from recsys.errors import ConfigError, SourceError, StorageError
from recsys.eventlog import EventLog, User, open_log
from recsys.storage import join
from tests.data.conftest import moment
from tests.data.logged import LOG, Build, event, hidden, item, publish, read, user


def test_one_partition_for_all_is_read_when_anything_arrived(configured: Build) -> None:
    config = configured(**LOG, partition="all")
    log = open_log(config, "development", lambda: moment(0, 23))
    log.put_users([user("u0")])
    log.put_items([item("i0")])
    log.append_events([event(n) for n in range(20)])
    assert publish(config) == ["all"]
    assert publish(config) == []
    log.append_events([event(30, day=2)])
    assert publish(config) == ["all"]


def test_an_empty_log_and_one_of_another_key_are_told(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="holds no event yet"):
        pipeline.ingest(config)
    monkeypatch.setenv("RECSYS_PSEUDONYM_KEY", "another key of enough bytes")
    with pytest.raises(StorageError, match="written with the pseudonym key development"):
        pipeline.ingest(config)


def test_the_door_refuses_pseudonyms_of_another_key(
    config: Config, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(config)
    monkeypatch.setenv("RECSYS_PSEUDONYM_KEY", "another key of enough bytes")
    from recsys.data import PrivacyDoor

    with pytest.raises(ConfigError, match="pseudonyms of the key development"):
        PrivacyDoor(config, source, moment(3, 0))


def test_the_key_of_a_log_cannot_be_rotated(config: Config, log: EventLog) -> None:
    with pytest.raises(ConfigError, match="pseudonyms alone"):
        pipeline.rotate_key(config)


def test_a_backtest_reads_the_log_too(config: Config, log: EventLog) -> None:
    interactions, users, items = read_consented(config)
    assert len(interactions) == 42 or set(interactions["user_id"]) == {hidden("u0"), hidden("u1")}
    assert "_changed_at" not in users.columns + items.columns


@pytest.fixture
def beside(tmp_path: Path) -> dict[str, Any]:
    pl.DataFrame(
        {
            "id": ["u0", "u1", "u2", "u3"],
            "consent_personalization": ["yes", "no", "yes", "yes"],
            "gender": ["f", "f", "m", "m"],
        }
    ).write_csv(tmp_path / "users.csv")
    pl.DataFrame(
        {"item_id": ["i0", "i1", "i2"], "title": ["Zero", "One", "Two"], "published_at": ["2025-12-01"] * 3}
    ).write_csv(tmp_path / "items.csv")
    users, items = ({"uri": str(tmp_path / f"{name}.csv")} for name in ("users", "items"))
    return {"kind": "files", "users": users | {"columns": {"user_id": "id"}}, "items": items}


def test_users_and_items_of_a_second_source_are_read_and_those_of_the_log_win(
    configured: Build, beside: dict[str, Any]
) -> None:
    config = configured(**LOG | {"source": {"kind": "log", "beside": beside}})
    log = open_log(config, "development", lambda: moment(0, 23))
    log.append_events([event(n, f"u{n % 5}", f"i{n % 4}") for n in range(40)])
    log.put_users([user("u1", gender="x"), User(user_id=hidden("u2"), deleted=True), user("u4")])
    log.put_items([item("i1", title="Won"), item("i3")])
    log.delete_items(["i2"])
    publish(config)
    users = {row["user_id"]: row for row in read(config, "users", "2026-01-01").iter_rows(named=True)}
    items = {row["item_id"]: row for row in read(config, "items", "2026-01-01").iter_rows(named=True)}
    assert {name: row["gender"] for name, row in users.items()} == {
        hidden("u0"): "f", hidden("u1"): "x", hidden("u3"): "m", hidden("u4"): None,
    }  # fmt: skip
    assert set(read(config, "interactions", "2026-01-01")["user_id"]) == set(users)
    assert {name: row["title"] for name, row in items.items()} == {
        "i0": "Zero", "i1": "Won", "i2": "Two", "i3": "Title i3",
    }  # fmt: skip
    assert {name for name, row in items.items() if row["expires_at"]} == {"i2"}


def test_the_demo_world_can_stand_beside_the_log(configured: Build) -> None:
    demo = {"kind": "demo", "start": "2026-01-01", "days": 2, "scale": 0.02, "n_items": 20}
    config = configured(**LOG | {"source": {"kind": "log", "beside": demo}})
    world = open_source(configured(source=demo))
    users = next(iter(world.users(moment(0, 0), moment(1, 0))))
    items = next(iter(world.items(moment(0, 0), moment(1, 0))))
    names = users.filter(pl.col("consent_personalization"))["user_id"].to_list()[:5]
    log = open_log(config, "development", lambda: moment(0, 23))
    log.append_events([event(n, names[n % 5], items["item_id"][n % 7]) for n in range(35)])
    assert publish(config) == ["2026-01-01"]
    assert len(read(config, "interactions", "2026-01-01")) == 35


def test_every_event_of_the_log_comes_once_whatever_the_interval(config: Config, log: EventLog) -> None:
    source = open_source(config)
    begin, end = source.interval()
    whole = pl.concat(source.interactions(begin, end))
    halves = [pl.concat(source.interactions(begin + timedelta(hours=6 * n), begin + timedelta(hours=6 * n + 6)))
              for n in range(12)]  # fmt: skip
    assert len(whole) == 60
    assert sorted(pl.concat(halves)["event_id"]) == sorted(whole["event_id"])


def test_a_run_sees_one_state_of_the_log(config: Config, log: EventLog) -> None:
    source = open_source(config)
    source.interval()
    log.append_events([event(500, day=1)])
    log.put_users([user("late")])
    assert len(pl.concat(source.interactions(moment(0, 0), moment(9, 0)))) == 60
    assert hidden("late") not in pl.concat(source.users(moment(-9, 0), moment(9, 0)))["user_id"].to_list()


def test_the_embedded_log_lies_below_the_storage_root(config: Config, log: EventLog) -> None:
    assert Path(join(config.storage, "eventlog", "events.sqlite")).stat().st_mode & 0o777 == 0o600
