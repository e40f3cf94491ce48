"""A study in MLflow: one parent run, found again by the study's name, and one nested run for each trial."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import mlflow
from matplotlib.figure import Figure
from mlflow.entities import RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from recsys.config import Config
from recsys.registry.runs import connect, registry_errors, resumed_run, tracked_run

_ENDS = {"complete": RunStatus.FINISHED, "pruned": RunStatus.KILLED, "failed": RunStatus.FAILED}
STATE = "recsys.trial_state"


def open_parent(config: Config, study: str, run_name: str, tags: Mapping[str, str], facts: Mapping[str, str]) -> str:
    """Return the id of the study's run, begun now or before; it stays running until `close_parent`."""
    with tracked_run(config, f"study-{study}", run_name, {"recsys.study": study, **tags}) as run_id:
        known = mlflow.get_run(run_id).data.params  # a parameter cannot be written a second time
        mlflow.log_params({name: value[:500] for name, value in facts.items() if name not in known})
    with registry_errors():
        connect(config).update_run(run_id, status="RUNNING")
    return run_id


@contextmanager
def trial_run(
    config: Config, parent: str, study: str, number: int, settings: Mapping[str, Any], tags: Mapping[str, str]
) -> Iterator[tuple[str, Callable[[int, Mapping[str, float]], None]]]:
    """Open the nested run of a trial; yield its id and the function that logs an epoch."""
    told = {MLFLOW_PARENT_RUN_ID: parent, "recsys.study": study, "recsys.trial": str(number), **tags}

    def log_epoch(epoch: int, record: Mapping[str, float]) -> None:
        with registry_errors():
            mlflow.log_metrics({f"epoch/{name}": value for name, value in record.items()}, step=epoch)

    with tracked_run(config, f"study-{study}-trial-{number}", f"trial {number}", told) as run_id:
        mlflow.log_params({f"model.{name}": value for name, value in settings.items()})
        yield run_id, log_epoch


def end_trial_run(config: Config, run_id: str, state: str, value: float | None = None, reason: str = "") -> None:
    """Say how a trial ended: its state, its value or the reason of its failure."""
    with registry_errors():
        client = connect(config)
        client.set_tag(run_id, STATE, state)
        if reason:
            client.set_tag(run_id, "recsys.failure", reason[:4000])
        if value is not None:
            client.log_metric(run_id, "tuning/value", value)
        client.set_terminated(run_id, RunStatus.to_string(_ENDS[state]))


def close_parent(
    config: Config,
    run_id: str,
    metrics: Mapping[str, float],
    outcome: Mapping[str, Any],
    trials: Sequence[Any],
    figures: Mapping[str, Figure],
) -> None:
    """Log the study's numbers, every trial, the plots and what was decided; the run is then finished."""
    with resumed_run(config, run_id):
        mlflow.log_metrics({f"tuning/{name}": value for name, value in metrics.items()})
        mlflow.set_tag("recsys.adopted", str(outcome["adopted"]))
        mlflow.log_dict(dict(outcome), "tuned_settings.json")
        mlflow.log_dict({"trials": [asdict(trial) for trial in trials]}, "trials.json")
        for name, figure in figures.items():
            mlflow.log_figure(figure, f"plots/{name}.png")
