"""SQL: what databases hand over, and what goes wrong there."""

import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy

from recsys import schema
from recsys.config import Config, SqlSource, TableMapping
from recsys.data.sources import Source, open_source
from recsys.data.sources.sql import SqlReader, counting
from recsys.errors import ConfigError, SourceError

Opener = Callable[..., Source]
Ask = Callable[[str], Source]


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


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Open a source over a SQLite database with one event and a value column of mixed types."""
    url = f"sqlite:///{tmp_path}/one.db"
    with sqlalchemy.create_engine(url).begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE e (user_id, item_id, event, timestamp, value)"))
        connection.execute(sqlalchemy.text("INSERT INTO e VALUES ('u1', 7, 'view', '2026-03-01', 3), "
                                           "('u2', 'x', 'view', '2026-03-02', 'many')"))  # fmt: skip
    monkeypatch.setenv("TEST_SQL_URL", url)
    return lambda query: open_source(
        Config(source=SqlSource(url_env="TEST_SQL_URL", interactions=TableMapping(query=query)))
    )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM nowhere", "interactions query"),
        ("SELECT * FROM e WHERE 1 = 0", "interactions"),
        ("SELECT user_id, event, timestamp FROM e", "item_id"),
        ("SELECT *, 1 AS mood FROM e", "mood"),
        ("SELECT user_id, item_id, event, 'soon' AS timestamp FROM e", "timestamp"),
    ],
)
def test_a_query_that_breaks_the_contract_is_refused(ask: Ask, query: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        ask(query).interval()


@pytest.mark.parametrize("url", ["postgresql+psycopg://me:hunter2@127.0.0.1:1/x", "nosuch://me:hunter2@host/x"])
def test_an_unreachable_database_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("TEST_SQL_URL", url)
    source = SqlSource(url_env="TEST_SQL_URL", interactions=TableMapping(query="SELECT 1"))
    with pytest.raises((SourceError, ConfigError)) as caught:
        open_source(Config(source=source)).interval()
    assert "hunter2" not in str(caught.value)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SqlReader]:
    """Open a source over 3,000 events of three days; `mapping` settles the rest."""
    url = f"sqlite:///{tmp_path}/shop.db"
    rows = [(f"u{n}", f"i{n % 7}", "Buy" if n % 2 else "look", 86_400 * (20_000 + n % 3), n % 2) for n in range(3000)]
    with sqlalchemy.create_engine(url).begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE e (user_id, item_id, word, at, bought)"))
        connection.exec_driver_sql("INSERT INTO e VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute(sqlalchemy.text("INSERT INTO e VALUES ('u0', 'i0', 'ignored', 86400 * 20100, NULL)"))
    monkeypatch.setenv("SHOP", url)

    def build(query: str = "SELECT user_id, item_id, word, at FROM e;", **mapping: object) -> SqlReader:
        settings = {"timestamp_unit": "s", "columns": {"event": "word", "timestamp": "at"}, **mapping}
        table = TableMapping.model_validate({"query": query, **settings})
        return SqlReader(SqlSource(url_env="SHOP", interactions=table))

    return build


WORDS = {"buy": "purchase", "look": "view", "ignored": "ignore"}
DAYS = datetime(2024, 10, 4, tzinfo=UTC), datetime(2024, 10, 7, tzinfo=UTC)


def test_days_are_counted_by_the_database_and_rows_stay_there(
    shop: Callable[..., SqlReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = shop(events=WORDS)
    read = list(source._read("interactions"))
    expected = Counter(moment.date() for batch in read for moment in batch[schema.TIMESTAMP])
    monkeypatch.setattr(source, "_read", lambda _: pytest.fail("rows were read"))
    assert source._counted_days() == expected
    assert source.interval() == DAYS


def test_only_what_is_distinct_in_time_and_kind_is_fetched(shop: Callable[..., SqlReader]) -> None:
    source = shop(events=WORDS)
    statement = counting("SELECT * FROM e", ["user_id", "item_id", "word", "at", "bought"], ["word", "at"])
    with source._result("interactions", statement) as (names, result):
        assert (names, len(result.all())) == (["word", "at", "recsys_n_rows"], 7)


def test_flags_decide_which_events_a_counted_row_is(shop: Callable[..., SqlReader]) -> None:
    query = "SELECT user_id, item_id, at, bought FROM e WHERE bought IS NOT NULL"
    source = shop(query, columns={"timestamp": "at"}, flags={"purchase": "bought"}, otherwise="ignore")
    counted = source._counted_days()
    assert counted is not None and counted.total() == 1500


@pytest.mark.parametrize("query", ["SELECT user_id, item_id, word, at FROM e -- all of them", "refused"])
def test_a_query_that_cannot_be_counted_is_read(
    shop: Callable[..., SqlReader], query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if query == "refused":
        monkeypatch.setattr("recsys.data.sources.sql.counting", lambda *_: sqlalchemy.text("SELECT nothing"))
        query = "SELECT user_id, item_id, word, at FROM e"
    source = shop(query, events=WORDS)
    assert source._counted_days() is None or "--" in query
    assert source.interval() == DAYS


def test_times_that_cannot_be_read_are_told_from_the_rows(shop: Callable[..., SqlReader]) -> None:
    source = shop("SELECT user_id, item_id, word, 'soon' AS at FROM e", events=WORDS)
    with pytest.raises(SourceError, match="no value can be read as .* for interactions.timestamp"):
        source.interval()
