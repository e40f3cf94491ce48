"""MovieLens: the three layouts, their download, and damage to either."""

import hashlib
import io
import os
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.config import Config, MovieLensSource
from recsys.data.sources import Source, grouplens, open_source
from recsys.data.sources.grouplens import download, unpack
from recsys.errors import SourceError

Write = Callable[[str], Path]
RELEASES = {"100k": ("u.data", "u.user", "u.item"), "1m": ("ratings.dat", "users.dat", "movies.dat"),
            "latest-small": ("ratings.csv", "movies.csv")}  # fmt: skip
FILES = [(release, name) for release, names in RELEASES.items() for name in names]
DATA = Path(os.environ.get("RECSYS_DATA_DIR", Path(__file__).parents[2] / ".." / "shared" / "data"))


def _open(folder: Path, release: str) -> Source:
    return open_source(Config(source=MovieLensSource.model_validate({"path": str(folder), "release": release})))


def _all(source: Source) -> dict[str, pl.DataFrame]:
    interval = source.interval()
    readers = {"interactions": source.interactions, "users": source.users, "items": source.items}
    return {name: pl.concat(read(*interval)) for name, read in readers.items()}


@pytest.mark.parametrize("release", RELEASES)
def test_films_have_titles_genres_and_years(movielens: Write, release: str) -> None:
    items = _all(_open(movielens(release), release))["items"].sort("item_id")
    assert items["title"].to_list() == ["Toy Story (1995)", "Misérables, Les (1995)", "unknown"]
    assert items["published_at"].to_list() == [datetime(1995, 1, 1, tzinfo=UTC)] * 2 + [None]
    assert items["categories"][1].to_list() == ["Drama"]


@pytest.mark.parametrize(
    ("release", "wanted"),
    [
        ("100k", [("1", 24, "M", "technician", "ZIP 8…", True), ("2", 53, "F", "other", "ZIP 9…", True)]),
        ("1m", [("1", 25, "M", "programmer", "ZIP 8…", True), ("2", 56, "F", "other", "ZIP 9…", True)]),
    ],
)
def test_users_have_their_demographics_and_consent(movielens: Write, release: str, wanted: list[object]) -> None:
    users = _all(_open(movielens(release), release))["users"].sort("user_id")
    columns = ("user_id", "age", "gender", "occupation", "location", "consent_personalization")
    assert users.select(columns).rows() == wanted


def test_ratings_are_events_with_their_value(movielens: Write) -> None:
    events = _all(_open(movielens("1m"), "1m"))["interactions"].sort("timestamp", "event_id")
    rows = events.select("user_id", "item_id", "event", "value").rows()
    assert rows[0] == ("1", "1", "rating", 5.0)
    assert sorted(row[3] for row in rows) == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(("release", "name"), FILES)
def test_an_empty_file_is_refused_by_name(movielens: Write, release: str, name: str) -> None:
    folder = movielens(release)
    (folder / name).write_bytes(b"")
    with pytest.raises(SourceError, match=name):
        _all(_open(folder, release))


@pytest.mark.parametrize(("release", "name"), FILES)
def test_an_absent_file_is_refused_by_name(movielens: Write, release: str, name: str) -> None:
    folder = movielens(release)
    (folder / name).unlink()
    with pytest.raises(SourceError, match=name):
        _all(_open(folder, release))


@pytest.mark.parametrize(("release", "name"), FILES)
def test_a_file_of_something_else_is_refused_by_name(movielens: Write, release: str, name: str) -> None:
    folder = movielens(release)
    (folder / name).write_text("<html>\nproxy says no\n</html>\n")
    with pytest.raises(SourceError, match=name):
        _all(_open(folder, release))


def test_a_truncated_gzip_of_ratings_is_refused(movielens: Write) -> None:
    folder = movielens("100k")
    (folder / "u.data").rename(folder / "u.data.gz")
    with pytest.raises(SourceError, match=r"u\.data"):
        _open(folder, "100k").interval()


def test_an_age_that_is_no_number_is_unknown(movielens: Write) -> None:
    folder = movielens("100k")
    (folder / "u.user").write_text("1|?|M|technician|85711\n2|53|F|other|94043\n")
    assert _all(_open(folder, "100k"))["users"].sort("user_id")["age"].to_list() == [None, 53]


def test_corrupt_parquet_ratings_are_refused(movielens: Write) -> None:
    folder = movielens("1m")
    (folder / "ratings.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(SourceError, match=r"ratings\.parquet"):
        _open(folder, "1m").interval()


def test_parquet_ratings_of_one_second_keep_their_true_order(movielens: Write) -> None:
    folder = movielens("1m")
    pl.DataFrame(
        {"user_id": [1, 1, 1], "movie_id": [1, 2, 3], "rating": [5, 4, 3], "timestamp": [100, 100, 100],
         "sas_pos": [2, 0, 1]}
    ).write_parquet(folder / "ratings.parquet")  # fmt: skip
    events = _all(_open(folder, "1m"))["interactions"].sort("timestamp")
    assert events["item_id"].to_list() == ["2", "3", "1"]
    assert events["timestamp"].dt.epoch("s").unique().to_list() == [100]


def test_a_missing_folder_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="DATA_DIR"):
        _open(tmp_path / "gone", "100k")


def test_a_refused_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise urllib.error.URLError("Network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(SourceError, match=r"cannot download https://.*unreachable.*by hand.*DATA_DIR"):
        open_source(Config(source=MovieLensSource(release="100k"), storage=str(tmp_path)))
    assert not list((tmp_path / "downloads").iterdir())


def test_a_download_with_the_wrong_checksum_is_refused_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_args, **_kwargs: io.BytesIO(b"half a file"))
    with pytest.raises(SourceError, match="MD5"):
        download("1m", str(tmp_path))
    assert not list((tmp_path / "downloads").iterdir())


def test_an_archive_without_its_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("other/ratings.csv", "x")
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_args, **_kwargs: io.BytesIO(content.getvalue()))
    with pytest.raises(SourceError, match="ml-latest-small"):
        download("latest-small", str(tmp_path))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_refused(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "release.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.csv", "".join(str(number) for number in range(5000)))
    damaged = bytearray(path.read_bytes())
    damaged[60:90] = b"\xff" * 30
    path.write_bytes(bytes(damaged))
    with pytest.raises(SourceError, match=r"release\.zip"):
        unpack(path, "", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "release.zip").write_text("<html>")
    with pytest.raises(SourceError, match="no|not a zip"):
        unpack(tmp_path / "release.zip", "", tmp_path / "out")


@pytest.mark.parametrize(
    ("release", "folder", "counts"),
    [("100k", "ml-100k", (100_000, 943, 1_682)), ("1m", "ml-1m", (1_000_209, 6_040, 3_883))],
)
def test_the_real_release_has_its_published_counts(release: str, folder: str, counts: tuple[int, int, int]) -> None:
    if not (DATA / folder).is_dir():
        pytest.skip(f"no {folder} in {DATA}; set RECSYS_DATA_DIR")
    tables = _all(_open(DATA / folder, release))
    assert tuple(len(tables[name]) for name in ("interactions", "users", "items")) == counts


def archive(folder: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target:
        target.writestr(f"{folder}/u.data", "1\t10\t5\t978300760\n")
    return content.getvalue()


def test_a_download_is_checked_unpacked_and_then_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = archive("ml-100k")
    answers = [content]
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: io.BytesIO(answers.pop()))
    right = hashlib.md5(content, usedforsecurity=False).hexdigest()
    monkeypatch.setitem(grouplens._MD5, "100k", ("ml-100k", right))
    for _ in range(2):
        folder = grouplens.download("100k", str(tmp_path))
        assert [path.name for path in folder.iterdir()] == ["u.data"]
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["ml-100k"]


def test_movielens_1m_keeps_each_users_true_order() -> None:
    if not (DATA / "ml-1m").is_dir():
        pytest.skip(f"no ml-1m in {DATA}; set RECSYS_DATA_DIR")
    events = _all(_open(DATA / "ml-1m", "1m"))["interactions"]
    raw = pl.read_parquet(DATA / "ml-1m" / "ratings.parquet")
    raw = raw.filter(pl.col("sas_pos").is_not_null(), pl.col("user_id") < 200)
    true_order = raw.sort("user_id", "sas_pos").select(pl.concat_str("user_id", "movie_id", separator="-")).to_series()
    kept = events.filter(pl.col("event_id").is_in(true_order.implode()))
    ours = kept.sort(pl.col("user_id").cast(pl.Int64), "timestamp")["event_id"]
    assert ours.to_list() == true_order.to_list()
