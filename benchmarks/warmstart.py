"""Warm start against a cold one: MovieLens 1M retrained later, going on from the champion of before or starting anew.

    python benchmarks/warmstart.py      # writes state/benchmarks/warmstart.json

Two origins roll over time (protocol `rolling`). Towers trained at the first are the champion; at the second, with the
users, films and events that came since, towers are trained from the champion and from the data. Prints validation
nDCG@10 by epoch, and nDCG@10 on the events after the second origin, with the difference by paired bootstrap.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from newcomers import ROOT
from prepare import prepare

from recsys.config import load_config
from recsys.evaluation import measure, paired_bootstrap
from recsys.features import TEST, heldout
from recsys.model import ExportedTowers, train
from recsys.pipeline import load_case
from recsys.scoring import TowerRecommender, recommendable_items

_METRIC = "ndcg_at_10"


def main(
    out: Annotated[Path, typer.Option(help="folder of the results")] = ROOT / "state" / "benchmarks",
    seed: Annotated[int, typer.Option(help="seed of the trainings")] = 11,
) -> None:
    """Train the champion and both successors and compare them."""
    prepare("v2")
    os.chdir(ROOT)
    config = load_config(ROOT / "benchmarks" / "v2.toml")
    changes = {"protocol": "rolling", "n_folds": 2, "order_column": ""}
    config = config.model_copy(
        update={
            "backtest": config.backtest.model_copy(update=changes),
            "model": config.model.model_copy(update={"seed": seed}),
        }
    )
    earlier, later = load_case(config, 0), load_case(config, 1)
    folder, found, values = out / "warmstart", {}, {}
    train(config, earlier, folder / "champion", _tell("champion"))
    users, recommendable = heldout(later, TEST), recommendable_items(later, TEST)
    for name, before in (("cold", None), ("warm", (folder / "champion", earlier))):
        started = time.perf_counter()
        trained = train(config, later, folder / name, _tell(name), before)
        seconds = time.perf_counter() - started
        towers = TowerRecommender(later, ExportedTowers.load(folder / name), recommendable)
        n = int(recommendable.sum())
        lists = towers.recommend(users, 10)
        values[name] = measure(later, users, lists, (10,), n_recommendable=n, full_recall=False).values[_METRIC]
        found[name] = {
            "validation": [epoch["val_ndcg_at_10"] for epoch in trained.history],
            "best_epoch": trained.best_epoch,
            "seconds": seconds,
            "test": float(values[name].mean()),
        }
        print(f"{name}: {seconds:.0f} s, epoch {trained.best_epoch} kept; test {found[name]['test']:.4f}", flush=True)
    gain, low, high = paired_bootstrap(values["warm"], values["cold"], 1000, 5)
    print(f"warm against cold on test: {gain:+.4f} [{low:+.4f}, {high:+.4f}]")
    (out / "warmstart.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def _tell(name: str) -> Callable[[int, dict[str, float]], None]:
    return lambda epoch, record: print(f"{name}: epoch {epoch}: {record['val_ndcg_at_10']:.4f}", flush=True)


if __name__ == "__main__":
    typer.run(main)
