"""Services as process sessions: each is started in its own, and stopped with everything that grew under it.

Airflow's workers leave their parent's process group and outlive it, so a group id alone does not find them. Every
service therefore starts a session and carries a mark in its environment that its children inherit.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

MARK = "RECSYS_STACK"


class Service(BaseModel):
    """A started service; `created` tells it from a later process that got the same id."""

    model_config = ConfigDict(frozen=True)
    name: str
    pid: int
    created: float
    log: str

    def is_alive(self) -> bool:
        """Tell whether the process that was started still runs."""
        try:
            process = psutil.Process(self.pid)
            return bool(process.create_time() == self.created) and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def start(name: str, command: Sequence[str], env: Mapping[str, str], folder: Path, mark: str) -> Service:
    """Start a service in its own session, writing to `<folder>/<name>.log`.

    It works where its caller does, so that relative addresses mean the same to both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command,
            env={**env, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Service(name=name, pid=process.pid, created=psutil.Process(process.pid).create_time(), log=str(log))


def members(mark: str, services: Sequence[Service] = ()) -> list[psutil.Process]:
    """Return every running process that carries `mark` or belongs to a session of `services`."""
    sessions = {service.pid for service in services if _started_by_us(service, mark)}
    found = []
    for process in psutil.process_iter():
        try:
            ours = os.getsid(process.pid) in sessions or process.environ().get(MARK) == mark
            if ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue
    return found


def stop(mark: str, services: Sequence[Service] = (), grace_s: float = 5.0) -> list[int]:
    """Ask every member to end, kill what is left after `grace_s`; return the ids that are still there."""
    _signal(members(mark, services), signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while (left := members(mark, services)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for _ in range(20):
        if not left:
            break
        _signal(left, signal.SIGKILL)
        psutil.wait_procs(left, timeout=0.5)
        left = members(mark, services)
    for service in services:
        _reap(service.pid)
    return [process.pid for process in left]


def _started_by_us(service: Service, mark: str) -> bool:
    try:
        process = psutil.Process(service.pid)
        return bool(process.create_time() == service.created or process.environ().get(MARK) == mark)
    except psutil.Error:
        return False


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)  # psutil refuses when the id was given to another process
        except psutil.NoSuchProcess:
            continue


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
