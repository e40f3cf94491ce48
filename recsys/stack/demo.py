"""`make demo`: start the stack, let Airflow run the loop to a champion, show it."""

import os
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from recsys.config import Config, load_config
from recsys.errors import RecsysError
from recsys.stack.airflow_api import AirflowApi
from recsys.stack.lock import demo_lock
from recsys.stack.progress import Progress
from recsys.stack.services import DAGS, answers, up
from recsys.stack.state import StackState
from recsys.storage import exists, join

_POLL_S = 1.0
_SERVED_S = 60.0


class LoopError(RecsysError):
    """A DAG run failed."""


def demo(folder: Path, config_path: Path, console: Console) -> None:
    """Run the loop for a configuration; a second call reuses what is there and only shows it."""
    config = load_config(config_path)
    with demo_lock(folder):
        with Progress(console) as progress:
            state = up(folder, config, config_path, progress.say)
            _run_loop(AirflowApi(state.airflow_url), config, progress)
        _show(config, state, console)


def _run_loop(api: AirflowApi, config: Config, progress: Progress) -> None:
    if exists(join(config.storage, "serving", "champion.json")):
        progress.say("a champion serves already; nothing to redo")
    else:
        _run_dag(api, "recsys_data", "first-load", progress)
        _run_dag(api, "recsys_training", "first-training", progress)
    for dag_id in DAGS:
        api.unpause(dag_id)


def _run_dag(api: AirflowApi, dag_id: str, name: str, progress: Progress) -> None:
    """Wait for a run named after `name`: a finished one is kept, one under way joined, a failed one tried anew."""
    earlier = [run for run in api.runs(dag_id) if run["dag_run_id"].startswith(name)]
    usable = [run for run in earlier if run["state"] != "failed"]
    run_id = usable[0]["dag_run_id"] if usable else f"{name}-{len(earlier) + 1}"
    if not usable:
        api.trigger(dag_id, run_id, {})
    api.unpause(dag_id)
    while True:
        state = api.run(dag_id, run_id)["state"]
        tasks = api.tasks(dag_id, run_id)
        progress.show(dag_id, tasks)
        if state == "success":
            return
        if state == "failed":
            raise LoopError(_why(api, dag_id, run_id, tasks))
        time.sleep(_POLL_S)


def _why(api: AirflowApi, dag_id: str, run_id: str, tasks: list[dict[str, Any]]) -> str:  # Any: JSON
    failed = [task for task in tasks if task["state"] == "failed"]
    logs = [f"{dag_id}.{task['task_id']} failed:\n{api.log_tail(dag_id, run_id, task)}" for task in failed]
    return "\n\n".join(logs) or f"the run {run_id} of {dag_id} failed; open it in the Airflow UI"


def _show(config: Config, state: StackState, console: Console) -> None:
    from recsys import pipeline

    os.environ["MLFLOW_TRACKING_URI"] = state.mlflow_url
    os.environ["RECSYS_MLFLOW_UI"] = state.mlflow_url
    pipeline.show(config)
    _wait_served(state)
    console.print(
        f"\nPage     {state.service_url}\nAirflow  {state.airflow_url}\nMLflow   {state.mlflow_url}\n\n"
        "`make down` stops all of them."
    )


def _wait_served(state: StackState) -> None:
    """Wait until the service has taken over the champion; raise LoopError when it does not."""
    deadline = time.monotonic() + _SERVED_S
    while not answers(f"{state.service_url}/readyz"):
        if time.monotonic() > deadline:
            raise LoopError(f"the service does not serve the champion; see {state.service_url}/readyz")
        time.sleep(0.2)
