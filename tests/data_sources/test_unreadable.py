"""What a source cannot read: the row says so, a whole column is refused with the setting that would read it."""

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy

from recsys.config import Config, FilesSource, SqlSource, TableMapping
from recsys.data.sources import Source, open_source
from recsys.data.tables import UNREADABLE
from recsys.errors import SourceError

HEADER = "user_id,item_id,event,timestamp,value"
Open = Callable[..., Source]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Open rows of (timestamp, value), as text, from a CSV file."""

    def build(rows: list[tuple[str, str]], max_gap_days: int = 366, **mapping: object) -> Source:
        lines = [f'u,i{n},view,"{time}","{value}"' for n, (time, value) in enumerate(rows)]
        (tmp_path / "events.csv").write_text("\n".join([HEADER, *lines]))
        table = TableMapping.model_validate({"uri": str(tmp_path / "events.csv"), **mapping})
        validation = {"max_gap_days": max_gap_days}
        return open_source(Config.model_validate({"source": FilesSource(interactions=table), "validation": validation}))

    return build


def events(source: Source) -> pl.DataFrame:
    return pl.concat(list(source.interactions(*source.interval())))


def test_a_row_names_the_columns_it_lost(opened: Open) -> None:
    rows = [("2026-01-02", "3"), ("soon", "3"), ("2026-01-02", "many"), ("later", "few"), ("2026-01-02", "NULL")]
    lost = events(opened(rows)).sort("item_id")[UNREADABLE].to_list()
    assert lost == [None, "timestamp", "value", "value;timestamp", None]


@pytest.mark.parametrize(("unit", "ticks"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@pytest.mark.parametrize("set_unit", ["iso", "s", "ms", "us", "ns"])
def test_epoch_numbers_in_another_unit_are_refused_with_the_unit_to_set(
    opened: Open, unit: str, ticks: int, set_unit: str
) -> None:
    rows = [(str((1_767_225_600 + n) * ticks), "1") for n in range(3)]
    expected = datetime(2026, 1, 1, tzinfo=UTC)
    assert events(opened(rows, timestamp_unit="auto"))["timestamp"].min() == expected
    source = opened(rows, timestamp_unit=set_unit)
    if unit == set_unit:
        assert events(source)["timestamp"].min() == expected
        return
    with pytest.raises(
        SourceError, match=rf'interactions.timestamp.*set source.interactions.timestamp_unit = "{unit}"'
    ):
        source.interval()


def test_a_few_numbers_of_another_unit_do_not_refuse_the_table(opened: Open) -> None:
    rows = [("1767225600000", "1")] * 3 + [("1767225600", "1")]
    assert len(events(opened(rows, timestamp_unit="ms"))) == 4


def test_moments_that_the_export_made_of_the_wrong_unit_are_refused(tmp_path: Path) -> None:
    table = {"user_id": ["u"], "item_id": ["i"], "event": ["view"], "timestamp": [datetime(1970, 1, 21, 10)]}
    pl.DataFrame(table).write_parquet(tmp_path / "e.parquet")
    source = open_source(Config(source=FilesSource(interactions=TableMapping(uri=f"{tmp_path}/e.parquet"))))
    with pytest.raises(SourceError, match=r"all 1 times .* in January 1970 .*another unit"):
        source.interval()


def test_one_message_names_every_column_and_shows_forms_not_values(opened: Open) -> None:
    with pytest.raises(SourceError) as caught:
        opened([("29.03.2026 03:00", "4,5")]).interval()
    message = str(caught.value)
    for part in ("interactions.timestamp", "'99.99.9999 99:99'", "timestamp_format", "%d.%m.%Y %H:%M",
                 "interactions.value", "'9,9'", 'decimal = ","'):  # fmt: skip
        assert part in message
    assert "29.03" not in message
    read = events(opened([("29.03.2026 03:00", "4,5")], timestamp_format="%d.%m.%Y %H:%M", decimal=","))
    assert read["timestamp"].to_list() == [datetime(2026, 3, 29, 3, tzinfo=UTC)]
    assert read["value"].to_list() == [4.5]


def test_an_event_far_from_all_others_comes_with_the_first_day_and_moves_no_interval(opened: Open) -> None:
    rows = [(f"2026-01-{2 + n % 5:02}", str(n)) for n in range(20)]
    far = [("2099-05-05", "99"), ("1970-01-01", "70")]
    source = opened(rows + far)
    start, end = source.interval()
    assert (start, end) == (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 7, tzinfo=UTC))
    assert len(events(source)) == 22
    first = pl.concat(list(source.interactions(start, start.replace(day=3))))
    assert first["value"].to_list() == [0.0, 5.0, 10.0, 15.0, 99.0, 70.0]
    later = pl.concat(list(source.interactions(start.replace(day=3), end.replace(year=2100))))
    assert len(later) == 16
    assert opened(rows + far, max_gap_days=0).interval()[1].year == 2099


def test_a_pause_shorter_than_the_gap_or_the_history_is_no_error(opened: Open) -> None:
    rows = [(f"2026-01-{2 + n % 5:02}", "1") for n in range(20)]
    assert opened([*rows, ("2026-12-01", "1")]).interval()[1].month == 12
    decades = [(f"{2000 + n}-01-01", "1") for n in range(20)]
    assert opened([*decades, ("2027-01-01", "1")]).interval()[1].year == 2027


def test_the_last_day_python_knows_ends_no_interval_in_a_traceback(opened: Open) -> None:
    assert opened([("9999-12-31", "1"), ("2026-01-02", "1")]).interval()[0].year == 2026


def test_ids_that_pandas_made_floats_on_one_day_are_the_same_items_on_the_next(tmp_path: Path) -> None:
    table = {"user_id": ["u", "u"], "event": ["view", "view"], "timestamp": ["2026-01-02", "2026-01-03"]}
    for name, ids in (("a", [500, 7]), ("b", [500.0, None])):
        pl.DataFrame({**table, "item_id": ids}).write_parquet(tmp_path / f"{name}.parquet")
    pl.DataFrame({**table, "item_id": ["500.0", "7"]}).write_csv(tmp_path / "c.csv")
    (tmp_path / "d.jsonl").write_text(
        '{"user_id": "u", "event": "view", "timestamp": "2026-01-02", "item_id": 500.0}\n'
    )
    read = [events(open_source(Config(source=FilesSource(interactions=TableMapping(uri=f"{tmp_path}/{name}")))))
            for name in ("a.parquet", "b.parquet", "c.csv", "d.jsonl")]  # fmt: skip
    assert [set(frame["item_id"].drop_nulls()) for frame in read] == [{"500", "7"}, {"500"}, {"500", "7"}, {"500"}]


def test_sql_floats_and_mixed_types_are_the_same_id_and_what_is_lost_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/e.db"
    with sqlalchemy.create_engine(url).begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE e (user_id, item_id, event, timestamp, value)"))
        connection.execute(sqlalchemy.text("INSERT INTO e VALUES (7.0, 500.0, 'view', '2026-01-02', 1), "
                                           "('x', 500, 'view', 1767225600, 'many')"))  # fmt: skip
    monkeypatch.setenv("TEST_SQL_URL", url)
    mapping = TableMapping(query="SELECT * FROM e", timestamp_unit="auto")
    frame = events(open_source(Config(source=SqlSource(url_env="TEST_SQL_URL", interactions=mapping))))
    assert frame.sort("user_id").select("user_id", "item_id", UNREADABLE).rows() == [
        ("7", "500", None), ("x", "500", "value"),
    ]  # fmt: skip
    assert frame["timestamp"].null_count() == 0


def test_the_mapping_in_the_documentation_reads_what_it_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "data-contract.md").read_text()
    blocks = [each.split("```")[0] for each in page.split("```toml")[1:]]
    settings = tomllib.loads(next(each for each in blocks if "timestamp_format" in each))
    (tmp_path / "exports").mkdir()
    lines = ['customer,item_id,when,hours\n7,500.0,29.03.2026 03:00,"1.234,5"\n', '8,500,30.03.2026,"4,5"\n']
    (tmp_path / "exports" / "events-1.csv").write_text("".join(lines))
    people = {"user_id": [7.0, 8.0], "opt_in": ["Y", "off"], "signed_up_at": [1_767_225_600_000, 1_767_225_600]}
    pl.DataFrame(people).write_parquet(tmp_path / "exports" / "users.parquet")
    for table in ("interactions", "users"):
        settings["source"][table]["uri"] = str(tmp_path / settings["source"][table]["uri"])
    source = open_source(Config.model_validate(settings))
    read, users = events(source), pl.concat(list(source.users(*source.interval())))
    assert read.select("user_id", "item_id", "value").rows() == [("7", "500", 1234.5), ("8", "500", 4.5)]
    assert read["timestamp"].to_list() == [datetime(2026, 3, 29, 3, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC)]
    assert users.select("user_id", "consent_personalization").rows() == [("7", True), ("8", False)]
    assert set(users["signed_up_at"]) == {datetime(2026, 1, 1, tzinfo=UTC)}


def test_numbers_of_several_units_in_equal_parts_are_no_wrong_unit(opened: Open) -> None:
    rows = [("1767225600000", "1"), ("1767225600", "1"), ("1767225600000000", "1"), ("1767225600000", "1")]
    with pytest.raises(SourceError, match="no value can be read"):
        opened([rows[0]]).interval()
    assert len(events(opened([*rows, ("2026-01-01", "2")], timestamp_unit="us"))) == 5
