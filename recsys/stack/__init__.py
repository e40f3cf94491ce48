"""The local stack: Airflow and MLflow on 127.0.0.1, started, watched and stopped as process sessions.

Airflow is run here, never imported.
"""
