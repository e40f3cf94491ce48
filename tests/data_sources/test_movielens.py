"""MovieLens: its three formats, the true order of ratings, and downloads that fail."""

import hashlib
import io
import urllib.error
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recsys import schema
from recsys.config import Config, MovieLensSource
from recsys.data.sources import Source, grouplens, open_source
from recsys.errors import SourceError

ML_1M = Path("/work/shared/data/ml-1m")
ML_100K = Path("/work/shared/data/ml-100k")


def opened(release: str, path: Path) -> Source:
    return open_source(Config(source=MovieLensSource(release=release, path=str(path))))


def table(source: Source, name: schema.TableName) -> pl.DataFrame:
    return pl.concat(list(getattr(source, name)(*source.interval())))


def write_100k(folder: Path) -> None:
    (folder / "u.data").write_text("1\t10\t5\t978300760\n2\t20\t3\t978300760\n")
    (folder / "u.user").write_text("1|24|M|writer|85711\n2|53|F|other|T8H1N\n")
    film = f"10|Amélie (1995)|01-Jan-1995||u|0|1{'|0' * 17}\n20|unknown||||1{'|0' * 18}\n"
    (folder / "u.item").write_text(film, encoding="latin-1")


def test_films_have_their_year_genres_and_full_title(tmp_path: Path) -> None:
    write_100k(tmp_path)
    films = table(opened("100k", tmp_path), "items")
    assert films[schema.TITLE].to_list() == ["Amélie (1995)", "unknown"]
    assert films[schema.PUBLISHED_AT].to_list() == [datetime(1995, 1, 1, tzinfo=UTC), None]
    assert films[schema.CATEGORIES].to_list() == [["Action"], ["unknown"]]


def test_users_have_demographics_a_coarse_place_and_research_consent(tmp_path: Path) -> None:
    write_100k(tmp_path)
    users = table(opened("100k", tmp_path), "users")
    assert users.select("age", "gender", "occupation", "location").rows() == [
        (24, "M", "writer", "8"),
        (53, "F", "other", "T"),
    ]
    assert users[schema.CONSENT_PERSONALIZATION].all()


def test_ratings_of_one_second_keep_the_users_true_order(tmp_path: Path) -> None:
    raw = pl.DataFrame({"user_id": [1, 1, 1, 2], "movie_id": [5, 6, 7, 5], "rating": [1, 2, 3, 4]}).with_columns(
        timestamp=pl.Series([100, 100, 100, 100]), sas_pos=pl.Series([2, 0, 1, 0])
    )
    raw.write_parquet(tmp_path / "ratings.parquet")
    events = table(opened("1m", tmp_path), "interactions")
    mine = events.filter(pl.col(schema.USER_ID) == "1")
    assert mine[schema.ITEM_ID].to_list() == ["6", "7", "5"]
    begin = datetime(1970, 1, 1, 0, 1, 40, tzinfo=UTC)
    assert mine[schema.TIMESTAMP].to_list() == [begin + timedelta(microseconds=n) for n in range(3)]
    assert events.filter(pl.col(schema.USER_ID) == "2")[schema.TIMESTAMP].to_list() == [begin]


def test_a_missing_folder_or_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no folder .*DATA_DIR"):
        opened("1m", tmp_path / "gone")
    with pytest.raises(SourceError, match=r"has no u.data; .*DATA_DIR"):
        opened("100k", tmp_path).interval()


@pytest.mark.parametrize("content", ["", "a\tb\n", "1\t2\t3\n", "u\ti\tr\tt\n"])
def test_a_damaged_ratings_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "u.data").write_text(content)
    with pytest.raises(SourceError, match=r"u\.data"):
        opened("100k", tmp_path).interval()


def test_a_refused_network_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, timeout: float) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(SourceError, match=r"cannot download https://files.grouplens.org.*by hand.*DATA_DIR"):
        open_source(Config(storage=str(tmp_path), source=MovieLensSource(release="100k")))
    assert list((tmp_path / "downloads").iterdir()) == []


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


def test_a_damaged_download_is_refused_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for release, content, reason in (
        ("100k", archive("ml-100k"), "MD5"),
        ("latest-small", b"<html>sorry</html>", "not a zip"),
        ("latest-small", archive("another"), "ml-latest-small"),
    ):
        monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout, content=content: io.BytesIO(content))
        with pytest.raises(SourceError, match=reason):
            grouplens.download(release, str(tmp_path))
        assert list((tmp_path / "downloads").iterdir()) == []


@pytest.mark.skipif(not ML_1M.exists(), reason="needs MovieLens 1M in /work/shared/data")
def test_movielens_1m_is_whole_and_in_its_true_order() -> None:
    source = opened("1m", ML_1M)
    events = table(source, "interactions")
    assert (len(events), events[schema.USER_ID].n_unique(), events[schema.ITEM_ID].n_unique()) == (
        1_000_209,
        6040,
        3706,
    )
    assert table(source, "users").height == 6040
    assert table(source, "items").height == 3883
    raw = pl.read_parquet(ML_1M / "ratings.parquet").filter(pl.col("sas_pos").is_not_null(), pl.col("user_id") < 200)
    true_order = raw.sort("user_id", "sas_pos").select(pl.concat_str("user_id", "movie_id", separator="-"))
    kept = events.filter(pl.col(schema.EVENT_ID).is_in(true_order.to_series().implode()))
    ours = kept.sort(pl.col(schema.USER_ID).cast(pl.Int64), schema.TIMESTAMP)[schema.EVENT_ID]
    assert ours.to_list() == true_order.to_series().to_list()


@pytest.mark.skipif(not ML_100K.exists(), reason="needs MovieLens 100k in /work/shared/data")
def test_movielens_100k_is_whole() -> None:
    source = opened("100k", ML_100K)
    assert [table(source, name).height for name in schema.TABLES] == [100_000, 943, 1682]
