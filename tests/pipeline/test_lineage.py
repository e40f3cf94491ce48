"""Two runs mixed, or a file changed between two stages: each hand-over ends in a sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.errors import GateError, StorageError
from recsys.features import load_dataset
from recsys.schema import ITEM_ID
from recsys.storage import publish, read_manifest
from tests.pipeline.conftest import Json, World

pytestmark = pytest.mark.slow


@pytest.fixture
def copied(world: World, tmp_path: Path) -> tuple[Config, Callable[[Json], Json]]:
    root = tmp_path / "state"
    shutil.copytree(world.config.storage, root)

    def moved(result: Json) -> Json:
        return json.loads(json.dumps(result).replace(world.config.storage, str(root)))

    return world.config.model_copy(update={"storage": str(root)}), moved


@pytest.fixture(scope="module")
def other(world: World) -> Json:
    """Towers of another seed on the same features."""
    model = world.config.model.model_copy(update={"seed": 21, "epochs": 1})
    return pipeline.train(
        world.config.model_copy(update={"model": model}), world.features["features"], world.chosen["dataset"]
    )


def test_towers_of_other_features_are_not_evaluated(world: World) -> None:
    mixed = {**world.trained, "features": world.refitted["features"]}
    with pytest.raises(GateError, match="two runs are mixed"):
        pipeline.evaluate(world.config, mixed)


def test_an_evaluation_of_other_towers_is_not_registered(world: World, other: Json) -> None:
    with pytest.raises(GateError, match="was built from towers .* two runs are mixed"):
        pipeline.register(world.config, {**world.trained, "towers": other["towers"]}, world.evaluated, world.refitted,
                          world.index)  # fmt: skip


def test_an_index_of_another_run_with_the_same_items_is_not_registered(world: World, other: Json) -> None:
    index = pipeline.export_index(world.config, {**other, "features": other["features"]})
    with pytest.raises(GateError, match="was built from towers .* two runs are mixed"):
        pipeline.register(world.config, world.trained, world.evaluated, world.refitted, index)
    with pytest.raises(GateError, match="two runs are mixed"):
        pipeline.promote(world.config, {**world.registered, "digest": "another", "index": index["index"]})


def test_ids_permuted_in_features_stop_the_index(copied: tuple[Config, Callable[[Json], Json]], world: World) -> None:
    config, moved = copied
    refitted = moved(world.refitted)
    path = Path(refitted["features"]) / "items.parquet"
    items = pl.read_parquet(path)
    items.with_columns(items[ITEM_ID].reverse()).write_parquet(path, statistics=False)
    with pytest.raises(StorageError, match=r"items\.parquet is missing or changed"):
        pipeline.export_index(config, refitted)


@pytest.mark.parametrize("name", ["features/spec.json", "towers/query.onnx", "towers/item_vectors.npy"])
def test_a_byte_changed_between_training_and_registration_stops_it(
    copied: tuple[Config, Callable[[Json], Json]], world: World, name: str
) -> None:
    config, moved = copied
    refitted = moved(world.refitted)
    folder, file = name.split("/")
    path = Path(refitted[folder]) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StorageError, match=f"{file} is missing or changed"):
        pipeline.register(config, moved(world.trained), moved(world.evaluated), refitted, moved(world.index))


def test_towers_that_score_everything_alike_end_in_a_sentence(
    copied: tuple[Config, Callable[[Json], Json]], world: World
) -> None:
    config, moved = copied
    trained = moved(world.trained)
    with publish(str(Path(config.storage) / "models" / "constant"), read_manifest(trained["towers"]).info) as folder:
        shutil.copytree(trained["towers"], folder.path, dirs_exist_ok=True, ignore=lambda *_: ["MANIFEST.json"])
        vectors = np.load(folder.path / "item_vectors.npy")
        np.save(folder.path / "item_vectors.npy", np.zeros_like(vectors))
    with pytest.raises(Exception, match="two_tower gives every item the same score for every user"):
        pipeline.evaluate(config, {**trained, "towers": folder.uri})


def test_the_refit_has_learned_from_every_day(world: World) -> None:
    judged, whole = load_dataset(world.trained["features"]), load_dataset(world.refitted["features"])
    assert set(judged.events.split.tolist()) == {0, 1, 2}
    assert set(whole.events.split.tolist()) == {0}
    assert len(whole.spec.item_vocab) >= len(judged.spec.item_vocab)
