"""Files as tables: mapping, ids of rows, many files and formats, and what is not read again."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys import schema
from recsys.config import Config, FilesSource, TableMapping
from recsys.data.sources import Source, open_source
from recsys.data.tables import UNREADABLE
from recsys.errors import SourceError

HEADER = "user_id,item_id,event,timestamp"
ROW = "u,i,click,2026-01-02T03:04:05Z"


def opened(path: Path, text: str | bytes, name: str = "events.csv", **mapping: object) -> Source:
    (path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_source(Config(source=FilesSource(interactions=TableMapping(uri=str(path / name), **mapping))))


def events(source: Source) -> pl.DataFrame:
    return pl.concat(list(source.interactions(*source.interval())))


def test_columns_are_renamed_filled_with_constants_kept_as_extra_and_ignored(tmp_path: Path) -> None:
    source = opened(
        tmp_path,
        "uid;item_id;ts;channel;debug\nu;i;1767225600;web;x\n",
        separator=";",
        columns={"user_id": "uid", "timestamp": "ts"},
        constants={"event": "click", "value": 2},
        extra=("channel",),
        ignore=("debug",),
        timestamp_unit="s",
    )
    frame = events(source)
    assert frame.columns == [*schema.INTERACTIONS, "channel", UNREADABLE]
    row = frame.row(0, named=True)
    assert (row["user_id"], row["event"], row["value"], row["channel"]) == ("u", "click", 2.0, "web")
    assert row["timestamp"] == datetime(2026, 1, 1, tzinfo=UTC)


def test_an_undeclared_column_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"events.csv has columns nobody declared: salary.*extra.*ignore"):
        opened(tmp_path, f"{HEADER},salary\n{ROW},1\n").interval()


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    pl.DataFrame(schema=schema.INTERACTIONS).write_parquet(tmp_path / "e.parquet")
    source = open_source(Config(source=FilesSource(interactions=TableMapping(uri=str(tmp_path / "e.parquet")))))
    with pytest.raises(SourceError, match="has no rows"):
        source.interval()


@pytest.mark.parametrize(
    ("name", "content"),
    [("e.csv", b""), ("e.csv", f"{HEADER}\n".encode()), ("e.jsonl", b""), ("e.jsonl", b"\n\n")],
)
def test_an_empty_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(SourceError, match=rf"{name} has no rows"):
        opened(tmp_path, content, name).interval()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("e.parquet", b"PAR1 this is not Parquet"),
        ("e.parquet", b""),
        ("e.csv", f"{HEADER}\n{ROW},too,many\n".encode()),
        ("e.csv", f"{HEADER}\nu\xff,i,click,2026-01-01\n".encode("latin-1")),
        ("e.jsonl", b'{"user_id": "u", \n'),
        ("e.csv.gz", b"not gzip"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(SourceError, match=rf"cannot read .*{name} as"):
        opened(tmp_path, content, name).interval()


def test_values_that_cannot_be_read_become_null_and_come_with_the_first_day(tmp_path: Path) -> None:
    rows = [f"{ROW},1.5", "u,i,click,yesterday,2", "u,i,click,2026-01-04,much"]
    source = opened(tmp_path, "\n".join([f"{HEADER},value", *rows]))
    start, end = source.interval()
    assert (start.day, end.day) == (2, 5)
    first = pl.concat(list(source.interactions(start, start.replace(day=3))))
    later = pl.concat(list(source.interactions(start.replace(day=3), end)))
    assert first[schema.VALUE].to_list() == [1.5, 2.0]
    assert first[schema.TIMESTAMP].null_count() == 1
    assert later[schema.VALUE].to_list() == [None]


def test_one_file_of_a_glob_with_nothing_readable_does_not_stop_the_run(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER},value\n{ROW},bad\n")
    (tmp_path / "b.csv").write_text(f"{HEADER},value\n{ROW},1\n")
    source = open_source(Config(source=FilesSource(interactions=TableMapping(uri=f"{tmp_path}/*.csv"))))
    assert events(source)[schema.VALUE].to_list() == [None, 1.0]


def test_missing_event_ids_come_from_the_content_and_do_not_change(tmp_path: Path) -> None:
    text = f"{HEADER}\n{ROW}\nv,i,click,2026-01-02\n{ROW}\n"
    ids = events(opened(tmp_path, text))[schema.EVENT_ID].to_list()
    assert ids[0] == ids[2] != ids[1]
    cells = ["1767323045000000", "u", "i", "click", *["\x00"] * 7]  # the timestamp first, \x00 for null
    assert ids[0] == "h" + hashlib.blake2b("\x1f".join(cells).encode(), digest_size=12).hexdigest()


def test_given_event_ids_are_kept(tmp_path: Path) -> None:
    frame = events(opened(tmp_path, f"event_id,{HEADER}\ne1,{ROW}\n,{ROW}\n"))
    assert frame[schema.EVENT_ID][0] == "e1"
    assert frame[schema.EVENT_ID][1].startswith("h")


def test_a_key_that_later_json_lines_leave_out_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.data.sources.files._ROWS", 1)
    row = '{"user_id": 7, "item_id": "i", "event": "click", "timestamp": "2026-01-02"'
    source = opened(tmp_path, f'{row}, "stars": 4}}\n{row}}}\n', "e.jsonl", columns={"value": "stars"})
    assert events(source).select("user_id", "value").rows() == [("7", 4.0), ("7", None)]


def test_files_without_events_of_the_day_are_not_read_again(tmp_path: Path) -> None:
    for day in (1, 2, 3):
        (tmp_path / f"{day}.csv").write_text(f"{HEADER}\nu,i,click,2026-01-0{day}\n")
    source = open_source(Config(source=FilesSource(interactions=TableMapping(uri=f"{tmp_path}/*.csv"))))
    start, end = source.interval()
    (tmp_path / "1.csv").write_text("no longer a table of events\n")
    assert pl.concat(list(source.interactions(start.replace(day=3), end))).height == 1
