"""Tastes shift: monitoring asks for a retraining, Airflow starts it by the asset, a better champion takes over."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recsys.config import load_config
from recsys.stack.airflow_api import AirflowApi
from recsys.stack.services import down, up

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

SHIFT = "2026-01-25"
CONFIG = """
name = "shift"
storage = "{storage}"

[source]
kind = "demo"
days = 40
scale = 0.4
n_items = 300
shift_from = 2026-01-25

[model]
dim = 32
epochs = 6
"""


@pytest.fixture
def shifting(tmp_path: Path) -> Iterator[tuple[AirflowApi, Path]]:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(storage=tmp_path / "data"))
    folder = tmp_path / "state"
    state = up(folder, load_config(config), config, print)
    try:
        api = AirflowApi(state.airflow_url)
        for dag_id in ("recsys_data", "recsys_training", "recsys_monitoring"):
            api.unpause(dag_id)
        yield api, tmp_path / "data"
    finally:
        down(folder, print)


def _run(api: AirflowApi, dag_id: str, run_id: str, **conf: str) -> dict[str, str]:
    api.trigger(dag_id, run_id, conf)
    return _finished(api, dag_id, run_id)


def _finished(api: AirflowApi, dag_id: str, run_id: str) -> dict[str, str]:
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        if api.run(dag_id, run_id)["state"] in ("success", "failed"):
            return {task["task_id"]: task["state"] for task in api.tasks(dag_id, run_id)}
        time.sleep(1)
    raise AssertionError(f"{dag_id} {run_id} did not end: {api.tasks(dag_id, run_id)}")


def _triggered_by_asset(api: AirflowApi) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for run in api.runs("recsys_training"):
            if run["run_type"] == "asset_triggered":
                return run
        time.sleep(1)
    raise AssertionError("the retrain asset started no training")


def test_a_shift_of_taste_leads_to_a_better_champion(shifting: tuple[AirflowApi, Path]) -> None:
    api, data = shifting
    pointer = data / "serving" / "champion.json"
    assert set(_run(api, "recsys_data", "before", start="2026-01-01", end=SHIFT).values()) == {"success"}
    assert set(_run(api, "recsys_training", "first", as_of=SHIFT).values()) == {"success"}
    first = json.loads(pointer.read_text())

    assert set(_run(api, "recsys_data", "after", start=SHIFT, end="2026-02-10").values()) == {"success"}
    watched = _run(api, "recsys_monitoring", "quiet", as_of=SHIFT)
    assert watched == {"monitor": "success", "request_retraining": "skipped"}
    watched = _run(api, "recsys_monitoring", "shifted", as_of="2026-02-10")
    assert watched == {"monitor": "success", "request_retraining": "success"}

    retraining = _triggered_by_asset(api)
    assert set(_finished(api, "recsys_training", retraining["dag_run_id"]).values()) == {"success"}
    second = json.loads(pointer.read_text())
    assert second["version"] != first["version"]
    assert second["previous"] == first["version"]
    decision = [json.loads(line) for line in (data / "ledger" / "promotions.jsonl").read_text().splitlines()][-1]
    gate = next(gate for gate in decision["gates"] if gate["name"] == "better_than_champion")
    assert gate["value"] > 0, gate
