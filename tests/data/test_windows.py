"""What a training set reads of its snapshots: nothing past retention, however the days were loaded."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.config import Config
from recsys.data import ingest_range, is_timed, read_table, select_snapshots, validate_partitions
from recsys.data.snapshots import _latest
from recsys.schema import TIMESTAMP
from tests.data.conftest import DAY, LiteralSource

Build = Callable[..., Config]
DAYS = timedelta(days=1)


@pytest.fixture
def loaded(configured: Build, world: LiteralSource) -> Build:
    """Load the three days while everything was kept; return what configures the same root otherwise."""
    config = configured()
    validate_partitions(config, ingest_range(config, world, DAY, DAY + 3 * DAYS))
    return configured


def read(config: Config, as_of: datetime | None) -> Sequence[Any]:
    return read_table(select_snapshots(config, as_of).uri, "interactions").collect()[TIMESTAMP].sort().to_list()


def test_without_retention_all_days_are_read(loaded: Build) -> None:
    times = read(loaded(), DAY + 3 * DAYS)
    assert min(times) < DAY + DAYS and is_timed(select_snapshots(loaded(), None).uri)


@pytest.mark.parametrize("as_of", [None, DAY + 3 * DAYS])
def test_an_event_that_has_passed_retention_since_it_was_loaded_is_not_read(
    loaded: Build, as_of: datetime | None
) -> None:
    everything, kept = read(loaded(), as_of), read(loaded(privacy={"retention_days": 2}), as_of)
    assert kept == [time for time in everything if time >= DAY + DAYS]
    assert 0 < len(kept) < len(everything)


def test_retention_counts_back_from_the_run_not_from_the_last_day(loaded: Build) -> None:
    later = DAY + 4 * DAYS + timedelta(hours=6)
    kept = read(loaded(privacy={"retention_days": 2}), later)
    assert kept and min(kept) >= later - 2 * DAYS


@pytest.mark.parametrize(("retention", "window"), [(1, 2), (2, 1)])
def test_the_shorter_of_retention_and_window_counts(loaded: Build, retention: int, window: int) -> None:
    config = loaded(privacy={"retention_days": retention}, features={"window_days": window})
    assert min(read(config, DAY + 3 * DAYS)) >= DAY + 2 * DAYS


def test_the_latest_row_of_each_id_is_read_in_the_order_of_the_last(tmp_path: Path) -> None:
    days = [
        pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["a0", "b0", "c0"]}),
        pl.DataFrame({"item_id": ["c", "a", "c"], "title": ["c1", "a1", "c2"], "more": [1, 2, 3]}),
        pl.DataFrame({"item_id": ["d"], "title": [None]}, schema={"item_id": pl.String, "title": pl.String}),
    ]
    for place, day in enumerate(days):
        day.write_parquet(tmp_path / f"{place}.parquet", row_group_size=1)
    scans = [pl.scan_parquet(tmp_path / f"{place}.parquet") for place in range(3)]
    whole = pl.concat(days, how="diagonal_relaxed").unique("item_id", keep="last", maintain_order=True)
    found = pl.concat(_latest(scans, "item_id"), how="diagonal_relaxed")
    assert found.collect().equals(whole)
    assert found.select("title").collect()["title"].to_list() == ["b0", "a1", "c2", None]
