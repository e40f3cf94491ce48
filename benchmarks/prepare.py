"""Turn the public split files into tables of the data contract, under `state/bench`.

    python benchmarks/prepare.py             # every case
    python benchmarks/prepare.py v2 v4       # some

Reads the folder named by RECSYS_DATA_DIR, by default `../shared/data`; writes one folder per case that holds
`interactions.parquet` or the parts of a published split, `items.parquet` and, where there are demographics,
`users.parquet`. Prepared data stays on this machine: MovieLens and the others may not be redistributed.
"""

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl

from recsys.data.sources.movielens_files import read_films, read_users

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("RECSYS_DATA_DIR", ROOT.parent / "shared" / "data"))
OUT = ROOT / "state" / "bench"
_MIN_RATING = 4
_CORE = 10


def v1(out: Path) -> None:
    """Write the 10-core of ratings of 4 and more, each published fold's test part and the rest as its train part."""
    ratings = _core(_ratings().filter(pl.col("value") >= _MIN_RATING), _CORE)
    for fold in range(5):
        pairs = _pairs(gzip.decompress((DATA / "ml-1m-5fold" / str(fold) / "test.tsv.gz").read_bytes()))
        folder = out / str(fold)
        folder.mkdir(parents=True, exist_ok=True)
        key = ["user_id", "item_id"]
        test = ratings.join(pairs, on=key, how="semi")
        if len(test) != len(pairs):
            raise SystemExit(f"fold {fold}: {len(pairs) - len(test)} test rows are not in the 10-core")
        test.write_parquet(folder / "test.parquet")
        ratings.join(pairs, on=key, how="anti").write_parquet(folder / "train.parquet")
    _films(out, ratings)
    _people("1m", "ml-1m").write_parquet(out / "users.parquet")


def v2(out: Path) -> None:
    """Write the ratings of the public next-item split in its order, after checking that they are that split."""
    ratings = _ratings().filter(pl.col("sas_pos").is_not_null())
    places = {name: _numbers(f"sas_to_original_{name}.txt") for name in ("users", "items")}
    last = ratings.sort("user_id", "sas_pos").group_by("user_id").last()
    lists = (DATA / "ml-1m-next-item" / "test" / "output.txt").read_text().split()
    named = {places["users"][str(user)]: places["items"][item] for user, item in enumerate(lists, 1)}
    if dict(last.select("user_id", "item_id").iter_rows()) != named:
        raise SystemExit("the last ratings by sas_pos are not the test items of the public split")
    ratings.write_parquet(out / "interactions.parquet")
    _films(out, ratings)
    _people("1m", "ml-1m").write_parquet(out / "users.parquet")


def v3(out: Path) -> None:
    """Write Gowalla's train and test parts; check-ins have no time, so the order in the file stands for it."""
    parts = {}
    for name in ("train", "test"):
        text = gzip.decompress((DATA / "gowalla" / f"{name}.txt.gz").read_bytes()).decode()
        lines = [line.split() for line in text.splitlines()]
        rows = [(line[0], item, place) for line in lines for place, item in enumerate(line[1:])]
        parts[name] = _untimed(rows, "view")
        parts[name].write_parquet(out / f"{name}.parquet")
    ids = pl.concat(parts.values())["item_id"].unique().sort()
    pl.DataFrame({"item_id": ids}).write_parquet(out / "items.parquet")


def v4(out: Path) -> None:
    """Write all ratings and the ids of the films that are held out whole."""
    ratings = _ratings()
    ratings.write_parquet(out / "interactions.parquet")
    (out / "cold_items.csv").write_bytes((DATA / "ml-1m-cold-items" / "cold_items.csv").read_bytes())
    _films(out, ratings)
    _people("1m", "ml-1m").write_parquet(out / "users.parquet")


def v5(out: Path) -> None:
    """Write the train and test parts of MovieLens 100k, whose ids are its own, with their times."""
    ratings = pl.read_csv(DATA / "ml-100k" / "u.data.gz", separator="\t", has_header=False,
                          new_columns=["user_id", "item_id", "value", "timestamp"])  # fmt: skip
    ratings = _named(ratings.with_columns(pl.col("user_id", "item_id").cast(pl.String)))
    lines = [line.split() for line in (DATA / "ml-100k-split" / "ml-100k.test.rating").read_text().splitlines()]
    pairs = {
        "train": _pairs((DATA / "ml-100k-split" / "ml-100k.train.rating").read_bytes()),
        "test": pl.DataFrame(
            [(line[0], item) for line in lines for item in line[1:]], schema=["user_id", "item_id"], orient="row"
        ),
    }
    for name, asked in pairs.items():
        rows = ratings.join(asked, on=["user_id", "item_id"], how="semi")
        if len(rows) != len(asked):
            raise SystemExit(f"{len(asked) - len(rows)} rows of the {name} part are not in u.data")
        rows.write_parquet(out / f"{name}.parquet")
    read_films(DATA / "ml-100k", "100k").write_parquet(out / "items.parquet")
    _people("100k", "ml-100k").write_parquet(out / "users.parquet")


def v6(out: Path) -> None:
    """Write the sequences of Amazon Beauty in their order; attributes are the items' categories."""
    lines = [line.split() for line in (DATA / "beauty" / "Beauty.txt").read_text().splitlines()]
    rows = _untimed([(line[0], item, place) for line in lines for place, item in enumerate(line[1:])], "view")
    rows.write_parquet(out / "interactions.parquet")
    attributes = json.loads((DATA / "beauty" / "Beauty_item2attributes.json").read_text())
    ids = rows["item_id"].unique().sort()
    names = [[f"a{each}" for each in attributes.get(item, [])] for item in ids]
    pl.DataFrame({"item_id": ids, "categories": names}).write_parquet(out / "items.parquet")


CASES: dict[str, Callable[[Path], None]] = {"v1": v1, "v2": v2, "v3": v3, "v4": v4, "v5": v5, "v6": v6}


def prepare(case: str) -> Path:
    """Prepare one case, unless it is there; return its folder."""
    folder = OUT / case
    if not (folder / "DONE").exists():
        if not DATA.is_dir():
            raise SystemExit(f"there is no folder {DATA}; set RECSYS_DATA_DIR to the one with the public datasets")
        folder.mkdir(parents=True, exist_ok=True)
        CASES[case](folder)
        (folder / "DONE").touch()
    return folder


def _ratings() -> pl.DataFrame:
    raw = pl.read_parquet(DATA / "ml-1m" / "ratings.parquet")
    return _named(
        raw.select(
            pl.col("user_id").cast(pl.String),
            pl.col("movie_id").cast(pl.String).alias("item_id"),
            pl.col("rating").cast(pl.Float64).alias("value"),
            "timestamp",
            "sas_pos",
        )
    )


def _named(ratings: pl.DataFrame) -> pl.DataFrame:
    name = pl.concat_str("user_id", "item_id", separator="-")
    return ratings.with_columns(pl.lit("rating").alias("event"), name.alias("event_id"))


def _untimed(rows: list[tuple[str, str, int]], event: str) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={"user_id": pl.String, "item_id": pl.String, "place": pl.Int64}, orient="row")
    frame = frame.unique(["user_id", "item_id"], keep="last", maintain_order=True)
    name = pl.concat_str("user_id", "item_id", separator="-")
    return frame.with_columns(pl.col("place").alias("timestamp"), pl.lit(event).alias("event"), name.alias("event_id"))


def _pairs(table: bytes) -> pl.DataFrame:
    frame = pl.read_csv(table, separator="\t", has_header=False, truncate_ragged_lines=True)
    first, second = frame.columns[:2]
    return frame.select(pl.col(first).cast(pl.String).alias("user_id"), pl.col(second).cast(pl.String).alias("item_id"))


def _core(ratings: pl.DataFrame, k: int) -> pl.DataFrame:
    before = -1
    while before != len(ratings):
        before = len(ratings)
        for key in ("user_id", "item_id"):
            ratings = ratings.filter(pl.len().over(key) >= k)
    return ratings


def _numbers(name: str) -> dict[str, str]:
    return dict(line.split() for line in (DATA / "ml-1m-next-item" / name).read_text().splitlines())


def _people(release: str, folder: str) -> pl.DataFrame:
    people = read_users(DATA / folder, release)
    assert people is not None
    return people.drop("zip")


def _films(out: Path, ratings: pl.DataFrame) -> None:
    """Write what is known of the films that have a rating: people's names stand as single words in the description."""
    films = read_films(DATA / "ml-1m", "1m").join(ratings.select("item_id").unique(), on="item_id", how="semi")
    known = pl.read_parquet(DATA / "ml-1m-content" / "metadata.parquet")
    known = known.with_columns(pl.col("movie_id").cast(pl.String).alias("item_id"))
    films = films.join(known, on="item_id", how="left")
    year = pl.coalesce(pl.col("title").str.extract(r"\((\d{4})\)\s*$"), pl.col("Year").str.extract(r"(\d{4})"))
    people = [_one_word(name) for name in ("Director", "Writer", "Actors")]
    places = [_one_word(name) for name in ("Country", "Language", "Production")]
    genres = pl.col("Genre").fill_null("").str.split(", ").list.eval(pl.element().filter(pl.element() != ""))
    films.select(
        "item_id",
        "title",
        pl.concat_str(_known("Plot"), *people, *places, separator=" ", ignore_nulls=True).alias("description"),
        pl.concat_list("categories", genres).list.unique(maintain_order=True).alias("categories"),
        _known("Director").str.split(", ").list.first().alias("creator"),
        _known("Language").str.split(", ").list.first().alias("language"),
        (year + "-01-01").alias("published_at"),
        (pl.col("Runtime").str.extract(r"(\d+)").cast(pl.Float64) * 60).alias("duration_s"),
    ).write_parquet(out / "items.parquet")


def _known(name: str) -> pl.Expr:
    return pl.when(~pl.col(name).is_in(["", "N/A"])).then(pl.col(name))


def _one_word(name: str) -> pl.Expr:
    """Return names such as "Tom Hanks, Tim Allen" as "tom_hanks tim_allen"; what stands in brackets is dropped."""
    plain = _known(name).str.replace_all(r"\s*\([^)]*\)", "").str.to_lowercase()
    names = plain.str.split(", ").list.unique(maintain_order=True)
    return names.list.eval(pl.element().str.replace_all(r"[^\w]+", "_")).list.join(" ")


if __name__ == "__main__":
    for each in [name.lower() for name in sys.argv[1:]] or list(CASES):
        if each not in CASES:
            raise SystemExit(f"a case is one of {', '.join(CASES)}; got {each!r}")
        print(each, prepare(each))
