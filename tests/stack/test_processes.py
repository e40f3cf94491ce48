import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from recsys.stack import services
from recsys.stack.processes import Service, members, start, stop
from recsys.stack.state import StackState, read_state, write_state

# a service like Airflow's scheduler: a child in a process group of its own, that refuses to end
FAMILY = """
import os, signal, subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", child], preexec_fn=lambda: os.setpgid(0, 0))
time.sleep(60)
"""


def _family(folder: Path, mark: str) -> Service:
    service = start("family", [sys.executable, "-c", FAMILY], os.environ, folder, mark)
    deadline = time.monotonic() + 20
    while "ready" not in Path(service.log).read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    return service


def test_a_service_works_where_its_caller_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    service = start("writer", [sys.executable, "-c", "open('here', 'w')"], os.environ, tmp_path / "logs", "writer")
    assert psutil.Process(service.pid).wait(20) == 0
    assert (tmp_path / "here").exists()


def test_stop_ends_children_in_other_groups_that_ignore_sigterm(tmp_path: Path) -> None:
    mark = str(tmp_path)
    service = _family(tmp_path, mark)
    family = members(mark, [service])
    assert len(family) == 2
    assert stop(mark, [service], grace_s=0.3) == []
    assert members(mark, [service]) == []
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)


def test_stop_finds_children_whose_parent_has_died(tmp_path: Path) -> None:
    service = _family(tmp_path, str(tmp_path))
    psutil.Process(service.pid).kill()
    psutil.Process(service.pid).wait(5)
    assert not service.is_alive()
    assert len(members(str(tmp_path), [service])) == 1
    assert stop(str(tmp_path), [service], grace_s=0.3) == []


def test_stop_leaves_the_processes_of_another_state_alone(tmp_path: Path) -> None:
    ours, other = _family(tmp_path / "a", "a-mark"), _family(tmp_path / "b", "b-mark")
    try:
        stop("a-mark", [ours], grace_s=0.3)
        assert other.is_alive()
    finally:
        stop("b-mark", [other], grace_s=0.3)


def test_a_reused_process_id_is_not_ours(tmp_path: Path) -> None:
    service = _family(tmp_path, str(tmp_path))
    try:
        stale = service.model_copy(update={"created": service.created - 100})
        assert not stale.is_alive()
        assert members("another-mark", [stale]) == []
    finally:
        stop(str(tmp_path), [service], grace_s=0.3)


def test_down_stops_everything_and_forgets_it(tmp_path: Path) -> None:
    mark = services.mark_of(tmp_path)
    service = _family(tmp_path / "logs", mark)
    state = StackState(name="x", config="x.toml", airflow_port=1, mlflow_port=2, services=(service,))
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    said: list[str] = []
    services.down(tmp_path, said.append)
    services.down(tmp_path, said.append)
    assert members(mark) == []
    assert said == ["nothing is running any more", "nothing was running"]


@pytest.mark.parametrize("n_services", [0, 1])
def test_a_stack_is_up_only_when_all_its_services_run(tmp_path: Path, n_services: int) -> None:
    gone = Service(name="gone", pid=2**22, created=1.0, log="")
    state = StackState(name="x", config="x", airflow_port=1, mlflow_port=2, services=(gone,) * n_services)
    assert not state.is_up()
