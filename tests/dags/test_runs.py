"""What a DAG run may change of the deployment's settings, and what an alarm changes."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

CODE = """
import json, sys
from types import SimpleNamespace
sys.path.insert(0, {plugins!r})
from recsys_airflow import runs
told = json.loads(sys.argv[1])
events = [SimpleNamespace(extra=extra) for extra in told["events"]]
context = {{"params": told["params"], "triggering_asset_events": {{"retrain": events}}, "data_interval_end": None}}
runs.get_current_context = lambda: context
try:
    config = runs.settings()
    print(json.dumps({{"held": config.features.held_out_days, "dim": config.model.dim, "fit_days": config.features.fit_days, "as_of": runs.as_of()}}))
except Exception as error:
    print(json.dumps({{"error": type(error).__name__ + ": " + str(error)}}))
"""


@pytest.fixture
def settings(repository: Path, tmp_path: Path) -> Any:
    def read(params: dict[str, Any], *events: dict[str, Any]) -> SimpleNamespace:
        code = CODE.format(plugins=str(repository / "plugins"))
        env = {"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        told = json.dumps({"params": params, "events": list(events)})
        run = subprocess.run([sys.executable, "-c", code, told], check=True, env=env, capture_output=True, text=True)
        return SimpleNamespace(**json.loads(run.stdout.splitlines()[-1]))

    return read


def test_a_run_may_override_how_a_model_is_made(settings: Any) -> None:
    assert settings({"overrides": {"model": {"dim": 32}}}).dim == 32


@pytest.mark.parametrize("section", ["promotion", "evaluation", "index", "privacy", "storage"])
def test_a_run_cannot_loosen_how_models_are_judged(settings: Any, section: str) -> None:
    error = settings({"overrides": {section: {}, "model": {"dim": 32}}}).error
    assert error.startswith("ConfigError: a run may override model, features, blend, tuning")
    assert f"got {section}:" in error


def test_an_alarm_holds_out_the_last_day_alone_and_says_of_which_days(settings: Any) -> None:
    found = settings({}, {"as_of": "2026-02-07"}, {"as_of": "2026-02-08"})
    assert (found.held, found.fit_days, found.as_of) == (1, "auto", "2026-02-08")
    assert (settings({}).held, settings({}).fit_days) == (0, 0)
