"""Buttons on a task: its run in MLflow, its model version, its data docs. Also shown when the task has failed."""

import os
from typing import Any

from airflow.sdk import BaseOperatorLink, conf
from airflow.sdk.execution_time.xcom import XCom

from recsys_airflow.data_docs import PREFIX, page_of


class MlflowRunLink(BaseOperatorLink):
    """To the MLflow run a task wrote (`run_url` of its result), else to the MLflow UI."""

    name = "MLflow run"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the address."""
        return str(_result(ti_key).get("run_url") or os.environ.get("RECSYS_MLFLOW_UI", ""))


class ModelVersionLink(BaseOperatorLink):
    """To the registered model version (`model_url` of the task's result), else to the MLflow UI."""

    name = "Model version"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - as above
        """Return the address."""
        return str(_result(ti_key).get("model_url") or os.environ.get("RECSYS_MLFLOW_UI", ""))


class DataDocsLink(BaseOperatorLink):
    """To the data docs of the run's partitions, served by Airflow's API server; else to their index."""

    name = "Data docs"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - as above
        """Return the address."""
        base = conf.get("api", "base_url", fallback="").rstrip("/")
        return f"{base}{PREFIX}/{page_of(str(_result(ti_key).get('data_docs', '')))}"


def linked(result: Any, *links: BaseOperatorLink) -> Any:  # Any: Airflow's XComArg, handed through
    """Give the task behind an XCom argument its buttons."""
    result.operator.operator_extra_links = links
    return result


def _result(ti_key: Any) -> dict[str, Any]:
    value = XCom.get_value(ti_key=ti_key, key="return_value")
    return value if isinstance(value, dict) else {}
