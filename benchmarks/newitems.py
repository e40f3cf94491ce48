"""New items as a curve: how well films are ranked that 0, 1, 2, 5, 10 people have liked so far.

    python benchmarks/newitems.py      # MovieLens 1M; writes state/benchmarks/newitems.{json,png}

The first ten likes of each of the 421 films that case V4 holds out are what may be told, all later ones are to be
found, by ranking the 421 among themselves for the users who liked one; both are the same at every point. Every film is
met at the moment of its last like told: it came out as long before the end of train as that like came after the data's
first event, a day for a popular one, months for another. Towers are trained anew for every point, as a scheduled
retraining would, on all other films and the likes told. By popularity the films are alike, as all have been told
equally often; segment popularity knows who liked them.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
from newcomers import ROOT
from numpy.typing import NDArray
from prepare import prepare

from recsys.config import Config, load_config
from recsys.data import read_consented, read_ids
from recsys.evaluation import N_EVENTS, SegmentPopularity, against_popularity, coldstart_curves
from recsys.features import GIVEN, TEST, TRAIN, VALIDATION, Dataset, case_dataset, heldout, without_test
from recsys.model import ExportedTowers, train
from recsys.schema import ITEM_ID, TIMESTAMP, USER_ID
from recsys.scoring import ContentKnn, ItemKnn, Popularity, TowerRecommender

_K, _NEIGHBOURS = 20, 100


def main(
    out: Annotated[Path, typer.Option(help="folder of the results")] = ROOT / "state" / "benchmarks",
    seed: Annotated[int, typer.Option(help="seed of the trainings")] = 11,
    counts: Annotated[list[int] | None, typer.Option(help="likes told; default: the curve's")] = None,
    min_item_events: Annotated[int, typer.Option(help="likes from which a film has an id of its own")] = 1,
) -> None:
    """Measure every point and write the figures."""
    prepare("v4")
    os.chdir(ROOT)
    config = load_config(ROOT / "benchmarks" / "v4.toml")
    config = config.model_copy(
        update={
            "backtest": config.backtest.model_copy(update={"protocol": "files"}),
            "features": config.features.model_copy(update={"min_item_events": min_item_events}),
            "model": config.model.model_copy(update={"seed": seed}),
        }
    )
    points = []
    for n_events in counts or N_EVENTS:
        dataset, new = _told(config, n_events)
        folder = out / "newitems" / str(n_events)
        train(config, dataset, folder, lambda epoch, record: print(epoch, record, flush=True))
        users = replace(heldout(dataset, TEST), candidates=new)
        recommenders = [
            TowerRecommender(dataset, ExportedTowers.load(folder), new),
            ContentKnn(dataset, new),
            ItemKnn(dataset, new, TEST, _NEIGHBOURS),
            Popularity(dataset, new, TEST),
            SegmentPopularity(without_test(dataset), dataset, new),
        ]
        found = against_popularity(recommenders, users, "items' first", n_events, _K)
        points += found
        for point in found:
            print(f"{point.n_events:3} {point.model:20} {point.metric} {point.value:.4f} "
                  f"[{point.low:.4f}, {point.high:.4f}]", flush=True)  # fmt: skip
    (out / "newitems.json").write_text(json.dumps([point.to_json() for point in points], indent=1), encoding="utf-8")
    coldstart_curves(points, f"ndcg_at_{_K}").savefig(out / "newitems.png", dpi=110)


def _told(config: Config, n_events: int) -> tuple[Dataset, NDArray[np.bool_]]:
    """Return the training set told `n_events` likes of each new film up to its end, and which films are new."""
    interactions, users, items = read_consented(config)
    new = read_ids(config.backtest.cold_items, config.backtest.cold_items_column)
    liked = pl.col("value") >= config.features.min_rating
    place = pl.struct(TIMESTAMP, USER_ID).rank("ordinal").over(ITEM_ID, "liked")
    rows = interactions.with_columns(pl.col(ITEM_ID).is_in(new).alias("new"), liked.alias("liked")).with_columns(
        place.alias("place")
    )
    known = rows.filter(
        ~pl.col("new") | (pl.col("liked") & ((pl.col("place") <= n_events) | (pl.col("place") > max(N_EVENTS))))
    )
    drawn = np.random.default_rng(config.evaluation.seed).random(len(known)) < config.backtest.validation_share
    validates = pl.Series(drawn) & ~pl.col("new")  # what is told is trained on
    split = pl.when("new", pl.col("place") > max(N_EVENTS)).then(TEST).when(validates).then(VALIDATION).otherwise(TRAIN)
    told = pl.col("new") & (pl.col(GIVEN) == TRAIN)
    begin, end = known[TIMESTAMP].min(), known.filter(~pl.col("new"))[TIMESTAMP].max()
    last_told = pl.col(TIMESTAMP).filter(told).max().over(ITEM_ID)
    given = known.with_columns(split.cast(pl.Int8).alias(GIVEN)).with_columns((end - last_told).alias("put_off"))
    came = dict(given.filter(told).group_by(ITEM_ID).agg((begin + pl.col("put_off").first()).dt.epoch("s")).iter_rows())
    given = given.with_columns(pl.when(told).then(pl.col(TIMESTAMP) + pl.col("put_off")).otherwise(TIMESTAMP))
    dataset = case_dataset(config, given.drop("new", "liked", "place", "put_off"), users, items)
    is_new = dataset.items.ids.to_series().is_in(list(new)).to_numpy()
    last = int(dataset.events.timestamp[np.asarray(dataset.events.split) == TRAIN].max())
    first = [came.get(item, last) for item in dataset.items.ids.tolist()]
    published = np.where(is_new, first, dataset.items.published_at)  # as content the films keep their year
    return replace(dataset, items=replace(dataset.items, published_at=published)), is_new


if __name__ == "__main__":
    typer.run(main)
