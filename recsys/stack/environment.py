"""Commands of the local stack, and the settings of Airflow and MLflow as environment variables."""

import json
import os
import secrets
import sys
from pathlib import Path

from recsys.stack.ports import HOST
from recsys.stack.state import StackState

_REPOSITORY = Path(__file__).resolve().parents[2]
_PARALLELISM = 4  # two cores: two tasks that compute, two that wait


def stack_environment(folder: Path, state: StackState) -> dict[str, str]:
    """Return the environment of every service and task; `folder` holds Airflow's and MLflow's own state."""
    home = folder / "airflow"
    keys = _keys(home)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW_", "_AIRFLOW"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        "RECSYS_CONFIG": state.config,
        "RECSYS_MLFLOW_UI": state.mlflow_url,
        "MLFLOW_TRACKING_URI": state.mlflow_url,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_CONFIGURE_LOGGING": "false",  # its own handler writes to stderr, which Airflow shows as errors
        "DO_NOT_TRACK": "true",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(_REPOSITORY / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(_PARALLELISM),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{state.airflow_url}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",  # 5 s is too short under load
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(state.airflow_port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__BASE_URL": state.airflow_url,
        "AIRFLOW__API__SECRET_KEY": keys["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt"],
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }


def mlflow_command(folder: Path, state: StackState) -> list[str]:
    """Return the command of the tracking server: SQLite, local artifacts, this machine only."""
    home = folder / "mlflow"
    hosts = [f"{name}:{state.mlflow_port}" for name in (HOST, "localhost")]
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", HOST, "--port", str(state.mlflow_port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts")),
        *("--allowed-hosts", ",".join(hosts)),
    ]


def service_command(state: StackState) -> list[str]:
    """Return the command of the online service; it serves once there is a champion."""
    return [sys.executable, "-m", "recsys.cli", "serve", "--config", state.config, "--port", str(state.service_port)]


def airflow_command(*arguments: str) -> list[str]:
    """Return an Airflow command of this environment."""
    return [sys.executable, "-m", "airflow", *arguments]


def _keys(home: Path) -> dict[str, str]:
    path = home / "keys.json"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".new")
        aside.touch(mode=0o600)
        aside.write_text(json.dumps({"api": secrets.token_hex(32), "jwt": secrets.token_hex(32)}))
        aside.replace(path)
    keys: dict[str, str] = json.loads(path.read_text())
    return keys
