"""The assets that chain the DAGs."""

from airflow.sdk import Asset

SNAPSHOT = Asset("recsys_snapshot", uri="recsys://snapshot")
"""Validated, pseudonymised tables; updated by `recsys_data`."""

RETRAIN = Asset("recsys_retrain", uri="recsys://retrain")
"""A decision that retraining pays; updated by `recsys_monitoring`, starts `recsys_training`."""

CHAMPION = Asset("recsys_champion", uri="recsys://champion")
"""The model that serves; updated by `recsys_training` when every gate holds."""
