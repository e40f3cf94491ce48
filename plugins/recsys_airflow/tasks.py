"""Tasks that more than one DAG begins with."""

from typing import Any

from airflow.sdk import task

from recsys_airflow.assets import SNAPSHOT
from recsys_airflow.runs import as_of, settings


@task(inlets=[SNAPSHOT])
def select() -> dict[str, Any]:
    """Name the snapshots this run reads."""
    from recsys import pipeline

    return pipeline.select(settings(), as_of())


@task
def build_features(selected: dict[str, Any]) -> dict[str, Any]:
    """Turn snapshots into training arrays."""
    from recsys import pipeline

    return pipeline.build_features(settings(), selected["dataset"])
