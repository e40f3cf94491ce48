from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import pytest
from matplotlib.figure import Figure
from mlflow.entities.model_registry import ModelVersion

from recsys.config import Config
from recsys.errors import RegistryError
from recsys.registry.runs import connect, log_evaluation, log_training, resumed_run, run_url, tracked_run
from recsys.registry.tuned import TunedSettings, adopt, tuned_settings
from recsys.registry.versions import (
    CHALLENGER,
    CHAMPION,
    make_champion,
    register_version,
    tag_version,
    version_tags,
    version_with,
)

COUNTS = {"n_users": 3, "n_items": 4, "n_events": 5}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return Config(storage=str(tmp_path_factory.mktemp("root")))


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")


@pytest.fixture
def _light_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Logs an empty folder in place of a whole pyfunc: versions and aliases are what is tested here."""

    class Logged:
        model_uri = tmp_path.as_uri()

    monkeypatch.setattr(mlflow.pyfunc, "log_model", lambda **_: Logged())


def _register(config: Config, key: str) -> str:
    with tracked_run(config, key, "run", {}) as run_id:
        return register_version(config, run_id, key, "b", "i", {"airflow.run_id": "manual"})


def _of(version: ModelVersion | None) -> str:
    assert version is not None
    return str(version.version)


def test_a_run_holds_parameters_curves_the_dataset_metrics_plots_and_the_card(config: Config) -> None:
    with tracked_run(config, "k1", "first", {"airflow.dag_id": "recsys_training"}) as run_id:
        history = [{"epoch": 1.0, "loss": 2.0}, {"epoch": 2.0, "loss": 1.0}]
        log_training(config, "features/x", "datasets/0123456789abcdef", COUNTS, history, {"best_epoch": 2.0})
        log_evaluation(
            {"two_tower": {"ndcg_at_10": 0.2}, "random": {"ndcg_at_10": 0.01}}, {"curve": Figure()}, "# card"
        )
    run = connect(config).get_run(run_id)
    assert run.data.params["model.dim"] == "0"
    assert run.data.metrics["test/two_tower/ndcg_at_10"] == 0.2
    assert run.data.metrics["test/random/ndcg_at_10"] == 0.01
    assert run.data.tags["airflow.dag_id"] == "recsys_training"
    assert [point.value for point in connect(config).get_metric_history(run_id, "epoch/loss")] == [2.0, 1.0]
    assert run.inputs.dataset_inputs[0].dataset.digest == "0123456789abcdef"
    assert {each.path for each in connect(config).list_artifacts(run_id)} >= {"plots", "model_card.md"}
    assert Path(config.storage, "mlartifacts").exists()
    assert run_url(run_id).startswith("sqlite")


def test_a_second_try_adds_to_the_same_run_even_when_a_setting_moved(config: Config) -> None:
    with tracked_run(config, "k2", "first", {}) as first:
        log_training(config, "f", "d/1", COUNTS, [], {})
    moved = config.model_copy(update={"source": config.source.model_copy(update={"days": 3})})
    with tracked_run(moved, "k2", "second", {}) as second:
        log_training(moved, "f", "d/1", COUNTS, [], {})
    assert first == second
    with resumed_run(config, first):
        active = mlflow.active_run()
        assert active is not None and active.info.run_id == first


def test_deployments_that_share_a_server_and_an_experiment_share_no_run(config: Config) -> None:
    other = config.model_copy(update={"name": 'it\'s "another"'})
    runs = []
    for each in (config, other, config, other):
        with tracked_run(each, "shared", "run", {}) as run_id:
            runs.append(run_id)
    assert runs[0] == runs[2] != runs[1] == runs[3]


@pytest.mark.usefixtures("_light_model")
def test_deployments_that_share_a_server_share_no_version_alias_or_tuned_settings(config: Config) -> None:
    storage = config.storage
    config, other = Config(storage=storage, name="one"), Config(storage=storage, name="another/one")
    tuned = TunedSettings(
        study="s", trial=1, run_id="r", settings={"dim": 8}, metric="m", value=1.0, baseline=None, data="d"
    )
    adopt(config, tuned)
    make_champion(config, _register(config, "same key"))
    assert version_with(other, CHAMPION) is None and tuned_settings(other) is None
    with pytest.raises(RegistryError, match="no version 1 of two_tower-another-one-"):
        version_tags(other, "1")
    _register(other, "same key")
    assert _of(version_with(other, CHALLENGER)) == "1"
    assert tuned_settings(config) == tuned


@pytest.mark.usefixtures("_light_model")
def test_a_version_names_its_files_relative_to_the_root(config: Config) -> None:
    bundle, index = (f"{config.storage}/{name}/k/d" for name in ("bundles", "indexes"))
    with tracked_run(config, "relative", "run", {}) as run_id:
        version = register_version(config, run_id, "relative", bundle, index, {})
    tags = version_tags(config, version)
    assert (tags["recsys.bundle"], tags["recsys.index"]) == ("bundles/k/d", "indexes/k/d")
    assert config.storage not in str(tags)


@pytest.mark.usefixtures("_light_model")
def test_a_run_registered_twice_keeps_its_version(config: Config) -> None:
    first = _register(config, "r1")
    connect(config).delete_registered_model_alias(config.registered_model, CHALLENGER)  # killed before the alias
    assert _register(config, "r1") == first
    assert _of(version_with(config, CHALLENGER)) == first
    assert _register(config, "r2") != first
    assert version_tags(config, first)["recsys.bundle"] == "b"
    assert version_tags(config, first)["airflow.run_id"] == "manual"


@pytest.mark.usefixtures("_light_model")
def test_the_champion_alias_moves_and_goes_back(config: Config) -> None:
    assert version_with(config, CHAMPION) is None
    one, two = _register(config, "c1"), _register(config, "c2")
    for version in (one, two, one):
        make_champion(config, version)
        assert _of(version_with(config, CHAMPION)) == version
    tag_version(config, one, {"gate.index_recall": "x" * 9000})
    assert version_tags(config, one)["gate.index_recall"].startswith("xxx")


def test_an_unknown_version_is_an_error(config: Config) -> None:
    with pytest.raises(RegistryError, match="no version 999"):
        version_tags(config, "999")
    with pytest.raises(RegistryError):
        make_champion(config, "999")


def test_a_server_that_is_down_ends_in_a_registry_error(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    calls: list[Any] = [
        lambda: tracked_run(config, "k", "n", {}).__enter__(),
        lambda: register_version(config, "r", "k", "b", "i", {}),
        lambda: make_champion(config, "1"),
        lambda: version_with(config, CHAMPION),
    ]
    for call in calls:
        with pytest.raises(RegistryError, match=r"127\.0\.0\.1:9 did not answer"):
            call()


def test_no_bar_is_drawn_for_artifacts(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", raising=False)
    (tmp_path / "a.txt").write_text("a")
    with tracked_run(config, "bars", "run", {}) as run_id:
        mlflow.log_artifacts(str(tmp_path))
    mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "a.txt").exists()
    assert "artifacts" not in capfd.readouterr().err
