"""A first TOML from files alone: the public sets are guessed right, and what is written can be run."""

import sys
import tomllib
from pathlib import Path

import polars as pl
import pytest

from recsys import pipeline
from recsys.cli import main
from recsys.config import load_config
from recsys.data.sources import open_source
from recsys.errors import ConfigError, SourceError
from tests.data_sources.test_public_sets import ANIME, BOOK_READERS, BOOK_TITLES, BOOKS, KUAIRAND, RETAILROCKET, STEAM


@pytest.fixture
def init(tmp_path: Path):
    """Write files, let `recsys init` guess, and return the source's settings and its events."""

    def run(interactions: str | bytes, name: str = "events.csv", users: str = "", items: str | bytes = ""):
        paths = {}
        for table, (file, content) in {
            "interactions": (name, interactions),
            "users": ("users.csv", users),
            "items": ("items.csv", items),
        }.items():
            (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
            paths[table] = str(tmp_path / file) if content else ""
        pipeline.init(*paths.values(), tmp_path / "my.toml", force=True)
        source = open_source(load_config(tmp_path / "my.toml"))
        events = pl.concat(source.interactions(*source.interval()))
        return tomllib.loads((tmp_path / "my.toml").read_text())["source"], events

    return run


def test_retailrocket_is_guessed(init) -> None:
    source, events = init(RETAILROCKET)
    table = source["interactions"]
    assert table["columns"] == {"user_id": "visitorid", "item_id": "itemid", "event": "event", "timestamp": "timestamp"}
    assert table["timestamp_unit"] == "ms"
    assert table["events"] == {"addtocart": "add_to_cart", "transaction": "purchase"}
    assert table["ignore"] == ["transactionid"]
    assert events["event"].to_list() == ["view", "add_to_cart", "purchase"]


def test_steam_is_guessed_by_what_stands_in_it(init) -> None:
    source, events = init(STEAM)
    table = source["interactions"]
    assert table["header"] is False
    assert table["columns"] == {"user_id": "0", "item_id": "1", "event": "2", "value": "3"}
    assert events["event"].to_list() == ["purchase", "view", "view"]


def test_anime_ratings_are_guessed(init) -> None:
    source, events = init(ANIME)
    assert source["interactions"]["flags"] == {"rating": "rating"}
    assert events.select("event", "value").rows() == [("view", None), ("rating", 8.0), ("rating", 10.0)]


def test_book_crossing_is_guessed(init) -> None:
    source, events = init(BOOKS, users=BOOK_READERS, items=BOOK_TITLES)
    assert source["interactions"]["separator"] == ";"
    assert source["items"]["encoding"] == "latin-1" and source["items"]["escape"] == "\\"
    assert source["users"]["missing"] == {"*": ["NULL"]}
    assert source["users"]["columns"]["age"] == "Age"
    assert source["items"]["columns"] == {"item_id": "ISBN", "title": "Book-Title", "creator": "Book-Author"}
    assert events["event"].to_list() == ["view", "rating", "rating"]


def test_kuairand_flags_are_guessed(init) -> None:
    source, events = init(KUAIRAND)
    table = source["interactions"]
    assert table["flags"] == {"click": "is_click", "like": "is_like", "save": "is_follow", "view": "play_time_ms"}
    assert table["value_scale"] == 0.001
    assert events.filter(event="view")["value"].to_list() == [75.0, 2.5]


@pytest.mark.parametrize(
    ("time", "unit"),
    [("874724710", "s"), ("1772359200", "s"), ("1772359200000000", "us"), ("2026-03-01 10:00:00", None)],
)
def test_times_are_guessed(init, time: str, unit: str | None) -> None:
    source, events = init(f"user_id,item_id,rating,timestamp\n1,2,3,{time}\n")
    assert source["interactions"].get("timestamp_unit") == unit
    assert source["interactions"]["constants"] == {"event": "rating"}
    assert events["timestamp"].null_count() == 0


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_other_formats_are_guessed(tmp_path: Path, ending: str) -> None:
    frame = pl.DataFrame({"uid": ["a"], "sku": [5], "action": ["Buy"], "at": ["2026-01-01"], "tags": [["x", "y"]]})
    path = tmp_path / f"e.{ending}"
    frame.write_parquet(path) if ending == "parquet" else frame.write_ndjson(path)
    pipeline.init(str(path), "", "", tmp_path / "my.toml")
    source = open_source(load_config(tmp_path / "my.toml"))
    (events,) = source.interactions(*source.interval())
    assert events.select("user_id", "item_id", "event").rows() == [("a", "5", "purchase")]


def test_consent_is_mapped_where_it_is_and_explained_where_it_is_not(init, tmp_path: Path) -> None:
    init(ANIME)
    text = (tmp_path / "my.toml").read_text()
    assert '\n# consent_missing = "allow"\n' in text
    assert load_config(tmp_path / "my.toml").privacy.consent_missing == "withhold"
    source, _ = init(ANIME, users="user_id,gdpr_consent\n1,yes\n3,no\n")
    assert source["users"]["columns"]["consent_personalization"] == "gdpr_consent"
    assert "consent_missing" not in (tmp_path / "my.toml").read_text()


def test_every_column_is_in_the_file_and_every_guess_has_its_reason(init, tmp_path: Path) -> None:
    init(KUAIRAND)
    text = (tmp_path / "my.toml").read_text()
    for name in KUAIRAND.splitlines()[0].split(","):
        assert f'"{name}"' in text
    guessed = [
        line
        for line in text.splitlines()
        if " = " in line and not line.startswith(("#", "name", "storage", "kind", "uri"))
    ]
    assert all("  #" in line for line in guessed)
    assert "1652012803105" not in text and "4457" not in text  # values of cells may be personal


def test_a_file_is_not_overwritten_without_force(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(RETAILROCKET)
    (tmp_path / "my.toml").write_text("mine")
    with pytest.raises(ConfigError, match="exists already.*--force"):
        pipeline.init(str(tmp_path / "e.csv"), "", "", tmp_path / "my.toml")
    assert (tmp_path / "my.toml").read_text() == "mine"


@pytest.mark.parametrize("content", ["", "user_id,item_id\n"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "e.csv").write_text(content)
    with pytest.raises(SourceError, match="no rows"):
        pipeline.init(str(tmp_path / "e.csv"), "", "", tmp_path / "my.toml")
    assert not (tmp_path / "my.toml").exists()


def test_what_is_not_found_is_told(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("flag\n1\n0\n")
    told = pipeline.init(str(tmp_path / "e.csv"), "", "", tmp_path / "my.toml")["not_found"]
    assert told == ["user_id was not found: map it below", "item_id was not found: map it below"]


def test_the_command_writes_what_ingestion_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "e.csv").write_text(RETAILROCKET)
    (tmp_path / "u.csv").write_text("visitorid,consent\n257597,1\n992329,1\n111016,1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["recsys", "init", "--interactions", "e.csv", "--users", "u.csv", "--out", "new.toml"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "recsys run --config new.toml" in capsys.readouterr().err
    config = load_config("new.toml")
    (partition,) = pipeline.ingest(config)["partitions"]
    assert partition["counts"]["kept"] == 3
    assert pipeline.validate(config, [partition])["rows"]["interactions"] == 3


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text('a,b\n1,"' + "x" * 200_000)
    with pytest.raises(SourceError, match=r"cannot read .*e\.csv as csv"):
        pipeline.init(str(tmp_path / "e.csv"), "", "", tmp_path / "my.toml")


def test_ratings_with_decimal_commas_are_guessed(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user;item;rating;at\n1;2;3,5;2026-01-01\n")
    pipeline.init(str(tmp_path / "e.csv"), "", "", tmp_path / "my.toml")
    table = tomllib.loads((tmp_path / "my.toml").read_text())["source"]["interactions"]
    assert table["constants"] == {"event": "rating"}
    assert table["columns"] == {"user_id": "user", "item_id": "item", "value": "rating", "timestamp": "at"}


def test_a_release_without_headers_is_guessed(init) -> None:
    ratings = "196\t242\t3\t881250949\n186\t302\t4\t891717742\n22\t377\t1\t878887116\n"
    source, events = init(
        ratings, users="196|24|M\n186|53|F\n22|33|M\n", items="242|Kolya\n302|Heat\n377|Heavyweights\n"
    )
    assert source["interactions"]["columns"] == {"user_id": "0", "item_id": "1", "value": "2", "timestamp": "3"}
    assert (source["users"]["columns"], source["items"]["columns"]) == ({"user_id": "0"}, {"item_id": "0"})
    assert events.select("event", "value").rows() == [("rating", 3.0), ("rating", 4.0), ("rating", 1.0)]


def test_ids_of_nine_digits_are_no_times(init) -> None:
    source, _ = init("151603712,Skyrim,play,3.5\n151603713,Fallout,play,2\n")
    assert source["interactions"]["columns"] == {"user_id": "0", "item_id": "1", "event": "2", "value": "3"}


def test_joined_files_that_repeat_their_header_have_one(init) -> None:
    source, _ = init(RETAILROCKET + RETAILROCKET)
    assert "header" not in source["interactions"]


def test_a_first_row_whose_words_come_again_is_no_header(init) -> None:
    source, _ = init("anna,heat,click\nbert,heat,like\n")
    assert source["interactions"]["header"] is False
