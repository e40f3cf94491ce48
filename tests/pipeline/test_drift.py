"""Monitoring through the stages: quiet while tastes only wander, a retraining that helps once they have shifted."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.serving import read_champion
from recsys.storage import read_json
from tests.pipeline.conftest import Json, World, challenge, configured

pytestmark = pytest.mark.slow

TRAINED, SHIFTED, RETRAINED = 30, 35, 56  # days of the world


def day(number: int) -> str:
    return (date(2026, 1, 1) + timedelta(days=number)).isoformat()


def world_of(storage: Path, shift_from: str | None = None) -> Config:
    """Configure a world of 60 days, and publish it.

    The towers alone are judged: what a blend counts anew each day follows a shift by itself, and hides what is at stake.
    """
    source: Json = {"kind": "demo", "scale": 0.3, "n_items": 200, "days": 60, "shift_from": shift_from}
    config = configured(storage, source, partition="all", experiment="drift", registered_model="drift")
    model = config.model.model_copy(update={"epochs": 8, "learning_rate": 0.005, "batch_size": 128})
    blend = config.blend.model_copy(update={"enabled": False})
    config = config.model_copy(update={"model": model, "blend": blend})
    pipeline.validate(config, pipeline.ingest(config)["partitions"])
    return config


def promote_as_of(config: Config, as_of: str) -> Json:
    dataset = pipeline.select(config, as_of)["dataset"]
    return pipeline.promote(config, challenge(config, pipeline.build_features(config, dataset)["features"], dataset))


@pytest.fixture(scope="module")
def champion_storage(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A champion trained on the first 30 days of a world without a shift; MLflow's database is the small world's."""
    folder = tmp_path_factory.mktemp("drift")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{world.config.storage}/mlflow.db")
        promote_as_of(world_of(folder / "state"), day(TRAINED))
    return folder / "state"


def test_thirty_daily_runs_without_a_shift_never_fire(champion_storage: Path) -> None:
    config = world_of(champion_storage)
    runs = [pipeline.monitor(config, day(number)) for number in range(TRAINED + 1, TRAINED + 31)]
    assert [run["as_of"] for run in runs if run["retrain"]] == []
    measured = [read_json(run["report"]).get("signals") for run in runs]
    assert sum(bool(signals) for signals in measured) == 28  # the first two windows reach back into the training days
    falls = [signal for signals in measured if signals for signal in signals if signal["name"] == "ndcg_fall"]
    assert len(falls) == 28 and not any(signal["unknown"] for signal in falls)
    (before,) = Path(config.storage, "monitoring", "before").iterdir()  # measured once for a champion
    champion = read_champion(config.storage)
    assert champion is not None
    with np.load(Path(champion.evaluation, "per_user.npz")) as values:  # by what had not seen those days, as judged
        assert np.mean(read_json(str(before))["ndcg"]) == pytest.approx(np.nanmean(values["two_tower"]), rel=0.25)


def test_before_a_champion_and_in_its_own_days_nothing_is_decided(champion_storage: Path, tmp_path: Path) -> None:
    config = world_of(champion_storage)
    assert "whole days since" in pipeline.monitor(config, day(TRAINED + 1))["reasons"][0]
    elsewhere = config.model_copy(update={"storage": str(tmp_path)})
    assert pipeline.monitor(elsewhere, day(TRAINED + 5))["reasons"] == ["there is no champion yet"]


@pytest.mark.usefixtures("one_database")
def test_a_taste_shift_fires_and_the_retrained_model_replaces_the_old_one(champion_storage: Path) -> None:
    config = world_of(champion_storage, shift_from=day(SHIFTED))
    old = read_champion(config.storage)
    assert old is not None
    assert not pipeline.monitor(config, day(SHIFTED))["retrain"]
    fired = pipeline.monitor(config, day(SHIFTED + 3))
    assert fired["retrain"], fired["reasons"]
    assert any("category_mix" in reason for reason in fired["reasons"])

    promoted = promote_as_of(config, day(RETRAINED))
    gate = next(gate for gate in promoted["gates"] if gate["name"] == "better_than_champion")
    assert gate["detail"].split()[3] == old.version, gate["detail"]
    assert gate["value"] > 0.03  # better than the old champion on days neither has seen, not merely as good
    new = read_champion(config.storage)
    assert new is not None
    assert (new.version, new.previous) == (promoted["version"], old.version)
    with np.load(Path(new.evaluation) / "per_user.npz") as values:
        assert values["two_tower"].mean() > values["popularity"].mean()
