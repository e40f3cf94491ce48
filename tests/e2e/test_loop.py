import json
import shutil
import time
from pathlib import Path
from typing import Protocol

import pytest

from recsys.stack.airflow_api import AirflowApi
from recsys.stack.processes import members
from recsys.stack.services import mark_of
from recsys.stack.state import StackState, read_state
from recsys.storage import current

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


class Stack(Protocol):
    folder: Path
    storage: Path

    def demo(self): ...
    def run(self, *arguments: str): ...


def _running(stack: Stack) -> StackState:
    state = read_state(stack.folder / "state")
    assert state is not None and state.is_up()
    return state


def test_one_command_runs_the_loop_to_a_champion(stack: Stack) -> None:
    demo = stack.demo()
    assert demo.returncode == 0, demo.stdout + demo.stderr
    champion = json.loads((stack.storage / "serving" / "champion.json").read_text())
    assert champion["version"] == "1"
    state = _running(stack)
    assert state.airflow_url in demo.stdout and state.mlflow_url in demo.stdout


def test_no_schedule_has_started_a_run_of_its_own(stack: Stack) -> None:
    api = AirflowApi(_running(stack).airflow_url)
    runs = {dag: [run["run_type"] for run in api.runs(dag)] for dag in ("recsys_data", "recsys_training")}
    assert runs == {"recsys_data": ["manual"], "recsys_training": ["manual"]}


def test_a_second_demo_redoes_nothing(stack: Stack) -> None:
    champion = (stack.storage / "serving" / "champion.json").read_bytes()
    before = _running(stack)
    demo = stack.demo()
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "nothing to redo" in demo.stdout
    assert _running(stack) == before  # the same processes on the same ports
    api = AirflowApi(before.airflow_url)
    assert [len(api.runs(dag)) for dag in ("recsys_data", "recsys_training", "recsys_monitoring")] == [1, 1, 0]
    assert (stack.storage / "serving" / "champion.json").read_bytes() == champion


def _snapshots(stack: Stack) -> dict[str, dict[str, bytes]]:
    folders = sorted((stack.storage / "snapshots").iterdir())
    currents = {folder.name: Path(current(str(folder)) or "") for folder in folders}
    return {name: {file.name: file.read_bytes() for file in folder.iterdir()} for name, folder in currents.items()}


def _backfilled(api: AirflowApi, n_runs: int) -> list[dict[str, str]]:
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        runs = [run for run in api.runs("recsys_data") if run["run_type"] == "backfill"]
        if len(runs) == n_runs and all(run["state"] in ("success", "failed") for run in runs):
            return runs
        time.sleep(1)
    raise AssertionError(f"the backfill did not end: {runs}")


def test_a_backfill_of_days_gives_the_bytes_of_the_bulk_load(stack: Stack) -> None:
    api = AirflowApi(_running(stack).airflow_url)
    bulk = _snapshots(stack)
    days = ("2026-01-10", "2026-01-11", "2026-01-12")
    for day in days:
        shutil.rmtree(stack.storage / "snapshots" / day)
    api.backfill("recsys_data", "2026-01-11T00:00:00Z", "2026-01-13T00:00:00Z")  # each tick loads the day before it
    runs = _backfilled(api, len(days))
    assert {run["state"] for run in runs} == {"success"}
    assert sorted(run["data_interval_start"][:10] for run in runs) == list(days)
    assert _snapshots(stack) == bulk


def test_down_leaves_no_process(stack: Stack) -> None:
    folder = stack.folder / "state"
    services = _running(stack).services
    assert stack.run("down").returncode == 0
    assert members(mark_of(folder), services) == []
    assert stack.run("status").returncode == 1
