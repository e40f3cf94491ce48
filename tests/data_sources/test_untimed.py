"""Interactions without times: declared in the mapping, read whole, and refused where a setting needs times."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy
from pydantic import ValidationError

from recsys.config import Config
from recsys.data import open_source
from recsys.errors import SourceError
from recsys.schema import EVENT_ID, TIMESTAMP

RATINGS = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["1", "2", "1"], "value": [4.0, 5.0, 3.0]})
ITEMS = pl.DataFrame({"item_id": ["1", "2"], "published_at": ["2020-05-01T10:00:00Z", "2021-03-04T22:00:00Z"]})
USERS = pl.DataFrame({"user_id": ["a", "b"], "signed_up_at": ["2019-05-01", None], "consent_personalization": True})


def configured(
    folder: Path, ratings: pl.DataFrame = RATINGS, mapping: Any = (), dated: bool = True, **more: Any
) -> Config:
    ratings.write_csv(folder / "ratings.csv")
    source: dict[str, Any] = {
        "kind": "files",
        "interactions": {
            "uri": str(folder / "ratings.csv"),
            "timestamps": "none",
            "constants": {"event": "rating"},
            **dict(mapping),
        },
    }
    for name, table in (("items", ITEMS), ("users", USERS)) if dated else ():
        table.write_csv(folder / f"{name}.csv")
        source[name] = {"uri": str(folder / f"{name}.csv")}
    return Config.model_validate({"storage": str(folder / "state"), "partition": "all", "source": source, **more})


def read(config: Config) -> pl.DataFrame:
    source = open_source(config)
    return pl.concat(list(source.interactions(*source.interval())))


def test_every_event_has_the_last_second_of_the_last_known_day(tmp_path: Path) -> None:
    config = configured(tmp_path)
    day = datetime(2021, 3, 4, tzinfo=UTC)
    assert open_source(config).interval() == (day, day + timedelta(days=1))
    assert read(config)[TIMESTAMP].to_list() == [datetime(2021, 3, 4, 23, 59, 59, tzinfo=UTC)] * 3


def test_without_any_date_that_day_is_the_first_of_1970(tmp_path: Path) -> None:
    config = configured(tmp_path, dated=False)
    assert open_source(config).interval()[0] == datetime(1970, 1, 1, tzinfo=UTC)
    assert len(read(config)) == 3


def test_ids_of_events_do_not_depend_on_that_day(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    dated, undated = read(configured(tmp_path)), read(configured(tmp_path / "other", dated=False))
    assert dated[EVENT_ID].to_list() == undated[EVENT_ID].to_list()
    assert dated[EVENT_ID].n_unique() == 3


def test_a_database_is_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("create table ratings (user_id text, item_id text, value real)"))
        connection.execute(sqlalchemy.text("insert into ratings values ('a', '1', 4), ('b', '1', 3)"))
        connection.execute(sqlalchemy.text("create table items (item_id text, published_at text)"))
        connection.execute(sqlalchemy.text("insert into items values ('1', '2021-03-04')"))
    monkeypatch.setenv("RECSYS_SQL_URL", str(engine.url))
    mapping = {"query": "select * from ratings", "timestamps": "none", "constants": {"event": "rating"}}
    source = {"kind": "sql", "interactions": mapping, "items": {"query": "select * from items"}}
    config = Config.model_validate({"storage": str(tmp_path), "partition": "all", "source": source})
    assert read(config)[TIMESTAMP].to_list() == [datetime(2021, 3, 4, 23, 59, 59, tzinfo=UTC)] * 2


def test_a_missing_time_that_nobody_declared_says_how_to_declare_it(tmp_path: Path) -> None:
    config = configured(tmp_path, mapping={"timestamps": "given"})
    with pytest.raises(SourceError, match=r'there are no times: source\.interactions\.timestamps = "none"'):
        read(config)


def test_a_time_that_is_there_is_not_passed_over(tmp_path: Path) -> None:
    ratings = RATINGS.with_columns(pl.lit("2020-01-01").alias("timestamp"))
    with pytest.raises(SourceError, match=r"has a column 'timestamp', but"):
        read(configured(tmp_path, ratings))
    ignored = configured(tmp_path, ratings, {"ignore": ["timestamp"]})
    assert read(ignored)[TIMESTAMP].dt.year().to_list() == [2021] * 3


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({"partition": "day"}, 'partition = "all"'),
        ({"privacy": {"retention_days": 30}}, "privacy.retention_days = 0"),
        ({"features": {"window_days": 30}}, "features.window_days = 0"),
        ({"model": {"task": "next"}}, 'model.task = "auto"'),
        ({"mapping": {"columns": {"timestamp": "when"}}}, "map no timestamp"),
    ],
)
def test_settings_that_need_times_are_refused(tmp_path: Path, settings: dict[str, Any], needed: str) -> None:
    with pytest.raises(ValidationError, match=needed):
        configured(tmp_path, **settings)
