"""A new pseudonym key: everything is loaded again under it before anything is replaced."""

import polars as pl
import pytest

from recsys import pipeline
from recsys.data import read_table
from recsys.data.register import key_ids
from recsys.errors import ConfigError, DataError
from recsys.storage import exists, join, list_names
from tests.pipeline.conftest import Tables

pytestmark = pytest.mark.slow


def users(config: object) -> set[str]:
    chosen = pipeline.select(config)["dataset"]  # type: ignore[arg-type]
    return set(read_table(chosen, "interactions").select("user_id").collect()["user_id"])


def test_after_a_rotation_everything_is_of_the_new_key(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tables.config().model_copy(update={"partition": "day"})
    pipeline.validate(config, pipeline.ingest(config)["partitions"])
    before = users(config)
    monkeypatch.setenv("RECSYS_PSEUDONYM_KEY", "another key of sixteen bytes")
    with pytest.raises(ConfigError, match="recsys rotate-key"):
        pipeline.ingest(config)
    rotated = pipeline.rotate_key(config)
    assert rotated["partitions"] == list_names(join(config.storage, "snapshots"))
    assert key_ids(config.storage) == {rotated["key_id"]} != {"development"}
    after = users(config)
    assert len(after) == len(before) == 30 and not after & before
    assert not list_names(join(config.storage, "rotation"))
    pipeline.validate(config, pipeline.ingest(config)["partitions"])
    assert pipeline.rotate_key(config)["partitions"] == []


def test_a_day_the_source_no_longer_holds_is_not_lost(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tables.config().model_copy(update={"partition": "day"})
    pipeline.validate(config, pipeline.ingest(config)["partitions"])
    before, snapshots = users(config), list_names(join(config.storage, "snapshots"))
    tables.interactions = tables.interactions.filter(pl.col("timestamp") >= "2026-01-03")
    config = tables.config().model_copy(update={"partition": "day"})
    monkeypatch.setenv("RECSYS_PSEUDONYM_KEY", "another key of sixteen bytes")
    with pytest.raises(DataError, match="no longer holds 2 stored partitions, the first 2026-01-01"):
        pipeline.rotate_key(config)
    assert list_names(join(config.storage, "snapshots")) == snapshots
    assert users(config) == before and exists(join(config.storage, "rotation"))
