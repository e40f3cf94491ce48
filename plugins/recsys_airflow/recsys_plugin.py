"""The Airflow plugin: data docs under Airflow's own address, and two entries in its navigation."""

import os
from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from recsys_airflow.data_docs import PREFIX, DataDocsApp
from recsys_airflow.links import DataDocsLink, MlflowRunLink, ModelVersionLink

_MLFLOW = os.environ.get("RECSYS_MLFLOW_UI", "")


class RecsysPlugin(AirflowPlugin):
    """Registers what this folder adds to Airflow."""

    name = "recsys"
    fastapi_apps: ClassVar = [{"app": DataDocsApp(), "url_prefix": PREFIX, "name": "recsys data docs"}]
    operator_extra_links: ClassVar = [DataDocsLink(), MlflowRunLink(), ModelVersionLink()]
    external_views: ClassVar = [
        {"name": "Data docs", "href": f"{PREFIX}/index.html", "destination": "nav"},
        *([{"name": "MLflow", "href": _MLFLOW, "destination": "nav"}] if _MLFLOW else []),
    ]
