"""Takes the README's pictures from the running stack (`make demo` first): Airflow's graphs, MLflow's runs and model.

Needs Chromium: `apt-get install chromium`.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from recsys.stack.airflow_api import AirflowApi
from recsys.stack.state import read_state

_FOLDER = Path(__file__).parent / "screenshots"
_DAGS = ("recsys_data", "recsys_training", "recsys_monitoring")
_SETTLE_MS = 4000  # graphs are laid out after the data has come
_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync"]  # fmt: skip


def main() -> None:
    """Write the pictures to `docs/screenshots/`."""
    state, browser_path = read_state(Path("state").resolve()), shutil.which("chromium")
    if state is None or browser_path is None:
        sys.exit("run `make demo` first" if state is None else "install Chromium: apt-get install chromium")
    api = AirflowApi(state.airflow_url)
    _FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=_FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 860})
        graph = "; ".join(f"localStorage.setItem('dag_view-{dag_id}', '\"graph\"')" for dag_id in _DAGS)
        page.add_init_script(graph)
        for dag_id in _DAGS:
            green = [run for run in api.runs(dag_id) if run["state"] == "success"]
            if green:
                _take(page, f"{state.airflow_url}/dags/{dag_id}/runs/{green[0]['dag_run_id']}", f"airflow_{dag_id}")
        _take(page, f"{state.mlflow_url}/#/experiments/1/runs?viewMode=table", "mlflow_runs")
        _take(page, f"{state.mlflow_url}/#/models/two_tower", "mlflow_model")
        browser.close()


def _take(page: Page, url: str, name: str) -> None:
    page.goto(url)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(_SETTLE_MS)
    page.screenshot(path=_FOLDER / f"{name}.png")
    print(_FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
