"""Tuning through the stages: trials in MLflow, the best settings in the registry, the next training using them."""

import io
import json
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from mlflow.entities import Run
from rich.console import Console

from recsys import pipeline
from recsys.config import Config, ModelConfig, TuningConfig
from recsys.errors import ConfigError, DataError, RegistryError, TrainingError
from recsys.features import load_dataset
from recsys.pipeline.tuned import with_tuned
from recsys.registry.runs import connect
from recsys.registry.studies import STATE
from recsys.registry.tuned import TAG, TunedSettings, adopt, tuned_settings
from recsys.space import FloatRange
from tests.pipeline.conftest import Json, configured

pytestmark = pytest.mark.slow

Start = Callable[[Config, str], "subprocess.Popen[str]"]
SPACE = {"learning_rate": FloatRange(low=1e-4, high=2e-2, log=True)}
TUNED = TunedSettings(
    study="s", trial=3, run_id="r", settings={"l2": 0.5, "dropout": 0.2}, metric="m", value=0.2, baseline=0.1, data="d"
)


@dataclass(frozen=True)
class World:
    """Features of a small world nobody has trained on yet."""

    config: Config
    chosen: Json
    features: Json


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, no_server: None) -> World:
    source = {"kind": "demo", "scale": 0.15, "n_items": 100, "days": 12}
    config = configured(tmp_path_factory.mktemp("tuning") / "state", source, partition="all")
    pipeline.validate(config, pipeline.ingest(config)["partitions"])
    chosen = pipeline.select(config)
    return World(config, chosen, pipeline.build_features(config, chosen["dataset"]))


def config_of(world: World, name: str, **tuning: object) -> Config:
    """Return a small configuration over the world's features, with a registered model of its own."""
    model = ModelConfig(dim=16, epochs=2, history_length=10, batch_size=64)
    settings = TuningConfig.model_validate({"n_trials": 3, "space": SPACE, "pruner": "none", **tuning})
    names = {"name": name, "experiment": name, "registered_model": name}
    return world.config.model_copy(update={"model": model, "tuning": settings, **names})


def opened(world: World, config: Config) -> Json:
    return pipeline.open_study(
        config, world.features["features"], world.chosen["dataset"], tags={"airflow.run_id": "a"}
    )


def runs_of(config: Config) -> list[Run]:
    client = connect(config)
    experiment = client.get_experiment_by_name(config.experiment)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def test_the_best_settings_become_the_next_trainings(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    # The current learning rate is far too low for two epochs, so that something beats it.
    config = config_of(world, "adopts", n_trials=2, space={"learning_rate": FloatRange(low=5e-3, high=2e-2)})
    slow = ModelConfig(dim=16, epochs=2, history_length=10, batch_size=64, learning_rate=1e-5)
    slow.model_fields_set.discard("learning_rate")  # as if it were the default, which may be searched
    config = config.model_copy(update={"model": slow})
    study = opened(world, config)
    assert pipeline.plan_trials(config, study) == [0, 1]
    ended = [pipeline.run_trial(config, study) for _ in range(2)]
    assert [trial["state"] for trial in ended] == ["complete", "complete"]
    assert ended[0]["settings"] == {"learning_rate": 1e-5}
    assert pipeline.run_trial(config, study)["state"] == "idle"
    outcome = pipeline.adopt_best(config, study)
    assert outcome["adopted"] and outcome["trial"] == 1
    assert (outcome["baseline"], outcome["value"]) == (ended[0]["value"], ended[1]["value"])

    parent, *children = runs_of(config)
    assert parent.info.status == "FINISHED" and parent.data.tags["recsys.study"] == study["study"]
    assert [run.data.tags["mlflow.parentRunId"] for run in children] == [parent.info.run_id] * 2
    assert [run.data.tags["airflow.run_id"] for run in (parent, *children)] == ["a"] * 3
    assert [run.data.tags["recsys.current_settings"] for run in children] == ["True", "False"]
    assert children[1].data.metrics["tuning/value"] == outcome["value"] == parent.data.metrics["tuning/best"]
    client = connect(config)
    assert len(client.get_metric_history(children[0].info.run_id, "epoch/steady_val_ndcg_at_10")) == 2
    plots = {file.path for file in client.list_artifacts(parent.info.run_id, "plots")}
    assert plots == {"plots/history.png", "plots/parallel_coordinates.png", "plots/importances.png"}

    tuned = tuned_settings(config)
    assert tuned is not None and tuned.settings == outcome["settings"]
    assert tuned.data == world.features["features"].rsplit("/", 1)[1]
    capsys.readouterr()
    trained = pipeline.train(config, world.features["features"], world.chosen["dataset"])
    params = client.get_run(trained["run_id"]).data.params
    assert params["model.learning_rate"] == str(tuned.settings["learning_rate"])
    assert params["origin.model.learning_rate"] == f"tuned by {study['study']}, trial 1"
    assert params["origin.model.epochs"] == "configured"
    assert f"steady_val_ndcg_at_10 {outcome['value']:.4g}" in capsys.readouterr().out  # the same training, again

    again = opened(world, config)  # the tuned settings are the current ones now, and measured
    assert again["study"] == study["study"] and again["run_id"] == study["run_id"]
    assert again["current"] == tuned.settings | again["current"]
    assert pipeline.plan_trials(config, again) == []
    repeated = pipeline.adopt_best(config, again)
    assert {**repeated, "run_url": ""} == {**outcome, "run_url": ""}  # in force already: said again, not changed
    assert tuned_settings(config) == tuned


def test_a_killed_trial_is_resumed_and_its_run_marked_failed(world: World, start_process: Start) -> None:
    config = config_of(world, "killed", n_trials=1)
    study = opened(world, config)
    slow = f"import time\nstudy = {study!r}\npipeline.run_trial(config, study, lambda *_: (print('epoch', flush=True), time.sleep(60)))"
    process = start_process(config, slow)
    assert process.stdout is not None
    while "epoch" not in (line := process.stdout.readline()):
        assert line, process.communicate()[1][-2000:]
    assert pipeline.plan_trials(config, opened(world, config)) == []  # it runs: nobody else starts it
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = opened(world, config)
    assert pipeline.plan_trials(config, resumed) == [0]
    ended = pipeline.run_trial(config, resumed)
    assert (ended["trial"], ended["state"]) == (1, "complete")
    assert not pipeline.adopt_best(config, resumed)["adopted"]  # the current settings are the only ones
    states = {run.data.tags.get(STATE): run.info.status for run in runs_of(config)}
    assert states == {None: "FINISHED", "failed": "FAILED", "complete": "FINISHED"}


def test_one_call_searches_and_a_log_gets_a_line_for_each_trial(world: World) -> None:
    diverging = {"learning_rate": {"kind": "float", "low": 1e38, "high": 2e38}}
    config = config_of(world, "one-call", n_trials=2, space=diverging)
    out = io.StringIO()
    outcome = pipeline.tune(config, None, "cli", Console(file=out, width=100))
    assert not outcome["adopted"]
    lines = out.getvalue().splitlines()
    assert [line.split()[:3] for line in lines if line.startswith("trial ")] == [
        ["trial", "0", "complete"],
        ["trial", "1", "failed"],
    ]
    assert any("the loss is" in line for line in lines)
    assert "\x1b" not in out.getvalue() and "0/2" not in out.getvalue()  # no bar
    assert {run.info.status for run in runs_of(config)} == {"FINISHED", "FAILED"}


def test_what_is_written_wins_over_what_was_tuned_which_wins_over_the_default(world: World) -> None:
    config = config_of(world, "precedence").model_copy(update={"model": ModelConfig(dropout=0.1)})
    assert with_tuned(config) == (config, {"dropout": "configured"})
    adopt(config, TUNED)
    used, origins = with_tuned(config)
    assert (used.model.dropout, used.model.l2, used.model.dim) == (0.1, 0.5, ModelConfig().dim)
    assert origins == {"dropout": "configured", "l2": "tuned by s, trial 3"}
    off = config.model_copy(update={"tuning": TuningConfig(use_tuned=False)})
    assert with_tuned(off) == (off, {"dropout": "configured"})


def test_adopted_settings_this_version_does_not_know_stop_the_training(world: World) -> None:
    config = config_of(world, "outdated")
    adopt(config, TUNED)
    record = json.loads(TUNED.model_dump_json()) | {"settings": {"width": 3}}
    connect(config).set_registered_model_tag(config.registered_model, TAG, json.dumps(record))
    with pytest.raises(RegistryError, match=r"width.*set tuning\.use_tuned = false"):
        pipeline.train(config, world.features["features"], world.chosen["dataset"])


def test_without_mlflow_no_training_starts_with_settings_nobody_chose(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match="did not answer"):
        pipeline.train(config_of(world, "down"), world.features["features"], world.chosen["dataset"])
    assert "epoch" not in capsys.readouterr().out


def test_written_settings_are_not_searched(world: World) -> None:
    config = config_of(world, "pinned", space={**SPACE, "dim": {"kind": "choice", "values": [16, 32]}})
    assert list(opened(world, config)["space"]) == ["learning_rate"]
    with pytest.raises(ConfigError, match="every setting of tuning.space is written in"):
        opened(world, config_of(world, "pinned", space={"dim": {"kind": "choice", "values": [16, 32]}}))


def test_a_named_study_refuses_another_space_and_other_fixed_settings(world: World) -> None:
    config = config_of(world, "named", study="mine")
    opened(world, config)
    wider = config_of(world, "named", study="mine", space={"learning_rate": FloatRange(low=1e-4, high=0.1)})
    with pytest.raises(ConfigError, match="study mine was begun with other space"):
        opened(world, wider)
    longer = config.model_copy(update={"model": config.model.model_copy(update={"epochs": 3})})
    with pytest.raises(ConfigError, match="study mine was begun with other settings"):
        opened(world, longer)


def test_any_name_of_a_deployment_makes_a_studys_file(world: World) -> None:
    config = config_of(world, "a/b [c]").model_copy(update={"experiment": "odd", "registered_model": "odd"})
    study = opened(world, config)
    assert study["study"].startswith("a-b--c--")
    assert Path(config.storage, "tuning", f"{study['study']}.db").exists()


def test_nothing_is_adopted_from_a_study_without_a_finished_trial(world: World) -> None:
    config = config_of(world, "empty")
    with pytest.raises(TrainingError, match="no trial completed"):
        pipeline.adopt_best(config, opened(world, config))
    assert tuned_settings(config) is None


def test_no_trial_starts_after_the_time_is_over(world: World) -> None:
    config = config_of(world, "late", timeout_s=5)
    study = opened(world, config)
    ended = pipeline.run_trial(config, {**study, "began": study["began"] - 6})
    assert ended == {"state": "idle", "reason": "tuning.timeout_s = 5 is over"}


def test_a_remote_storage_is_refused(world: World) -> None:
    config = config_of(world, "remote", use_tuned=False).model_copy(update={"storage": "memory://x"})
    with pytest.raises(ConfigError, match="storage is memory://x"):
        opened(world, config)


def test_without_validation_days_nothing_can_be_tuned(world: World, tmp_path: Path) -> None:
    arrays = load_dataset(world.features["features"])
    nobody = replace(arrays, events=replace(arrays.events, split=arrays.events.split * 0))
    nobody.save(tmp_path)
    with pytest.raises(DataError, match="no user can be measured on validation days"):
        pipeline.open_study(config_of(world, "blind"), str(tmp_path), world.chosen["dataset"])
