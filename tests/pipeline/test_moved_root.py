"""A storage root that was renamed, or copied while the old one is deleted: everything works where it lies now."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.registry.runs import connect
from recsys.serving import read_champion
from tests.pipeline.conftest import World, challenge

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def moved(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """A copy of the world in another place, while the original is out of reach."""
    old = Path(world.config.storage)
    root = tmp_path_factory.mktemp("moved") / "restored here" / "data"
    shutil.copytree(old, root)
    hidden = old.rename(old.with_name("hidden"))
    yield world.config.model_copy(update={"storage": str(root)})
    shutil.rmtree(old, ignore_errors=True)
    hidden.rename(old)


def old_names(config: Config, world: World) -> list[str]:
    """Return the files of ours that name the former root."""
    folders = ("serving", "ledger", "monitoring", "evaluations", "datasets", "bundles", "indexes", "features", "models")
    paths = [path for folder in folders for path in Path(config.storage, folder).rglob("*") if path.is_file()]
    return [str(path) for path in paths if world.config.storage.encode() in path.read_bytes()]


def test_a_moved_root_recommends_and_its_champion_loads_as_a_pyfunc(
    moved: Config, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.show(moved)
    pipeline.print_recommendations(moved, None, 5)
    assert f"version {world.registered['version']}" in capsys.readouterr().out
    connect(moved)
    model = mlflow.pyfunc.load_model(f"models:/{moved.registered_model}@champion")
    assert len(model.predict(pd.DataFrame({"user_id": ["nobody"]}), params={"k": 5})) == 5
    assert [each.path for each in mlflow.MlflowClient().list_artifacts(world.trained["run_id"])]


def test_a_moved_root_is_monitored(moved: Config, world: World) -> None:
    monitored = pipeline.monitor(moved, "2026-01-30")
    assert monitored["report"].startswith(moved.storage)
    assert not old_names(moved, world)
    assert not old_names(moved, world)


def test_a_moved_root_promotes_a_challenger_and_goes_back(moved: Config, world: World) -> None:
    first = read_champion(moved.storage)
    assert first is not None and first.bundle.startswith(moved.storage)
    chosen = pipeline.select(moved)
    features = pipeline.build_features(moved, chosen["dataset"])
    assert features["features"].removeprefix(moved.storage) == world.features["features"].removeprefix(
        world.config.storage
    )
    lenient = moved.promotion.model_copy(update={"margin": -1.0, "min_users": 2, "min_slice_users": 10_000})
    model = moved.model.model_copy(update={"seed": 21})
    config = moved.model_copy(update={"model": model, "promotion": lenient})
    second = challenge(config, features["features"], chosen["dataset"])
    assert pipeline.promote(config, second)["promoted"]
    assert pipeline.rollback(moved)["version"] == first.version
    restored = read_champion(moved.storage)
    assert restored is not None and restored.bundle == first.bundle
    assert len(pipeline.ledger(moved)) >= 3
    assert not old_names(moved, world)
    assert not old_names(moved, world)


def test_tasks_of_before_the_move_can_be_cleared(moved: Config, world: World) -> None:
    trained = pipeline.train(moved, world.features["features"], world.chosen["dataset"])
    assert trained["run_id"] == world.trained["run_id"]
    assert pipeline.build_features(moved, world.chosen["dataset"])["features"].startswith(moved.storage)
    evaluated = pipeline.evaluate(moved, world.trained)
    index = pipeline.export_index(moved, world.refitted)
    registered = pipeline.register(moved, world.trained, world.evaluated, world.refitted, world.index)
    assert registered["version"] == world.registered["version"]
    assert pipeline.promote(moved, world.registered)["promoted"]
    links = ("run_url", "model_url")  # for people only; a result hands on those of its run
    for result in (trained, evaluated, index, registered):
        assert world.config.storage not in json.dumps({name: result[name] for name in result if name not in links})
    assert not [*Path(world.config.storage).rglob("*")]
