"""Write a case's split for programs that do not know our code: `state/bench/CASE/split/FOLD.parquet`.

    python benchmarks/peers/split.py v2

One row per positive event: user_id, item_id, split (0 train, 1 validation, 2 test, -1 known of a held-out user),
place (a user's events in order), recommendable. Test events serve to tell which users are asked, and nothing else.
"""

import os
import sys
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))  # a script beside another: neither is part of the package

from prepare import OUT, prepare  # noqa: E402

from recsys.config import load_config  # noqa: E402
from recsys.features import TEST, Dataset, heldout  # noqa: E402
from recsys.pipeline.cases import load_folds  # noqa: E402
from recsys.scoring import recommendable_items  # noqa: E402


def write_split(case: str) -> None:
    """Write every fold of a case."""
    prepare(case)
    os.chdir(ROOT)
    folder = OUT / case / "split"
    folder.mkdir(parents=True, exist_ok=True)
    for name, build in load_folds(load_config(ROOT / "benchmarks" / f"{case}.toml")):
        _rows(build()).write_parquet(folder / f"{name}.parquet")


def _rows(dataset: Dataset) -> pl.DataFrame:
    events = dataset.events
    users = np.repeat(np.arange(len(dataset.users.ids)), np.diff(events.offsets))
    candidates = heldout(dataset, TEST).candidates
    allowed = recommendable_items(dataset, TEST) if candidates is None else candidates
    return pl.DataFrame(
        {
            "user_id": dataset.users.ids[users].to_series(),
            "item_id": dataset.items.ids[events.item].to_series(),
            "split": events.split,
            "place": np.arange(len(users)),
            "recommendable": allowed[events.item],
        }
    ).filter(pl.Series(events.positive))


if __name__ == "__main__":
    for each in sys.argv[1:]:
        write_split(each.lower())
