"""Daily partitions: a backfill, scheduled days and a bulk load give the same bytes; a rerun replaces its day alone."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.storage import current, verify
from tests.pipeline.conftest import configured

pytestmark = pytest.mark.slow

N_DAYS = 30
FIRST = date(2026, 1, 1)


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def world_of(storage: Path, **source: Any) -> Config:
    return configured(storage, {"kind": "demo", "scale": 0.05, "n_items": 100, "days": N_DAYS, **source})


def load(config: Config, *interval: str) -> None:
    pipeline.validate(config, pipeline.ingest(config, *interval)["partitions"])


def snapshots(config: Config) -> dict[str, dict[str, bytes]]:
    """Return every file of each day's current snapshot, its manifest included, after checking the hashes."""
    found = {}
    for folder in sorted(Path(config.storage, "snapshots").iterdir()):
        uri = current(str(folder)) or ""
        verify(uri)
        found[folder.name] = {path.name: path.read_bytes() for path in sorted(Path(uri).iterdir())}
    return found


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """All days loaded by one run."""
    config = world_of(tmp_path_factory.mktemp("bulk"))
    load(config)
    return config


def test_thirty_days_one_by_one_forwards_or_backwards_give_the_bytes_of_one_load(bulk: Config, tmp_path: Path) -> None:
    expected = snapshots(bulk)
    assert list(expected) == [day(number) for number in range(N_DAYS)]
    assert len({files["interactions.parquet"] for files in expected.values()}) == N_DAYS
    scheduled, backwards = world_of(tmp_path / "scheduled"), world_of(tmp_path / "backwards")
    for number in range(N_DAYS):
        load(scheduled, day(number), day(number + 1))
    for number in reversed(range(0, N_DAYS, 5)):
        load(backwards, day(number), day(number + 5))
    assert snapshots(scheduled) == expected
    assert snapshots(backwards) == expected


def test_a_rerun_of_one_day_replaces_that_day_only(bulk: Config) -> None:
    before = snapshots(bulk)
    shifted = world_of(Path(bulk.storage), shift_from=day(12))  # the source now tells another story from day 12 on
    load(shifted, day(12), day(13))
    after = snapshots(bulk)
    assert [name for name in before if after[name] != before[name]] == [day(12)]
    load(bulk, day(12), day(13))
    assert snapshots(bulk) == before
