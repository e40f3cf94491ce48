"""A small deployment with a champion that serves, and a service process over it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from recsys.config import BlendConfig, Config, OnboardingConfig
from recsys.features import TEST
from recsys.index import export_index
from recsys.model import ExportedTowers
from recsys.registry import write_bundle
from recsys.scoring import TOWER, Blend, FittedBlend, TastePrior
from recsys.serving import Champion, write_champion
from recsys.storage import publish
from tests.serving.conftest import DIM, START, make_dataset, write_towers

NOW = START + timedelta(days=21)
_ADDRESS = re.compile(r"(http://\S+:\d+) serves")
_STARTS_WITHIN_S = 60


def blend_of(weights: dict[str, float]) -> Blend:
    return Blend(weights=weights, scales=dict.fromkeys(weights, 1.0), validation={}, n_users=30, ease_l2=5.0,
                 recent_days=7, settings=BlendConfig(), taste_weight=0.5,
                 onboarding=OnboardingConfig(n_pool=20))  # fmt: skip


@dataclass
class Deployment:
    """A storage root with two versions, the first one champion."""

    config: Config
    champions: tuple[Champion, Champion]


def build(root: Path, titles: Sequence[str] = ()) -> list[Champion]:
    """Write two versions below a root, the first with a blend, and return them."""
    dataset = make_dataset(titles)
    write_towers(root / "towers", dataset)
    towers = ExportedTowers.load(root / "towers")
    prior = TastePrior.fit(dataset, OnboardingConfig(n_pool=20))
    blend = FittedBlend.fit(blend_of(weights={TOWER: 1.0, "popularity": 0.5}), dataset, TEST + 1)
    queries = np.random.default_rng(1).normal(size=(20, DIM)).astype(np.float32)
    with publish(str(root / "indexes")) as index:
        export_index(Config().index, dataset.items.ids, towers.item_vectors, queries, index.path)
    champions = []
    for version, fitted in (("1", blend), ("2", None)):
        with publish(str(root / "bundles")) as bundle:
            write_bundle(bundle.path, root / "towers", dataset, {"run_key": version}, fitted, prior)
        digest = f"{bundle.uri.rsplit('/', 1)[-1]}-{index.uri.rsplit('/', 1)[-1]}"
        champions.append(
            Champion(
                version=version, digest=digest, bundle=bundle.uri, index=index.uri, run_id="r", run_key=version,
                dataset=str(root / "d"), evaluation=str(root / "e"), recipe_towers=str(root / "t"),
                recipe_features=str(root / "f"), trained_until=NOW.isoformat(),
            )
        )  # fmt: skip
    return champions


@contextmanager
def serving(root: Path, titles: Sequence[str] = ()) -> Iterator[str]:
    """Run the service over a new deployment below `root`, in a process group of its own, and yield its address."""
    champions = build(root / "state", titles)
    write_champion(str(root / "state"), champions[0])
    config = root / "config.toml"
    # A busy machine must not turn answers into degraded ones.
    config.write_text(f'name = "demo"\nstorage = "{root / "state"}"\n[service]\ndeadline_ms = 20000\n', "utf-8")
    told = root / "told.txt"
    program = "from recsys.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--config", str(config), "--port", "0"]
    with told.open("w") as stream:
        process = subprocess.Popen(command, start_new_session=True, stdout=stream, stderr=subprocess.STDOUT)
    try:
        yield _address(process, told)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _address(process: subprocess.Popen[bytes], told: Path) -> str:
    until = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        if found := _ADDRESS.search(told.read_text("utf-8")):
            return found.group(1)
        time.sleep(0.1)
    raise RuntimeError(f"the service did not begin to listen: {told.read_text('utf-8')}")
