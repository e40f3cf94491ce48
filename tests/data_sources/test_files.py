"""Files: which values survive the way in, and what is refused with which words."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_series_equal

from recsys.config import Config, FilesSource, TableMapping
from recsys.data.sources import open_source
from recsys.errors import ConfigError, SourceError

HEADER = "user_id,item_id,event,timestamp,value\n"
ROW = "u1,i1,view,2026-03-01T10:00:00Z,3\n"
DAY = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)


def _read(path: Path, **mapping: object) -> pl.DataFrame:
    table = TableMapping.model_validate({"uri": str(path), **mapping})
    source = open_source(Config(source=FilesSource(interactions=table)))
    return pl.concat(source.interactions(*source.interval()))


def _csv(folder: Path, text: str | bytes, name: str = "events.csv") -> Path:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


@pytest.mark.parametrize("user", ["ü", "a,b", "two\nlines", 'quo"te', " lead", "007", "NULL", "电影", "NaN"])
def test_ids_survive_csv_as_they_are(tmp_path: Path, user: str) -> None:
    raw = pl.DataFrame({"user_id": [user], "item_id": ["i"], "event": ["view"], "timestamp": ["2026-03-01"]})
    assert _read(_csv(tmp_path, raw.write_csv()))["user_id"].to_list() == [user]


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("iso", "2026-03-01T10:00:00Z"),
        ("iso", "2026-03-01 10:00:00"),
        ("iso", "2026-03-01T10:00"),
        ("iso", "2026-03-01T12:00:00+02:00"),
        ("s", "1772359200"),
        ("ms", "1772359200000"),
        ("us", "1772359200000000"),
    ],
)
def test_timestamps_are_read_in_their_unit_as_utc(tmp_path: Path, unit: str, value: str) -> None:
    path = _csv(tmp_path, HEADER + f"u1,i1,view,{value},3\n")
    assert _read(path, timestamp_unit=unit)["timestamp"].to_list() == [datetime(2026, 3, 1, 10, tzinfo=UTC)]


def test_mixed_timestamp_layouts_are_all_read(tmp_path: Path) -> None:
    times = ("2026-03-01", "2026-03-01T10:00:00.5", "2026-03-01 11:00")
    path = _csv(tmp_path, HEADER + "".join(f"u1,i1,view,{time},3\n" for time in times))
    assert _read(path)["timestamp"].null_count() == 0


def test_an_unreadable_value_becomes_null_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = _csv(tmp_path, HEADER + ROW + "u2,i1,view,yesterday,many\n")
    rows = _read(path).sort("user_id")
    assert rows["value"].to_list() == [3.0, None]
    assert rows["timestamp"].to_list() == [datetime(2026, 3, 1, 10, tzinfo=UTC), None]


@pytest.mark.parametrize(
    ("row", "column"),
    [("u1,i1,view,yesterday,3\n", "timestamp"), ("u1,i1,view,2026-03-01T10:00:00Z,many\n", "value")],
)
def test_a_column_without_one_readable_value_is_refused_by_name(tmp_path: Path, row: str, column: str) -> None:
    with pytest.raises(SourceError, match=rf"interactions\.{column}"):
        _read(_csv(tmp_path, HEADER + row * 2))


def test_milliseconds_taken_for_seconds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="timestamp_unit"):
        _read(_csv(tmp_path, HEADER + "u1,i1,view,1772359200000,3\n"), timestamp_unit="s")


@pytest.mark.parametrize("content", ["", HEADER])
def test_a_file_without_rows_is_refused_by_name(tmp_path: Path, content: str) -> None:
    with pytest.raises(SourceError, match=r"events\.csv"):
        _read(_csv(tmp_path, content))


def test_a_missing_column_is_named_with_what_was_found_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"lacks the column 'item_id'.*found user_id.*Map it"):
        _read(_csv(tmp_path, "user_id,event,timestamp\nu1,view,2026-03-01\n"))


def test_an_undeclared_column_is_named(tmp_path: Path) -> None:
    path = _csv(tmp_path, "user_id,item_id,event,timestamp,mood\nu1,i1,view,2026-03-01,good\n")
    with pytest.raises(SourceError, match="mood"):
        _read(path)
    assert "mood" not in _read(path, ignore=["mood"]).columns
    assert _read(path, extra=["mood"])["mood"].to_list() == ["good"]


def test_a_mapping_to_a_column_the_contract_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="valeu"):
        _read(_csv(tmp_path, HEADER + ROW), columns={"valeu": "value"})


def test_a_missing_file_and_an_empty_glob_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.csv.*check the address"):
        _read(tmp_path / "gone.csv")
    with pytest.raises(SourceError, match=r"\*\.csv"):
        _read(tmp_path / "*.csv")


def test_a_file_system_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    source = FilesSource(interactions=TableMapping(uri="nosuch://bucket/events.csv"))
    with pytest.raises(SourceError, match="cannot open nosuch"):
        open_source(Config(source=source)).interval()


def test_a_truncated_gzip_file_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress((HEADER + ROW * 500).encode())
    with pytest.raises(SourceError, match=r"events\.csv\.gz"):
        _read(_csv(tmp_path, whole[: len(whole) // 2], "events.csv.gz"))


def test_bytes_of_another_encoding_are_refused(tmp_path: Path) -> None:
    content = (HEADER + ROW.replace("u1", "é")).encode("latin-1")
    with pytest.raises(SourceError, match="as csv"):
        _read(_csv(tmp_path, content))
    assert _read(_csv(tmp_path, content), encoding="latin-1")["user_id"].to_list() == ["é"]


def test_an_unknown_ending_needs_a_format(tmp_path: Path) -> None:
    path = _csv(tmp_path, HEADER + ROW, "events.txt")
    with pytest.raises(SourceError, match="set format"):
        _read(path)
    assert len(_read(path, format="csv")) == 1


def test_nested_values_where_text_is_expected_are_refused(tmp_path: Path) -> None:
    line = '{"user_id": "u", "item_id": "i", "event": "view", "timestamp": "2026-03-01", "value": {"a": 1}}\n'
    with pytest.raises(SourceError, match="value"):
        _read(_csv(tmp_path, line, "events.jsonl"))


def test_one_file_or_two_give_the_same_event_ids(tmp_path: Path) -> None:
    other = ROW.replace("u1", "u2")
    whole = _read(_csv(tmp_path, HEADER + ROW + other, "all.csv"))["event_id"]
    _csv(tmp_path, HEADER + ROW, "part-1.csv")
    _csv(tmp_path, HEADER + other, "part-2.csv")
    assert_series_equal(whole.sort(), _read(tmp_path / "part-*.csv")["event_id"].sort())


def test_a_source_without_interactions_is_refused() -> None:
    with pytest.raises((ConfigError, SourceError), match="interactions"):
        open_source(Config(source=FilesSource(interactions=TableMapping()))).interval()
