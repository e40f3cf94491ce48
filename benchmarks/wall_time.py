"""How long the towers take to a given quality on case V2 (MovieLens 1M, leave-one-out), all of it on this machine.

    python benchmarks/wall_time.py --epochs 16
    python benchmarks/wall_time.py --epochs 40 --asked-before 0,5,10,60,3600

Trains the defaults with a schedule of so many epochs, keeps the epoch that validation chose, and prints the seconds
from the training set in memory to exported towers, and HR@10 and nDCG@10 on test. Run it on an idle machine. The case
asks at the second of the target; `--asked-before` asks so many seconds before it, as a page does that is read before
the click, but never before the last event that is known.
"""

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from prepare import ROOT, prepare

from recsys.config import load_config
from recsys.evaluation import measure
from recsys.features import heldout
from recsys.model import ExportedTowers, train
from recsys.pipeline import load_case
from recsys.scoring import TowerRecommender, recommendable_items

_TEST, _K = 2, 10


def main(
    epochs: Annotated[int, typer.Option(min=1, help="epochs of the schedule")] = 16,
    seed: Annotated[int, typer.Option(help="seed of the training")] = 11,
    asked_before: Annotated[str, typer.Option(help="comma-separated seconds between request and target")] = "0",
) -> None:
    """Train once, measure as often as asked."""
    prepare("v2")
    os.chdir(ROOT)
    config = load_config(ROOT / "benchmarks" / "v2.toml")
    model = config.model.model_copy(update={"epochs": epochs, "seed": seed})
    config = config.model_copy(update={"model": model})
    dataset = load_case(config)
    users, recommendable = heldout(dataset, _TEST), recommendable_items(dataset, _TEST)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        trained = train(config, dataset, Path(folder) / "towers", _tell)
        seconds = time.perf_counter() - started
        towers = ExportedTowers.load(Path(folder) / "towers")
    print(f"{seconds:.0f} s for {len(trained.history)} epochs, epoch {trained.best_epoch} kept; test:")
    recommender, n_recommendable = TowerRecommender(dataset, towers, recommendable), int(recommendable.sum())
    last = np.asarray(dataset.events.timestamp)[users.history_end - 1]
    for before in map(int, asked_before.split(",")):
        asking = replace(users, query_time=np.maximum(users.query_time - before, last))
        items, _ = recommender.ranked(asking, _K)
        values = measure(dataset, asking, items, (_K,), n_recommendable=n_recommendable, full_recall=False).values
        found = ", ".join(f"{name} {values[name].mean():.4f}" for name in (f"hit_rate_at_{_K}", f"ndcg_at_{_K}"))
        print(f"asked {before} s before: {found}")


def _tell(epoch: int, record: dict[str, float]) -> None:
    print(f"epoch {epoch}: validation nDCG@10 {record['val_ndcg_at_10']:.4f}", flush=True)


if __name__ == "__main__":
    typer.run(main)
