"""The event log ingested by arrival: late events with their day, nothing twice, the same privacy door."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.data.arrivals import note_published, read_watermark
from recsys.errors import StorageError, ValidationFailedError
from recsys.eventlog import EventLog, User, open_log
from tests.data.conftest import moment
from tests.data.logged import LOG, Build, event, hidden, item, publish, read, snapshots, user


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
