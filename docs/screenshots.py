"""Takes the README's pictures: `make screenshots` runs the story of a taste shift through a stack of its own.

A champion is trained before the shift, other settings are tried beside it, monitoring fires after the shift and Airflow
retrains. Then each DAG's graph, MLflow's runs compared and the registered model are photographed.

Needs Chromium: `apt-get install chromium`. Takes about five minutes.
"""

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from recsys.config import load_config
from recsys.stack.airflow_api import AirflowApi
from recsys.stack.services import DAGS, down, up
from recsys.stack.state import StackState

_STATE = Path("state").resolve() / "pictures"
_FOLDER = Path(__file__).parent / "screenshots"
_CONFIG = f"""
name = "news"
storage = "{_STATE}/data"

[source]
kind = "demo"
days = 40
scale = 0.6
n_items = 500
shift_from = 2026-01-25
"""
_STORY: list[tuple[str, str, dict[str, Any]]] = [  # Any: JSON
    ("recsys_data", "january", {"start": "2026-01-01", "end": "2026-01-25"}),
    ("recsys_training", "first-champion", {"as_of": "2026-01-25"}),
    ("recsys_training", "smaller-model", {"as_of": "2026-01-25", "overrides": {"model": {"dim": 16, "epochs": 6}}}),
    ("recsys_data", "after-the-shift", {"start": "2026-01-25", "end": "2026-02-10"}),
    ("recsys_monitoring", "two-weeks-later", {"as_of": "2026-02-10"}),
]
_SETTLE_MS = 6000  # graphs and charts are laid out after the data has come
_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync"]  # fmt: skip
_CUT_PATHS = """root => {  // addresses from the repository on, whoever's machine this is
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replaceAll(root, "");
}"""
_BROWSER_SETTINGS = {
    "default_dag_view": '"graph"',
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",  # else it opens over a third of the page
    "mlflow.assistant.panelOpen_v1": "false",
}


def main() -> None:
    """Run the story, write the pictures to `docs/screenshots/`, stop everything."""
    browser = shutil.which("chromium")
    if browser is None:
        sys.exit("install Chromium: apt-get install chromium")
    shutil.rmtree(_STATE, ignore_errors=True)
    _STATE.mkdir(parents=True)
    config = _STATE / "config.toml"
    config.write_text(_CONFIG, encoding="utf-8")
    state = up(_STATE, load_config(config), config, print)
    try:
        _take_all(state, _tell(AirflowApi(state.airflow_url)), browser)
    finally:
        down(_STATE, print)


def _tell(api: AirflowApi) -> dict[str, str]:
    """Run the story to the retrained champion; returns the run to show of each DAG."""
    for dag_id in DAGS:
        api.unpause(dag_id)
    for dag_id, run_id, conf in _STORY:
        api.trigger(dag_id, run_id, conf)
        print(f"{dag_id} {run_id}: {_state_at_end(api, dag_id, run_id)}")
    retraining = next(run for run in api.runs("recsys_training") if run["run_type"] == "asset_triggered")["dag_run_id"]
    print(f"recsys_training {retraining}: {_state_at_end(api, 'recsys_training', retraining)}")
    return {"recsys_data": "after-the-shift", "recsys_monitoring": "two-weeks-later", "recsys_training": retraining}


def _state_at_end(api: AirflowApi, dag_id: str, run_id: str) -> str:
    while (state := str(api.run(dag_id, run_id)["state"])) not in ("success", "failed"):
        time.sleep(1)
    time.sleep(5)  # the scheduler starts what the run's assets trigger
    return state


def _take_all(state: StackState, runs: dict[str, str], browser_path: str) -> None:
    _FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 560})
        page.add_init_script("; ".join(f"localStorage.setItem({k!r}, {v!r})" for k, v in _BROWSER_SETTINGS.items()))
        for dag_id, run_id in runs.items():
            _open(page, f"{state.airflow_url}/dags/{dag_id}/runs/{run_id}", "text=Task Instances")
            _take(page, f"airflow_{dag_id}")
        page.set_viewport_size({"width": 1280, "height": 800})
        _open(page, f"{state.mlflow_url}/#/experiments/1/runs?compareRunsMode=CHART", "a:has-text('smaller-model')")
        page.set_viewport_size({"width": 1280, "height": 1150})  # both rows of charts
        page.get_by_placeholder("Search metric charts").fill("^epoch/|^test/hybrid/(ndcg|recall)_at_10$")
        _take(page, "mlflow_runs")
        page.set_viewport_size({"width": 1280, "height": 800})
        _open(page, f"{state.mlflow_url}/#/models/two_tower-news", "a:has-text('Version 1')")
        _take(page, "mlflow_model")
        browser.close()


def _open(page: Page, url: str, sign: str) -> None:
    """Go to a page and wait for what shows that its data has come."""
    page.goto(url, wait_until="domcontentloaded", timeout=60_000)
    page.wait_for_selector(sign, timeout=60_000)
    page.wait_for_timeout(_SETTLE_MS)


def _take(page: Page, name: str) -> None:
    page.wait_for_timeout(_SETTLE_MS)
    page.evaluate(_CUT_PATHS, f"{_STATE.parents[1]}/")
    page.screenshot(path=_FOLDER / f"{name}.png")
    print(_FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
