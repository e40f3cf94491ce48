"""How far trainings differ that differ in nothing but their seed, and whether one seed gives one result.

    python benchmarks/seeds.py                          # half a demo world, twelve seeds; writes benchmarks/SEEDS.md
    python benchmarks/seeds.py --seeds 3 --scale 0.3    # fewer, prints only

Every training reads the same features, is judged on the same test users and ranks the whole catalogue. `nDCG` is the
hybrid's nDCG@10, which gates judge, `towers` that of the towers alone, `truth` the mean true preference of the demo
world for the towers' ten items, which no event shows. Spreads are standard deviations over seeds, as shares of the
mean. Two models that are equally good answer single users differently; of a mean over finitely many users that alone
makes `of users`, the root of half the mean variance of the difference of two seeds over users, divided by users. Gates
count it as their standard error; `left` is what the spread has beyond it (0 where there is nothing), which is what
`promotion.seed_spread` stands for. The first seed is trained twice; towers are compared byte by byte.
"""

import argparse
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from shift import START, load, world_of

from recsys import pipeline
from recsys.config import Config
from recsys.data import load_key, pseudonymise
from recsys.data.demo import DemoWorld
from recsys.evaluation import choose_blend, evaluate
from recsys.features import TEST, Dataset, requested
from recsys.model import ExportedTowers, train
from recsys.pipeline.lineage import open_features
from recsys.schema import USER_ID
from recsys.scoring.recommender import TowerRecommender, recommendable_items

K, FIRST, DAYS = 10, 11, 45
Floats = NDArray[np.float64]


def prepared(folder: Path, scale: float, model: dict[str, object]) -> tuple[Config, Dataset]:
    config = world_of(folder / "state", scale, n_items=1000, shifted=False, seed=7, **model)
    load(config)
    as_of = (START + timedelta(days=DAYS)).isoformat()
    dataset = pipeline.select(config, as_of)["dataset"]
    return config, open_features(pipeline.build_features(config, dataset)["features"])


def trained(config: Config, dataset: Dataset, seed: int, folder: Path) -> ExportedTowers:
    folder.mkdir(parents=True)
    config = config.model_copy(update={"model": config.model.model_copy(update={"seed": seed})})
    train(config, dataset, folder, lambda *_: None)
    return ExportedTowers.load(folder)


def truth(config: Config, dataset: Dataset, towers: ExportedTowers) -> Floats:
    """Return each test user's mean true preference for the towers' list."""
    users = requested(dataset, TEST)
    lists = TowerRecommender(dataset, towers, recommendable_items(dataset, TEST)).recommend(users, K)
    moment = datetime.combine(START + timedelta(days=DAYS), datetime.min.time(), UTC)
    world = DemoWorld(config.source)
    ids = pl.concat(list(world.users(*world.interval())))[USER_ID]
    named = dict(zip(pseudonymise(ids, load_key(config)), ids, strict=True))
    names = [named[pseudonym] for pseudonym in dataset.users.ids[users.user_rows].tolist()]
    preference = world.true_preference(names, dataset.items.ids.tolist(), moment)
    return np.asarray(np.take_along_axis(preference, lists, axis=1).mean(axis=1), np.float64)


def spreads(values: Floats) -> tuple[float, float, float, float]:
    """Return mean, spread, the part of users and what is left, of values [n_seeds, n_users]; NaN are left out."""
    values = values[:, ~np.isnan(values).any(axis=0)]
    means, mean = values.mean(axis=1), float(values.mean())
    differences = [one - other for place, one in enumerate(values) for other in values[:place]]
    of_users = np.mean([each.var(ddof=1) / 2 / values.shape[1] for each in differences])
    whole = means.var(ddof=1)
    return mean, *(float(np.sqrt(max(part, 0.0)) / mean) for part in (whole, of_users, whole - of_users))


def different(one: Path, other: Path) -> list[str]:
    """Return the files of two trainings that are not alike, byte by byte."""
    names = sorted({path.name for folder in (one, other) for path in folder.iterdir()})
    return [
        name
        for name in names
        if not all((folder / name).exists() for folder in (one, other))
        or (one / name).read_bytes() != (other / name).read_bytes()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of [model]")
    chosen = parser.parse_args()
    model: dict[str, object] = dict(each.split("=", 1) for each in chosen.set)
    lines, found = [], {"nDCG": [], "towers": [], "truth": []}
    with tempfile.TemporaryDirectory(prefix="recsys-seeds-") as temporary:
        folder = Path(temporary)
        config, dataset = prepared(folder, chosen.scale, model)
        for seed in range(FIRST, FIRST + chosen.seeds):
            started = time.perf_counter()
            towers = trained(config, dataset, seed, folder / str(seed))
            seconds = time.perf_counter() - started
            told = ExportedTowers.training(folder / str(seed))
            report = evaluate(config, dataset, towers, blend=choose_blend(config, dataset, towers))
            found["nDCG"].append(report.per_user["hybrid"])
            found["towers"].append(report.per_user["two_tower"])
            found["truth"].append(truth(config, dataset, towers))
            means = " | ".join(f"{np.nanmean(values[-1]):.4f}" for values in found.values())
            lines.append(f"| {seed} | {means} | {told['best_epoch']} of {len(told['history'])} | {seconds:.0f} |")
            print(lines[-1], flush=True)
        trained(config, dataset, FIRST, folder / "again")
        others = different(folder / str(FIRST), folder / "again")
    measured = {name: np.stack(values) for name, values in found.items()}
    n_users = measured["nDCG"].shape[1]
    table = ["| measure | mean | lowest, highest | spread | of users | left |", "|---|---|---|---|---|---|"]
    for name, values in measured.items():
        mean, *shares = spreads(values)
        means = np.nanmean(values, axis=1)
        cells = " | ".join(f"{share:.1%}" for share in shares)
        table.append(f"| {name} | {mean:.4f} | {means.min():.4f}, {means.max():.4f} | {cells} |")
    told = (
        f"The first seed trained twice gives {'other bytes in ' + ', '.join(others) if others else 'the same bytes'}."
    )
    print("\n".join([*table, told]))
    if chosen.scale == 0.5 and chosen.seeds == 12 and not model:
        about = __doc__.split("\n\n", 2)[2]
        head = ["| seed | nDCG@10 | towers | truth | epoch kept | training s |", "|---|---|---|---|---|---|"]
        text = ["# What a seed changes", "", about, f"{n_users} test users.", "", *table, "", told, "", *head, *lines]
        Path(__file__).with_name("SEEDS.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
