"""What a crawler costs the others: one user with 60 % of all events in the demo world, with and without the cap.

    python benchmarks/crawler.py        # writes state/benchmarks/crawler.json

The crawler turns to items at random all the time. Everything is trained on the world without it, with it, and with it
under `features.max_user_events`; prints nDCG@10 of the other users on the same last days, the mean over seeds.
"""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
from newcomers import ROOT

from recsys.config import Config
from recsys.data import read_consented
from recsys.evaluation import choose_blend, evaluate
from recsys.features import Dataset, frames_to_dataset
from recsys.model import ExportedTowers, train
from recsys.schema import EVENT, EVENT_ID, ITEM_ID, TIMESTAMP, USER_ID

CRAWLER = "crawler"
CASES = {"without": None, "uncapped": 10**9, "capped": 0}  # `max_user_events`; 0 is the default, by the data


def with_crawler(interactions: pl.DataFrame, items: pl.DataFrame, share: float, seed: int = 1) -> pl.DataFrame:
    """Return the events with those of one more user, `share` of the whole: views of random items at random times."""
    n = round(len(interactions) * share / (1 - share))
    generator = np.random.default_rng(seed)
    begin, end = interactions[TIMESTAMP].min(), interactions[TIMESTAMP].max()
    seconds = generator.integers(0, int((end - begin).total_seconds()), n)
    theirs = pl.DataFrame(
        {
            EVENT_ID: [f"crawled{place}" for place in range(n)],
            USER_ID: [CRAWLER] * n,
            ITEM_ID: items[ITEM_ID].to_numpy()[generator.integers(0, len(items), n)],
            EVENT: ["view"] * n,
            TIMESTAMP: [begin + timedelta(seconds=int(second)) for second in seconds],
        }
    )
    return pl.concat([interactions, theirs.cast({TIMESTAMP: interactions.schema[TIMESTAMP]})], how="diagonal")


def others(config: Config, dataset: Dataset, folder: Path) -> dict[str, float]:
    """Train, blend and evaluate; return each model's mean nDCG@10 of everybody but the crawler."""
    train(config, dataset, folder, lambda *_: None)
    towers = ExportedTowers.load(folder)
    report = evaluate(config, dataset, towers, blend=choose_blend(config, dataset, towers))
    person = np.asarray(dataset.users.ids[report.user_rows]) != CRAWLER
    return {name: float(values[person].mean()) for name, values in report.per_user.items()}


def main(
    out: Annotated[Path, typer.Option(help="folder of the results")] = ROOT / "state" / "benchmarks",
    scale: Annotated[float, typer.Option(help="size of the demo world")] = 0.5,
    days: Annotated[int, typer.Option(help="days of the demo world")] = 40,
    seeds: Annotated[int, typer.Option(help="trainings of each case")] = 4,
) -> None:
    """Measure the three cases."""
    config = Config.model_validate({"source": {"kind": "demo", "scale": scale, "days": days}})
    interactions, users, items = read_consented(config)
    crowded = with_crawler(interactions, items, 0.6)
    found: dict[str, dict[str, float]] = {}
    cutoffs: tuple[datetime, datetime] | None = None
    for name, cap in CASES.items():
        features = config.features.model_copy(update={"max_user_events": cap or 0})
        dataset = frames_to_dataset(features, interactions if cap is None else crowded, users, items, cutoffs)
        cutoffs = cutoffs or _cutoffs(dataset)
        runs = []
        for seed in range(seeds):
            seeded = config.model_copy(update={"model": config.model.model_copy(update={"seed": seed})})
            runs.append(others(seeded, dataset, out / "crawler" / f"{name}{seed}"))
        found[name] = {model: float(np.mean([run[model] for run in runs])) for model in runs[0]}
        told = {key: value for key, value in dataset.spec.info.items() if "cap" in key or key == "max_user_events"}
        print(name, json.dumps(told), flush=True)
        for model, value in found[name].items():
            spread = np.std([run[model] for run in runs])
            print(f"  {model}: {value:.4f} ± {spread:.4f} ({value / found['without'][model] - 1:+.1%})", flush=True)
    (out / "crawler.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def _cutoffs(dataset: Dataset) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(dataset.spec.validation_start), datetime.fromisoformat(dataset.spec.test_start)


if __name__ == "__main__":
    typer.run(main)
