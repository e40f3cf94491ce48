import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.config import Config
from recsys.data.ingest import ingest_partition, ingest_range
from recsys.data.tables import TableWriter
from recsys.errors import ConfigError, StorageError
from recsys.storage import current, join, read_manifest
from tests.data.conftest import DAY, LiteralSource, event, item, moment, user

Build = Callable[..., Config]


def test_bulk_and_single_days_in_any_order_stage_the_same_bytes(
    configured: Build, world: LiteralSource, tmp_path: Path
) -> None:
    bulk = ingest_range(configured(storage=str(tmp_path / "bulk")), world, DAY, moment(3, 0))
    single = configured(storage=str(tmp_path / "single"))
    alone = [ingest_range(single, world, moment(day, 0), moment(day + 1, 0))[0] for day in (2, 0, 1)]
    digests = {one["partition"]: one["staged"].rsplit("/", 1)[1] for one in bulk}
    assert {one["partition"]: one["staged"].rsplit("/", 1)[1] for one in alone} == digests
    assert len(set(digests.values())) == 3


def test_a_partition_holds_the_users_and_items_its_events_name(configured: Build, world: LiteralSource) -> None:
    last = ingest_range(configured(), world, moment(2, 0), moment(3, 0))[0]
    users, events = (pl.read_parquet(f"{last['staged']}/{table}.parquet") for table in ("users", "interactions"))
    assert set(users["user_id"]) == set(events["user_id"])
    assert len(users) == 3  # u3 refused
    assert users.schema["age"] == pl.String


def test_the_first_day_brings_what_came_before_it_and_undated_items_come_always(configured: Build) -> None:
    source = LiteralSource(
        [event(0, day=0), event(1, day=1)],
        [user("u0", day=-5), user("silent", day=-5), user("undated", signed_up_at=None)],
        [item("i0", day=-9), item("old", day=-9), item("timeless", published_at=None), item("next", day=1)],
    )
    first, second = ingest_range(configured(), source, DAY, moment(2, 0))
    names = [set(pl.read_parquet(f"{day['staged']}/items.parquet")["item_id"]) for day in (first, second)]
    assert names == [{"i0", "old", "timeless"}, {"i0", "timeless", "next"}]
    assert [day["counts"]["users_kept"] for day in (first, second)] == [3, 1]


def test_the_register_is_read_once_for_all_days(configured: Build, world: LiteralSource) -> None:
    calls = []

    class Counting(LiteralSource):
        def users(self, start: datetime, end: datetime):  # type: ignore[no-untyped-def]
            calls.append(end)
            return super().users(start, end)

    ingest_range(configured(), Counting(world.event_rows, world.user_rows, world.item_rows), DAY, moment(3, 0))
    assert calls == [moment(3, 0)]


def test_an_interval_is_widened_to_days_and_must_not_be_empty(configured: Build, world: LiteralSource) -> None:
    days = ingest_range(configured(), world, moment(0, 5), moment(1, 7))
    assert [day["partition"] for day in days] == ["2026-01-01", "2026-01-02"]
    with pytest.raises(ConfigError, match="start must be before end"):
        ingest_range(configured(), world, moment(1, 0), moment(1, 0))


def test_row_groups_do_not_depend_on_batches(tmp_path: Path) -> None:
    rows = pl.DataFrame({"event_id": [str(n) for n in range(300_000)]})
    for name, size in (("a", 300_000), ("b", 1_007)):
        with TableWriter(tmp_path / name, {"event_id": pl.String()}) as writer:
            for piece in rows.iter_slices(size):
                writer.write(piece)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert pl.read_parquet(tmp_path / "b").equals(rows)


def test_an_unwritable_folder_is_a_storage_error(configured: Build, world: LiteralSource, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        ingest_range(configured(storage=str(tmp_path / "file")), world, DAY, moment(1, 0))


def test_a_source_that_fails_half_way_leaves_the_old_partition(configured: Build, world: LiteralSource) -> None:
    class Failing(LiteralSource):
        def interactions(self, start: datetime, end: datetime):  # type: ignore[no-untyped-def]
            yield next(super().interactions(start, end))
            raise KeyboardInterrupt

    config = configured()
    before = ingest_range(config, world, DAY, moment(1, 0))[0]["staged"]
    with pytest.raises(KeyboardInterrupt):
        ingest_partition(
            config, Failing(world.event_rows, world.user_rows, world.item_rows), DAY, moment(1, 0), "2026-01-01"
        )
    base = join(config.storage, "staging", "2026-01-01")
    assert current(base) == before
    assert not list(Path(base).glob(".writing-*"))


def test_a_killed_writer_leaves_the_old_version_and_a_rerun_repairs(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from recsys.storage import publish\n"
        "with publish(sys.argv[1]) as folder:\n"
        "    (folder.path / 'rows').write_text(sys.argv[2])\n"
        "    if sys.argv[2] == 'new': os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    base = str(tmp_path / "snapshots" / "2026-01-01")
    subprocess.run([sys.executable, "-c", script, base, "old"], check=True)
    before = current(base)
    killed = subprocess.run([sys.executable, "-c", script, base, "new"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert current(base) == before
    assert before is not None
    assert "rows" in read_manifest(before).files
