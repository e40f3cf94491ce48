"""SQL: what databases hand over, and what goes wrong there."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy

from recsys import schema
from recsys.config import Config, SqlSource, TableMapping
from recsys.data.sources import Source, open_source
from recsys.errors import ConfigError, SourceError

Opener = Callable[..., Source]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    def build(query: str, url: str = f"sqlite:///{tmp_path}/events.db", batch_rows: int = 2, **tables: str) -> Source:
        monkeypatch.setenv("RECSYS_SQL_URL", url)
        others = {name: TableMapping(query=text) for name, text in tables.items()}
        return open_source(
            Config(source=SqlSource(interactions=TableMapping(query=query), batch_rows=batch_rows, **others))
        )

    return build


ROW = "select 'u' user_id, 'i' item_id, 'click' event, '2026-01-02' timestamp"


def test_a_missing_or_unusable_url_is_named_without_its_secret(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="RECSYS_SQL_URL") as refused:
        opened(ROW, url="nothing://me:secret@host/db").interval()
    assert "secret" not in str(refused.value)
    source = opened(ROW)
    monkeypatch.delenv("RECSYS_SQL_URL")
    with pytest.raises(ConfigError, match="environment: RECSYS_SQL_URL"):
        source.interval()


def test_a_failing_query_is_named(opened: Opener) -> None:
    with pytest.raises(SourceError, match="the interactions query failed"):
        opened("select * from nowhere").interval()


def test_a_query_without_rows_is_refused_for_any_table(opened: Opener) -> None:
    with pytest.raises(SourceError, match="interactions query returned no rows"):
        opened(f"{ROW} where 1 = 0").interval()
    source = opened(ROW, users="select 'u' user_id where 1 = 0")
    with pytest.raises(SourceError, match="users query returned no rows"):
        list(source.users(*source.interval()))
    with pytest.raises(ConfigError, match=r"interactions.query is empty"):
        opened("").interval()


def test_a_column_returned_twice_is_refused(opened: Opener) -> None:
    with pytest.raises(SourceError, match="columns twice: event"):
        opened(f"{ROW}, 'x' event").interval()


def test_columns_of_mixed_types_are_read(opened: Opener) -> None:
    source = opened(f"{ROW}, 1 value union all {ROW}, 'many' union all {ROW}, 2.5", batch_rows=10)
    frame = pl.concat(list(source.interactions(*source.interval())))
    assert frame[schema.VALUE].to_list() == [1.0, None, 2.5]


def test_a_small_batch_without_a_readable_value_does_not_stop_the_run(opened: Opener) -> None:
    source = opened(f"{ROW}, 'bad' value union all {ROW}, 1.0", batch_rows=1)
    frame = pl.concat(list(source.interactions(*source.interval())))
    assert frame[schema.VALUE].to_list() == [None, 1.0]


def test_uuids_arrays_numerics_and_zoned_times_of_postgres_are_read(opened: Opener, postgres: str) -> None:
    one = uuid.UUID(int=1)
    query = (
        f"select '{one}'::uuid user_id, 'i' item_id, 'like' event, 2.5::numeric as value, "
        "'2026-01-02 03:04:05+02'::timestamptz as timestamp"
    )
    source = opened(query, url=postgres, items="select 'i' item_id, array['a', 'b'] categories")
    row = pl.concat(list(source.interactions(*source.interval()))).row(0, named=True)
    assert (row["user_id"], row["value"]) == (str(one), 2.5)
    assert row["timestamp"] == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    assert pl.concat(list(source.items(*source.interval())))[schema.CATEGORIES].to_list() == [["a", "b"]]


def test_reading_postgres_streams_instead_of_fetching_everything(opened: Opener, postgres: str) -> None:
    query = (
        "select n::text user_id, 'i' item_id, 'click' event, "
        "timestamp '2026-01-01' + n * interval '1 second' as timestamp "
        "from generate_series(1, 50000) n"
    )
    source = opened(query, url=postgres, batch_rows=1000)
    sizes = [len(batch) for batch in source.interactions(*source.interval())]
    assert sizes == [1000] * 50


def test_sqlite_keeps_text_that_looks_like_numbers(opened: Opener, tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/events.db")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("create table e (user_id text, item_id text, event text, timestamp text)"))
        connection.execute(sqlalchemy.text("insert into e values ('007', 'i', 'click', '2026-01-02')"))
    source = opened("select * from e")
    assert pl.concat(list(source.interactions(*source.interval())))[schema.USER_ID].to_list() == ["007"]
