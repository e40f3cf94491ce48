"""Start the stack and wait until it answers; stop it and see that nothing is left."""

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from recsys.config import Config
from recsys.errors import RecsysError
from recsys.stack.airflow_api import AirflowApi
from recsys.stack.environment import airflow_command, mlflow_command, service_command, stack_environment
from recsys.stack.lock import holder
from recsys.stack.ports import free_port
from recsys.stack.processes import Service, start, stop
from recsys.stack.state import StackState, forget_state, read_state, write_state

DAGS = ("recsys_data", "recsys_training", "recsys_monitoring", "recsys_tuning", "recsys_privacy")
_READY_S = 180.0


class StackError(RecsysError):
    """A service did not start, or did not end."""


def up(folder: Path, config: Config, config_path: Path, say: Callable[[str], None]) -> StackState:
    """Return the running stack for this configuration, starting it when it is not there."""
    running = read_state(folder)
    if running is not None and running.is_up() and running.config == str(config_path):
        say("Airflow, MLflow and the service are up already")
        return running
    if running is not None:
        down(folder, say)
    airflow_port = free_port(8080)
    mlflow_port = free_port(5000, frozenset({airflow_port}))
    state = StackState(
        name=config.name,
        config=str(config_path),
        airflow_port=airflow_port,
        mlflow_port=mlflow_port,
        service_port=free_port(8000, frozenset({airflow_port, mlflow_port})),
    )
    return _start(folder, state, say)


def down(folder: Path, say: Callable[[str], None]) -> None:
    """Stop a running demo and every process of the stack; raise StackError when one is left."""
    demo = holder(folder)
    if demo is not None and demo != os.getpid():
        os.kill(demo, signal.SIGTERM)
        _wait(lambda: holder(folder) is None, 10.0)
    state = read_state(folder)
    left = stop(mark_of(folder), state.services if state else ())
    if left:
        raise StackError(f"processes {left} did not end; end them by hand")
    forget_state(folder)
    say("nothing is running any more" if state else "nothing was running")


def mark_of(folder: Path) -> str:
    """Return the mark of every process that belongs to this state folder."""
    return str(folder.resolve())


def _start(folder: Path, state: StackState, say: Callable[[str], None]) -> StackState:
    home = folder / state.name
    env = stack_environment(home, state)

    def launch(name: str, command: list[str], where: str) -> None:
        nonlocal state
        service = start(name, command, env, home / where, mark_of(folder))
        state = state.model_copy(update={"services": (*state.services, service)})
        write_state(folder, state)

    say(f"starting MLflow on {state.mlflow_url}, Airflow on {state.airflow_url}, the service on {state.service_url}")
    launch("mlflow", mlflow_command(home, state), "mlflow")
    try:
        _migrate(home / "airflow", env, mark_of(folder))
        launch("api-server", airflow_command("api-server"), "airflow")
        launch("dag-processor", airflow_command("dag-processor"), "airflow")
        launch("triggerer", airflow_command("triggerer", "--skip-serve-logs"), "airflow")
        launch("scheduler", airflow_command("scheduler", "--skip-serve-logs"), "airflow")
        launch("service", service_command(state), "service")
        _wait_ready(state)
    except BaseException:
        stop(mark_of(folder), state.services)
        forget_state(folder)
        raise
    return state


def _migrate(home: Path, env: Mapping[str, str], mark: str) -> None:
    service = start("migrate", airflow_command("db", "migrate"), env, home, mark)
    _, status = os.waitpid(service.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise StackError(f"Airflow cannot prepare its database:\n{_tail(service)}")


def _wait_ready(state: StackState) -> None:
    api = AirflowApi(state.airflow_url)
    deadline = time.monotonic() + _READY_S
    checks: list[Callable[[], bool]] = [
        lambda: api.is_ready(DAGS),
        lambda: answers(f"{state.mlflow_url}/health"),
        lambda: answers(f"{state.service_url}/healthz"),
    ]
    for is_ready in checks:
        while not is_ready():
            for service in state.services:
                if not service.is_alive() or time.monotonic() > deadline:
                    raise StackError(f"{service.name} did not come up:\n{_tail(service)}")
            time.sleep(0.3)
    problems = api.import_errors()
    if problems:
        raise StackError("a DAG cannot be imported:\n" + "\n".join(problems))


def answers(url: str) -> bool:
    """Tell whether an address answers with status 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _tail(service: Service, n_lines: int = 20) -> str:
    lines = Path(service.log).read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([*lines[-n_lines:], f"(from {service.log})"])
