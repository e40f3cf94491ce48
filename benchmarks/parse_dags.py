"""Time to parse each DAG file beyond importing Airflow itself; bar: 0.3 s each.

    python benchmarks/parse_dags.py

Every file is parsed in a fresh process, after Airflow's SDK, operators and DAG processor are there; the median of
`--repeats` processes is printed.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

_REPOSITORY = Path(__file__).resolve().parents[1]
_CODE = """
import sys, time
import airflow.sdk, airflow.dag_processing.dagbag, airflow.providers.standard.operators.hitl
from airflow.providers.standard.operators.python import PythonOperator
bag = airflow.dag_processing.dagbag.DagBag("/dev/null")
begin = time.perf_counter()
found = bag.process_file(sys.argv[1])
print(time.perf_counter() - begin)
assert len(found) == 1 and not bag.import_errors, bag.import_errors
"""


def main(repeats: Annotated[int, typer.Option(help="processes per file")] = 5) -> None:
    """Print file -> seconds."""
    with tempfile.TemporaryDirectory() as home:
        files = sorted((_REPOSITORY / "dags").glob("*.py"))
        median = {
            file.name: round(statistics.median(_parse(file, Path(home)) for _ in range(repeats)), 3) for file in files
        }
    print(json.dumps(median, indent=2))


def _parse(file: Path, home: Path) -> float:
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(_REPOSITORY / "plugins"),
    }
    command = [sys.executable, "-c", _CODE, str(file)]
    answer = subprocess.run(command, check=True, env=env, capture_output=True, text=True)
    return float(answer.stdout.splitlines()[-1])


if __name__ == "__main__":
    typer.run(main)
