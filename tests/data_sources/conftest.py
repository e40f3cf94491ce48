"""A tiny world in every format a source can read, and the three MovieLens layouts."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import fsspec
import polars as pl
import pytest
import sqlalchemy

from recsys.config import Config, DemoSource, FilesSource, MovieLensSource, SqlSource, TableMapping
from recsys.data.sources import Source, open_source

START = datetime(2026, 3, 1, tzinfo=UTC)
ODD_USER, ODD_ITEM = 'ü,"1"\nx', "電影, 一\n號"
POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432/test"


def _at(day: int, hour: int = 12) -> datetime:
    return START + timedelta(days=day, hours=hour)


EVENTS = pl.DataFrame(
    {
        "event_id": [f"e{number}" for number in range(6)],
        "user_id": ["u1", ODD_USER, "u1", "u2", ODD_USER, "u2"],
        "item_id": ["i1", ODD_ITEM, "i2", "i1", "i1", ODD_ITEM],
        "event": ["view", "like", "click", "view", "rating", "dislike"],
        "value": [30.5, None, None, 12.0, 4.0, None],
        "timestamp": [_at(0), _at(0, 23), _at(1, 0), _at(1), _at(2), _at(3, 23)],
        "position": [1, None, 3, 0, None, 2],
    }
)
USERS = pl.DataFrame(
    {
        "user_id": ["u1", ODD_USER, "u2"],
        "age": [31, None, 64],
        "consent_personalization": [True, False, True],
        "signed_up_at": [_at(-30), None, _at(1, 3)],
    }
)
ITEMS = pl.DataFrame(
    {
        "item_id": ["i1", "i2", ODD_ITEM],
        "title": ["One", "Two, or more", "三"],
        "categories": [["news", "sport"], ["news"], None],
        "published_at": [_at(-3), _at(0, 22), None],
    }
)
TABLES = {"interactions": EVENTS, "users": USERS, "items": ITEMS}


@dataclass(frozen=True)
class Case:
    """A source and what its fixture says it holds."""

    source: Source
    interval: tuple[datetime, datetime]
    n_events: int


def _flat(table: pl.DataFrame) -> pl.DataFrame:
    """Write lists as CSV does, and times as ISO text, for formats that have neither."""
    lists = [pl.col(name).list.join("|") for name, dtype in table.schema.items() if isinstance(dtype, pl.List)]
    times = [pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name, t in table.schema.items() if t.is_temporal()]
    return table.with_columns(*lists, *times)


def _files(folder: str, ending: str, write: Callable[[pl.DataFrame], bytes]) -> FilesSource:
    filesystem, path = fsspec.core.url_to_fs(folder)
    filesystem.makedirs(path, exist_ok=True)
    for name, table in TABLES.items():
        filesystem.pipe_file(f"{path}/{name}.{ending}", write(table))
    uris = {name: TableMapping(uri=f"{folder}/{name}.{ending}") for name in TABLES}
    return FilesSource(interactions=uris["interactions"], users=uris["users"], items=uris["items"])


def _csv(table: pl.DataFrame) -> bytes:
    return _flat(table).write_csv().encode()


def _json_lines(table: pl.DataFrame) -> bytes:
    return _flat(table).write_ndjson().encode()


def _parquet(table: pl.DataFrame) -> bytes:
    stream = fsspec.filesystem("memory").open(f"/{uuid.uuid4()}", "wb")
    table.write_parquet(stream)
    content: bytes = stream.getvalue()
    return content


def _glob(folder: Path) -> FilesSource:
    for part, rows in enumerate((EVENTS[:2], EVENTS[2:3], EVENTS[3:])):
        (folder / f"events-{part}.csv").write_bytes(_csv(rows.drop("event_id")))
    return FilesSource(interactions=TableMapping(uri=f"{folder}/events-*.csv"))


def _sql(url: str, env: pytest.MonkeyPatch, prefix: str) -> SqlSource:
    engine = sqlalchemy.create_engine(url)
    metadata = sqlalchemy.MetaData()
    kinds: dict[type[pl.DataType], type[sqlalchemy.types.TypeEngine[object]]] = {
        pl.String: sqlalchemy.Text,
        pl.Float64: sqlalchemy.Float,
        pl.Int64: sqlalchemy.Integer,
        pl.Boolean: sqlalchemy.Boolean,
    }
    with engine.begin() as connection:
        for name, table in TABLES.items():
            flat = _flat(table)
            columns = [sqlalchemy.Column(column, kinds[type(dtype)]) for column, dtype in flat.schema.items()]
            target = sqlalchemy.Table(f"{prefix}_{name}", metadata, *columns)
            target.create(connection)
            connection.execute(target.insert(), flat.to_dicts())
    engine.dispose()
    env.setenv("TEST_SQL_URL", url)
    queries = {name: TableMapping(query=f"SELECT * FROM {prefix}_{name}") for name in TABLES}
    return SqlSource(url_env="TEST_SQL_URL", batch_rows=2, **queries)


@pytest.fixture
def postgres() -> str:
    """Return the address of a PostgreSQL that answers, or skip."""
    _postgres_or_skip()
    return POSTGRES


def _postgres(env: pytest.MonkeyPatch, prefix: str) -> SqlSource:
    _postgres_or_skip()
    return _sql(POSTGRES, env, prefix)


def _postgres_or_skip() -> None:
    try:
        sqlalchemy.create_engine(POSTGRES, connect_args={"connect_timeout": 2}).connect().close()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        pytest.skip(f"no PostgreSQL with database test at 127.0.0.1:5432 ({type(error).__name__})")


def _drop(prefix: str) -> None:
    engine = sqlalchemy.create_engine(POSTGRES)
    with engine.begin() as connection:
        for name in TABLES:
            connection.execute(sqlalchemy.text(f"DROP TABLE IF EXISTS {prefix}_{name}"))
    engine.dispose()


_SECONDS = [int(_at(day).timestamp()) for day in (0, 0, 1, 2, 2)]
_RATINGS = [(user, film, rating, at) for user, film, rating, at in
            zip((1, 2, 1, 2, 1), (1, 1, 2, 2, 3), (5, 3, 1, 4, 2), _SECONDS, strict=True)]  # fmt: skip


def write_movielens(folder: Path, release: str) -> Path:
    """Write a release of two users, three films and five ratings in its own layout and encoding."""
    flags = ["0"] * 19
    if release == "100k":
        lines = ["\t".join(map(str, row)) for row in _RATINGS]
        (folder / "u.data").write_text("\n".join(lines) + "\n")
        (folder / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|94043\n")
        drama = [*flags[:8], "1", *flags[9:]]
        films = ["1|Toy Story (1995)|01-Jan-1995||http://x|", "2|Misérables, Les (1995)|01-Jan-1995||http://y|",
                 "3|unknown|||http://z|"]  # fmt: skip
        (folder / "u.item").write_bytes("".join(f"{film}{'|'.join(drama)}\n" for film in films).encode("latin-1"))
    elif release == "1m":
        (folder / "ratings.dat").write_text("".join("::".join(map(str, row)) + "\n" for row in _RATINGS))
        (folder / "users.dat").write_text("1::M::25::12::85711\n2::F::56::0::94043\n")
        films = ["1::Toy Story (1995)::Animation|Comedy", "2::Misérables, Les (1995)::Drama", "3::unknown::Drama"]
        (folder / "movies.dat").write_bytes("".join(f"{film}\n" for film in films).encode("latin-1"))
    else:
        lines = ["userId,movieId,rating,timestamp", *(",".join(map(str, row)) for row in _RATINGS)]
        (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
        (folder / "movies.csv").write_text(
            'movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n2,"Misérables, Les (1995)",Drama\n'
            "3,unknown,(no genres listed)\n", encoding="utf-8")  # fmt: skip
    return folder


@pytest.fixture
def movielens(tmp_path: Path) -> Callable[[str], Path]:
    """Write a MovieLens release into the test's folder."""
    return lambda release: write_movielens(tmp_path, release)


@pytest.fixture
def odd_ids() -> tuple[str, str]:
    """Return the user id and item id with unicode, commas, quotes and newlines."""
    return ODD_USER, ODD_ITEM


KINDS = ("demo", "movielens-100k", "movielens-1m", "movielens-latest-small", "csv", "csv-glob", "csv-gz", "parquet",
         "jsonl", "memory", "sqlite", "postgresql")  # fmt: skip


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """Open each kind of source over the tiny world."""
    kind, prefix = str(request.param), f"t{uuid.uuid4().hex[:12]}"
    config = Config(storage=str(tmp_path / "state"))
    span, n_events = (START, START + timedelta(days=4)), len(EVENTS)
    settings: DemoSource | MovieLensSource | FilesSource | SqlSource
    if kind == "demo":
        settings = DemoSource(start=date(2026, 3, 1), days=4, scale=0.02, n_items=60)
        n_events = -1
    elif kind.startswith("movielens"):
        release = kind.removeprefix("movielens-")
        folder = str(write_movielens(tmp_path, release))
        settings = MovieLensSource.model_validate({"release": release, "path": folder})
        span, n_events = (START, START + timedelta(days=3)), len(_RATINGS)
    elif kind == "csv-glob":
        settings = _glob(tmp_path)
    elif kind == "csv-gz":
        path = tmp_path / "events.csv.gz"
        with fsspec.open(str(path), "wb", compression="gzip") as stream:
            stream.write(_csv(EVENTS))
        settings = FilesSource(interactions=TableMapping(uri=str(path)))
    elif kind == "memory":
        settings = _files(f"memory://{prefix}", "csv", _csv)
    elif kind == "sqlite":
        settings = _sql(f"sqlite:///{tmp_path}/world.db", monkeypatch, prefix)
    elif kind == "postgresql":
        settings = _postgres(monkeypatch, prefix)
    else:
        writers = {"csv": _csv, "parquet": _parquet, "jsonl": _json_lines}
        settings = _files(str(tmp_path), kind, writers[kind])
    yield Case(open_source(config.model_copy(update={"source": settings})), span, n_events)
    if kind == "postgresql":
        _drop(prefix)
