"""The files of the MovieLens releases, each in its own format."""

import gzip
import io
import zlib
from pathlib import Path
from typing import Final

import polars as pl

from recsys.errors import SourceError
from recsys.schema import AGE, CATEGORIES, GENDER, ITEM_ID, LOCATION, OCCUPATION, TITLE, USER_ID

_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_OCCUPATIONS_1M = (
    "other", "educator", "artist", "administrator", "student", "customer service", "doctor", "executive", "farmer",
    "homemaker", "pupil", "lawyer", "programmer", "retired", "salesperson", "scientist", "self-employed", "engineer",
    "craftsman", "unemployed", "writer",
)  # fmt: skip
_RATINGS: Final = {  # file names, separator, header lines
    "100k": (("u.data", "u.data.gz"), "\t", 0),
    "1m": (("ratings.dat",), "::", 0),
    "latest-small": (("ratings.csv",), ",", 1),
}
_COLUMNS: Final = ("user", "item", "rating", "second")


def read_ratings(folder: Path, release: str) -> pl.DataFrame:
    """Return user, item, rating, second and place; `place` orders a user's ratings of one second where it is known."""
    if release == "1m" and (folder / "ratings.parquet").exists():
        return _dated_ratings(folder / "ratings.parquet")
    names, separator, skip = _RATINGS[release]
    return _separated(folder, names, separator, skip).with_columns(pl.lit(0).alias("place"))


def _dated_ratings(path: Path) -> pl.DataFrame:
    try:
        raw = pl.read_parquet(path)
        place = pl.col("sas_pos").fill_null(0) if "sas_pos" in raw.columns else pl.lit(0)
        return raw.select(
            pl.col("user_id").alias("user"),
            pl.col("movie_id").alias("item"),
            pl.col("rating").cast(pl.Float64),
            pl.col("timestamp").cast(pl.Int64).alias("second"),
            place.alias("place"),
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise SourceError(f"cannot read {path}: {reason}; unpack the release again") from None


def read_users(folder: Path, release: str) -> pl.DataFrame | None:
    """Return the users with their demographics; None where the release has none.

    The place is the region of a ZIP code, its first digit.
    """
    if release == "latest-small":
        return None
    name, separator, columns = (
        ("u.user", "|", [USER_ID, AGE, GENDER, OCCUPATION, "zip"])
        if release == "100k"
        else ("users.dat", "::", [USER_ID, GENDER, AGE, OCCUPATION, "zip"])
    )
    rows = _lines(folder, (name,), separator, len(columns))
    names = {str(code): occupation for code, occupation in enumerate(_OCCUPATIONS_1M)}
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        pl.col(AGE).cast(pl.Int32, strict=False),
        pl.col(OCCUPATION).replace(names),
        pl.format("ZIP {}…", pl.col("zip").str.slice(0, 1)).alias(LOCATION),
    )


def read_films(folder: Path, release: str) -> pl.DataFrame:
    """Return id, title with its year, and genres of each film."""
    if release == "latest-small":
        films = _csv(_content(folder, ("movies.csv",)), folder / "movies.csv", ",", has_header=True)
        names = {"movieId": ITEM_ID, "title": TITLE, "genres": CATEGORIES}
        if lacking := [found for found in names if found not in films.columns]:
            raise SourceError(f"{folder / 'movies.csv'} lacks {', '.join(lacking)}; unpack the release again")
        return films.select(pl.col(found).cast(pl.String).alias(name) for found, name in names.items()).with_columns(
            pl.col(CATEGORIES).str.split("|")
        )
    if release == "1m":
        rows = _lines(folder, ("movies.dat",), "::", 3)
        return pl.DataFrame(rows, schema=[ITEM_ID, TITLE, CATEGORIES], orient="row").with_columns(
            pl.col(CATEGORIES).str.split("|")
        )
    rows = _lines(folder, ("u.item",), "|", 24)
    genres = [[name for name, flag in zip(_GENRES_100K, row[5:], strict=True) if flag == "1"] for row in rows]
    return pl.DataFrame({ITEM_ID: [row[0] for row in rows], TITLE: [row[1] for row in rows], CATEGORIES: genres})


def _separated(folder: Path, names: tuple[str, ...], separator: str, skip: int) -> pl.DataFrame:
    content = _content(folder, names)
    if len(separator) > 1:
        content, separator = content.replace(separator.encode(), b"\t"), "\t"
    raw = _csv(content, folder / names[0], separator, has_header=False, skip=skip)
    if raw.width != len(_COLUMNS) or not all(dtype.is_numeric() for dtype in raw.dtypes):
        raise SourceError(f"{folder / names[0]} must hold {', '.join(_COLUMNS)}; unpack the release again")
    raw.columns = list(_COLUMNS)
    return raw.with_columns(pl.col("rating").cast(pl.Float64), pl.col("second").cast(pl.Int64))


def _csv(content: bytes, path: Path, separator: str, has_header: bool, skip: int = 0) -> pl.DataFrame:
    try:
        return pl.read_csv(io.BytesIO(content), separator=separator, has_header=has_header, skip_rows=skip)
    except pl.exceptions.PolarsError:
        raise SourceError(f"{path} is no MovieLens file; unpack the release again") from None


def _lines(folder: Path, names: tuple[str, ...], separator: str, n_fields: int) -> list[list[str]]:
    rows = [
        line.rstrip("\r").split(separator) for line in _content(folder, names).decode("latin-1").split("\n") if line
    ]
    if any(len(row) != n_fields for row in rows):
        raise SourceError(f"{folder / names[0]} must have {n_fields} fields a line; unpack the release again")
    return rows


def _content(folder: Path, names: tuple[str, ...]) -> bytes:
    path = _file(folder, names)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"cannot read {path} ({type(error).__name__}); unpack the release again") from None
    if not content:
        raise SourceError(f"{path} is empty; unpack the release again")
    return content


def _file(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise SourceError(f"{folder} has no {names[0]}; set source.path (DATA_DIR) to the unpacked MovieLens release")
