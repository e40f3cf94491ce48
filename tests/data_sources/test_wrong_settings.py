"""Every wrong setting of a source ends in one clear line, and all that is wrong is told at once."""

import re
import sys
from pathlib import Path

import pytest

from recsys.cli import main
from recsys.config import Config, FilesSource, TableMapping, load_config
from recsys.data.sources import open_source
from recsys.errors import ConfigError, SourceError

HEADER = "user_id,item_id,event,timestamp\n"
ROW = "u,i,click,2026-01-02\n"


@pytest.fixture
def refused(tmp_path: Path):
    """Return what a file of settings is refused with."""

    def refuse(toml: str) -> str:
        (tmp_path / "my.toml").write_text(toml)
        with pytest.raises(ConfigError) as error:
            load_config(tmp_path / "my.toml")
        return str(error.value)

    return refuse


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ('separator = "::"', "separator must be one ASCII character; a tab is written"),
        ('separator = ""', "separator must be one ASCII character"),
        ('separator = "§"', "separator must be one ASCII character"),
        ("separator = 3", "interactions.separator: Input should be a valid string; got 3"),
        ('quote = "ab"', "quote must be one ASCII character; empty for none"),
        ('escape = "ab"', "escape must be one ASCII character"),
        ('encoding = "utf-99"', "encoding must be one that Python knows.*got 'utf-99'"),
        ('encoding = "rot13"', "encoding must be one that Python knows"),
        ('encoding = ""', "encoding must be one that Python knows"),
        ('header = "perhaps"', "interactions.header"),
        ("uri = 3", "interactions.uri: Input should be a valid string"),
        ('query = "SELECT 1"', "interactions.query has no effect in a source that reads files"),
        ('format = "xls"', "interactions.format.*got 'xls'"),
        ('format = "parquett"', "did you mean 'parquet'"),
        ('timestamp_unit = "minutes"', "interactions.timestamp_unit.*got 'minutes'"),
        ('list_separator = ""', "interactions.list_separator"),
        ("value_scale = 0", "interactions.value_scale.*greater than 0"),
        ('columns = "user"', "interactions.columns"),
        ('columns = { user_id = "" }', "interactions.columns.user_id"),
        ("columns = { user_id = true }", "interactions.columns.user_id"),
        ('columns = { user_id = "a", event = "a" }', "three different columns"),
        ("constants = { value = [1] }", "interactions.constants.value"),
        ("constants = { value = nan }", "interactions.constants.value"),
        ('constants = { event = "click" }\ncolumns = { event = "what" }', "columns and constants both name event"),
        ("ignore = true", "interactions.ignore"),
        ('ignore = [""]', "interactions.ignore"),
        ("extra = {}", "interactions.extra"),
        ('events = { play = "viewed" }', "interactions.events.play.*got 'viewed'; did you mean 'view'"),
        ('events = { Play = "view", play = "click" }', "upper and lower case do not matter"),
        ('flags = { clicked = "is_click" }', "interactions.flags.clicked.*did you mean 'click'"),
        ('flags = { click = "is_click" }\ncolumns = { event = "what" }', "leave event out of columns"),
        ('otherwise = "view"', "otherwise is the event of a row in which no flag is set"),
        ('missing = "NULL"', "interactions.missing"),
        ('colums = { user_id = "uid" }', "source.interactions.colums: there is no such setting; did you mean columns"),
    ],
)  # fmt: skip
def test_a_wrong_setting_of_a_table_is_told(refused, setting: str, told: str) -> None:
    uri = "" if setting.startswith("uri") else 'uri = "x.csv"\n'
    said = refused(f'[source]\nkind = "files"\n[source.interactions]\n{uri}{setting}\n')
    assert re.search(told, said), said
    assert "\n" not in said
    assert "source.files" not in said


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('[source]\nkind = "file"', "'file'"),
        ('[source]\nurl_env = "X"', "source.kind is missing; set it to one of demo, movielens, files, sql"),
        ('[source]\nkind = "files"', "source.interactions: Field required"),
        ('[source]\nkind = "sql"\nbatch_row = 1\n[source.interactions]\nquery = "q"', "did you mean batch_rows?"),
        ('[source]\nkind = "sql"\nbatch_rows = 0\n[source.interactions]\nquery = "q"', "source.batch_rows"),
        ('[source]\nkind = "sql"\nurl_env = ""\n[source.interactions]\nquery = "q"', "source.url_env"),
        ('[source]\nkind = "sql"\n[source.interactions]\nquery = "q"\nheader = false', "header has no effect"),
        ('[source]\nkind = "files"\n[source.interactions]\nuri="e"\n[source.items]\nuri="i"\nflags={click="c"}', "belongs to [source.interactions]"),
        ('[source]\nkind = "files"\n[source.interactons]\nuri="e"', "source.interactons: there is no such setting; did you mean interactions?"),
        ("[modle]\ndim = 8", "modle: there is no such setting; did you mean model?"),
        ("min_rating = 3", "min_rating: there is no such setting; did you mean features.min_rating?"),
        ('[tuning.space]\ndim = { kind = "int", low = 8, hihg = 9 }', "hihg: there is no such setting; did you mean high?"),
        ("[features.event_weights]\nbuy = 2", "features.event_weights.buy"),
    ],
)  # fmt: skip
def test_a_wrong_setting_anywhere_is_told_with_what_was_likely_meant(refused, toml: str, told: str) -> None:
    assert told in refused(toml)


def test_a_setting_that_resembles_none_is_told_with_those_there_are(refused) -> None:
    assert "there are batch_size, dim" in refused("[model]\nwobbliness = 3")


def test_every_wrong_setting_is_told_at_once(refused) -> None:
    said = refused(
        '[source]\nkind="files"\n[source.interactions]\nuri="e"\nseparator="::"\nencoding="utf-99"\n[source.items]\nformat="xls"'
    )
    assert all(word in said for word in ("separator", "utf-99", "xls"))


@pytest.mark.parametrize("setting", ['separator = "::"', 'encoding = "utf-99"', 'columns = { item_id = "sku" }'])
def test_the_command_line_ends_in_one_line(
    tmp_path: Path, setting: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "e.csv").write_text(HEADER + ROW)
    (tmp_path / "my.toml").write_text(
        f'storage = "{tmp_path}/state"\n[source]\nkind = "files"\n[source.interactions]\nuri = "{tmp_path}/e.csv"\n{setting}\n'
    )
    monkeypatch.setattr(sys, "argv", ["recsys", "run", "--config", str(tmp_path / "my.toml")])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith(("ConfigError: ", "SourceError: "))


def _interval(tmp_path: Path, files: dict[str, str], **tables: dict[str, object]) -> str:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    mappings = {
        name: TableMapping.model_validate({"uri": f"{tmp_path}/{name}.csv", **mapping})
        for name, mapping in tables.items()
    }
    with pytest.raises(SourceError) as error:
        open_source(Config(source=FilesSource(**mappings))).interval()
    return str(error.value)


def test_the_first_error_names_what_is_wrong_in_every_table(tmp_path: Path) -> None:
    files = {
        "interactions.csv": "visitor_id,itemid,timestamp,event,mood,shoe\n",
        "users.csv": "userid,shoe_size\n1,2\n",
        "items.csv": "item_id,titel\n1,2\n",
    }
    said = _interval(
        tmp_path, files, interactions={}, users={"columns": {"user_id": "userid", "aeg": "shoe_size"}},
        items={"missing": {"titel": "-"}},
    )  # fmt: skip
    assert "lacks the columns 'user_id' for interactions.user_id, 'item_id' for interactions.item_id" in said
    assert 'item_id = "itemid"' in said
    assert "columns nobody declared: visitor_id, itemid, mood, shoe" in said
    assert "source.users maps aeg, which users does not have (did you mean age for aeg?)" in said
    assert "source.items maps titel" in said and "columns nobody declared: titel" in said


def test_a_missing_file_and_a_wrong_mapping_are_told_together(tmp_path: Path) -> None:
    said = _interval(tmp_path, {"interactions.csv": "user_id,item,event,timestamp\n"}, interactions={}, items={})
    assert "lacks the column 'item_id'" in said
    assert "items.csv" in said


def test_a_first_row_of_values_is_not_repeated(tmp_path: Path) -> None:
    said = _interval(tmp_path, {"interactions.csv": "151603712,Skyrim,purchase,1.0,0\n"}, interactions={})
    assert "set source.interactions.header = false" in said
    assert "151603712" not in said and "Skyrim" not in said


def test_a_column_that_another_one_stands_for_is_not_dropped_silently(tmp_path: Path) -> None:
    said = _interval(tmp_path, {"interactions.csv": "user_id,item_id,sku,event,timestamp\n"},
                     interactions={"columns": {"item_id": "sku"}})  # fmt: skip
    assert "columns nobody declared: item_id" in said


def test_flag_columns_must_be_there(tmp_path: Path) -> None:
    said = _interval(tmp_path, {"interactions.csv": "user_id,item_id,timestamp,is_clik\n"},
                     interactions={"flags": {"click": "is_click"}})  # fmt: skip
    assert "lacks the column 'is_click' for interactions.flags.click" in said


def test_no_header_is_for_csv_files(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('{"user_id": 1}\n')
    mapping = TableMapping(uri=f"{tmp_path}/e.jsonl", header=False)
    with pytest.raises(ConfigError, match="header = false is for CSV files"):
        open_source(Config(source=FilesSource(interactions=mapping))).interval()


@pytest.mark.parametrize("encoding", ["utf8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
@pytest.mark.parametrize("header", [True, False])
def test_files_are_read_in_their_encoding(tmp_path: Path, encoding: str, header: bool) -> None:
    text = (HEADER if header else "") + 'é,"i\n1",click,2026-01-02\n'
    (tmp_path / "e.csv").write_bytes(text.encode(encoding))
    columns = {} if header else {"user_id": 0, "item_id": 1, "event": 2, "timestamp": 3}
    table = {"uri": f"{tmp_path}/e.csv", "encoding": encoding, "header": header, "columns": columns}
    source = open_source(Config(source=FilesSource(interactions=TableMapping.model_validate(table))))
    (rows,) = source.interactions(*source.interval())
    assert rows.select("user_id", "item_id").rows() == [("é", "i\n1")]


def test_cells_without_quotes_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "e.tsv").write_text('user_id\titem_id\tevent\ttimestamp\nu\t"Heroes\tclick\t2026-01-02\n')
    mapping = TableMapping(uri=f"{tmp_path}/e.tsv", separator="\t", quote="")
    source = open_source(Config(source=FilesSource(interactions=mapping)))
    assert next(source.interactions(*source.interval()))["item_id"].to_list() == ['"Heroes']


@pytest.mark.parametrize("url", ["", "nonsense", "postgresql://h:port/x", "nosuch://x", "sqlite:////nowhere/x.db"])
def test_a_wrong_database_address_is_one_line_without_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", url)
    settings = {"source": {"kind": "sql", "url_env": "SHOP", "interactions": {"query": "SELECT 1"}}}
    with pytest.raises((ConfigError, SourceError)) as error:
        open_source(Config.model_validate(settings)).interval()
    assert not url or url not in str(error.value)


@pytest.mark.parametrize("query", ["SELECT", "SELECT :name", "SELECT '\0'", "x"])
def test_a_wrong_query_is_one_line(tmp_path: Path, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", f"sqlite:///{tmp_path}/x.db")
    settings = {"source": {"kind": "sql", "url_env": "SHOP", "interactions": {"query": query}}}
    with pytest.raises(SourceError, match="the interactions query"):
        open_source(Config.model_validate(settings)).interval()


def test_the_first_error_of_a_database_names_what_is_wrong_in_every_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", f"sqlite:///{tmp_path}/x.db")
    queries = {
        "interactions": "SELECT 1 AS visitor, 2 AS item_id, 3 AS event, 4 AS timestamp",
        "users": "SELECT 1 AS user_id, 2 AS shoe",
        "items": "SELECT * FROM nowhere",
    }
    tables = {name: {"query": query} for name, query in queries.items()}
    with pytest.raises(SourceError) as error:
        open_source(Config.model_validate({"source": {"kind": "sql", "url_env": "SHOP", **tables}})).interval()
    said = str(error.value)
    assert "the interactions query lacks the column 'user_id'" in said
    assert "the users query has columns nobody declared: shoe" in said
    assert "the items query failed" in said
