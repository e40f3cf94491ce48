"""A refused, a promoted and a taken-back challenger; the champion is never lost or half-written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from recsys import pipeline
from recsys.config import Config
from recsys.errors import GateError, RegistryError, StorageError
from recsys.features import TEST
from recsys.model import ExportedTowers
from recsys.pipeline.lineage import open_features
from recsys.registry import load_bundle, record_decision, versions
from recsys.registry.runs import connect
from recsys.registry.versions import version_with
from recsys.scoring import read_blend
from recsys.scoring.baselines import item_counts
from recsys.serving import DatasetPeople, open_recommender, read_champion
from recsys.storage import is_locked, local_path, read_manifest
from tests.pipeline.conftest import Json, World, challenge

pytestmark = pytest.mark.slow


def serving(config: Config) -> tuple[bytes, str]:
    """Return the champion file's bytes and the version MLflow's alias names."""
    alias = version_with(config, "champion")
    assert alias is not None
    return Path(config.storage, "serving", "champion.json").read_bytes(), str(alias.version)


def lenient(config: Config, **model: Any) -> Config:
    """Return a policy that promotes anything that is not broken, and other settings of the model."""
    promotion = config.promotion.model_copy(update={"margin": -1.0, "min_users": 2, "min_slice_users": 10_000})
    return config.model_copy(
        update={"promotion": promotion, "model": config.model.model_copy(update={"seed": 12} | model)}
    )


@pytest.fixture(scope="module")
def second(world: World) -> Json:
    """A challenger of another seed, registered after the champion."""
    return challenge(lenient(world.config), world.features["features"], world.chosen["dataset"])


@pytest.fixture
def copied(world: World, second: Json, tmp_path: Path) -> tuple[Config, Callable[[Json], Json]]:
    """The world in a storage root and a registry of its own, and what turns a stage's result into one of this root."""
    root = tmp_path / "state"
    shutil.copytree(world.config.storage, root)

    def moved(result: Json) -> Json:
        return json.loads(json.dumps(result).replace(world.config.storage, str(root)))

    return lenient(world.config).model_copy(update={"storage": str(root)}), moved


def test_the_first_champion_passed_every_gate_and_serves(world: World) -> None:
    states = {gate["name"]: gate["state"] for gate in world.promoted["gates"]}
    held = {"beats_popularity", "beats_random", "index_recall", "serving_parity", "judged_is_served", "refit_is_sound"}
    assert {states[name] for name in held} == {"holds"}
    champion = read_champion(world.config.storage)
    assert champion is not None
    assert (champion.version, champion.digest) == (world.registered["version"], world.registered["digest"])
    recommender = open_recommender(world.config, champion.bundle, champion.index)
    assert len(recommender.recommend(recommender.people.example(), 10)) == 10
    assert len(recommender.recommend(None, 10, demographics=recommender.example_demographics())) == 10


def test_the_champion_is_the_hybrid_that_was_judged_trained_again_on_all_days(world: World) -> None:
    report = pipeline.training.read_evaluation(world.evaluated["evaluation"])
    assert report["model"] == "hybrid" and {"two_tower", "popularity"} <= set(report["metrics"])
    bundle = load_bundle(world.registered["bundle"])
    assert bundle.blend is not None
    assert bundle.blend.blend == read_blend(Path(world.evaluated["evaluation"]))
    refitted = open_features(world.refitted["features"])
    assert set(refitted.events.split.tolist()) == {0}
    last_days = open_features(world.trained["features"]).events
    assert bundle.last_second == last_days.timestamp[last_days.split == TEST].max()
    for name in {"popularity"} & set(bundle.blend.components):  # its evidence counts the last days too
        expected = np.log1p(item_counts(refitted, TEST + 1))
        assert np.allclose(bundle.blend.components[name], expected, atol=1e-5)
    told, judged = (ExportedTowers.training(local_path(each["towers"])) for each in (world.refitted, world.trained))
    assert len(told["history"]) == judged["best_epoch"]
    assert told["task"] == judged["task"]
    logged = MlflowClient().get_run(world.trained["run_id"]).data.metrics
    weights = bundle.blend.blend.weights
    assert {f"blend/weight/{name}": weight for name, weight in weights.items()}.items() <= logged.items()


def test_a_worse_challenger_is_refused_by_name_value_and_limit_and_the_champion_serves_on(world: World) -> None:
    before, decisions = serving(world.config), len(pipeline.ledger(world.config))
    untaught = world.config.model.model_copy(update={"epochs": 1, "learning_rate": 1e-9})
    alone = world.config.blend.model_copy(update={"enabled": False})  # what goes with what would teach enough
    config = world.config.model_copy(update={"model": untaught, "blend": alone})
    registered = challenge(config, world.features["features"], world.chosen["dataset"])
    refusal = (
        rf"version {registered['version']} was refused; champion {world.registered['version']} serves on\."
        r".*better_than_champion FAILS: -\d\.\d{4} against 0\.0"
    )
    assert load_bundle(registered["bundle"]).blend is None
    for _ in range(2):  # a retry adds no second decision
        with pytest.raises(GateError, match=refusal):
            pipeline.promote(config, registered)
    assert serving(world.config) == before
    last = pipeline.ledger(world.config)[decisions:]
    assert [(entry["version"], entry["kind"]) for entry in last] == [(registered["version"], "refused")]


def test_the_same_recipe_trained_again_is_undecided_and_the_champion_serves_on(world: World, second: Json) -> None:
    before = serving(world.config)
    decided = pipeline.promote(world.config, second)
    assert (decided["promoted"], decided["verdict"]) == (False, "undecided")
    assert f"version {second['version']} is not shown to be better" in decided["reason"]
    assert serving(world.config) == before


def test_a_rollback_restores_the_earlier_version_and_its_files(copied: Any, second: Json) -> None:
    config, moved = copied
    first = read_champion(config.storage)
    assert first is not None
    pipeline.promote(config, moved(second))
    replaced = read_champion(config.storage)
    assert replaced is not None
    assert (replaced.version, replaced.previous) == (second["version"], first.version)

    assert pipeline.rollback(config) == {"version": first.version, "replaced": second["version"]}
    restored = read_champion(config.storage)
    assert restored is not None
    assert restored.model_copy(update={"previous": first.previous}) == first
    assert serving(config)[1] == first.version
    with pytest.raises(GateError, match="promoted once and is no longer champion"):  # a cleared task of that run
        pipeline.promote(config, moved(second))
    assert read_champion(config.storage) == restored


@pytest.mark.parametrize("step", ["tag_version", "make_champion"])
def test_a_promotion_cut_off_half_way_is_completed_as_one_decision(
    copied: Any, second: Json, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, moved = copied
    before = len(pipeline.ledger(config))

    def down(*_: object) -> None:
        raise RegistryError("MLflow does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(versions, step, down)
        with pytest.raises(RegistryError):
            pipeline.promote(config, moved(second))
    assert pipeline.promote(config, moved(second))["promoted"]
    assert [entry["kind"] for entry in pipeline.ledger(config)[before:]] == ["promoted"]
    champion = read_champion(config.storage)
    assert champion is not None and champion.version == second["version"]
    assert serving(config)[1] == second["version"]


def test_a_rollback_cut_off_half_way_is_completed_as_one_decision(
    copied: Any, second: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, moved = copied
    pipeline.promote(config, moved(second))
    before = len(pipeline.ledger(config))

    def down(*_: object) -> None:
        raise RegistryError("MLflow does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(versions, "make_champion", down)
        with pytest.raises(RegistryError):
            pipeline.rollback(config)
    assert pipeline.rollback(config)["version"] == "1"
    assert [entry["kind"] for entry in pipeline.ledger(config)[before:]] == ["rolled_back"]
    assert serving(config)[1] == "1"


def test_an_alias_moved_by_hand_is_put_back_and_recorded_once(copied: Any, second: Json) -> None:
    config, _ = copied
    connect(config).set_registered_model_alias(config.registered_model, "champion", second["version"])
    for _ in range(2):
        with pytest.raises(RegistryError, match="serves already"):  # any cycle notices, here one with nothing to do
            pipeline.rollback(config, "1")
    assert serving(config)[1] == "1"
    found = [entry for entry in pipeline.ledger(config) if entry["kind"] == "alias_undone"]
    assert len(found) == 1
    assert f"the alias named version {second['version']}; it names version 1 again" in found[0]["note"]


def test_a_deleted_registered_model_promotes_nothing_by_its_number(copied: Any, world: World, second: Json) -> None:
    config, moved = copied
    before = read_champion(config.storage)
    connect(config).delete_registered_model(config.registered_model)
    other = lenient(config, seed=13)
    again = challenge(other, moved(world.features)["features"], moved(world.chosen)["dataset"])
    assert again["version"] == "1"  # numbers begin anew
    policy = world.config.promotion.model_copy(update={"min_slice_users": 10_000})  # no slice refuses by chance
    strict = config.model_copy(update={"promotion": policy})
    assert pipeline.promote(strict, again)["promoted"] is False
    assert read_champion(config.storage) == before
    lost = [entry for entry in pipeline.ledger(config) if entry["kind"] == "registry_lost"]
    assert len(lost) == 1 and "goes on serving" in lost[0]["note"]
    with pytest.raises(GateError, match="version 1 in MLflow is another model than the one handed over"):
        pipeline.promote(config, {**moved(second), "version": "1"})


def test_promotion_and_rollback_decide_under_one_lock(
    copied: Any, second: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, moved = copied
    held: dict[str, bool] = {}

    def noting(root: str, record: Json) -> Json:
        held[record["kind"]] = is_locked(root, "promotion")
        return record_decision(root, record)

    monkeypatch.setattr("recsys.registry.record_decision", noting)
    assert pipeline.promote(config, moved(second))["promoted"]
    pipeline.rollback(config)
    assert held == {"promoted": True, "rolled_back": True}
    assert not is_locked(config.storage, "promotion")


def test_an_older_run_is_not_promoted_over_a_newer_champion(copied: Any, second: Json) -> None:
    config, moved = copied
    older = {**moved(second), "trained_until": "2026-01-10T00:00:00+00:00"}
    with pytest.raises(GateError, match="out of date; train again"):
        pipeline.promote(config, older)
    assert pipeline.ledger(config)[-1]["kind"] == "refused"
    assert serving(config)[1] == "1"


def test_going_back_to_what_serves_is_refused_and_recorded(copied: Any) -> None:
    config, _ = copied
    before = serving(config)
    with pytest.raises(RegistryError, match="version 1 serves already"):
        pipeline.rollback(config, "1")
    assert serving(config) == before
    assert pipeline.ledger(config)[-1]["kind"] == "rollback_refused"


def test_what_never_passed_a_gate_cannot_be_gone_back_to(copied: Any, second: Json) -> None:
    config, _ = copied
    with pytest.raises(RegistryError, match=f"version {second['version']} never passed the gates"):
        pipeline.rollback(config, second["version"])


def test_a_tampered_bundle_neither_loads_nor_becomes_champion(copied: Any, second: Json) -> None:
    config, moved = copied
    before, challenger = serving(config), moved(second)
    name = max(read_manifest(challenger["bundle"]).files)
    with (Path(challenger["bundle"]) / name).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(StorageError, match="is missing or changed since it was written"):
        load_bundle(challenger["bundle"])
    with pytest.raises(StorageError, match="is missing or changed since it was written"):
        pipeline.promote(config, challenger)
    assert serving(config) == before


def test_a_warm_start_goes_on_from_the_champion_once(world: World) -> None:
    model = world.config.model.model_copy(update={"warm_start": True, "epochs": 1})
    config = world.config.model_copy(update={"model": model})
    first, again = (pipeline.train(config, world.features["features"], world.chosen["dataset"]) for _ in range(2))
    assert first["run_key"] == again["run_key"] != world.trained["run_key"]
    assert first["towers"] == again["towers"]
    assert ExportedTowers.training(local_path(first["towers"]))["warm_start"] is True


def test_stored_users_get_the_lists_of_the_training_set(world: World) -> None:
    """What is judged, from the arrays of a training set, is what is served, from the store of states."""
    dataset = open_features(world.refitted["features"])
    stored = open_recommender(world.config, world.registered["bundle"], world.registered["index"])
    judged = open_recommender(world.config, world.registered["bundle"], world.registered["index"])
    judged.people = DatasetPeople(dataset)
    for user in dataset.users.ids.tolist():
        assert stored.recommend(user, 10) == judged.recommend(user, 10)
