"""SQL: what a database may answer, and how a failure is told without its secrets."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy

from recsys.config import Config, SqlSource, TableMapping
from recsys.data.sources import Source, open_source
from recsys.errors import ConfigError, SourceError

Ask = Callable[[str], Source]


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


def test_values_of_mixed_types_become_null_where_they_cannot_be_read(ask: Ask) -> None:
    source = ask("SELECT * FROM e")
    rows = pl.concat(source.interactions(*source.interval())).sort("user_id")
    assert rows["item_id"].to_list() == ["7", "x"]
    assert rows["value"].to_list() == [3.0, None]


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


def test_a_missing_url_names_the_variable() -> None:
    source = SqlSource(url_env="NO_SUCH_URL", interactions=TableMapping(query="SELECT 1"))
    with pytest.raises(ConfigError, match="NO_SUCH_URL"):
        open_source(Config(source=source)).interval()


@pytest.mark.parametrize("url", ["postgresql+psycopg://me:hunter2@127.0.0.1:1/x", "nosuch://me:hunter2@host/x"])
def test_an_unreachable_database_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("TEST_SQL_URL", url)
    source = SqlSource(url_env="TEST_SQL_URL", interactions=TableMapping(query="SELECT 1"))
    with pytest.raises((SourceError, ConfigError)) as caught:
        open_source(Config(source=source)).interval()
    assert "hunter2" not in str(caught.value)
