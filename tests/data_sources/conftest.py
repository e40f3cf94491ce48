"""One tiny data set, written in every form a source reads."""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import fsspec
import polars as pl
import pytest
import sqlalchemy

from recsys.config import Config, DemoSource, FilesSource, MovieLensSource, SqlSource, TableMapping
from recsys.data.sources import Source, open_source

POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432/test"
START = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = {"user_id": "who", "item_id": "what", "event": "kind", "timestamp": "at"}


def tiny() -> dict[str, pl.DataFrame]:
    """Three days of events of four users; ids hold commas, quotes, newlines and letters of other alphabets."""
    who = ["ana, b", 'q"x', "line\nbreak", "ümläut-用户"]
    at = [START + timedelta(hours=7 * n) for n in range(10)]
    events = pl.DataFrame(
        {
            "who": [who[n % 4] for n in range(10)],
            "what": [f"i{n % 3}" for n in range(10)],
            "kind": ["click", "like"] * 5,
            "at": [moment.isoformat() for moment in at],
            "value": [None if n % 2 else n / 2 for n in range(10)],
        }
    )
    signed = [None, "2026-02-01", "2026-03-02", "2026-03-03"]
    users = pl.DataFrame({"user_id": who, "age": [20, None, 41, 7], "signed_up_at": signed})
    published = ["2025-01-01", None, "2026-03-02"]
    items = pl.DataFrame({"item_id": ["i0", "i1", "i2"], "categories": ["a|b", "a", None], "published_at": published})
    return {"interactions": events, "users": users, "items": items}


def write(frame: pl.DataFrame, uri: str) -> str:
    """Write a frame in the format its address ends in."""
    with fsspec.open(uri, "wb", compression="infer") as stream:
        if ".csv" in uri:
            frame.write_csv(stream)
        elif uri.endswith(".parquet"):
            frame.write_parquet(stream)
        else:
            frame.write_ndjson(stream)
    return uri


def _files(folder: str, ending: str) -> Source:
    uris = {name: write(frame, f"{folder}/{name}.{ending}") for name, frame in tiny().items()}
    mappings = {name: TableMapping(uri=uri) for name, uri in uris.items()}
    mappings["interactions"] = TableMapping(uri=uris["interactions"], columns=NAMES)
    return open_source(Config(source=FilesSource(**mappings)))


def _glob(folder: Path) -> Source:
    events = tiny()["interactions"]
    for n in range(5):
        write(events[2 * n : 2 * n + 2], f"{folder}/part-{n}.parquet")
    mapping = TableMapping(uri=f"{folder}/part-*.parquet", columns=NAMES)
    return open_source(Config(source=FilesSource(interactions=mapping)))


def _sql(url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Source:
    engine = sqlalchemy.create_engine(url)
    names = {name: f"recsys_{os.getpid()}_{name}" for name in tiny()}
    types = {pl.String: sqlalchemy.String, pl.Float64: sqlalchemy.Float, pl.Int64: sqlalchemy.Integer}
    metadata = sqlalchemy.MetaData()
    for name, frame in tiny().items():
        columns = [sqlalchemy.Column(column, types[type(dtype)]) for column, dtype in frame.schema.items()]
        sqlalchemy.Table(names[name], metadata, *columns)
    metadata.create_all(engine)
    request.addfinalizer(lambda: metadata.drop_all(engine))
    with engine.begin() as connection:
        for name, frame in tiny().items():
            connection.execute(metadata.tables[names[name]].insert(), frame.to_dicts())
    monkeypatch.setenv("RECSYS_SQL_URL", url)
    mappings = {name: TableMapping(query=f"select * from {table}") for name, table in names.items()}
    mappings["interactions"] = TableMapping(query=f"select * from {names['interactions']}", columns=NAMES)
    return open_source(Config(source=SqlSource(batch_rows=3, **mappings)))


def postgres_or_skip() -> str:
    """Return the test database's URL, or skip where none answers."""
    pytest.importorskip("psycopg")
    try:
        sqlalchemy.create_engine(POSTGRES, connect_args={"connect_timeout": 2}).connect().close()
    except sqlalchemy.exc.OperationalError:
        pytest.skip("no PostgreSQL answers on 127.0.0.1:5432 (database test, user postgres)")
    return POSTGRES


def write_movielens(release: str, folder: Path) -> Path:
    """Write three ratings, two users and two films as a release does."""
    ratings = [(1, 10, 5, 978300760), (1, 20, 3, 978300760), (2, 10, 4, 978400000)]
    if release == "100k":
        text = "\n".join("\t".join(map(str, row)) for row in ratings)
        films = f"10|Amélie (1995)|01-Jan-1995||u|0|1{'|0' * 17}\n20|unknown||||1{'|0' * 18}\n"
        parts = {"u.data": text, "u.user": "1|24|M|writer|85711\n2|53|F|other|T8H1N\n", "u.item": films}
    elif release == "1m":
        text = "\n".join("::".join(map(str, row)) for row in ratings)
        films = "10::Amélie (1995)::Action\n20::unknown::Action|War\n"
        parts = {"ratings.dat": text, "users.dat": "1::M::1::9::85711\n2::F::56::0::02460\n", "movies.dat": films}
    else:
        text = "userId,movieId,rating,timestamp\n" + "\n".join(",".join(map(str, row)) for row in ratings)
        parts = {"ratings.csv": text, "movies.csv": 'movieId,title,genres\n10,"Heat, The (1995)",Action\n20,B,A|C\n'}
    encoding = "utf8" if release == "latest-small" else "latin-1"
    for name, content in parts.items():
        (folder / name).write_text(content, encoding=encoding)
    return folder


Build = Callable[[Path, pytest.MonkeyPatch, pytest.FixtureRequest], Source]
BUILDERS: dict[str, Build] = {
    "demo": lambda *_: open_source(Config(source=DemoSource(start=date(2026, 3, 1), days=4, scale=0.05, n_items=60))),
    "movielens-100k": lambda path, *_: _movielens("100k", path),
    "movielens-1m": lambda path, *_: _movielens("1m", path),
    "movielens-latest-small": lambda path, *_: _movielens("latest-small", path),
    "csv": lambda path, *_: _files(str(path), "csv"),
    "csv-gz": lambda path, *_: _files(str(path), "csv.gz"),
    "parquet": lambda path, *_: _files(str(path), "parquet"),
    "jsonl": lambda path, *_: _files(str(path), "jsonl"),
    "memory": lambda path, *_: _files(f"memory://sources{path}", "csv"),
    "glob": lambda path, *_: _glob(path),
    "sqlite": lambda path, *rest: _sql(f"sqlite:///{path}/tiny.db", *rest),
    "postgres": lambda path, *rest: _sql(postgres_or_skip(), *rest),
}


def _movielens(release: str, folder: Path) -> Source:
    path = write_movielens(release, folder)
    return open_source(Config(source=MovieLensSource(release=release, path=str(path))))


@pytest.fixture(params=sorted(BUILDERS))
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Every source there is, small."""
    return BUILDERS[request.param](tmp_path, monkeypatch, request)


@pytest.fixture
def postgres() -> str:
    """A PostgreSQL that answers."""
    return postgres_or_skip()
