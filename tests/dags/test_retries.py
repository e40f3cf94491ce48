import subprocess
import sys
from pathlib import Path

CODE = """
import sys
sys.path.insert(0, {plugins!r})
from recsys_airflow.retries import POLICY
from recsys import errors
for kind in (errors.SourceError, errors.ValidationFailedError, errors.GateError, errors.ConfigError,
             errors.StorageError, errors.RegistryError, ConnectionError):
    print(kind.__name__, POLICY.evaluate(kind("x"), 1, 2).action.value)
"""


def test_wrong_data_fails_at_once_and_the_outside_world_is_tried_again(repository: Path, tmp_path: Path) -> None:
    code = CODE.format(plugins=str(repository / "plugins"))
    env = {"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    run = subprocess.run([sys.executable, "-c", code], check=True, env=env, capture_output=True, text=True)
    decisions = dict(line.split() for line in run.stdout.splitlines() if len(line.split()) == 2)
    assert decisions == {
        "SourceError": "fail",
        "ValidationFailedError": "fail",
        "GateError": "fail",
        "ConfigError": "fail",
        "StorageError": "default",
        "RegistryError": "default",
        "ConnectionError": "default",
    }
