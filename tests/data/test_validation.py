import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.config import Config
from recsys.data import validate_partitions
from recsys.data.ingest import ingest_range
from recsys.data.snapshots import read_table, select_snapshots
from recsys.errors import DataError, StorageError, ValidationFailedError
from recsys.storage import current, join, publish, read_manifest, verify
from tests.data.conftest import DAY, LiteralSource, event, item, moment, user

Build = Callable[..., Config]
LOOSE = {"max_bad_fraction": 0.5}


def validated(config: Config, source: LiteralSource, first: int = 0, last: int = 1) -> dict[str, Any]:
    return validate_partitions(config, ingest_range(config, source, moment(first, 0), moment(last, 0)))


def quarantine(config: Config, table: str = "interactions", partition: str = "2026-01-01") -> pl.DataFrame:
    return pl.read_parquet(f"{current(join(config.storage, 'quarantine', partition))}/{table}.parquet")


def good(n: int) -> list[dict[str, Any]]:
    return [event(k, timestamp=moment(0, k / 10)) for k in range(n)]


BAD_EVENTS: list[tuple[dict[str, Any], str]] = [
    ({"event": "stare"}, "event_known"),
    ({"event": None}, "event_present"),
    ({"item_id": None}, "item_id_present"),
    ({"item_id": ""}, "item_id_present; interactions.item_known"),
    ({"item_id": "never published"}, "item_known"),
    ({"value": math.nan}, "value_finite"),
    ({"value": math.inf}, "value_finite; interactions.value_in_range"),
    ({"value": -1.0}, "value_in_range"),
    ({"value": 1e9}, "value_in_range"),
    ({"event": "rating", "value": None}, "rating_has_value"),
    ({"position": -1}, "position_in_range"),
    ({"propensity": 0.0}, "propensity_in_range"),
    ({"propensity": math.nan}, "propensity_finite"),
    ({"event_id": "event-u0-3"}, "not_duplicate"),
    ({"timestamp": moment(0, 0.3)}, "not_duplicate"),
    ({"timestamp": None}, "timestamp_present"),
    ({"timestamp": moment(99)}, "timestamp_inside_interval"),
    ({"timestamp": moment(-1)}, "timestamp_inside_interval"),
]


def test_each_kind_of_bad_event_goes_to_quarantine_with_its_reason(configured: Build) -> None:
    config = configured(validation=LOOSE)
    bad = [event(100 + n) | {"timestamp": moment(0, 20 + n / 10)} | change for n, (change, _) in enumerate(BAD_EVENTS)]
    result = validated(config, LiteralSource(good(20), [user("u0")], [item("i0")], outside=bad))
    assert quarantine(config)["reason"].to_list() == [f"interactions.{reason}" for _, reason in BAD_EVENTS]
    assert result["quarantined"] == len(BAD_EVENTS)
    clean = pl.read_parquet(f"{result['snapshots'][0]['snapshot']}/interactions.parquet")
    assert len(clean) == result["rows"]["interactions"] == 20
    assert "reason" not in clean.columns


def test_bad_users_and_items_go_to_quarantine(configured: Build) -> None:
    items = [item(f"i{n}") for n in range(5)]
    items += [item("i0", title="again"), item("late", expires_at=moment(-1)), item("odd", duration_s=math.inf)]
    users = [user(f"u{n}") for n in range(5)] + [user("u4")]
    config = configured(validation=LOOSE)
    result = validated(config, LiteralSource(good(9), users, items))
    reasons = dict(quarantine(config, "items").select("item_id", "reason").iter_rows())
    assert reasons == {
        "i0": "items.item_id_unique",
        "late": "items.expires_after_publication",
        "odd": "items.duration_finite",
    }
    assert quarantine(config, "users")["reason"].to_list() == ["users.user_id_unique"]
    assert result["rows"] == {"interactions": 9, "users": 5, "items": 5}


def test_events_of_a_user_who_is_not_in_users_go_to_quarantine(configured: Build, world: LiteralSource) -> None:
    config = configured(validation=LOOSE)
    staged = ingest_range(config, world, DAY, moment(1, 0))
    before = Path(staged[0]["staged"])
    users = pl.read_parquet(before / "users.parquet")
    lost = users["user_id"][0]
    with publish(join(config.storage, "staging", "2026-01-01"), read_manifest(str(before)).info) as folder:
        for table in ("interactions", "items"):
            shutil.copyfile(before / f"{table}.parquet", folder.path / f"{table}.parquet")
        users.filter(pl.col("user_id") != lost).write_parquet(folder.path / "users.parquet")
    validate_partitions(config, staged)
    assert set(quarantine(config)["reason"]) == {"interactions.user_known"}
    assert set(quarantine(config)["user_id"]) == {lost}


def test_past_the_threshold_the_message_names_all_a_person_needs(configured: Build) -> None:
    config = configured(validation={"max_bad_fraction": 0.1})
    source = LiteralSource(good(8), [user("u0")], [item("i0")])
    before = validated(config, source)["snapshots"][0]["snapshot"]
    broken = LiteralSource([*good(8), event(90, event="stare"), event(91, event="gaze")], [user("u0")], [item("i0")])
    with pytest.raises(ValidationFailedError) as caught:
        validated(config, broken)
    message = str(caught.value)
    for part in (
        "partition 2026-01-01",
        "table interactions",
        "event_known",
        "expect_column_values_to_be_in_set(event)",
        "2 of 10 rows",
        "20.0%",
        "allowed 10.0%",
        "data_docs/2026-01-01/index.html",
    ):
        assert part in message
    assert "u0" not in message.replace(config.storage, "")
    assert current(join(config.storage, "snapshots", "2026-01-01")) == before
    assert quarantine(config).height == 2
    pages = "".join(page.read_text() for page in Path(config.storage, "data_docs").rglob("*.html"))
    assert "one row per event id" in pages
    assert "gaze" not in pages


def test_data_docs_need_nothing_from_elsewhere_and_list_what_failed(configured: Build) -> None:
    config = configured(validation=LOOSE)
    validated(config, LiteralSource([*good(8), event(90, event="stare")], [user("u0")], [item("i0")]))
    site = Path(config.storage, "data_docs", "2026-01-01")
    for page in site.rglob("*.html"):
        assert not re.search(r"""<script|<img|<link|url\(|(src|href)=["']https?:""", page.read_text()), page
    rows = re.findall(
        r'<tr><td class="(\w+)"></td><td><a href="([^"]+)">(\w+)</a></td>', (site / "index.html").read_text()
    )
    assert {table: status for status, _, table in rows} == {
        "interactions": "failed",
        "users": "passed",
        "items": "passed",
        "partitions": "passed",
    }
    assert all("validations/" in address and (site / address).is_file() for _, address, _ in rows)


def test_a_good_rerun_empties_the_quarantine(configured: Build) -> None:
    config = configured(validation=LOOSE)
    validated(config, LiteralSource([*good(8), event(90, event="stare")], [user("u0")], [item("i0")]))
    assert quarantine(config).height == 1
    validated(config, LiteralSource(good(8), [user("u0")], [item("i0")]))
    assert quarantine(config).height == 0


def test_an_older_task_cleared_after_a_correction_leaves_the_correction_in_force(configured: Build) -> None:
    config = configured(validation=LOOSE)
    users, items = [user("u0")], [item("i0")]
    wrong = ingest_range(config, LiteralSource(good(8), users, items), DAY, moment(1, 0))
    validate_partitions(config, wrong)
    corrected = validated(config, LiteralSource(good(5), users, items))
    again = validate_partitions(config, wrong)
    assert again["rows"]["interactions"] == 5
    assert again["snapshots"] == corrected["snapshots"]
    assert current(join(config.storage, "snapshots", "2026-01-01")) == corrected["snapshots"][0]["snapshot"]
    assert (again["newer"], corrected["newer"]) == (["2026-01-01"], [])


def test_a_failed_task_cleared_after_the_source_was_mended_and_loaded_again_passes(configured: Build) -> None:
    config = configured(validation={"max_bad_fraction": 0.1})
    users, items = [user("u0")], [item("i0")]
    bad = [event(n, event="stare") for n in (90, 91)]
    broken = ingest_range(config, LiteralSource([*good(8), *bad], users, items), DAY, moment(1, 0))
    for _ in range(2):  # clearing it alone reads no source
        with pytest.raises(
            ValidationFailedError, match="mend the source or its mapping and load it again, from ingest"
        ):
            validate_partitions(config, broken)
    ingest_range(config, LiteralSource(good(8), users, items), DAY, moment(1, 0))
    assert validate_partitions(config, broken)["rows"]["interactions"] == 8
    assert quarantine(config).height == 0


def test_a_task_cleared_after_the_root_moved_reads_what_is_staged_there(configured: Build, tmp_path: Path) -> None:
    config = configured(validation=LOOSE)
    staged = ingest_range(config, LiteralSource(good(8), [user("u0")], [item("i0")]), DAY, moment(1, 0))
    Path(config.storage).rename(tmp_path / "restored")
    moved = configured(validation=LOOSE, storage=str(tmp_path / "restored"))
    assert validate_partitions(moved, staged)["rows"]["interactions"] == 8
    assert not Path(config.storage).exists()


def test_a_damaged_or_missing_staging_says_to_load_again(configured: Build) -> None:
    config = configured(validation=LOOSE)
    source = LiteralSource(good(8), [user("u0")], [item("i0")])
    staged = ingest_range(config, source, DAY, moment(1, 0))
    path = Path(staged[0]["staged"], "items.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageError, match=r"items.parquet is missing or changed"):
        validate_partitions(config, staged)
    assert validated(config, source)["rows"]["interactions"] == 8  # loading it again repairs it
    shutil.rmtree(join(config.storage, "staging"))
    with pytest.raises(StorageError, match="nothing is staged for 2026-01-01.*load it again, from ingest"):
        validate_partitions(config, staged)


def test_a_snapshot_damaged_in_any_way_is_repaired_by_loading_its_day_again(configured: Build) -> None:
    config = configured(validation=LOOSE)
    source = LiteralSource([*good(8), event(90, event="stare")], [user("u0")], [item("i0")])
    before = validated(config, source)["snapshots"][0]["snapshot"]
    base = Path(config.storage, "snapshots", "2026-01-01")
    for spoil in (
        lambda: Path(before, "interactions.parquet").write_bytes(b"x"),
        lambda: Path(before, "MANIFEST.json").unlink(),
        lambda: (base / "CURRENT.json").write_text("{}"),
        lambda: Path(config.storage, "quarantine", "2026-01-01", "CURRENT.json").write_text("{}"),
    ):
        spoil()
        assert validated(config, source)["snapshots"][0]["snapshot"] == before
        assert select_snapshots(config).snapshots == (before,)
        assert quarantine(config).height == 1


def test_a_damaged_pointer_of_the_quarantine_hides_no_earlier_rows(configured: Build) -> None:
    config = configured(validation=LOOSE)
    validated(config, LiteralSource([*good(8), event(90, event="stare")], [user("u0")], [item("i0")]))
    Path(config.storage, "quarantine", "2026-01-01", "CURRENT.json").write_text("")
    validated(config, LiteralSource(good(8), [user("u0")], [item("i0")]))
    assert quarantine(config).height == 0


def test_all_users_without_consent_is_a_clear_error(configured: Build) -> None:
    source = LiteralSource(good(5), [user("u0", consent=False), user("u1", consent=False)], [item("i0")])
    with pytest.raises(DataError, match=r"2 of 2 users withheld .* 5 events read \(withheld_no_consent 5\)"):
        validated(configured(), source)


def test_no_events_and_no_partitions_are_clear_errors(configured: Build) -> None:
    with pytest.raises(DataError, match="no event in this interval"):
        validated(configured(), LiteralSource([], [user("u0")], [item("i0")]))
    with pytest.raises(DataError, match="no partition"):
        validate_partitions(configured(), [])


def test_a_fall_of_volume_stops_the_run_and_keeps_earlier_days(configured: Build) -> None:
    events = [event(n, timestamp=moment(0, n / 10)) for n in range(120)] + [event(900, day=1)]
    config = configured()
    with pytest.raises(ValidationFailedError, match=r"2026-01-02.*volume.*observed 0.008333 .*allowed min_value 0.2"):
        validated(config, LiteralSource(events, [user("u0")], [item("i0")]), last=2)
    assert current(join(config.storage, "snapshots", "2026-01-01"))
    assert current(join(config.storage, "snapshots", "2026-01-02")) is None


def test_a_stale_partition_stops_the_run(configured: Build) -> None:
    source = LiteralSource(good(5), [user("u0")], [item("i0")])
    with pytest.raises(ValidationFailedError, match=r"fresh.*observed 71\.6 .*max_value 24"):
        validated(configured(partition="all"), source, last=3)


def test_bulk_and_day_by_day_publish_the_same_snapshots_and_a_rerun_replaces_one_day(
    configured: Build, world: LiteralSource, tmp_path: Path
) -> None:
    world.event_rows.append(event(999, "u1", "unknown", day=1))
    settings = {"validation": LOOSE}
    bulk = validated(configured(storage=str(tmp_path / "bulk"), **settings), world, 0, 3)["snapshots"]
    one = configured(storage=str(tmp_path / "single"), **settings)
    days = [validated(one, world, day, day + 1)["snapshots"][0] for day in (0, 2, 1)]
    digests = {day["partition"]: verify(day["snapshot"]).digest for day in days}
    assert {day["partition"]: verify(day["snapshot"]).digest for day in bulk} == digests
    world.event_rows.append(event(1000, "u1", "i0", day=1, timestamp=moment(1, 23.9)))
    validated(one, world, 1, 2)
    after = {name: str(current(join(one.storage, "snapshots", name))).rsplit("/", 1)[1] for name in digests}
    assert [name for name in digests if after[name] != digests[name]] == ["2026-01-02"]


def test_pieces_of_a_large_partition_give_the_same_snapshot_as_the_whole(
    configured: Build, world: LiteralSource, tmp_path: Path
) -> None:
    world.event_rows += [event(50, "u1", "unknown", day=2), world.event_rows[3]]
    results = []
    for rows in (13, 1_000_000):
        config = configured(
            storage=str(tmp_path / str(rows)), partition="all", validation={**LOOSE, "batch_rows": rows}
        )
        results.append(verify(validated(config, world, 0, 3)["snapshots"][0]["snapshot"]).digest)
        assert sorted(quarantine(config, partition="all")["reason"]) == [
            "interactions.item_known",
            "interactions.not_duplicate",
        ]
    assert results[0] == results[1]


def test_selection_reads_days_before_as_of_and_the_latest_row_of_each_user(
    configured: Build, world: LiteralSource
) -> None:
    config = configured(features={"window_days": 1})
    validated(config, world, 0, 3)
    everything = select_snapshots(config.model_copy(update={"features": Config().features}))
    assert len(everything.snapshots) == 3
    assert read_table(everything.uri, "users").collect()["user_id"].n_unique() == 3
    assert read_table(everything.uri, "users").collect().height == 3
    assert read_table(everything.uri, "interactions").collect().height == 110  # u3's ten are withheld
    cut = select_snapshots(config, moment(2, 0))
    events = read_table(cut.uri, "interactions").collect()
    assert len(cut.snapshots) == 2
    assert events["timestamp"].min() >= moment(1, 0)
    assert events["timestamp"].max() < moment(2, 0)
    assert cut == select_snapshots(config, moment(2, 0))
    with pytest.raises(DataError, match="no snapshots before"):
        select_snapshots(config, DAY)


def test_ids_with_unicode_commas_and_newlines_pass(configured: Build) -> None:
    names = ["zoë", "a,b", "new\nline", '"quoted"']
    events = [event(n, names[n % 4], names[n // 4], timestamp=moment(0, n)) for n in range(16)]
    config = configured()
    validated(config, LiteralSource(events, [user(n) for n in names], [item(n) for n in names]))
    dataset = select_snapshots(config).uri
    assert set(read_table(dataset, "items").collect()["item_id"]) == set(names)
    assert read_table(dataset, "interactions").collect().height == 16


def test_validation_into_an_unwritable_folder_is_a_storage_error(configured: Build, world: LiteralSource) -> None:
    config = configured()
    partitions = ingest_range(config, world, DAY, moment(1, 0))
    Path(config.storage, "snapshots").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        validate_partitions(config, partitions)


def test_great_expectations_is_not_imported_with_the_data_room() -> None:
    code = "import sys, recsys.data; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_rank_on_the_screen_survives_a_bad_row(configured: Build) -> None:
    config = configured(validation=LOOSE)
    rows = [*good(3), event(90, event="stare", position=7)]
    result = validated(config, LiteralSource(rows, [user("u0")], [item("i0")]))
    clean = pl.read_parquet(f"{result['snapshots'][0]['snapshot']}/interactions.parquet")
    assert clean["position"].to_list() == [1, 1, 1]
    assert quarantine(config)["position"].to_list() == [7]
