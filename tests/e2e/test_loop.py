import json
import time
from pathlib import Path
from typing import Protocol

import pytest

from recsys.stack.airflow_api import AirflowApi
from recsys.stack.processes import members
from recsys.stack.services import mark_of
from recsys.stack.state import StackState, read_state

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
    began = time.monotonic()
    demo = stack.demo()
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "nothing to redo" in demo.stdout
    assert time.monotonic() - began < 60
    assert (stack.storage / "serving" / "champion.json").read_bytes() == champion


def test_down_leaves_no_process(stack: Stack) -> None:
    folder = stack.folder / "state"
    services = _running(stack).services
    assert stack.run("down").returncode == 0
    assert members(mark_of(folder), services) == []
    assert stack.run("status").returncode == 1
