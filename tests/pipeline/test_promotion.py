"""A refused, a promoted and a taken-back challenger; the champion is never lost or half-written."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from recsys import pipeline
from recsys.errors import GateError, StorageError
from recsys.model import ExportedTowers
from recsys.registry import load_bundle
from recsys.registry.versions import version_with
from recsys.scoring import read_blend
from recsys.serving import BundleRecommender, read_champion
from recsys.storage import local_path, read_manifest
from tests.pipeline.conftest import World, challenge

pytestmark = pytest.mark.slow


def serving(world: World) -> tuple[bytes, str]:
    """Return the champion file's bytes and the version MLflow's alias names."""
    alias = version_with(world.config, "champion")
    assert alias is not None
    return Path(world.config.storage, "serving", "champion.json").read_bytes(), str(alias.version)


def test_the_first_champion_passed_every_gate_and_serves(world: World) -> None:
    names = {gate["name"] for gate in world.promoted["gates"] if gate["passed"]}
    assert {"beats_popularity", "beats_random", "index_recall", "serving_parity"} <= names
    champion = read_champion(world.config.storage)
    assert champion is not None
    assert champion.version == world.registered["version"]
    recommender = BundleRecommender.open(champion.bundle, champion.index)
    assert len(recommender.recommend(recommender.busiest_user(), 10)) == 10
    assert len(recommender.recommend(None, 10, demographics=recommender.example_demographics())) == 10


def test_the_champion_is_the_hybrid_that_was_judged(world: World) -> None:
    report = pipeline.training.read_evaluation(world.evaluated["evaluation"])
    assert report["model"] == "hybrid" and {"two_tower", "popularity"} <= set(report["metrics"])
    served = load_bundle(world.registered["bundle"]).blend
    assert served is not None
    assert served.blend == read_blend(Path(world.evaluated["evaluation"]))
    logged = MlflowClient().get_run(world.trained["run_id"]).data.metrics
    assert {f"blend/weight/{name}": weight for name, weight in served.blend.weights.items()}.items() <= logged.items()


def test_a_worse_challenger_is_refused_by_name_value_and_limit_and_the_champion_serves_on(world: World) -> None:
    before, decisions = serving(world), len(pipeline.ledger(world.config))
    untaught = world.config.model.model_copy(update={"epochs": 1, "learning_rate": 1e-9})
    alone = world.config.blend.model_copy(update={"enabled": False})  # what goes with what would teach enough
    config = world.config.model_copy(update={"model": untaught, "blend": alone})
    registered = challenge(config, world.features["features"], world.chosen["dataset"])
    refusal = (
        rf"version {registered['version']} was refused; champion {world.registered['version']} serves on\."
        r".*not_worse_than_champion FAILS: -\d\.\d{4} against -0\.0"
    )
    assert load_bundle(registered["bundle"]).blend is None
    with pytest.raises(GateError, match=refusal):
        pipeline.promote(config, registered)
    assert serving(world) == before
    last = pipeline.ledger(world.config)[decisions:]
    assert [(entry["version"], entry["promoted"]) for entry in last] == [(registered["version"], False)]


def test_a_rollback_restores_the_earlier_version_and_its_files(world: World) -> None:
    first = read_champion(world.config.storage)
    assert first is not None
    lenient = world.config.promotion.model_copy(update={"tolerance": 1.0})
    model = world.config.model.model_copy(update={"seed": 12})
    config = world.config.model_copy(update={"model": model, "promotion": lenient})
    second = challenge(config, world.features["features"], world.chosen["dataset"])
    pipeline.promote(config, second)
    replaced = read_champion(world.config.storage)
    assert replaced is not None
    assert (replaced.version, replaced.previous) == (second["version"], first.version)

    assert pipeline.rollback(world.config) == {"version": first.version, "replaced": second["version"]}
    restored = read_champion(world.config.storage)
    assert restored is not None
    assert restored.model_copy(update={"previous": first.previous}) == first
    assert serving(world)[1] == first.version


def test_a_tampered_bundle_neither_loads_nor_becomes_champion(world: World, tmp_path: Path) -> None:
    before = serving(world)
    copied = tmp_path / "bundle"
    shutil.copytree(world.registered["bundle"], copied)
    name = max(read_manifest(str(copied)).files)
    with (copied / name).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(StorageError, match="is missing or changed since it was written"):
        load_bundle(str(copied))
    with pytest.raises(StorageError, match="is missing or changed since it was written"):
        pipeline.promote(world.config, {**world.registered, "version": "99", "bundle": str(copied)})
    assert serving(world) == before


def test_a_warm_start_goes_on_from_the_champion_once(world: World) -> None:
    model = world.config.model.model_copy(update={"warm_start": True, "epochs": 1})
    config = world.config.model_copy(update={"model": model})
    first, again = (pipeline.train(config, world.features["features"], world.chosen["dataset"]) for _ in range(2))
    assert first["run_key"] == again["run_key"] != world.trained["run_key"]
    assert first["towers"] == again["towers"]
    assert ExportedTowers.training(local_path(first["towers"]))["warm_start"] is True
