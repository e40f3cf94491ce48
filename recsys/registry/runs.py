"""MLflow runs: one per training, found again by its key so that a retry adds to it instead of starting another."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import mlflow
import pandas as pd
import requests
from matplotlib.figure import Figure
from mlflow.data import pandas_dataset
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service import utils as tracking
from pydantic import JsonValue

from recsys.config import Config
from recsys.errors import RegistryError
from recsys.redaction import shown_settings, without_secrets
from recsys.registry.relocation import ARTIFACTS, follow_root
from recsys.storage import is_local, join, local_path, relative_to_root

RUN_KEY = "recsys.run_key"
DEPLOYMENT = "recsys.deployment"
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # a bar for every file fills terminals and task logs
}


def connect(config: Config) -> mlflow.MlflowClient:
    """Point MLflow at `MLFLOW_TRACKING_URI`, or at a SQLite file under the storage root, which may have been moved."""
    follow_root(config.storage)
    tracking._artifact_repos_cache.clear()  # a process that worked before the move would write to the former place
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(uri)
        return mlflow.MlflowClient()
    if not is_local(config.storage):
        raise RegistryError("set MLFLOW_TRACKING_URI: the storage is remote and MLflow's default is a local file")
    root = local_path(config.storage).resolve()
    root.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(f"sqlite:///{root}/mlflow.db")
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow sets it; the next configuration must not inherit this one's
    return mlflow.MlflowClient()


@contextmanager
def registry_errors() -> Iterator[None]:
    """Turn MLflow's and the network's errors into RegistryError, which a task retries."""
    try:
        yield
    except (MlflowException, requests.RequestException) as error:
        reason = str(error).splitlines()[0][:300]
        raise RegistryError(f"MLflow at {mlflow.get_tracking_uri()} did not answer as needed: {reason}") from error


@contextmanager
def tracked_run(config: Config, run_key: str, run_name: str, tags: Mapping[str, str]) -> Iterator[str]:
    """Open this deployment's run of `run_key`, new or begun before, and yield its id."""
    with registry_errors():
        client = connect(config)
        experiment = _experiment(config, client)
        found = client.search_runs([experiment.experiment_id], f"tags.`{RUN_KEY}` = '{run_key}'")
        # Compared here, as a name with quotes in it cannot be searched for.
        own = (run.info.run_id for run in found if run.data.tags.get(DEPLOYMENT) == config.name)
        run_id = next(own, None)
        everything = {RUN_KEY: run_key, DEPLOYMENT: config.name, **tags}
        name = None if run_id else run_name
        with mlflow.start_run(run_id=run_id, run_name=name, tags=everything) as run:
            yield run.info.run_id


def _experiment(config: Config, client: mlflow.MlflowClient) -> Experiment:
    """Open the experiment; without a server its artifacts lie under the storage root, not in the working directory."""
    if "MLFLOW_TRACKING_URI" not in os.environ and client.get_experiment_by_name(config.experiment) is None:
        artifacts = local_path(config.storage).resolve() / ARTIFACTS
        client.create_experiment(config.experiment, artifact_location=str(artifacts))
    return mlflow.set_experiment(config.experiment)


@contextmanager
def resumed_run(config: Config, run_id: str) -> Iterator[None]:
    """Open a run by its id."""
    with registry_errors():
        connect(config)
        with mlflow.start_run(run_id=run_id):
            yield


def log_training(
    config: Config,
    features: str,
    dataset: str,
    counts: Mapping[str, int],
    history: Sequence[Mapping[str, float]],
    summary: Mapping[str, float],
    origins: Mapping[str, str] | None = None,
) -> None:
    """Log parameters, the training set with its digest, and one point per epoch to the open run.

    `origins` says of each model setting that is no default where it came from. No credential of an address is logged,
    and of an SQL query its digest alone.
    """
    run = mlflow.active_run()
    known = mlflow.get_run(run.info.run_id).data.params if run else {}  # a parameter cannot be written a second time
    parts = {"model": config.model, "features": config.features, "blend": config.blend, "source": config.source}
    params = _flat(parts)
    params |= {f"origin.model.{name}": origin[:500] for name, origin in (origins or {}).items()}
    mlflow.log_params({name: value for name, value in params.items() if name not in known})
    frame = pd.DataFrame([dict(counts)])
    digest = dataset.rsplit("/", 1)[-1]
    source = relative_to_root(config.storage, features)
    mlflow.log_input(pandas_dataset.from_pandas(frame, source=source, name=config.name, digest=digest), "training")
    for record in history:
        step = int(record["epoch"])
        mlflow.log_metrics({f"epoch/{name}": value for name, value in record.items() if name != "epoch"}, step=step)
    mlflow.log_metrics({f"training/{name}": float(value) for name, value in summary.items()})


def log_evaluation(
    metrics: Mapping[str, Mapping[str, float]],
    figures: Mapping[str, Figure],
    card: str,
    blend: Mapping[str, float] | None = None,
) -> None:
    """Log every model's metrics as `test/<model>/<metric>`, the plots and the model card to the open run.

    `blend` are the weights of the hybrid and what validation said of its parts, logged as `blend/<name>`.
    """
    mlflow.log_metrics({f"blend/{name}": value for name, value in (blend or {}).items()})
    flat = {f"test/{model}/{name}": value for model, values in metrics.items() for name, value in values.items()}
    mlflow.log_metrics({_metric_name(name): value for name, value in flat.items()})
    for name, figure in figures.items():
        mlflow.log_figure(figure, f"plots/{name}.png")
    mlflow.log_text(card, "model_card.md")


def run_url(run_id: str) -> str:
    """Return where a person sees the run: the MLflow UI's page, or the tracking address without one."""
    base = without_secrets(os.environ.get("RECSYS_MLFLOW_UI", mlflow.get_tracking_uri()))
    experiment = mlflow.MlflowClient().get_run(run_id).info.experiment_id
    return f"{base}/#/experiments/{experiment}/runs/{run_id}" if base.startswith("http") else base


def model_url(config: Config, version: str) -> str:
    """Return where a person sees a model version."""
    base = without_secrets(os.environ.get("RECSYS_MLFLOW_UI", mlflow.get_tracking_uri()))
    return join(base, f"#/models/{config.registered_model}/versions/{version}") if base.startswith("http") else base


def _flat(parts: Mapping[str, Any]) -> dict[str, JsonValue]:  # Any: pydantic models
    flat: dict[str, JsonValue] = {}
    for prefix, part in parts.items():
        for name, value in shown_settings(part.model_dump(mode="json")).items():
            if isinstance(value, dict):
                flat |= {f"{prefix}.{name}.{key}": str(inner)[:500] for key, inner in value.items()}
            else:
                flat[f"{prefix}.{name}"] = str(value)[:500]
    return flat


def _metric_name(name: str) -> str:
    return re.sub(r"[^\w./ -]", "_", name)
