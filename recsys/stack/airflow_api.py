"""The few calls of Airflow's REST API (v2) that the demo, its tests and its pictures need."""

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from recsys.errors import RecsysError

Json = dict[str, Any]  # Any: JSON as Airflow sends it
_BACKFILL_S = 300.0
_ATTEMPTS = 4  # a busy machine may take minutes to answer


class AirflowError(RecsysError):
    """Airflow does not answer, or refuses a request."""


class AirflowApi:
    """Calls an Airflow without login, as the local stack runs it."""

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        self._base = f"{url}/api/v2"
        self._timeout_s = timeout_s

    def is_ready(self, dag_ids: Sequence[str]) -> bool:
        """Tell whether the scheduler beats and all DAGs are known (or some cannot be imported)."""
        try:
            if self._call("GET", "/monitor/health")["scheduler"]["status"] != "healthy":
                return False
            known = {dag["dag_id"] for dag in self._call("GET", "/dags")["dags"]}
            return known.issuperset(dag_ids) or bool(self.import_errors())
        except AirflowError:
            return False

    def import_errors(self) -> list[str]:
        """Return why DAG files cannot be imported."""
        errors = self._call("GET", "/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in errors]

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run."""
        self._call("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:  # Any: JSON
        """Start a run outside the schedule."""
        self._call("POST", f"/dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)})

    def backfill(self, dag_id: str, first: str, last: str) -> None:
        """Run a DAG anew for every tick of its schedule from `first` to `last`, both included (ISO 8601).

        On SQLite the scheduler may hold the database, and an attempt cut off by that blocks the next for two minutes:
        both are waited for.
        """
        ticks = {"from_date": first, "to_date": last, "reprocess_behavior": "completed", "max_active_runs": 2}
        deadline = time.monotonic() + _BACKFILL_S
        while True:
            try:
                self._call("POST", "/backfills", {"dag_id": dag_id, **ticks})
                return
            except AirflowError as error:
                if not re.search(r": (503|409) ", str(error)) or time.monotonic() > deadline:
                    raise
                time.sleep(2)

    def runs(self, dag_id: str) -> list[Json]:
        """Return a DAG's runs, newest first."""
        found: list[Json] = self._call("GET", f"/dags/{dag_id}/dagRuns?order_by=-run_after&limit=100")["dag_runs"]
        return found

    def run(self, dag_id: str, run_id: str) -> Json:
        """Return one run."""
        return self._call("GET", f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}")

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        """Return the task instances of one run."""
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances"
        found: list[Json] = self._call("GET", path)["task_instances"]
        return found

    def log_tail(self, dag_id: str, run_id: str, task: Mapping[str, Any], n_lines: int = 30) -> str:  # Any: JSON
        """Return the last lines of a task's latest attempt, with the traceback's message."""
        attempt = max(int(task["try_number"]), 1)
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task['task_id']}/logs/{attempt}"
        lines = [line for entry in self._call("GET", path).get("content", []) for line in _lines(entry)]
        return "\n".join(lines[-n_lines:])

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:  # Any: JSON
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, data=data, method=method, headers=headers)  # noqa: S310 - http
        attempts = 1 if method == "POST" else _ATTEMPTS  # what a lost answer to a POST did is not known
        while True:
            attempts -= 1
            try:
                with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310 - http
                    found: Json = json.load(answer)
                    return found
            except urllib.error.HTTPError as error:
                detail = error.read().decode(errors="replace")[:500]
                raise AirflowError(f"Airflow refused {method} {path}: {error.code} {detail}") from error
            except (OSError, ValueError) as error:
                slow = isinstance(getattr(error, "reason", error), TimeoutError)
                if not slow or not attempts:
                    raise AirflowError(f"Airflow does not answer on {self._base}: {error}") from error


def _lines(entry: Any) -> list[str]:  # Any: a string or a structured log event
    text = str(entry.get("event", "")) if isinstance(entry, Mapping) else str(entry)
    lines = [] if text.startswith("::") else [text]
    for detail in (entry.get("error_detail") or []) if isinstance(entry, Mapping) else []:
        for frame in detail.get("frames") or []:
            if "/airflow/" in str(frame.get("filename")):
                continue
            lines.append(f"  {frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}")
        lines.append(f"{detail.get('exc_type')}: {detail.get('exc_value')}")
    return lines


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")
