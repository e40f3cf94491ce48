"""Public data sets as they come, each served by the mapping of docs/data-contract.md alone."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.config import Config, load_config
from recsys.data.sources import open_source

RETAILROCKET = (
    "timestamp,visitorid,event,itemid,transactionid\n"
    "1433221332117,257597,view,355908,\n"
    "1433224214164,992329,addtocart,248676,\n"
    "1433221999827,111016,Transaction,318965,4000\n"
)
STEAM = (
    "151603712,The Elder Scrolls V Skyrim,purchase,1.0,0\n"
    "151603712,The Elder Scrolls V Skyrim,play,273.0,0\n"
    '59945701,"Sid Meier\'s Civilization, V",play,0.5,0\n'
)
ANIME = "user_id,anime_id,rating\n1,20,-1\n1,24,8\n3,20,10\n"
BOOKS = (
    '"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"\n"276726";"0155061224";"5"\n"276729";"052165615X";"3"\n'
).encode("latin-1")
BOOK_TITLES = (
    '"ISBN";"Book-Title";"Book-Author";"Image-URL-S"\n'
    '"034545104X";"Les Misérables \\"abridged\\"";"Victor Hugo";"http://a"\n'
    '"0155061224";"Rites; of Passage";"Judith Rae";"http://b"\n'
    '"052165615X";"Help!: Level 1";"Philip Prowse";"http://c"\n'
).encode("latin-1")
BOOK_READERS = '"User-ID";"Location";"Age"\n"276725";"tyler, texas, usa";NULL\n"276726";"seattle";"18"\n'
KUAIRAND = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,long_view,play_time_ms,duration_ms,tab\n"
    "0,4457,20220508,2000,1652012803105,1,1,0,1,75000,87000,1\n"
    "0,3015,20220508,2000,1652012819999,0,0,0,0,0,12000,1\n"
    "1,4457,20220508,2000,1652012820000,0,0,0,0,2500,87000,0\n"
)


@pytest.fixture
def read(tmp_path: Path):
    """Write files and a TOML of `[source]`; read a table with it."""

    def reader(files: dict[str, str | bytes], toml: str, table: str = "interactions") -> pl.DataFrame:
        for name, content in files.items():
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        (tmp_path / "my.toml").write_text(
            'partition = "all"\n[source]\nkind = "files"\n' + toml.replace("FOLDER", str(tmp_path))
        )
        source = open_source(load_config(tmp_path / "my.toml"))
        return pl.concat(getattr(source, table)(*source.interval()))

    return reader


def test_retailrocket_events_by_other_names(read) -> None:
    rows = read(
        {"events.csv": RETAILROCKET},
        """
        [source.interactions]
        uri = "FOLDER/events.csv"
        columns = { user_id = "visitorid", item_id = "itemid" }
        timestamp_unit = "ms"
        ignore = ["transactionid"]
        [source.interactions.events]
        addtocart = "add_to_cart"
        transaction = "purchase"
        """,
    )
    assert rows["event"].to_list() == ["view", "add_to_cart", "purchase"]
    assert rows["timestamp"][0] == datetime(2015, 6, 2, 5, 2, 12, 117000, tzinfo=UTC)
    assert rows["user_id"].to_list() == ["257597", "992329", "111016"]


def test_steam_hours_without_a_header_row(read) -> None:
    rows = read(
        {"steam.csv": STEAM},
        """
        [source.interactions]
        uri = "FOLDER/steam.csv"
        header = false
        columns = { user_id = 0, item_id = 1, event = 2, value = "3" }
        timestamps = "none"
        events = { play = "view" }
        ignore = [4]
        """,
    )
    assert rows["event"].to_list() == ["purchase", "view", "view"]
    assert rows["item_id"][2] == "Sid Meier's Civilization, V"
    assert rows["value"].to_list() == [1.0, 273.0, 0.5]
    assert rows["timestamp"].n_unique() == 1


def test_anime_watched_without_a_rating(read) -> None:
    rows = read(
        {"rating.csv": ANIME},
        """
        [source.interactions]
        uri = "FOLDER/rating.csv"
        columns = { item_id = "anime_id", value = "rating" }
        timestamps = "none"
        flags = { rating = "rating" }
        otherwise = "view"
        missing = { value = -1 }
        """,
    )
    assert rows["event"].to_list() == ["view", "rating", "rating"]
    assert rows["value"].to_list() == [None, 8.0, 10.0]


def test_book_crossing_in_latin_1_with_semicolons_and_escaped_quotes(read) -> None:
    files = {"ratings.csv": BOOKS, "books.csv": BOOK_TITLES, "users.csv": BOOK_READERS}
    toml = """
        [source.interactions]
        uri = "FOLDER/ratings.csv"
        separator = ";"
        encoding = "latin-1"
        columns = { user_id = "User-ID", item_id = "ISBN", value = "Book-Rating" }
        timestamps = "none"
        flags = { rating = "Book-Rating" }
        otherwise = "view"
        missing = { value = "0" }

        [source.users]
        uri = "FOLDER/users.csv"
        separator = ";"
        encoding = "latin-1"
        columns = { user_id = "User-ID", location = "Location", age = "Age" }
        missing = { "*" = "NULL" }

        [source.items]
        uri = "FOLDER/books.csv"
        separator = ";"
        escape = '\\'
        encoding = "latin-1"
        columns = { item_id = "ISBN", title = "Book-Title", creator = "Book-Author" }
        ignore = "Image-*"
        """
    rows = read(files, toml)
    assert rows["event"].to_list() == ["view", "rating", "rating"]
    assert rows["value"].to_list() == [None, 5.0, 3.0]
    titles = read(files, toml, "items")["title"].to_list()
    assert titles == ['Les Misérables "abridged"', "Rites; of Passage", "Help!: Level 1"]
    assert read(files, toml, "users")["age"].to_list() == [None, 18]


KUAIRAND_TOML = """
        [source.interactions]
        uri = "FOLDER/log.csv"
        columns = { item_id = "video_id", timestamp = "time_ms", value = "play_time_ms" }
        timestamp_unit = "ms"
        value_scale = 0.001
        flags = { click = "is_click", like = "is_like", view = "play_time_ms" }
        ignore = "*"
        """


def test_kuairand_exposures_give_an_event_for_each_flag(read) -> None:
    rows = read({"log.csv": KUAIRAND}, KUAIRAND_TOML)
    assert rows.select("user_id", "item_id", "event", "value").rows() == [
        ("0", "4457", "click", 75.0), ("0", "4457", "like", 75.0), ("0", "4457", "view", 75.0),
        ("0", "3015", "impression", 0.0), ("1", "4457", "view", 2.5),
    ]  # fmt: skip
    assert rows["event_id"].n_unique() == 5
    assert rows["timestamp"].dt.epoch("ms").to_list()[:3] == [1652012803105] * 3


def test_events_of_flags_keep_their_ids_in_another_order_of_rows(read) -> None:
    header, *lines = KUAIRAND.splitlines()
    first = read({"log.csv": KUAIRAND}, KUAIRAND_TOML)["event_id"].sort()
    again = read({"log.csv": "\n".join([header, *reversed(lines)]) + "\n"}, KUAIRAND_TOML)["event_id"].sort()
    assert first.to_list() == again.to_list()


def test_events_of_flags_are_named_after_the_rows_own_id(read) -> None:
    rows = read(
        {
            "log.csv": "event_id,user_id,item_id,timestamp,clicked,hated\na,u,i,2026-01-01,Yes,0\nb,u,i,2026-01-01,no,1.0\n"
        },
        '[source.interactions]\nuri = "FOLDER/log.csv"\nflags = { click = "clicked", dislike = "hated" }\n',
    )
    assert rows["event_id"].to_list() == ["a:click", "b:dislike"]


def test_rows_whose_event_is_to_be_ignored_are_left_out_and_unknown_words_stay(read) -> None:
    rows = read(
        {
            "log.csv": "user_id,item_id,timestamp,event\nu,i,2026-01-01,LogOut\nu,i,2026-01-01, Click\nu,i,2026-01-01,Stare\n"
        },
        '[source.interactions]\nuri = "FOLDER/log.csv"\nevents = { logout = "ignore" }\n',
    )
    assert rows["event"].to_list() == ["click", "Stare"]


def test_rows_without_a_flag_can_be_left_out(read) -> None:
    rows = read({"log.csv": KUAIRAND}, KUAIRAND_TOML + 'otherwise = "ignore"\n')
    assert rows["event"].to_list() == ["click", "like", "view", "view"]


def test_the_same_words_are_mapped_in_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/x.db")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE e (user_id, item_id, event, timestamp, value)"))
        connection.execute(
            sqlalchemy.text("INSERT INTO e VALUES (1, 2, 'Buy', '2026-01-01', -1), (1, 3, 'CLICK', '2026-01-01', 2)")
        )
    engine.dispose()
    monkeypatch.setenv("SHOP", f"sqlite:///{tmp_path}/x.db")
    table = {"query": "SELECT * FROM e", "events": {"buy": "purchase"}, "missing": {"value": [-1]}}
    source = open_source(Config.model_validate({"source": {"kind": "sql", "url_env": "SHOP", "interactions": table}}))
    rows = pl.concat(source.interactions(*source.interval()))
    assert rows.select("event", "value").rows() == [("purchase", None), ("click", 2.0)]


def test_missing_numbers_are_found_however_they_are_written(tmp_path: Path) -> None:
    row = {
        "user_id": [1, 1],
        "item_id": [2, 3],
        "event": ["click"] * 2,
        "timestamp": ["2026-01-01"] * 2,
        "value": [-1.0, 1.0],
    }
    pl.DataFrame(row).write_parquet(tmp_path / "e.parquet")
    table = {"uri": f"{tmp_path}/e.parquet", "missing": {"value": -1}}
    source = open_source(Config.model_validate({"source": {"kind": "files", "interactions": table}}))
    assert next(source.interactions(*source.interval()))["value"].to_list() == [None, 1.0]
