"""A small trained world, and small files of one's own, for tests of whole stages."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.schema import CATEGORIES, EVENT, EVENT_ID, ITEM_ID, TIMESTAMP, TITLE, USER_ID, VALUE

Json = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = {"dim": 16, "epochs": 4, "history_length": 10, "batch_size": 64, "learning_rate": 0.01}
DEMO = {"kind": "demo", "scale": 0.3, "n_items": 200, "days": 20}


@dataclass(frozen=True)
class World:
    """A storage root with a champion, and what each stage returned on the way."""

    config: Config
    staged: Json
    validated: Json
    chosen: Json
    features: Json
    trained: Json
    evaluated: Json
    refitted: Json
    index: Json
    registered: Json
    promoted: Json


@dataclass
class Tables:
    """Tables written as CSV files: 30 users of 20 items in 5 days, 600 likes, before a test spoils them."""

    folder: Path
    interactions: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame

    def config(self, **settings: Any) -> Config:
        """Write the tables and return a configuration that reads them; `settings` replace its own."""
        source: Json = {"kind": "files"}
        for name in ("interactions", "users", "items"):
            path = self.folder / f"{name}.csv"
            getattr(self, name).write_csv(path)
            source[name] = {"uri": str(path)}
        return configured(
            self.folder / "state", source, partition="all", experiment="own", registered_model="own", **settings
        )


def configured(storage: Path, source: Json, **settings: Any) -> Config:
    return Config.model_validate({"storage": str(storage), "source": source, "model": MODEL, **settings})


def challenge(config: Config, features: str, dataset: str) -> Json:
    """Train, evaluate, export and register what `config` describes."""
    trained = pipeline.train(config, features, dataset)
    evaluated = pipeline.evaluate(config, trained)
    refitted = pipeline.refit(config, trained)
    return pipeline.register(config, trained, evaluated, refitted, pipeline.export_index(config, refitted))


@pytest.fixture(scope="session", autouse=True)
def no_server() -> Iterator[None]:
    """Without a server MLflow writes into the storage root; no secret and no place comes from outside."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "RECSYS_STORAGE", "RECSYS_CONFIG", "RECSYS_PSEUDONYM_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        yield


@pytest.fixture(autouse=True)
def no_server_left(no_server: None) -> Iterator[None]:
    """No test leaves an MLflow for the next ones to write into."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    left = os.environ.get("MLFLOW_TRACKING_URI")
    if left != before:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        pytest.fail(f"the test left MLFLOW_TRACKING_URI={left}")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, no_server: None) -> World:
    config = configured(tmp_path_factory.mktemp("world") / "state", DEMO)
    staged = pipeline.ingest(config)
    validated = pipeline.validate(config, staged["partitions"])
    chosen = pipeline.select(config)
    pipeline.fill_users(config, chosen["dataset"])
    features = pipeline.build_features(config, chosen["dataset"])
    trained = pipeline.train(config, features["features"], chosen["dataset"])
    evaluated = pipeline.evaluate(config, trained)
    refitted = pipeline.refit(config, trained)
    index = pipeline.export_index(config, refitted)
    registered = pipeline.register(config, trained, evaluated, refitted, index)
    promoted = pipeline.promote(config, registered)
    return World(config, staged, validated, chosen, features, trained, evaluated, refitted, index, registered, promoted)


@pytest.fixture
def one_database(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the world's MLflow database, as creating one takes seconds; artifacts go to the test's own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{world.config.storage}/mlflow.db")


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    n = 600
    events = pl.DataFrame(
        {
            EVENT_ID: [f"e{row}" for row in range(n)],
            USER_ID: [f"u{row % 30}" for row in range(n)],
            ITEM_ID: [f"i{(row % 30 + row // 30) % 20}" for row in range(n)],
            EVENT: ["like"] * n,
            VALUE: [None] * n,
            TIMESTAMP: [(START + timedelta(minutes=12 * row)).isoformat() for row in range(n)],
        },
        schema_overrides={VALUE: pl.Float64},
    )
    users = pl.DataFrame({USER_ID: [f"u{row}" for row in range(30)], "consent_personalization": [True] * 30})
    items = pl.DataFrame(
        {
            ITEM_ID: [f"i{row}" for row in range(20)],
            TITLE: [f"Title {row}" for row in range(20)],
            CATEGORIES: [("news", "sport")[row % 2] for row in range(20)],
        }
    )
    return Tables(tmp_path, events, users, items)


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[[Config, str], subprocess.Popen[str]]]:
    """Start Python code in a process of its own, with `config` and `pipeline` at hand; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(config: Config, code: str) -> subprocess.Popen[str]:
        path = tmp_path / f"config{len(started)}.json"
        path.write_text(config.model_dump_json(), encoding="utf-8")
        head = (
            "import pathlib, sys\nfrom recsys import pipeline\nfrom recsys.config import Config\n"
            "config = Config.model_validate_json(pathlib.Path(sys.argv[1]).read_text())\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", head + code, str(path)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
