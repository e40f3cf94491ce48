"""The event log as a source: one state per run, late events with their day, the same privacy door."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.data import load_key, open_source, pseudonymise, read_consented
from recsys.data.arrivals import note_published, read_watermark
from recsys.data.validation.outcome import publish_snapshot
from recsys.data.validation.staged import Staged
from recsys.errors import ConfigError, SourceError, StorageError, ValidationFailedError
from recsys.eventlog import Event, EventLog, Item, User, open_log
from recsys.storage import current, join
from tests.data.conftest import moment

Build = Callable[..., Config]
LOG = {"source": {"kind": "log"}, "validation": {"max_copied_share": 1.0}}


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


@pytest.fixture
def config(configured: Build) -> Config:
    return configured(**LOG)


@pytest.fixture
def log(config: Config) -> EventLog:
    """Three days of 20 events of two users who agree and one who does not."""
    log = open_log(config, "development", lambda: moment(0, 23))
    log.put_users([user("u0"), user("u1"), user("u2", consent_personalization=False)])
    log.put_items([item("i0"), item("i1")])
    for day in range(3):
        log.append_events([event(n, f"u{n % 3}", f"i{n % 2}", day) for n in range(20)], at=moment(day, 23))
    return log


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


def test_pseudonyms_of_the_log_pass_as_they_are_and_consent_is_applied(config: Config, log: EventLog) -> None:
    assert publish(config) == ["2026-01-01", "2026-01-02", "2026-01-03"]
    events, users = read(config, "interactions", "2026-01-01"), read(config, "users", "2026-01-01")
    assert set(events["user_id"]) == set(users["user_id"]) == {hidden("u0"), hidden("u1")}
    assert len(events) == 14
    assert not set(events["event_id"]) & {f"event-0-{n}" for n in range(20)}  # they may have a person's id inside
    assert users["age"].to_list() == ["25-34"] * 2
    assert set(users["location"]) == {"DE"}
    assert "_changed_at" not in users.columns


def test_ingesting_twice_changes_nothing_and_without_arrivals_no_day_is_touched(config: Config, log: EventLog) -> None:
    publish(config)
    before = snapshots(config)
    log.append_events([event(n, f"u{n % 3}", f"i{n % 2}", 1) for n in range(20)])  # all of them repeated
    assert publish(config) == []
    (Path(config.storage) / "scans" / "arrivals.json").unlink()
    assert len(publish(config)) == 3
    assert snapshots(config) == before


def test_a_late_event_republishes_its_day_only(config: Config, log: EventLog) -> None:
    publish(config)
    before = snapshots(config)
    log.append_events([event(100, day=1)], at=moment(9))
    assert publish(config) == ["2026-01-02"]
    after = snapshots(config)
    assert [day for day in after if after[day] != before[day]] == ["2026-01-02"]
    assert len(read(config, "interactions", "2026-01-02")) == 15
    assert publish(config) == []


def test_one_day_at_a_time_is_as_good_as_all_at_once(configured: Build, tmp_path: Path) -> None:
    results = []
    for name, times in (("slow", 3), ("fast", 1)):
        config = configured(storage=str(tmp_path / name), **LOG)
        log = open_log(config, "development", lambda: moment(0, 23))
        log.put_users([user("u0"), user("u1", day=1)])
        log.put_items([item("i0"), item("i1", day=1)])
        for day in range(3):
            log.append_events([event(n, f"u{n % 2}", f"i{n % 2}", day) for n in range(20)])
            if times == 3:
                publish(config)
        publish(config)
        results.append({day: str(uri).rsplit("/", 1)[1] for day, uri in snapshots(config).items()})
    assert results[0] == results[1]


@pytest.mark.slow
def test_nothing_is_noted_before_the_days_are_published(config: Config, log: EventLog) -> None:
    staged = pipeline.ingest(config)["partitions"]
    assert read_watermark(config.storage, 10**9).arrival == 0
    assert len(pipeline.ingest(config)["partitions"]) == 3  # they were never published
    pipeline.validate(config, staged)
    assert read_watermark(config.storage, 10**9).arrival == log.last()
    log.append_events([event(n, day=3, value=1e9) for n in range(100, 120)])  # above validation.max_value
    with pytest.raises(ValidationFailedError):
        pipeline.validate(config, pipeline.ingest(config)["partitions"])
    assert [one["partition"] for one in pipeline.ingest(config)["partitions"]] == ["2026-01-04"]


def test_an_older_run_that_is_published_late_notes_no_older_number(config: Config, log: EventLog) -> None:
    older = pipeline.ingest(config)["partitions"]
    log.append_events([event(100, day=1)])
    publish(config)
    note_published(config, older)
    assert read_watermark(config.storage, 10**9).arrival == log.last()


def test_days_after_the_end_are_left_for_later(config: Config, log: EventLog) -> None:
    assert publish(config, None, "2026-01-03") == ["2026-01-01", "2026-01-02"]
    assert publish(config, None, "2026-01-03") == []
    assert read_watermark(config.storage, 10**9).left == {date(2026, 1, 3)}
    assert publish(config, None, "2026-01-04") == ["2026-01-03"]
    assert publish(config) == []


def test_an_explicit_interval_reads_its_days_and_moves_no_mark(config: Config, log: EventLog) -> None:
    assert publish(config, "2026-01-02", "2026-01-03") == ["2026-01-02"]
    assert publish(config) == ["2026-01-01", "2026-01-02", "2026-01-03"]


def test_a_log_that_was_restored_is_read_from_its_beginning(config: Config, log: EventLog) -> None:
    publish(config)
    mark = Path(config.storage) / "scans" / "arrivals.json"
    mark.write_text(json.dumps({"arrival": 10**6, "left": []}))
    assert len(publish(config)) == 3
    mark.write_text("{}")
    with pytest.raises(StorageError, match="remove it to ingest the whole event log again"):
        publish(config)


@pytest.mark.slow
def test_a_killed_run_is_repeated_whole(config: Config, log: EventLog) -> None:
    code = (
        "import os, signal, sys\nfrom recsys import pipeline\nfrom recsys.config import Config\n"
        "import recsys.data.validation.validate as validate\n"
        "publish, done = validate.publish_snapshot, []\n"
        "def dying(config, staged):\n"
        "    done.append(publish(config, staged))\n"
        "    if len(done) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return done[-1]\n"
        "validate.publish_snapshot = dying\n"
        "config = Config.model_validate_json(sys.argv[1])\n"
        "pipeline.validate(config, pipeline.ingest(config)['partitions'])\n"
    )
    log.close()
    root = Path(__file__).resolve().parents[2]
    killed = subprocess.run([sys.executable, "-c", code, config.model_dump_json()], check=False, cwd=root,
                            env={**os.environ, "PYTHONPATH": str(root)}, start_new_session=True, capture_output=True)  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(publish(config)) == 3
    assert publish(config) == []


def test_a_withdrawal_counts_for_days_that_are_not_read_again(config: Config, log: EventLog) -> None:
    publish(config)
    log.put_users([user("u1", consent_personalization=False)])
    publish(config)
    dataset = pipeline.select(config)["dataset"]
    from recsys.data import read_table

    assert set(read_table(dataset, "interactions").collect()["user_id"]) == {hidden("u0")}


@pytest.mark.parametrize("consent_missing", ["withhold", "allow"])
def test_a_deleted_user_is_withheld_everywhere(configured: Build, consent_missing: str) -> None:
    config = configured(**LOG, privacy={"consent_missing": consent_missing})
    log = open_log(config, "development", lambda: moment(0, 23))
    log.put_items([item("i0")])
    log.append_events([event(n, f"u{n % 2}") for n in range(20)])
    log.put_users([user("u0"), User(user_id=hidden("u1"), deleted=True)])
    publish(config)
    assert set(read(config, "interactions", "2026-01-01")["user_id"]) == {hidden("u0")}


def test_a_changed_and_a_deleted_item_come_with_the_newest_day(config: Config, log: EventLog) -> None:
    log.put_items([item("silent")])
    publish(config)
    log.put_items([item("silent", title="New")], at=moment(2, 23))
    log.delete_items(["i1"], at=moment(2, 23))
    assert publish(config) == ["2026-01-03"]
    from recsys.data import read_table

    items = read_table(pipeline.select(config)["dataset"], "items").collect()
    rows = {row["item_id"]: row for row in items.iter_rows(named=True)}
    assert rows["silent"]["title"] == "New"
    assert rows["i1"]["expires_at"] == moment(2, 23)
    assert rows["i1"]["title"] == "Title i1"
    assert rows["i0"]["expires_at"] is None


def test_a_change_that_came_on_a_day_is_in_its_partition_however_it_is_read(config: Config, log: EventLog) -> None:
    log.put_items([item("silent", day=0)], at=moment(1, 23))
    publish(config)
    found = [day for day in snapshots(config) if "silent" in read(config, "items", day)["item_id"].to_list()]
    assert found == ["2026-01-01", "2026-01-02"]


def test_an_erased_users_days_are_read_again(config: Config, log: EventLog) -> None:
    log.append_events([event(0, "u1", day=4)])
    publish(config)
    log.erase(hidden("u1"))
    assert publish(config) == ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-05"]
    for day in snapshots(config):
        for table in ("interactions", "users"):
            assert hidden("u1") not in read(config, table, day)["user_id"].to_list()
    assert len(read(config, "interactions", "2026-01-05")) == 0
    log.put_users([user("u0", consent_personalization=False)])
    pipeline.ingest(config)
    from recsys.data.register import allowed_users, newest_consent

    consent = newest_consent(config.storage)
    assert consent
    assert allowed_users(consent).is_empty()  # type: ignore[union-attr]


def test_times_far_from_all_others_come_with_the_first_day(config: Config, log: EventLog) -> None:
    log.append_events([event(100, timestamp=datetime(2040, 1, 1, tzinfo=UTC))])
    assert publish(config) == ["2026-01-01", "2026-01-02", "2026-01-03"]  # validation sets them aside
    assert len(read(config, "interactions", "2026-01-01")) == 15
    log.append_events([event(101, timestamp=datetime(2041, 1, 1, tzinfo=UTC))])
    assert publish(config) == ["2026-01-01"]


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
