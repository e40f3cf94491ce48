"""MovieLens 1M with users held out wholly, and the towers trained without them; shared by the newcomer benchmarks.

Users are drawn from the sorted pseudonyms by a seed: `dev` users choose settings, `test` users are measured once.
Neither is seen in training, nor in the fit of the spec. What was trained before from equal input is reused.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys import pipeline
from recsys.config import Config, EvaluationConfig, FeaturesConfig, MovieLensSource
from recsys.data import read_table
from recsys.evaluation import newcomers_of
from recsys.features import Dataset, frames_to_dataset
from recsys.model import ExportedTowers
from recsys.model import train as train_towers
from recsys.schema import USER_ID

ROOT = Path(__file__).resolve().parents[1]
N_TEST, N_DEV, SEED = 1000, 500, 20
MIN_RATING = 4.0


@dataclass(frozen=True)
class Newcomers:
    """The training set of the others, towers trained on it, and two sets of users nobody has seen."""

    config: Config
    train: Dataset
    dev: Dataset
    test: Dataset
    towers: ExportedTowers


def data_dir() -> Path:
    """Return the folder of the public datasets: RECSYS_DATA_DIR, by default ../shared/data beside the repository."""
    folder = Path(os.environ.get("RECSYS_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not (folder / "ml-1m").is_dir():
        raise SystemExit(f"there is no {folder / 'ml-1m'}; set RECSYS_DATA_DIR to the folder that holds ml-1m")
    return folder


def config_of(state: Path) -> Config:
    """Return the defaults with films rated 4 or more as positive; the last 5 % of the time stop training early."""
    return Config(
        name="ml-1m-newcomers",
        storage=str(state),
        partition="all",
        source=MovieLensSource(release="1m", path=str(data_dir() / "ml-1m")),
        features=FeaturesConfig(min_rating=MIN_RATING, validation_fraction=0.05, test_fraction=0.001),
        evaluation=EvaluationConfig(ks=(10, 20)),
    )


def load(state: Path | None = None, seed: int = SEED) -> Newcomers:
    """Prepare the data, train the towers unless that was done before, and return all of it."""
    config = config_of(state or ROOT / "state" / "benchmarks" / "newcomers")
    interactions, users, items = _tables(config)
    drawn = np.random.default_rng(seed).permutation(users[USER_ID].sort().to_numpy())
    test, dev = drawn[:N_TEST].tolist(), drawn[N_TEST : N_TEST + N_DEV].tolist()
    hidden = pl.col(USER_ID).is_in(pl.Series([*test, *dev]).implode())
    train = frames_to_dataset(config.features, interactions.filter(~hidden), users.filter(~hidden), items)
    towers = ExportedTowers.load(_towers(config, train, seed))
    parts = [newcomers_of(config.features, train, interactions, users, chosen) for chosen in (dev, test)]
    return Newcomers(config, train, *parts, towers)


def labels(people: Dataset, row: int) -> dict[str, str]:
    """Return a user's demographics, as far as they are known."""
    codes = people.users.demographics[row].tolist()
    vocabularies = people.spec.demographic_vocabs.items()
    return {name: vocabulary[code - 1] for code, (name, vocabulary) in zip(codes, vocabularies, strict=True) if code}


def _tables(config: Config) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    pipeline.validate(config, pipeline.ingest(config)["partitions"])
    uri = pipeline.select(config)["dataset"]
    interactions, users, items = (read_table(uri, name).collect() for name in ("interactions", "users", "items"))
    return interactions, users, items


def _towers(config: Config, train: Dataset, seed: int) -> Path:
    settings: dict[str, Any] = {"model": config.model.model_dump(), "features": config.features.model_dump()}
    key = hashlib.sha256(json.dumps([settings, seed, train.spec.info], sort_keys=True, default=str).encode())
    folder = Path(config.storage) / "towers" / key.hexdigest()[:12]
    if not (folder / "training.json").exists():
        train_towers(config, train, folder, lambda epoch, record: print(epoch, record, flush=True))
    return folder


if __name__ == "__main__":
    print(load().towers.item_vectors.shape)
